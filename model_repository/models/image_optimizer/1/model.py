"""The image decoder's pixels → IMAGE, a PNG (see `stages.drawn`)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.drawn import png
from stages.triton import respond


class TritonPythonModel:
    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        pictures = pb_utils.get_input_tensor_by_name(request, "PICTURE").as_numpy()
        return [pb_utils.Tensor("IMAGE", np.array([[png(picture)] for picture in pictures], object))]

"""The image decoder's pixels → IMAGE, a picture's file (see `stages.drawn`)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.drawn import picture
from stages.triton import each_row, field, respond


class TritonPythonModel:
    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        pictures = pb_utils.get_input_tensor_by_name(request, "PICTURE").as_numpy()
        asked = field(request, "IMAGE_FORMAT") or [None] * len(pictures)
        files = each_row(zip(pictures, asked, strict=True), lambda row: picture(*row))
        return [pb_utils.Tensor("IMAGE", np.array(files, object).reshape(-1, 1))]

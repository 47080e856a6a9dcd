"""The video decoder's frames → VIDEO, an MP4 (see `stages.drawn`)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.drawn import mp4
from stages.triton import respond


class TritonPythonModel:
    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        clips = pb_utils.get_input_tensor_by_name(request, "DRAWN").as_numpy()
        return [pb_utils.Tensor("VIDEO", np.array([[mp4(clip)] for clip in clips], object))]

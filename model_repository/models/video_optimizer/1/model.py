"""The video decoder's frames → VIDEO, an MP4 (see `stages.drawn`)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.drawn import mp4
from stages.triton import each_row, field, respond


class TritonPythonModel:
    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        clips = pb_utils.get_input_tensor_by_name(request, "DRAWN").as_numpy()
        music = field(request, "MUSIC") or [None] * len(clips)
        files = each_row(zip(clips, music, strict=True), lambda row: mp4(*row))
        return [pb_utils.Tensor("VIDEO", np.array(files, object).reshape(-1, 1))]

"""IMAGE (a JPEG, PNG or WebP file) → PIXELS for the image encoder."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.image import read_image
from stages.triton import each_row, field, respond


class TritonPythonModel:
    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        pixels = np.stack(each_row(field(request, "IMAGE"), read_image))
        mask = np.ones((len(pixels), 1), np.float32)
        return [pb_utils.Tensor("PIXELS", pixels), pb_utils.Tensor("IMAGE_MASK", mask)]

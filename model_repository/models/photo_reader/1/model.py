"""IMAGE → PHOTO, decoded and upright, PIXELS for the cutout network and VIEW for the image encoder.

A bad order is refused here already.
"""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.image import for_encoder, read_photo
from stages.studio import FIELDS, PHOTO_PX, for_network, read_order
from stages.triton import respond, value


class TritonPythonModel:
    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        read_order(*(value(request, name) for name in FIELDS))
        photo = read_photo(value(request, "IMAGE"), PHOTO_PX)
        tensors = {
            "PHOTO": np.asarray(photo)[None],
            "PIXELS": for_network(photo)[None],
            "VIEW": for_encoder(photo)[None],
        }
        return [pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in tensors.items()]

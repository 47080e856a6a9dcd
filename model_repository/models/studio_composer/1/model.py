"""PHOTO, the OPACITY and the policy's word on it → IMAGE, the studio shot, and SUBJECT (see `stages.studio`)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.moderation import refuse_blocked
from stages.studio import FIELDS, read_order, shoot
from stages.triton import Queued, row, value


class TritonPythonModel(Queued):
    def answer(self, request):
        refuse_blocked(value(request, "MODERATION"))
        photo, opacity = row(request, "PHOTO", "OPACITY")
        order = read_order(*(value(request, name) for name in FIELDS))
        data, share = shoot(photo, opacity, order)
        tensors = {"IMAGE": np.array([[data]], object), "SUBJECT": np.array([[share]], np.float32)}
        return [pb_utils.Tensor(name, tensors[name]) for name in request.requested_output_names()]

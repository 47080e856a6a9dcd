"""PHOTO, the OPACITY and the policy's word on it → VIDEO, the studio shot swinging, and SUBJECT."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.moderation import refuse_blocked
from stages.studio import film, read_order
from stages.triton import Queued, row, value


class TritonPythonModel(Queued):
    def answer(self, request):
        refuse_blocked(value(request, "MODERATION"))
        photo, opacity = row(request, "PHOTO", "OPACITY")
        background, aspect, size, style = (value(request, name) for name in ("BACKGROUND", "ASPECT", "SIZE", "STYLE"))
        order = read_order(background, aspect, size, style=style)
        data, share = film(photo, opacity, order, value(request, "MUSIC"))
        tensors = {"VIDEO": np.array([[data]], object), "SUBJECT": np.array([[share]], np.float32)}
        return [pb_utils.Tensor(name, tensors[name]) for name in request.requested_output_names()]

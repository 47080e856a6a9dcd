"""PHOTO, OPACITY, CAPTION, the policy's word on them, perhaps AUDIO → POST, an MP4, and SECONDS (`stages.post`)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.moderation import refuse_blocked
from stages.post import compose, read_brief
from stages.triton import respond, value


class TritonPythonModel:
    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        refuse_blocked(value(request, "MODERATION"))
        photo, opacity = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy()[0] for name in ("PHOTO", "OPACITY")
        )
        brief = read_brief(value(request, "CAPTION"), value(request, "ASPECT"))
        data, seconds = compose(
            photo, opacity, brief, value(request, "AUDIO"), value(request, "VIDEO"), value(request, "IS_FRAME")
        )
        tensors = {"POST": np.array([[data]], object), "SECONDS": np.array([[seconds]], np.float32)}
        return [pb_utils.Tensor(name, tensors[name]) for name in request.requested_output_names()]

"""PHOTO, OPACITY, CAPTION, the policy's word on them, perhaps clip and sounds → POST and SECONDS (`stages.post`)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.moderation import refuse_blocked
from stages.post import compose, read_brief
from stages.triton import Queued, row, value


class TritonPythonModel(Queued):
    def answer(self, request):
        refuse_blocked(value(request, "MODERATION"))
        photo, opacity = row(request, "PHOTO", "OPACITY")
        brief = read_brief(*(value(request, name) for name in ("CAPTION", "ASPECT", "CAPTIONS", "BACKGROUND")))
        files = (value(request, name) for name in ("AUDIO", "VIDEO", "IS_FRAME", "MUSIC", "LOGO_SOUND"))
        data, seconds = compose(photo, opacity, brief, *files)
        tensors = {"POST": np.array([[data]], object), "SECONDS": np.array([[seconds]], np.float32)}
        return [pb_utils.Tensor(name, tensors[name]) for name in request.requested_output_names()]

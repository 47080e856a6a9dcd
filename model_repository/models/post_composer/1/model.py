"""PHOTO, OPACITY, CAPTION, the policy's word on them, perhaps clip and sounds → POST and SECONDS (`stages.post`)."""

from typing import Any

import numpy as np

from stages.moderation import refuse_blocked
from stages.post import compose, read_brief
from stages.triton import Outputs, Queued, row, value


class TritonPythonModel(Queued):
    def answer(self, request: Any) -> Outputs:
        refuse_blocked(value(request, "MODERATION"))
        photo, opacity = row(request, "PHOTO", "OPACITY")
        brief = read_brief(*(value(request, name) for name in ("CAPTION", "ASPECT", "CAPTIONS", "BACKGROUND")))
        files = (value(request, name) for name in ("AUDIO", "VIDEO", "IS_FRAME", "MUSIC", "LOGO_SOUND"))
        data, seconds = compose(photo, opacity, brief, *files)
        return {"POST": [data], "SECONDS": np.array([[seconds]], np.float32)}

"""PHOTO, the OPACITY and the policy's word on it → VIDEO, the studio shot swinging, and SUBJECT."""

from typing import Any

import numpy as np

from stages.moderation import refuse_blocked
from stages.studio import film, read_order
from stages.triton import Outputs, Queued, row, value


class TritonPythonModel(Queued):
    def answer(self, request: Any) -> Outputs:
        refuse_blocked(value(request, "MODERATION"))
        photo, opacity = row(request, "PHOTO", "OPACITY")
        background, aspect, size, style = (value(request, name) for name in ("BACKGROUND", "ASPECT", "SIZE", "STYLE"))
        order = read_order(background, aspect, size, style=style)
        data, share = film(photo, opacity, order, value(request, "MUSIC"))
        return {"VIDEO": [data], "SUBJECT": np.array([[share]], np.float32)}

"""PHOTO, the OPACITY and the policy's word on it → IMAGE, the studio shot, and SUBJECT (see `stages.studio`)."""

from typing import Any

import numpy as np

from stages.moderation import refuse_blocked
from stages.studio import FIELDS, read_order, shoot
from stages.triton import Outputs, Queued, row, value


class TritonPythonModel(Queued):
    def answer(self, request: Any) -> Outputs:
        refuse_blocked(value(request, "MODERATION"))
        photo, opacity = row(request, "PHOTO", "OPACITY")
        data, share = shoot(photo, opacity, read_order(*(value(request, name) for name in FIELDS)))
        return {"IMAGE": [data], "SUBJECT": np.array([[share]], np.float32)}

"""The image decoder's pixels → IMAGE, a picture's file (see `stages.drawn`)."""

from collections.abc import Sequence
from typing import Any

from stages.drawn import picture
from stages.triton import Outputs, Step, each_row, field, tensor


class TritonPythonModel(Step):
    def answer(self, request: Any) -> Outputs:
        pictures = tensor(request, "PICTURE")
        asked: Sequence[bytes | None] = field(request, "IMAGE_FORMAT") or [None] * len(pictures)
        return {"IMAGE": each_row(zip(pictures, asked, strict=True), lambda row: picture(*row))}

"""The video decoder's frames → VIDEO, an MP4 (see `stages.drawn`)."""

from collections.abc import Sequence
from typing import Any

from stages.drawn import mp4
from stages.triton import Outputs, Step, each_row, field, tensor


class TritonPythonModel(Step):
    def answer(self, request: Any) -> Outputs:
        clips = tensor(request, "DRAWN")
        music: Sequence[bytes | None] = field(request, "MUSIC") or [None] * len(clips)
        return {"VIDEO": each_row(zip(clips, music, strict=True), lambda row: mp4(*row))}

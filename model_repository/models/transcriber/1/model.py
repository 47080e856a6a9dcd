"""LOG_MEL → TRANSCRIPT, what is said, empty where nobody speaks, its language, and a copy of it for the next steps.

This step never fails, because others of its request are under way beside it, which Triton 24.10 does not bear: a sound
that could not be listened to says so, and the moderator blocks it.
"""

import json
import logging
from typing import Any

from stages.errors import UNREADABLE
from stages.transcript import Transcriber, Transcript
from stages.triton import Outputs, Step, tensor


class TritonPythonModel(Step):
    def set_up(self) -> None:
        options = json.loads((self.folder / "transcriber.json").read_text("utf-8"))
        self.transcribe = Transcriber(self.folder, threads=2, **options)

    def answer(self, request: Any) -> Outputs:
        sounds = tensor(request, "LOG_MEL")
        try:
            said = self.transcribe(sounds)
        except Exception:
            logging.getLogger("vitrina").exception("a sound could not be listened to")
            said = [Transcript(UNREADABLE, "")] * len(sounds)
        texts, languages = ([row.encode() for row in column] for column in zip(*said, strict=True))
        return {"TRANSCRIPT": texts, "TRANSCRIPT_COPY": texts, "TRANSCRIPT_LANGUAGE": languages}

"""LOG_MEL → TRANSCRIPT, what is said, empty where nobody speaks, its language, and a copy of it for the next steps.

This step never fails, because others of its request are under way beside it, which Triton 24.10 does not bear: a sound
that could not be listened to says so, and the moderator blocks it.
"""

import json
import logging
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.errors import UNREADABLE
from stages.transcript import Transcriber, Transcript
from stages.triton import respond


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.transcribe = Transcriber(folder, threads=2, **json.loads((folder / "transcriber.json").read_text("utf-8")))

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        sounds = pb_utils.get_input_tensor_by_name(request, "LOG_MEL").as_numpy()
        try:
            said = self.transcribe(sounds)
        except Exception:
            logging.getLogger("vitrina").exception("a sound could not be listened to")
            said = [Transcript(UNREADABLE, "")] * len(sounds)
        texts, languages = (np.array([row.encode() for row in column], object) for column in zip(*said, strict=True))
        rows = {"TRANSCRIPT": texts, "TRANSCRIPT_COPY": texts, "TRANSCRIPT_LANGUAGE": languages}
        return [pb_utils.Tensor(name, rows[name].reshape(-1, 1)) for name in request.requested_output_names()]

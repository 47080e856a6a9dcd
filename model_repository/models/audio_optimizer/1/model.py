"""SAMPLES at SAMPLE_RATE → AUDIO, a WAV or OGG file at one loudness, and its SECONDS (see `stages.spoken`)."""

from typing import Any

import numpy as np

from stages.speech import FORMATS, read_format
from stages.spoken import encode, level
from stages.triton import Outputs, Step, tensor, value


class TritonPythonModel(Step):
    def answer(self, request: Any) -> Outputs:
        samples, rate = tensor(request, "SAMPLES")[0], value(request, "SAMPLE_RATE")
        asked = value(request, "AUDIO_FORMAT") or FORMATS[0].encode()
        data = encode(level(samples, rate), rate, read_format(asked))
        return {"AUDIO": [data], "SECONDS": np.array([[len(samples) / rate]], np.float32)}

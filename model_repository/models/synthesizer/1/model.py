"""SCRIPT → SAMPLES: its sentences as phoneme ids, spoken one after the other by `speech_decoder` (BLS), and joined.

Without piper-tts (see `stages.speech`) this model is ready all the same, and answers each script with how to get it.
"""

import contextlib
import json
import threading
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.errors import StageError
from stages.moderation import refuse_blocked
from stages.speech import Phonemizer, join, read_script
from stages.triton import Queued, call, value


class TritonPythonModel(Queued):
    def initialize(self, args):
        super().initialize(args)
        self.path = Path(args["model_repository"]) / args["model_version"] / "speech.json"
        config = json.loads(self.path.read_text("utf-8"))
        self.rate, self.scales = config["sample_rate"], config["scales"]
        self.phonemize = None
        with contextlib.suppress(StageError):
            self.phonemize = Phonemizer(self.path)
        self.one_at_a_time = threading.Lock()  # espeak has one state for all

    def answer(self, request):
        refuse_blocked(value(request, "MODERATION"))
        script = read_script(*(value(request, name) for name in ("SCRIPT", "SPEED", "AUDIO_FORMAT", "TIMEOUT_MS")))
        with self.one_at_a_time:
            self.phonemize = self.phonemize or Phonemizer(self.path)
            sentences = list(self.phonemize(script.text))
        noise, length, duration_noise = self.scales
        scales = np.array([noise, length / script.speed, duration_noise], np.float32)
        parts = []
        for ids in sentences:
            script.in_time()
            parts.append(speak(ids, scales))
        samples = join(parts, self.rate)
        return [
            pb_utils.Tensor("SAMPLES", samples[None]),
            pb_utils.Tensor("SAMPLE_RATE", np.array([[self.rate]], np.int32)),
        ]


def speak(ids, scales):
    """One sentence through the speech decoder: float32 [samples]."""
    inputs = {"input": ids[None], "input_lengths": np.array([len(ids)], np.int64), "scales": scales}
    return call("speech_decoder", inputs, "output").reshape(-1)

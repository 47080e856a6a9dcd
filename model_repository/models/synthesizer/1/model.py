"""SCRIPT → SAMPLES: its sentences, spoken one after the other by the voice's network (BLS), and joined."""

from typing import Any

import numpy as np

from stages.kokoro import Kokoro
from stages.moderation import refuse_blocked
from stages.speech import choose, encode_script, join, read_script
from stages.triton import Outputs, Queued, call, value
from stages.vits import Vits

FIELDS = ("SCRIPT", "SPEED", "AUDIO_FORMAT", "TIMEOUT_MS", "VOICE", "LANGUAGE")


class TritonPythonModel(Queued):
    def set_up(self) -> None:
        kinds = {"vits.json": Vits, "kokoro.json": Kokoro}
        self.speakers = [kind(self.folder) for file, kind in kinds.items() if (self.folder / file).is_file()]
        for speaker in self.speakers:  # the first request would wait for the dictionaries
            speaker.sentences("一只 cup", next(iter(speaker.voices)))

    def answer(self, request: Any) -> Outputs:
        refuse_blocked(value(request, "MODERATION"))
        script = read_script(*(value(request, name) for name in FIELDS))
        speaker, voice = choose(self.speakers, script)
        parts = []
        for ids in encode_script(speaker, voice, script.text):
            script.in_time()
            parts.append(call(speaker.model, speaker.inputs(ids, voice, script.speed), speaker.output).reshape(-1))
        samples = join(parts, speaker.rate)
        return {"SAMPLES": samples[None], "SAMPLE_RATE": np.array([[speaker.rate]], np.int32)}

"""A VITS voice in piper's layout: one speaker, one language, in the phonemes that espeak-ng writes.

The phonemes come from `stages.english`; a recipe whose speech decoder has the option ``phonemes: espeak`` takes them
from espeak-ng itself, in piper-tts, which is GPL-3.0 and so an extra. Source: Kim et al. 2021 (arXiv:2106.06103).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages.english import pronounce
from stages.errors import StageError
from stages.speech_text import sentences

_BEGIN, _END, _BETWEEN = "^", "$", "_"
#: espeak's library keeps its voice in a global of the process.
_LOCK = threading.Lock()


class Vits:
    """The voice of one `vits.json`.

    Args:
        folder: of ``vits.json``.
        espeak: whether to take espeak's phonemes; None for what the recipe says.

    Raises:
        StageError: ``not_ready``: espeak's phonemes are asked for and piper-tts is not installed.
    """

    model = "speech_decoder"
    output = "output"

    def __init__(self, folder: Path, espeak: bool | None = None) -> None:
        facts = json.loads((folder / "vits.json").read_text("utf-8"))
        self.rate: int = facts["sample_rate"]
        self.voices: dict[str, str] = facts["voices"]
        self._scales: list[float] = facts["scales"]
        self._ids: dict[str, list[int]] = facts["phoneme_ids"]
        from_espeak = facts["phonemes"] == "espeak" if espeak is None else espeak
        self._phonemes = _espeak(facts["espeak_voice"]) if from_espeak else lambda sentence: [pronounce(sentence)]

    def sentences(self, text: str, voice: str) -> list[str]:
        """The phonemes of each sentence."""
        return [phonemes for sentence in sentences(text) for phonemes in self._phonemes(sentence)]

    def encode(self, phonemes: str) -> np.ndarray:
        """int64 [ids]: begin, each phoneme with the blank that follows it, end; a phoneme without id is left out."""
        ids = [*self._ids[_BEGIN], *self._ids[_BETWEEN]]
        for phoneme in phonemes:
            if phoneme in self._ids:
                ids += [*self._ids[phoneme], *self._ids[_BETWEEN]]
        return np.array([*ids, *self._ids[_END]], np.int64)

    def inputs(self, ids: np.ndarray, voice: str, speed: float) -> dict[str, np.ndarray]:
        """What the network takes for one sentence."""
        noise, length, duration_noise = self._scales
        scales = np.array([noise, length / speed, duration_noise], np.float32)
        return {"input": ids[None], "input_lengths": np.array([len(ids)], np.int64), "scales": scales}


def _espeak(voice: str) -> Callable[[str], list[str]]:
    """A sentence → the phonemes of each part that espeak takes for one."""
    try:
        from piper.phonemize_espeak import EspeakPhonemizer
    except ImportError as error:
        raise StageError(
            "not_ready",
            "SCRIPT",
            "this recipe takes its phonemes from piper-tts, which is GPL-3.0 and so not installed by itself; run "
            "`make speech` (`pip install --no-deps -r requirements-speech.txt`) where the server runs, or leave out "
            "the speech decoder's option `phonemes`",
        ) from error

    def phonemize(sentence: str) -> list[str]:
        with _LOCK:
            return ["".join(part) for part in espeak.phonemize(voice, sentence)]

    with _LOCK:
        espeak = EspeakPhonemizer()
    return phonemize

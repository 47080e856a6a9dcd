"""Text in, phoneme ids out, for the speech decoder; and its sentences joined to one piece.

Phonemes come from espeak-ng in piper-tts, which is GPL-3.0: an optional extra that is imported only when the first
:class:`Phonemizer` is made. Source of the ids: piper (VITS, Kim et al. 2021, arXiv:2106.06103).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.errors import invalid, too_large
from stages.speech_text import sentences

MAX_SCRIPT = 2_000  # characters of text that one request may have spoken: about two minutes
PAUSE = 0.25  # seconds of silence between sentences
PEAK = 0.95  # of full scale, what the loudest sample is brought to

_BEGIN, _END, _BETWEEN = "^", "$", "_"
#: espeak's library keeps its voice in a global of the process.
_LOCK = threading.Lock()


class MissingExtraError(RuntimeError):
    """An optional package is not installed; the message says which, and how to get it."""


class Phonemizer:
    """Text → sentences of phoneme ids.

    Args:
        path: the speech decoder's ``speech.json``: ``espeak_voice`` and ``phoneme_ids``, phoneme → its ids.

    Raises:
        MissingExtraError: piper-tts is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from piper.phonemize_espeak import EspeakPhonemizer
        except ImportError as error:
            raise MissingExtraError(
                "speech needs piper-tts, which is GPL-3.0 and so not installed by itself; "
                "`make speech` or `pip install -r requirements-speech.txt`"
            ) from error
        config = json.loads(path.read_text(encoding="utf-8"))
        self._voice: str = config["espeak_voice"]
        self._ids: dict[str, list[int]] = config["phoneme_ids"]
        with _LOCK:
            self._espeak = EspeakPhonemizer()

    def __call__(self, text: str, field: str = "TEXT") -> list[np.ndarray]:
        """The ids of each sentence, int64 [phonemes]; never empty.

        Args:
            text: what is to be said, as it was written; at most :data:`MAX_SCRIPT` characters.
            field: the request tensor that carries it.

        Raises:
            StageError: ``too_large``, or ``invalid_input`` where there is nothing to say.
        """
        if len(text) > MAX_SCRIPT:
            raise too_large(field, f"{len(text):,} characters to speak, the limit is {MAX_SCRIPT:,}; shorten the text")
        said = [self.ids(phonemes) for sentence in sentences(text) for phonemes in self.phonemes(sentence)]
        if not said:
            raise invalid(field, f"holds nothing that can be spoken in its {len(text)} characters; send words")
        return said

    def phonemes(self, sentence: str) -> list[list[str]]:
        """Phonemes of each part that espeak takes for a sentence, code point by code point."""
        with _LOCK:
            parts = self._espeak.phonemize(self._voice, sentence)
        return [part for part in parts if any(phoneme.isalpha() for phoneme in part)]

    def ids(self, phonemes: Sequence[str]) -> np.ndarray:
        """int64 [ids]: begin, each phoneme with the blank that follows it, end; a phoneme without id is left out."""
        ids = [*self._ids[_BEGIN], *self._ids[_BETWEEN]]
        for phoneme in phonemes:
            if phoneme in self._ids:
                ids += [*self._ids[phoneme], *self._ids[_BETWEEN]]
        return np.array([*ids, *self._ids[_END]], np.int64)


def join(parts: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """Spoken sentences float32 [samples] with a pause between them, brought to :data:`PEAK`."""
    pause = np.zeros(round(PAUSE * rate), np.float32)
    joined = np.concatenate([piece for part in parts for piece in (part, pause)][:-1])
    return joined * (PEAK / max(float(np.abs(joined).max(initial=0)), 1e-3))

"""A script in, phoneme ids out, for the speech decoder; and its sentences joined to one piece.

Phonemes come from espeak-ng in piper-tts, which is GPL-3.0: an optional extra that is imported only when the first
:class:`Phonemizer` is made. Source of the ids: piper (VITS, Kim et al. 2021, arXiv:2106.06103).
"""

from __future__ import annotations

import json
import threading
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.errors import StageError, invalid, too_large
from stages.speech_text import sentences

MAX_SCRIPT = 2_000  # characters that one request may have spoken: about two minutes
MAX_PHONEMES = 4_000  # about one a character, but a list of prices or of capitals to spell has ten
SPEEDS = (0.5, 2.0)  # slowest and fastest, as a multiple of the voice's own
FORMATS = ("wav", "ogg")
MAX_TIMEOUT_MS = 3_600_000
PAUSE = 0.25  # seconds of silence between sentences

_BEGIN, _END, _BETWEEN = "^", "$", "_"
#: Scripts that an English voice reads; espeak names the single letters of others, or switches to another language.
_READ = ("LATIN", "GREEK", "MODIFIER")
#: espeak's library keeps its voice in a global of the process.
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Script:
    """What is to be spoken, checked.

    Args:
        text: as it was written.
        speed: a multiple of the voice's own.
        deadline: of `time.monotonic`; None for none.
    """

    text: str
    speed: float = 1.0
    deadline: float | None = None

    def in_time(self) -> None:
        """Raises :class:`StageError` ``deadline_exceeded`` once the time has passed."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise StageError("deadline_exceeded", "TIMEOUT_MS", "the time that the request allowed has passed")


def read_script(
    script: bytes, speed: float | None = None, audio_format: bytes | None = None, timeout_ms: int | None = None
) -> Script:
    """The request's fields; `audio_format` is only checked, before any work is done for it.

    Raises:
        StageError: on field ``SCRIPT``, ``SPEED``, ``AUDIO_FORMAT`` or ``TIMEOUT_MS``.
    """
    if speed is not None and not SPEEDS[0] <= speed <= SPEEDS[1]:  # neither is NaN
        raise invalid("SPEED", f"{speed:g} is outside {SPEEDS[0]:g} to {SPEEDS[1]:g}; 1 is the voice's own speed")
    if audio_format is not None:
        read_format(audio_format)
    if timeout_ms is not None and not 1 <= timeout_ms <= MAX_TIMEOUT_MS:
        raise invalid("TIMEOUT_MS", f"{timeout_ms} is outside 1 to {MAX_TIMEOUT_MS} milliseconds")
    try:
        text = script.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid("SCRIPT", f"is not UTF-8: {error}") from error
    deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
    return Script(text, 1.0 if speed is None else speed, deadline)


def read_format(value: bytes) -> str:
    """One of :data:`FORMATS`.

    Raises:
        StageError: ``invalid_input`` on field ``AUDIO_FORMAT``.
    """
    name = value.decode("utf-8", "replace").lower()
    if name not in FORMATS:
        raise invalid("AUDIO_FORMAT", f"{name[:40]!r} is unknown; send {' or '.join(FORMATS)}, or leave the field out")
    return name


class Phonemizer:
    """Text → sentences of phoneme ids.

    Args:
        path: the speech decoder's ``speech.json``: ``espeak_voice`` and ``phoneme_ids``, phoneme → its ids.

    Raises:
        StageError: ``not_ready``: piper-tts is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from piper.phonemize_espeak import EspeakPhonemizer
        except ImportError as error:
            raise StageError(
                "not_ready",
                "SCRIPT",
                "speech needs piper-tts, which is GPL-3.0 and so not installed by itself; run `make speech` "
                "(`pip install --no-deps -r requirements-speech.txt`) where the server runs",
            ) from error
        config = json.loads(path.read_text(encoding="utf-8"))
        self._voice: str = config["espeak_voice"]
        self._ids: dict[str, list[int]] = config["phoneme_ids"]
        with _LOCK:
            self._espeak = EspeakPhonemizer()

    def __call__(self, text: str, field: str = "SCRIPT") -> list[np.ndarray]:
        """The ids of each sentence, int64 [phonemes]; never empty.

        Args:
            text: what is to be said, as it was written; at most :data:`MAX_SCRIPT` characters.
            field: the request tensor that carries it.

        Raises:
            StageError: ``too_large``, or ``invalid_input`` where there is nothing that the voice can say.
        """
        if len(text) > MAX_SCRIPT:
            raise too_large(field, f"{len(text):,} characters to speak, the limit is {MAX_SCRIPT:,}; shorten the text")
        if (foreign := _foreign(text)) is not None:
            why = f"which the voice ({self._voice}) does not speak; send English in Latin letters"
            raise invalid(field, f"has {text[foreign]!r} at character {foreign}, {why}")
        said = [phonemes for sentence in sentences(text) for phonemes in self.phonemes(sentence)]
        if not said:
            raise invalid(field, f"holds nothing that can be spoken in its {len(text)} characters; send words")
        if (length := sum(map(len, said))) > MAX_PHONEMES:
            why = "numbers in words and capitals letter by letter take many"
            raise too_large(field, f"{length:,} phonemes, the limit is {MAX_PHONEMES:,}; shorten the text ({why})")
        return [self.ids(phonemes) for phonemes in said]

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


def _foreign(text: str) -> int | None:
    """The place of the first letter that is in none of :data:`_READ`; None where there is none."""
    for place, letter in enumerate(text):
        plain = unicodedata.normalize("NFKC", letter)[0]  # a fullwidth or mathematical letter is a Latin one
        if letter.isalpha() and not unicodedata.name(plain, "").startswith(_READ):
            return place
    return None


def join(parts: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """Spoken sentences float32 [samples] with :data:`PAUSE` between them, at the level they came with."""
    pause = np.zeros(round(PAUSE * rate), np.float32)
    return np.concatenate([piece for part in parts for piece in (part, pause)][:-1])

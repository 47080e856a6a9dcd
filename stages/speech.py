"""A script: which voice speaks it, its sentences as phoneme ids, and those joined when they are spoken."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stages.errors import StageError, invalid, too_large
from stages.text import HAN

MAX_SCRIPT = 2_000  # characters that one request may have spoken: about two minutes
MAX_PHONEMES = 4_000  # about one a character, but a list of prices or of capitals to spell has ten
SPEEDS = (0.5, 2.0)  # slowest and fastest, as a multiple of the voice's own
FORMATS = ("wav", "ogg")
MAX_TIMEOUT_MS = 3_600_000
PAUSE = 0.25  # seconds of silence between sentences

#: Scripts that a language's voices read, by the first word of a letter's Unicode name, and as people call them.
_LATIN = ("LATIN", "GREEK", "MODIFIER")
_READ = {"zh": (*_LATIN, "CJK", "IDEOGRAPHIC")}
_READS = {"en": "English in Latin letters", "zh": "Chinese characters or Latin letters"}
_CHINESE = re.compile(f"[{HAN}]")


@dataclass(frozen=True)
class Script:
    """What is to be spoken, checked.

    Args:
        text: as it was written.
        speed: a multiple of the voice's own.
        voice: its name; None for the language's first.
        language: an ISO 639-1 code; None for Chinese where the text holds a Chinese character, else English.
        deadline: of `time.monotonic`; None for none.
    """

    text: str
    speed: float = 1.0
    voice: str | None = None
    language: str | None = None
    deadline: float | None = None

    def in_time(self) -> None:
        """Raises :class:`StageError` ``deadline_exceeded`` once the time has passed."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise StageError("deadline_exceeded", "TIMEOUT_MS", "the time that the request allowed has passed")


def read_script(
    script: bytes,
    speed: float | None = None,
    audio_format: bytes | None = None,
    timeout_ms: int | None = None,
    voice: bytes | None = None,
    language: bytes | None = None,
) -> Script:
    """The request's fields; `audio_format` is only checked, before any work is done for it. An empty field is none.

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
    name, code = (value.decode("utf-8", "replace").strip().lower() if value else None for value in (voice, language))
    return Script(text, 1.0 if speed is None else speed, name or None, code or None, deadline)


def read_format(value: bytes) -> str:
    """One of :data:`FORMATS`.

    Raises:
        StageError: ``invalid_input`` on field ``AUDIO_FORMAT``.
    """
    name = value.decode("utf-8", "replace").lower()
    if name not in FORMATS:
        raise invalid("AUDIO_FORMAT", f"{name[:40]!r} is unknown; send {' or '.join(FORMATS)}, or leave the field out")
    return name


class Speaker(Protocol):
    """What makes a network's inputs of a text: `stages.vits.Vits`, `stages.kokoro.Kokoro`.

    Attributes:
        model: the served network.
        output: its samples, float32 at :attr:`rate`.
        rate: in Hz.
        voices: name → ISO 639-1 code of the language that it speaks; the first of a language is that one's own.
    """

    model: str
    output: str
    rate: int
    voices: dict[str, str]

    def sentences(self, text: str, voice: str) -> list[str]: ...

    def encode(self, phonemes: str) -> np.ndarray: ...

    def inputs(self, ids: np.ndarray, voice: str, speed: float) -> dict[str, np.ndarray]: ...


def choose(speakers: Sequence[Speaker], script: Script) -> tuple[Speaker, str]:
    """Who speaks a script, and with which voice: the one asked for, or the first of the language asked for or written.

    Raises:
        StageError: ``invalid_input`` on field ``VOICE`` or ``LANGUAGE``: one that is not there, or both, and the voice
            speaks another language.
    """
    spoken = {voice: language for speaker in speakers for voice, language in speaker.voices.items()}
    language, voice = script.language, script.voice
    if language is not None and language not in spoken.values():
        raise invalid("LANGUAGE", f"{language[:40]!r} has no voice; send {' or '.join(sorted(set(spoken.values())))}")
    if voice is None:
        language = language or ("zh" if _CHINESE.search(script.text) and "zh" in spoken.values() else "en")
        voice = next((name for name, speaks in spoken.items() if speaks == language), next(iter(spoken)))
    elif voice not in spoken or language not in (None, spoken[voice]):
        known = ", ".join(name for name, speaks in spoken.items() if speaks == (language or speaks))
        why = "is unknown" if voice not in spoken else f"speaks {spoken[voice]}, not {language}"
        raise invalid("VOICE", f"{voice[:40]!r} {why}; send one of {known}, or leave the field out")
    return next(speaker for speaker in speakers if voice in speaker.voices), voice


def encode_script(speaker: Speaker, voice: str, text: str, field: str = "SCRIPT") -> list[np.ndarray]:
    """The ids of each sentence, int64 [phonemes]; never empty.

    Args:
        text: what is to be said, as it was written; at most :data:`MAX_SCRIPT` characters.
        field: the request tensor that carries it.

    Raises:
        StageError: ``too_large``, or ``invalid_input`` where there is nothing that the voice can say.
    """
    if len(text) > MAX_SCRIPT:
        raise too_large(field, f"{len(text):,} characters to speak, the limit is {MAX_SCRIPT:,}; shorten the text")
    language = speaker.voices[voice]
    if (foreign := _foreign(text, _READ.get(language, _LATIN))) is not None:
        why = f"which the voice {voice} ({language}) does not read; send {_READS.get(language, 'Latin letters')}"
        raise invalid(field, f"has {text[foreign]!r} at character {foreign}, {why}")
    said = [phonemes for phonemes in speaker.sentences(text, voice) if any(map(str.isalpha, phonemes))]
    if not said:
        raise invalid(field, f"holds nothing that can be spoken in its {len(text)} characters; send words")
    if (length := sum(map(len, said))) > MAX_PHONEMES:
        why = "numbers in words and capitals letter by letter take many"
        raise too_large(field, f"{length:,} phonemes, the limit is {MAX_PHONEMES:,}; shorten the text ({why})")
    return [speaker.encode(phonemes) for phonemes in said]


def _foreign(text: str, read: tuple[str, ...]) -> int | None:
    """The place of the first letter that is in none of the scripts; None where there is none."""
    for place, letter in enumerate(text):
        plain = unicodedata.normalize("NFKC", letter)[0]  # a fullwidth or mathematical letter is a Latin one
        if letter.isalpha() and not unicodedata.name(plain, "").startswith(read):
            return place
    return None


def join(parts: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """Spoken sentences float32 [samples] with :data:`PAUSE` between them, at the level they came with."""
    pause = np.zeros(round(PAUSE * rate), np.float32)
    return np.concatenate([piece for part in parts for piece in (part, pause)][:-1])

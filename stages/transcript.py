"""What is said in a sound, and in which language: whisper (Radford et al. 2022, arXiv:2212.04356), run by CTranslate2.

A sound is in the likeliest of the bundle's own languages, unless whisper is sure of another one; nothing is translated.
Where it is sure of none, nothing is written: in a language that is not spoken whisper invents words. Whisper writes
traditional or simplified Chinese at random, so OpenCC makes it simplified.

Whisper was trained on thirty seconds at a time, and on less it repeats itself: every sound is set into thirty seconds
of silence first, so a short one costs nearly as much as a long one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import ctranslate2
import numpy as np
import opencc
from numpy.typing import NDArray
from tokenizers import Tokenizer

FRAMES = 3_000  # of log-mel that whisper hears at once
MAX_TOKENS = 200  # thirty seconds of quick speech
#: Whisper's own limits: no speech where it is likelier than this and the words are unlikelier than that.
NO_SPEECH, UNLIKELY = 0.6, -1.0
#: The least probability of a language that is none of the bundle's, and of one that is where another is likelier.
SURE_LANGUAGE, POSSIBLE_LANGUAGE = 0.8, 0.25
REPEATED = 2.4  # how much a text can be compressed; more, and it goes in circles
_LOOP = re.compile(r"(\S{2,}?)\1{3,}")


class Transcript(NamedTuple):
    """What is said, and the language's ISO 639-1 code; both empty where nobody speaks."""

    text: str
    language: str


class Transcriber:
    """Whisper of a CTranslate2 folder: greedy, without timestamps.

    Args:
        folder: ``model.bin``, ``config.json``, ``vocabulary.txt`` and ``tokenizer.json``.
        threads: of each run.
        precision: ``int8``, or ``float32`` as it was trained.
        languages: the bundle's own, by their ISO 639-1 codes; a network of English alone takes no notice.
    """

    def __init__(
        self, folder: Path, threads: int = 1, precision: str = "int8", languages: Sequence[str] = ("en", "zh")
    ) -> None:
        self._model = ctranslate2.models.Whisper(str(folder), compute_type=precision, intra_threads=threads)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._languages = tuple(languages)

    def __call__(self, log_mels: NDArray[np.float32]) -> list[Transcript]:
        """What is said in each of some sounds.

        Args:
            log_mels: float32 [sounds, 80, frames], as `stages.audio` gives them, at most 3,000 frames; of zeros
                altogether, a sound is none.
        """
        said = [Transcript("", "")] * len(log_mels)
        there = [place for place, sound in enumerate(log_mels) if sound.any()]
        if not there:
            return said
        sounds = np.stack([_in_silence(log_mels[place]) for place in there])
        states = self._model.encode(ctranslate2.StorageView.from_array(sounds))
        languages = self._languages_of(states, len(there))
        found = self._model.generate(
            states,
            [self._prompt(language or self._languages[0]) for language in languages],
            beam_size=1,
            max_length=MAX_TOKENS,
            return_scores=True,
            return_no_speech_prob=True,
        )
        for place, result, language in zip(there, found, languages, strict=True):
            nobody = not language or (result.no_speech_prob > NO_SPEECH and result.scores[0] < UNLIKELY)
            text = "" if nobody else once(self._tokenizer.decode(result.sequences_ids[0]).strip())
            if text:
                said[place] = Transcript(_simplified().convert(text) if language == "zh" else text, language)
        return said

    def _languages_of(self, states: ctranslate2.StorageView, count: int) -> list[str]:
        """The language of each sound; empty where it is not known."""
        if not self._model.is_multilingual:
            return ["en"] * count
        found = []
        for ranked in self._model.detect_language(states):
            likely = {token.strip("<|>"): probability for token, probability in ranked}
            best = max(likely, key=likely.__getitem__)
            ours = max(self._languages, key=lambda language: likely.get(language, 0.0))
            possible = likely.get(ours, 0.0) >= POSSIBLE_LANGUAGE
            found.append(best if likely[best] >= SURE_LANGUAGE else ours if possible else "")
        return found

    def _prompt(self, language: str) -> list[int]:
        named = (language, "transcribe") if self._model.is_multilingual else ()
        names = ("startoftranscript", *named, "notimestamps")
        ids = [number for name in names if (number := self._tokenizer.token_to_id(f"<|{name}|>")) is not None]
        if len(ids) < len(names):
            raise ValueError(f"whisper has no token for one of {', '.join(names)}; mend the slot's option languages")
        return ids


@cache
def _simplified() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def once(text: str) -> str:
    """A text that goes in circles up to where it begins to repeat itself; any other as it is."""
    data = text.encode()
    if len(data) < REPEATED * len(zlib.compress(data)):
        return text
    words = text.split()
    for length in range(1, len(words) // 2 + 1):
        for begin in range(len(words) - 2 * length + 1):
            if words[begin : begin + length] == words[begin + length : begin + 2 * length]:
                return " ".join(words[: begin + length])
    # Chinese has no spaces between its words.
    loop = _LOOP.search(text)
    return text[: loop.end(1)] if loop else text


def _in_silence(log_mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """A log-mel spectrogram with silence after it, as whisper's scale has it: eight decades below the loudest."""
    return np.pad(log_mel, ((0, 0), (0, FRAMES - log_mel.shape[1])), constant_values=log_mel.max() - 2)

"""Kokoro: several voices over one network, Mandarin and English, in the phonemes of misaki.

Source: hexgrad, Kokoro-82M (Apache-2.0), after Li et al. 2023, StyleTTS 2 (arXiv:2306.07691). A voice is a style, one
vector for each length of what is said.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from stages import mandarin
from stages.english import pronounce
from stages.speech_text import sentences, speakable

#: espeak-ng's phonemes → Kokoro's, in this order.
_SIGNS = (("ʔn̩", "tn"), ("n̩", "ᵊn"), ("ʔ", "t"), ("tʃ", "ʧ"), ("dʒ", "ʤ"), ("eɪ", "A"), ("aɪ", "I"), ("ɔɪ", "Y"),
          ("aʊ", "W"), ("oʊ", "O"), ("əl", "ᵊl"), ("ɜː", "ɜɹ"), ("ɚ", "əɹ"), ("ɐ", "ə"), ("ɪə", "iə"), ("ɬ", "l"),
          ("oː", "ɔ"), ("ɾ", "T"), ("ː", ""), ("r", "ɹ"))  # fmt: skip


class Kokoro:
    """The voices of one `kokoro.json`.

    Args:
        folder: of ``kokoro.json`` and ``styles.npy``, float32 [voices, lengths, 256].
    """

    model = "speech_decoder_zh"
    output = "audio"

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "kokoro.json").read_text("utf-8"))
        self.rate: int = facts["sample_rate"]
        self.voices: dict[str, str] = facts["voices"]
        self._ids: dict[str, int] = facts["phoneme_ids"]
        self._styles = np.load(folder / "styles.npy", mmap_mode="r")

    def sentences(self, text: str, voice: str) -> list[str]:
        """The phonemes of each sentence; a long one is cut at a pause."""
        if self.voices[voice] == "zh":
            said = [mandarin.transcribe(sentence, _english) for sentence in mandarin.sentences(text)]
        else:
            said = [_english(sentence) for sentence in sentences(text)]
        longest = self._styles.shape[1]
        return [piece for sentence in said for piece in cut(sentence, longest)]

    def encode(self, phonemes: str) -> np.ndarray:
        """int64 [ids] with the pad at both ends; a phoneme without id is left out."""
        return np.array([0, *(self._ids[sign] for sign in phonemes if sign in self._ids), 0], np.int64)

    def inputs(self, ids: np.ndarray, voice: str, speed: float) -> dict[str, np.ndarray]:
        """What the network takes for one sentence."""
        style = self._styles[list(self.voices).index(voice), len(ids) - 3]
        return {"tokens": ids[None], "style": np.array(style)[None], "speed": np.array([speed], np.float32)}


def _english(words: str) -> str:
    phonemes = pronounce(speakable(words))
    for theirs, ours in _SIGNS:
        phonemes = phonemes.replace(theirs, ours)
    return phonemes


def cut(phonemes: str, longest: int) -> list[str]:
    """Pieces of at most so many signs, cut at the last pause of each, else between words."""
    pieces = []
    while len(phonemes) > longest:
        head = phonemes[:longest]
        at = max(head.rfind(mark) for mark in [",", ";", ":", "."]) + 1
        at = at or head.rfind(" ") if at < longest // 3 else at
        at = at if at > 0 else longest
        pieces.append(phonemes[:at].strip())
        phonemes = phonemes[at:].strip()
    return [*pieces, phonemes] if phonemes else pieces

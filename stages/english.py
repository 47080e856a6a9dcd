"""English words as phonemes: what the dictionary says, else two words in one, else a guess from the letters.

The dictionary and the model that guesses are gruut's (MIT): American, in the IPA that espeak-ng writes, with which the
voices were trained. Source of the model: conditional random fields over letters (Lafferty et al. 2001).
"""

from __future__ import annotations

import base64
import re
import sqlite3
import threading
import unicodedata
from contextlib import closing
from functools import cache, lru_cache
from itertools import pairwise, zip_longest
from pathlib import Path

import gruut_lang_en
import pycrfsuite

_DATA = Path(gruut_lang_en.__file__).parent / "espeak"
#: Letters that each half of an unknown compound has at least.
HALF = 3
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_PAUSES = ",.;:!?"
_VOWELS = tuple("aeiouæɐɑɒɔəɚɛɜɪʊʌᵻ")
_SIBILANTS = ("s", "z", "ʃ", "ʒ")
_VOICELESS = ("p", "t", "k", "f", "θ")
_NEIGHBOURS = 3  # letters on either side that the model sees
#: A pycrfsuite tagger keeps the word it is at.
_LOCK = threading.Lock()


def pronounce(sentence: str) -> str:
    """A sentence in words (see `stages.speech_text`) → its phonemes, words apart by blanks, with its pauses.

    Letters that stand alone are named, but for the article.
    """
    found = list(_WORD.finditer(sentence))
    gaps = [_gap(sentence[a.end() : b.start()]) for a, b in pairwise(found)]
    words = []
    for number, match in enumerate(found):
        beside = [found[at][0] for at in (number - 1, number + 1) if 0 <= at < len(found)]
        words.append(_letter_or_word(match[0], beside))
    said = [_gap(sentence[: found[0].start()] if found else sentence)]
    for word, following, gap in zip_longest(words, words[1:], gaps, fillvalue=""):
        said += [_linked(word, following) if gap == " " else word, gap]
    return "".join([*said, _gap(sentence[found[-1].end() :]) if found else ""]).strip()


def _gap(between: str) -> str:
    """What is heard between two words: pauses, and a blank unless a hyphen joins them."""
    return "".join(mark for mark in between if mark in _PAUSES) + " " * (between != "-")


def _linked(word: str, following: str) -> str:
    """A word as it is said before the next one."""
    if not following.lstrip("ˈˌ").startswith(_VOWELS):
        return word
    return {"ðə": "ðɪ", "tə": "tʊ"}.get(word, word + "ɹ" * word.endswith("ɚ"))


def _letter_or_word(word: str, beside: list[str]) -> str:
    if word == "A" and any(len(other) == 1 and other.isupper() for other in beside):
        return "ˈeɪ"
    return " ".join(_word(part) for part in _latin(word).split())


@lru_cache(maxsize=5_000)
def _word(word: str) -> str:
    """The phonemes of one word in small Latin letters."""
    known = _dictionary()
    if word in known:
        return known[word]
    if word.endswith("'s"):
        return _with_s(_word(word[:-2].replace("'", "")))
    if "'" in word:
        return _word(word.replace("'", ""))
    for plural, singular in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(plural) and word[: -len(plural)] + singular in known:
            return _with_s(known[word[: -len(plural)] + singular])
    halves = [
        (word[:at], word[at:])
        for at in range(HALF, len(word) - HALF + 1)
        if word[:at] in known and word[at:] in known and max(at, len(word) - at) > HALF
    ]
    if halves:
        first, second = max(halves, key=lambda pair: min(map(len, pair)))
        return known[first] + known[second].replace("ˈ", "ˌ")
    if not re.search(r"[aeiouy]", word):
        return " ".join(known.get(letter, "") for letter in word).strip()
    return _guess(word)


def _with_s(phonemes: str) -> str:
    """The plural or possessive of a word."""
    if phonemes.endswith(_SIBILANTS):
        return phonemes + "ᵻz"
    return phonemes + ("s" if phonemes.endswith(_VOICELESS) else "z")


def _latin(word: str) -> str:
    """Small Latin letters: accents fall, and a letter of another kind is named."""
    plain = []
    for letter in unicodedata.normalize("NFKD", word):
        if letter.isascii():
            plain.append(letter)
        elif unicodedata.category(letter).startswith("L"):
            name = unicodedata.name(letter, "").split(" WITH ")[0].split()
            plain.append(f" {name[-1]} " if name and name[0] == "GREEK" else name[-1] if name else "")
    return "".join(plain).lower()


@cache
def _dictionary() -> dict[str, str]:
    """Word → phonemes; of several ways to say it the first that hangs on no part of speech."""
    with closing(sqlite3.connect(f"file:{_DATA / 'lexicon.db'}?mode=ro", uri=True)) as lexicon:
        # Of a word's rows the last one counts.
        rows = lexicon.execute("SELECT word, phonemes FROM word_phonemes ORDER BY role = '', pron_order DESC")
        return {word: _alone(word, phonemes.replace(" ", "")) for word, phonemes in rows}


def _alone(word: str, phonemes: str) -> str:
    """How a word ends where nothing follows: many of the dictionary's were taken from the middle of speech."""
    phonemes = phonemes.replace("oːɹ", "ɔːɹ")
    if phonemes.endswith("ɾ"):
        return phonemes[:-1] + ("d" if word.rstrip("e").endswith("d") else "t")
    if phonemes.endswith("ŋ") and not word.endswith(("ng", "ngue")):
        return phonemes[:-1] + "n"
    return phonemes.removesuffix("ɹ") if phonemes.endswith("ɚɹ") else phonemes


@cache
def _tagger() -> pycrfsuite.Tagger:
    tagger = pycrfsuite.Tagger()
    tagger.open(str(_DATA / "g2p" / "model.crf"))
    return tagger


def _guess(word: str) -> str:
    """What the model makes of a word's letters."""
    rows = []
    for at, letter in enumerate(word):
        row: dict[str, str | bool | float] = {"bias": 1.0, "grapheme": _encoded(letter)}
        for step in range(1, _NEIGHBOURS + 1):
            if at >= step:
                row[f"grapheme-{step}"] = _encoded(word[at - step])
            if at + step < len(word):
                row[f"grapheme+{step}"] = _encoded(word[at + step])
        if at == 0:
            row["begin"] = True
        if at == len(word) - 1:
            row["end"] = True
        rows.append(row)
    with _LOCK:
        labels = _tagger().tag(rows)
    phonemes = "|".join(base64.b64decode(label).decode() for label in labels).split("|")
    return "".join(phoneme for phoneme in phonemes if phoneme != "_")


def _encoded(letter: str) -> str:
    return base64.b64encode(letter.encode()).decode()

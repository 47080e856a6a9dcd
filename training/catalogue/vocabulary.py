"""The shop's words: which word names a product or an ImageNet class, its synonyms and its kind (`data/words.yaml`)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

import yaml

from stages.moderation import LABELS
from training.common.files import DATA

WORDS = DATA / "words.yaml"


@dataclass(frozen=True)
class Word:
    """A word of the shop with its synonyms, its kind, and the ImageNet classes it covers."""

    word: str
    also: tuple[str, ...]
    kind: str
    classes: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The word and its synonyms, lower case."""
        return tuple(n.lower() for n in (self.word, *self.also))


@cache
def imagenet_labels() -> list[list[str]]:
    """The names of each of the 1000 classes, the first one the usual."""
    return [row[1:] for row in json.loads(LABELS.read_text())["classes"]]


def _classes(entry: dict[str, list[int | str]]) -> set[int]:
    """The classes an entry lists: ``[430, 151-268]``."""
    found: set[int] = set()
    for item in entry.get("classes", []):
        first, _, last = str(item).partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@cache
def _table() -> dict[str, tuple[str, dict]]:
    return {word: (kind, e) for kind, words in yaml.safe_load(WORDS.read_text()).items() for word, e in words.items()}


@cache
def vocabulary() -> list[Word]:
    """Every word, sorted: the shop's, and the ImageNet classes that no shop word covers, under their own names."""
    by_lemma: dict[str, set[int]] = {}
    for index, names in enumerate(imagenet_labels()):
        for name in names:
            by_lemma.setdefault(name.lower(), set()).add(index)
    words, covered = [], set()
    for word, (kind, entry) in _table().items():
        classes = _classes(entry) | (by_lemma.get(word.lower(), set()) if "classes" not in entry else set())
        own = {c for c in by_lemma.get(word.lower(), set()) if word.lower() == imagenet_labels()[c][0].lower()}
        covered |= classes | own
        words.append(Word(word, tuple(entry["also"]), kind, tuple(sorted(classes | own))))
    known = {name for w in words for name in w.names}
    for index, names in enumerate(imagenet_labels()):
        if index not in covered and names[0].lower() not in known:
            words.append(Word(names[0], (), "other", (index,)))
            known.add(names[0].lower())
    return sorted(words, key=lambda w: w.word.lower())


@cache
def word_of(name: str) -> Word | None:
    """The word for a catalogue name: as listed, else the word or synonym that ends its head."""
    by_word = {w.word: w for w in vocabulary()}
    for word, (_, entry) in _table().items():
        if name in entry.get("names", []):
            return by_word[word]
    head = re.split(r" with | and | on | - |, ", name.lower())[0].strip()
    best: tuple[tuple[bool, int, int], Word] | None = None
    for word in _table():
        for rank, term in enumerate(by_word[word].names):
            for match in re.finditer(rf"\b{re.escape(term)}s?\b", head):
                key = (match.end() == len(head), len(term), -rank)
                if best is None or key > best[0]:
                    best = key, by_word[word]
    return best[1] if best else None


def names_it(text: str, word: Word) -> bool:
    """Whether a text holds the word or one of its synonyms, in singular or plural."""
    return any(re.search(rf"\b{re.escape(n)}(s|es)?\b", text.lower()) for n in word.names)

"""The category of a product: a leaf of a taxonomy, known by the words of its title, or else by what its photo shows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from stages.text import HAN

TAXONOMY = Path(__file__).with_name("taxonomy.yaml")
#: The least confidence of a category that is told.
LEAST = 0.3
_LONGEST = 5, 8  # English words and Chinese characters of a phrase
_WORD = re.compile(r"[^\W_]+(?:['’&-][^\W_]+)*")
#: What ends the part of an English title that names the product: what is behind it belongs to it or is its use.
_PART = re.compile(r"\s(?:for|with|in|from|by|to|and)\s|[,;:|()\[\]/–—]|\s-\s|\s(?=\d)|\w+[\s-]free\b", re.IGNORECASE)
_PLURAL = re.compile(r"(?:(?<=[sxz])es|(?<=[cs]h)es|(?<=\w\w)(?<![su'’])s)$")


class Category(NamedTuple):
    """A leaf of a taxonomy.

    Attributes:
        path: from the broadest to the leaf, in the listing's language.
        confidence: 0 to 1: the share of the title's words for products that stand for this leaf; where the title has
            none, the probability of the photo's tag.
        attributes: that a product of it should have.
    """

    path: tuple[str, ...]
    confidence: float
    attributes: tuple[str, ...]


class Leaf(BaseModel):
    """A category of a taxonomy's file, by language: its path, what its products are called and should have."""

    model_config = ConfigDict(extra="forbid")
    path: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(min_length=1)
    words: dict[str, list[str]]
    attributes: dict[str, list[str]] = {}

    def name(self, language: str) -> tuple[str, ...]:
        """The path in a language, or in the first that there is."""
        return tuple(self.path.get(language) or next(iter(self.path.values())))


_ENTRIES = TypeAdapter(Annotated[list[Leaf], Field(min_length=1)])


@dataclass(frozen=True)
class Taxonomy:
    """Leaves, and the words that name their products.

    Attributes:
        words: language → phrase → number of its leaf.
    """

    leaves: tuple[Leaf, ...]
    words: dict[str, dict[str, int]]

    @classmethod
    def load(cls, path: Path) -> Taxonomy:
        """Reads a file like `taxonomy.yaml`.

        Raises:
            ValueError: an entry lacks something, or a word stands in two leaves; it names which.
        """
        try:
            entries = _ENTRIES.validate_python(yaml.load(path.read_bytes(), yaml.CSafeLoader))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise ValueError(f"taxonomy {path}: {place}: {first['msg']}; see stages/taxonomy.yaml") from error
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"taxonomy {path} cannot be read: {error}") from error
        words: dict[str, dict[str, int]] = {}
        for number, entry in enumerate(entries):
            for language, phrases in entry.words.items():
                known = words.setdefault(language, {})
                for phrase in phrases:
                    other = known.setdefault(_key(phrase), number)
                    if other != number:
                        places = " and ".join(repr(" > ".join(entries[at].name(language))) for at in (other, number))
                        raise ValueError(
                            f"taxonomy {path}: {phrase!r} is listed under {places}; keep it under one of them"
                        )
        return cls(tuple(entries), words)

    @classmethod
    def in_force(cls) -> Taxonomy:
        """The taxonomy of this server: of the file that VITRINA_TAXONOMY names, or the project's own."""
        return cls.load(Path(os.environ.get("VITRINA_TAXONOMY") or TAXONOMY))

    def classify(self, title: str, tags: Sequence[str], scores: Sequence[float], language: str) -> Category | None:
        """The category of a product; None where neither title nor tags name one.

        Args:
            tags: English words for what the photo shows, best first; `scores` their probabilities.
        """
        votes = self._votes(title)
        if not votes:
            votes = {}
            for tag, score in zip(tags, scores, strict=True):
                for leaf, share in self._votes(tag).items():
                    votes[leaf] = votes.get(leaf, 0.0) + share * score
        if not votes:
            return None
        best = max(votes, key=votes.__getitem__)
        chosen, confidence = self.leaves[best], round(min(votes[best], 1.0), 3)
        attributes = tuple(chosen.attributes.get(language, ()))
        return Category(chosen.name(language), confidence, attributes) if confidence >= LEAST else None

    def _votes(self, text: str) -> dict[int, float]:
        """Leaf → its share of what a title says, together one; a title in both languages counts in both."""
        found = self._english(text) or {}
        for leaf, weight in self._chinese(text).items():
            found[leaf] = found.get(leaf, 0.0) + weight
        total = sum(found.values())
        return {leaf: weight / total for leaf, weight in found.items()}

    def _english(self, text: str) -> dict[int, float]:
        """The last phrase of the first part that has one counts most: of "desk lamp" and "lamp for a desk" the lamp."""
        found: dict[int, float] = {}
        for part in _PART.split(text):
            leaves = list(self._phrases([_key(word) for word in _WORD.findall(part)]))
            for place, leaf in enumerate(reversed(leaves)):
                found[leaf] = found.get(leaf, 0.0) + (4.0 if not found else 1.0 if not place else 0.5)
        return found

    def _phrases(self, parts: list[str]) -> Iterator[int]:
        known, place = self.words.get("en", {}), 0
        while place < len(parts):
            for length in range(min(_LONGEST[0], len(parts) - place), 0, -1):
                leaf = known.get(" ".join(parts[place : place + length]))
                if leaf is not None:
                    yield leaf
                    place += length - 1
                    break
            place += 1

    def _chinese(self, text: str) -> dict[int, float]:
        """A phrase counts by its length, unless it names a flavour or a colour."""
        known, found, place = self.words.get("zh", {}), dict[int, float](), 0
        while place < len(text):
            for length in range(min(_LONGEST[1], len(text) - place), 0, -1):
                leaf = known.get(text[place : place + length].casefold())
                if leaf is not None and text[place + length : place + length + 1] not in ("味", "色"):  # a flavour
                    found[leaf] = found.get(leaf, 0.0) + length**2
                    place += length - 1
                    break
            place += 1
        return found


def _key(word: str) -> str:
    """What a phrase is looked up by: lower case, each English word without its plural ending."""
    if re.search(f"[{HAN}]", word):
        return word.casefold()
    return " ".join(_PLURAL.sub("", part) for part in word.casefold().replace("’", "'").split())

"""Statements that can hurt people: allergens, ingredients, health, safety, age, dose, compatibility (`safety.yaml`).

A sentence that makes one stays only where it says no more than the facts: it repeats a whole fact, or it is made of
words that the title and the harmless attributes have. All others go, and the attributes that say such things are put
behind the text as the shop gave them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import rjieba
import yaml

from stages.request import Request

_CHINESE = "\u3400-\u9fff"
_WORD = re.compile(rf"[{_CHINESE}]+|[^\W_{_CHINESE}]+(?:['’-][^\W_{_CHINESE}]+)*")
_ITEM = re.compile(r"[;,.，。；、！!？?\n]+(?!\d)")


@cache
def _rules() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))


@cache
def _pattern(kind: str) -> re.Pattern[str]:
    """Finds any entry of `attributes`, `makers`, `claims`, `negations` or `deferrals`, of either language."""
    rules = _rules()[kind]
    english, chinese = (each if isinstance(each, str) else "|".join(each) for each in (rules["en"], rules["zh"]))
    return re.compile(rf"(?<![A-Za-z-])(?:{english})(?![A-Za-z])|{chinese}", re.IGNORECASE)


@cache
def _neutral() -> frozenset[str]:
    return frozenset(" ".join(_rules()["neutral"].values()).split())


def is_safety_attribute(name: str) -> bool:
    """Whether an attribute of this name speaks of safety, ingredients, age, dose or compatibility."""
    return _pattern("attributes").search(name) is not None


def is_maker_attribute(name: str) -> bool:
    """Whether an attribute of this name says who makes or sells the product, and where."""
    return _pattern("makers").fullmatch(name.strip()) is not None


def _is_stated(name: str) -> bool:
    return is_safety_attribute(name) or is_maker_attribute(name)


def stated_attributes(request: Request) -> tuple[tuple[str, str], ...]:
    """The attributes that are put behind every text as they were given."""
    return tuple(pair for pair in request.attributes if _is_stated(pair[0]))


def told_attributes(request: Request) -> tuple[tuple[str, str], ...]:
    """The attributes that the decoder is told: of a warning that it has not read it makes no promise."""
    return tuple(pair for pair in request.attributes if not _is_stated(pair[0]))


def told_label(request: Request) -> tuple[str, ...]:
    """The printed lines that the decoder is told, likewise: no warning and no ingredients."""
    kinds = _pattern("attributes"), _pattern("claims")
    return tuple(line for line in request.label if not any(kind.search(line) for kind in kinds))


def deferred(sentence: str) -> bool:
    """Whether a sentence says that the facts do not say, as in "the page does not tell whether"."""
    return _pattern("deferrals").search(sentence.casefold()) is not None


class Safety:
    """Holds sentences against what a request says."""

    def __init__(self, request: Request) -> None:
        request = request.without_commands()
        harmless = [request.title, *(part for pair in told_attributes(request) for part in pair)]
        self._words = set(_words(harmless))
        self._text = " ".join(harmless).casefold()
        self._asked = set(_words([request.question, *(text for role, text in request.history if role == "customer")]))
        # "No hazelnuts" is a claim where the allergens name them.
        self._touchy = set(_words(value for _, value in stated_attributes(request))) - _neutral()
        values = [request.title, *(value for _, value in request.attributes)]
        items = {item.strip().casefold() for value in values for item in (value, *_ITEM.split(value))}
        self._items = sorted((item for item in items if len(item) > 1), key=len, reverse=True)

    def allows(self, sentence: str) -> bool:
        """Whether a sentence makes no such statement, or none beyond the facts."""
        text = sentence.casefold()
        words = list(_words([text]))
        # What a fact says as a whole needs no other support, unless the sentence turns it round.
        rest = text
        for item in self._items:
            rest = re.sub(rf"(?<!\w){re.escape(item)}(?!\w)" if item[-1].isascii() else re.escape(item), " · ", rest)
        negated = _pattern("negations").search(rest) is not None
        speaks = _pattern("claims").search(text) or (negated and self._touchy.intersection(words))
        if not speaks:
            return True
        if not _pattern("claims").search(rest):
            return not negated
        defers = deferred(sentence)
        if negated and not defers:
            return False
        known = self._words | _neutral() | (self._asked if defers else set())
        return all(word in known or self._has_chinese(word) for word in words)

    def _has_chinese(self, word: str) -> bool:
        return re.match(f"[{_CHINESE}]", word) is not None and word in self._text


def _words(texts: Iterable[str]) -> Iterator[str]:
    """Words in lower case, without a plural ending, Chinese parted by jieba."""
    for text in texts:
        for run in _WORD.findall(text.casefold()):
            if re.match(f"[{_CHINESE}]", run):
                yield from rjieba.cut(run)
            else:
                yield run if run in _neutral() else re.sub(r"(?<=\w\w\w)s$", "", run)

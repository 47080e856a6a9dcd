"""Puts attributes into plain sentences by rule, in English or Chinese (`plain.yaml`).

A sentence says what its attributes say and no more: every value stands in it letter by letter, and what no rule fits is
told as ``Name: value.``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stages.figures import figures

MOST_CLAUSES = 4  # of a sentence
MOST_NAMED = 3  # of a sentence of names and values
LONGEST = 60  # letters of a value that shares its sentence with others
MOST_LETTERS = 120  # of a value that a rule tells

_IN_BRACKETS = re.compile(r"(.+?)\s*[(（\[]\s*([^)）\]]+?)\s*[)）\]]")
_ENDED = re.compile(r"[.!?…。！？][\"'”’)\]）」』]*$")  # needs no full stop
_BREAK = re.compile(r"[.!?…][\"'”’)\]]*\s+[\"'“‘(]*[A-Z]|[。！？!?…]")  # between sentences
_WORDS = re.compile(r"(?<!\?P)<(\w+)>")  # <material>, but not the name of a group
_FIRST_WORD = re.compile(r"[A-Z][a-z]+(?![\w'’])(?!\s[A-Z])")
_ORDINARY_NAME = re.compile(r"\b(?!USB|HDMI|LED|RAM|Bluetooth|Ethernet)[A-Za-z]{2,}")
#: The word of an English name that says its number: "boots" of "boots for men", "secateurs" of "secateurs No. 7".
_HEAD = re.compile(
    r"(?P<head>.*?[^\W\d_])(?:\s+(?:\S*\d\S*|No\.))*(?:\s+(?:with|of|for|in|from|by|on|at|to)\s.*|\s*[,;:|(–—].*)?"
)
_PLURAL = re.compile(r"(?:.*\W)?(?!(?:lens|series|canvas|gas|atlas)$)\w+(?<![siu'’])s", re.IGNORECASE)


class _Clause(NamedTuple):
    """What is told of one attribute: a clause, or a predicate of the product, without a full stop."""

    group: int  # place among the sentences; clauses of a group share a sentence
    attribute: str
    text: str
    has_subject: bool = True
    alone: bool = False  # shares its sentence with no other


class _Rule(NamedTuple):
    group: int
    text: str
    name: re.Pattern[str]
    value: re.Pattern[str]
    kind: re.Pattern[str]
    negation: bool = False
    list: bool = False


def tell(attributes: Sequence[tuple[str, str]], language: str, title: str = "") -> list[tuple[str, tuple[str, ...]]]:
    """The attributes in plain sentences.

    Args:
        attributes: (name, value), none of them on safety; one without a value is left out.
        language: ``en`` or ``zh``.
        title: of the product, which stands before; it tells "It has" from "They have".

    Returns:
        (sentence, names of the attributes it tells), in the order of `plain.yaml`; last, what no rule fits.
    """
    rules = _language(language)
    frames: set[str] = set()
    clauses = [rules.make_clause(attribute, value, frames) for attribute, value in attributes if value.strip()]
    plural = is_plural(title, language)
    sentences = []
    for together in _split(sorted(clauses, key=lambda clause: clause.group), rules.last):
        text = rules.write_sentence(together, plural)
        sentences.append((text, tuple(clause.attribute for clause in together)))
    return sentences


def is_plural(title: str, language: str) -> bool:
    """Whether `tell` writes "They" of a product of this title, not "It"."""
    return _language(language).is_plural(title.strip(" .。!！"))


def compile_pattern(pattern: str, words: Mapping[str, str]) -> re.Pattern[str]:
    """A rule's pattern, where <material> stands for the alternatives of `words`."""
    while _WORDS.search(pattern):
        pattern = _WORDS.sub(lambda word: f"(?:{words[word[1]]})", pattern)
    return re.compile(pattern, re.IGNORECASE)


def is_measure(value: str, kind: re.Pattern[str], around: re.Pattern[str]) -> bool:
    """Whether a value is figures of a kind, with nothing but words of `around` beside them."""
    numbers, rest = figures(value), value
    for number in reversed(numbers):
        rest = rest[: number.start] + " " + rest[number.end :]
    fits = bool(numbers) and all(kind.fullmatch(number.kind) for number in numbers)
    return fits and around.fullmatch(rest) is not None


def plain_attribute(name: str, value: str) -> tuple[str, str]:
    """Name and value on one line each, the name without underscores and a colon, its unit with the number."""
    return _move_unit(" ".join(name.replace("_", " ").split()).rstrip(":： "), " ".join(value.split()))


class _Language:
    """The patterns of one language."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.pronouns: list[str] = table["pronouns"]
        self.verbs: dict[str, str] = table["verbs"]
        self._words: dict[str, str] = table["words"]
        self._measure = re.compile(rf"(?:\s|{table['measure']})*", re.IGNORECASE)
        self._negations = re.compile(table["negations"], re.IGNORECASE)
        self._separators = re.compile(table["separators"])
        self._article = re.compile(table["article"])
        self._ordinary = self._compile("<ordinary>")
        self._rules = [self._rule(group, **rule) for group, rules in enumerate(table["sentences"]) for rule in rules]
        self.last = len(table["sentences"])

    def _rule(self, group: int, text: str, name: str, value: str = ".*", kind: str = "", **allows: bool) -> _Rule:
        return _Rule(group, text, self._compile(name), self._compile(value), self._compile(kind), **allows)

    def _compile(self, pattern: str) -> re.Pattern[str]:
        return compile_pattern(pattern, self._words)

    def make_clause(self, attribute: str, value: str, frames: set[str]) -> _Clause:
        """The clause of the first rule that fits, else name and value; `frames` are clauses that may not come again."""
        name, value = plain_attribute(attribute, value)
        stopped = re.sub(r"(?<=[^.。])[.。]$", "", value)
        several = len(stopped) > LONGEST or re.search(r" and | or |, |[，；;]", stopped) is not None
        for rule in self._rules:
            match = rule.name.fullmatch(name)
            if not match or not self._fits(rule, stopped):
                continue
            words = {key: _lower(text or "") for key, text in {"name": name, **match.groupdict()}.items()}
            words["a"] = "an" if re.match(r"[aeio]|u(?!s)", words["name"]) else "a"
            words["the"] = "the " if self._article.fullmatch(stopped) else ""
            frame = rule.text.format(value="", **words)
            if frame in frames:
                continue
            frames.update({frame} - {""})
            is_name = "{the}" in rule.text or " by " in rule.text
            template = rule.text.replace("为{value}", "{value}") if stopped[0] == "约" else rule.text
            text = template.format(value=stopped if is_name else self._begin_low(stopped), **words)
            about = frame.split(" ")[0] in self.verbs if self.verbs else frame != ""
            return _Clause(rule.group, attribute, text, not about, several or not frame)
        text = f"{name}{': ' if self.verbs else '：'}{stopped}" if name else stopped
        alone = stopped != value or len(stopped) > LONGEST or re.search(r"[;；]|: |：", stopped) is not None
        return _Clause(self.last, attribute, text, alone=alone or _BREAK.search(stopped) is not None)

    def _fits(self, rule: _Rule, value: str) -> bool:
        """Whether a rule's words for a value are true and grammatical."""
        if len(value) > MOST_LETTERS or (not rule.list and (self._separators.search(value) or _BREAK.search(value))):
            return False
        if not rule.value.fullmatch(value) or (not rule.negation and self._negations.search(value)):
            return False
        return not rule.kind.pattern or is_measure(value, rule.kind, self._measure)

    def _begin_low(self, text: str) -> str:
        """A name or value within a sentence, with a small letter where its first word is an ordinary one."""
        first = _FIRST_WORD.match(text)
        return text[0].lower() + text[1:] if first and self._ordinary.fullmatch(first[0]) else text

    def is_plural(self, title: str) -> bool:
        """Whether an English title names several things: tablets, tea bags, but no glass."""
        head = _HEAD.fullmatch(title) if self.verbs else None
        return head is not None and _PLURAL.fullmatch(head["head"]) is not None

    def write_sentence(self, clauses: Sequence[_Clause], plural: bool) -> str:
        """One sentence; a pronoun is its subject where the clauses have none."""
        texts = [clause.text for clause in clauses]
        if clauses[0].group == self.last:
            text = ("; " if self.verbs else "；").join([texts[0], *map(self._begin_low, texts[1:])])
        elif not self.verbs:
            text = "，".join(each.removeprefix("的") for each in texts)
        elif clauses[0].has_subject:
            text = _join(texts)
        else:
            text = f"{self.pronouns[plural]} {self._predicate(texts, plural)}"
        if self.verbs and text[:1].isascii() and not text[1:2].isupper():
            text = text[:1].upper() + text[1:]
        return text if _ENDED.search(text) else text + ("." if self.verbs else "。")

    def _predicate(self, texts: Sequence[str], plural: bool) -> str:
        """English predicates of one subject, in the order of their verbs; those of one verb share it."""
        objects: dict[str, list[str]] = {verb: [] for verb in self.verbs}
        for verb, rest in (text.split(" ", 1) for text in texts):
            objects[verb].append(rest)
        runs = [f"{self.verbs[verb] if plural else verb} {_join(rest)}" for verb, rest in objects.items() if rest]
        return _join(runs, "," if 1 < len(runs) < len(texts) else "")


@cache
def _language(language: str) -> _Language:
    return _Language(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))[language])


def _move_unit(name: str, value: str) -> tuple[str, str]:
    """A unit in brackets moves from the name to a number without one: ``weight (g): 213`` → ``weight: 213 g``."""
    match = _IN_BRACKETS.fullmatch(name)
    if not match or not re.fullmatch(r"\d[\d.,\s]*", value):
        return name, value
    measure = value + (" " if match[2].isascii() else "") + match[2]
    numbers = figures(measure)
    if len(numbers) == 1 and numbers[0].kind not in ("", "money") and numbers[0].end == len(measure):
        return match[1], measure
    return name, value


def _split(clauses: Iterable[_Clause], last: int) -> Iterator[list[_Clause]]:
    """The clauses of each sentence: of one group, not too many, shared out evenly."""
    for (group, _), same in groupby(clauses, key=lambda clause: (clause.group, clause.has_subject)):
        each = list(same)
        together = [clause for clause in each if not clause.alone]
        number = ceil(len(together) / (MOST_NAMED if group == last else MOST_CLAUSES))
        size = ceil(len(together) / max(number, 1)) or 1
        yield from (together[at : at + size] for at in range(0, len(together), size))
        yield from ([clause] for clause in each if clause.alone)


def _lower(name: str) -> str:
    """A name within a sentence, in lower case but for acronyms and single letters."""
    return _ORDINARY_NAME.sub(lambda word: word[0].lower(), name)


def _join(texts: Sequence[str], comma: str = "") -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])}{comma} and {texts[-1]}"

"""Words that claim something of a product, of either language, and words that claim nothing (`claims.yaml`).

A word is a group's surface form: ``woollen`` and ``羊毛`` name the group ``wool`` of the kind ``material``. A group may
have a broader one: lambswool is wool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import rjieba
import snowballstemmer
import yaml

from stages.text import HAN

_FOLDER = Path(__file__).parent
#: Most words of an English phrase, most characters of a Chinese one.
_LONGEST = 5, 9
_WORD = re.compile(r"[A-Za-z0-9À-ÿ]+(?:['’](?:s|t|re|ll|ve|d)\b)?")
_HAN = re.compile(f"[{HAN}]+")
_stemmer = snowballstemmer.stemmer("english")

#: Kind and name of a group, or kind and surface form of a cue.
Group = tuple[str, str]


class Word(NamedTuple):
    """A word and its place; `stem` is what it is compared by."""

    stem: str
    start: int
    end: int


class Mention(NamedTuple):
    """A phrase that names groups or is a cue, and its place."""

    groups: frozenset[Group]
    start: int
    end: int


class Lexicon(NamedTuple):
    """The content of `claims.yaml`.

    Attributes:
        phrases: what is looked up (stems, joined; a cue's and Chinese words as they are) → groups and cues.
        exact: phrases whose case counts.
        every: `phrases`, and words too common to look for in a sentence, which an attribute's value names (颜色: 黑).
        broader: group → itself and all groups that it is one of.
        cues: kinds of cues.
        praise: adjectives that a sentence can do without, the longest first.
    """

    phrases: dict[str, frozenset[Group]]
    exact: dict[str, frozenset[Group]]
    every: dict[str, frozenset[Group]]
    broader: dict[Group, frozenset[Group]]
    cues: frozenset[str]
    praise: tuple[str, ...]


@cache
def stem(word: str) -> str:
    """What an English word is compared by: lower case, without endings."""
    plain = re.sub(r"['’](?:s|t|re|ll|ve|d)$", "", word.casefold())
    stemmed: str = _stemmer.stemWord(plain)
    return stemmed


@cache
def lexicon() -> Lexicon:
    """Reads `claims.yaml`."""
    table: dict[str, Any] = yaml.load((_FOLDER / "claims.yaml").read_bytes(), yaml.CSafeLoader)
    phrases: dict[str, set[Group]] = {}
    exact: dict[str, set[Group]] = {}
    bare: dict[str, set[Group]] = {}

    def add(group: Group, words: dict[str, list[str]], common: dict[str, set[Group]]) -> None:
        for word in (*words.get("en", ()), *words.get("zh", ())):
            if _HAN.search(word):
                common.setdefault(word, set()).add(group)
            else:
                (exact if word != word.lower() else common).setdefault(_key(word), set()).add(group)

    parents: dict[Group, Group] = {}
    for kind, groups in table["groups"].items():
        for name, words in groups.items():
            add((kind, str(name)), words, phrases)
            if "is" in words:
                parents[kind, str(name)] = kind, str(words["is"])
    for kind, groups in table["bare"].items():
        for name, words in groups.items():
            add((kind, str(name)), words, bare)
    for kind, languages in table["cues"].items():
        # A form with a currency or per cent in it is a figure, which is held as such; "only £" is not "only".
        for form in (form for forms in languages.values() for form in forms if not re.search("[£$€%]", form)):
            phrases.setdefault(form if _HAN.search(form) else _form(form), set()).add((kind, form))
    named = ((kind, str(name)) for kind, groups in table["groups"].items() for name in groups)
    broader = {group: _line(group, parents) for group in named}
    praise = sorted({word for words in table["praise"].values() for word in words}, key=len, reverse=True)
    every = {phrase: phrases.get(phrase, set()) | bare.get(phrase, set()) for phrase in (*phrases, *bare)}
    cues = frozenset(table["cues"])
    return Lexicon(_frozen(phrases), _frozen(exact), _frozen(every), broader, cues, tuple(praise))


def _frozen(table: dict[str, set[Group]]) -> dict[str, frozenset[Group]]:
    return {phrase: frozenset(groups) for phrase, groups in table.items()}


def _key(phrase: str) -> str:
    return " ".join(stem(match[0]) for match in _WORD.finditer(phrase))


def _form(phrase: str) -> str:
    """What a cue is looked up by: its words as they are, in lower case, marked as such."""
    return "=" + " ".join(match[0].casefold() for match in _WORD.finditer(phrase))


def _line(group: Group, parents: dict[Group, Group]) -> frozenset[Group]:
    found = [group]
    while (parent := parents.get(found[-1])) and parent not in found:
        found.append(parent)
    return frozenset(found)


@cache
def neutral_words() -> frozenset[str]:
    """Stems and Chinese words that claim nothing."""
    lines = [
        line
        for language in ("en", "zh")
        for line in (_FOLDER / f"neutral_{language}.txt").read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]
    words = " ".join(lines).split()
    return frozenset(stem(part) if word.isascii() else word for word in words for part in (word, *word.split("-")))


def words(text: str) -> list[Word]:
    """The words of a text: English ones by their letters, Chinese ones as jieba cuts them; no numbers."""
    found = [Word(stem(m[0]), m.start(), m.end()) for m in _WORD.finditer(text) if not re.search(r"\d", m[0])]
    for run in _HAN.finditer(text):
        start = run.start()
        for token in rjieba.cut(run[0]):
            found.append(Word(token, start, start + len(token)))
            start += len(token)
    return sorted(found, key=lambda word: word.start)


def mentions(text: str, bare: bool = False) -> list[Mention]:
    """The longest phrases of the lexicon in a text, none within another, in order; `bare` words too where asked for."""
    return sorted((*_english(text, bare), *_chinese(text, bare)), key=lambda mention: mention.start)


def _english(text: str, bare: bool) -> Iterator[Mention]:
    every = list(_WORD.finditer(text))
    place = 0
    while place < len(every):
        for length in range(min(_LONGEST[0], len(every) - place), 0, -1):
            run = every[place : place + length]
            start, end = run[0].start(), run[-1].end()
            if re.search(r"[^\s\w'’-]", text[start:end]):
                continue
            if groups := _groups(text[start:end], run, bare):
                yield Mention(groups, start, end)
                place += length - 1
                break
        place += 1


def _groups(written: str, run: list[re.Match[str]], bare: bool) -> frozenset[Group]:
    key = " ".join(stem(word[0]) for word in run)
    phrases = lexicon().every if bare else lexicon().phrases
    found = phrases.get(key, frozenset()) | phrases.get(_form(written), frozenset())
    if not written[0].isupper():  # "china" and "turkey" are no places
        found = frozenset(group for group in found if group[0] != "origin")
    if any(letter.isupper() for letter in written[1:]) or (written[0].isupper() and len(written) == 1):
        found |= lexicon().exact.get(key, frozenset())
    return found


def _chinese(text: str, bare: bool) -> Iterator[Mention]:
    phrases = lexicon().every if bare else lexicon().phrases
    edges = {edge for word in words(text) for edge in (word.start, word.end)}
    place = 0
    while place < len(text):
        for length in range(_LONGEST[1], 0, -1):
            piece = text[place : place + length]
            if len(piece) < length or not _HAN.match(piece) or not (groups := phrases.get(piece)):
                continue
            if place in edges or place + length in edges:  # 合体 across 适合 and 体重 is no word
                yield Mention(groups, place, place + length)
                place += length - 1
                break
        place += 1

"""Edits what the text decoder wrote, before a shop shows it: each edit is told, nothing is made up.

What may not stay goes by whole sentences: an unfinished end, a repetition, a price that the request does not name, a
fact of the prompt's own examples (a coupon's code), a banned word, what is beyond the channel's length. Grammar and
spelling of English are mended by Harper (harper-py), but no word that the request itself uses. Where a task has to name
every attribute (a delivery's carrier and number), those that are not named are put behind, as they were given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from price_parser import Price

from stages.errors import invalid, too_large
from stages.prompts import Request, example_facts, states_facts
from stages.text import clean, decode_utf8, sentences

if TYPE_CHECKING:
    from harper import Linter

MAX_CHARACTERS = (20, 10_000)
MAX_BANNED, MAX_BANNED_BYTES = 500, 256
#: The request's tensors, as :func:`read_orders` takes them.
FIELDS = ("MAX_CHARACTERS", "BANNED_WORDS")
ALIKE = 0.85  # share of its words that a repetition has in common with an earlier sentence
LIKELY = 0.8  # how alike a misspelled word and the first suggestion must be
#: Kinds of Harper's findings that are mended; style and choice of words are the shop's own.
MENDED = (
    *("Agreement", "BoundaryError", "Capitalization", "Formatting"),
    *("Grammar", "Miscellaneous", "Punctuation", "Repetition"),
)
_ENDED = re.compile(r"[.!?。！？…][\"'”’)\]）]*\s*$")
_WORD = re.compile(r"[⺀-鿿豈-﫿]|[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = r"\d[\d.,\s]*"
_CURRENCY = r"(?:[$€£¥₹]|USD|EUR|GBP|CNY|RMB|JPY|dollars?|euros?|yuan|美元|欧元|英镑|元)"
_AMOUNT = re.compile(
    rf"{_CURRENCY}\s?{_NUMBER}|{_NUMBER}{_CURRENCY}|"
    r"\d+\s?%(?=\s?(?:off|discount|less))|(?<=save )\d+\s?%|\d+(?:\.\d)?\s?折",
    re.IGNORECASE,
)
_ANY_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?(?:\s?%)?")


class Edit(NamedTuple):
    """What was done.

    ``unfinished``, ``repetition``, ``price``, ``invented``, ``banned``, ``grammar``, ``length`` or ``stated``. `after`
    stands where `before` stood; it is empty where that was taken out, `before` where something was put behind.
    """

    kind: str
    before: str
    after: str = ""


@dataclass(frozen=True)
class Orders:
    """What a channel asks of the text: at most so many characters, and none of these words."""

    max_characters: int | None = None
    banned: tuple[str, ...] = ()


def read_orders(max_characters: Sequence[int], banned: Sequence[bytes]) -> Orders:
    """The request's fields, as a row of their tensors has them: empty where they were left out.

    Raises:
        StageError: on ``MAX_CHARACTERS`` or ``BANNED_WORDS``.
    """
    least, most = MAX_CHARACTERS
    if outside := [number for number in max_characters if not least <= number <= most]:
        raise invalid("MAX_CHARACTERS", f"is {outside[0]:,}; send {least} to {most:,}, or leave it out")
    if len(banned) > MAX_BANNED:
        raise too_large("BANNED_WORDS", f"{len(banned)} words, the limit is {MAX_BANNED}; send the ones that matter")
    words = tuple(clean(decode_utf8(word, "BANNED_WORDS", MAX_BANNED_BYTES)) for word in banned)
    return Orders(max_characters[0] if max_characters else None, tuple(word for word in words if word))


def edited(written: str, finish: str, request: Request, orders: Orders) -> tuple[str, list[Edit]]:
    """The text as it may be shown, and what was done to it.

    Args:
        written: by the text decoder.
        finish: why it ended: ``length`` where it was cut off.
        request: what was asked; prices, numbers and words of it may stand in the text.
    """
    facts = _facts(request)
    edits: list[Edit] = []
    text, parts = written, sentences(written)
    if finish == "length" and len(parts) > 1 and not _ENDED.search(parts[-1]):
        edits.append(Edit("unfinished", parts.pop().strip()))
        text = "".join(parts)
    if request.language == "en":
        text, mended = _mended(text.strip(), facts)
        edits += mended
    figures = set(map(_figure, _ANY_NUMBER.findall(facts)))
    foreign = example_facts(request.task, request.language) - set(_words(facts))
    kept: list[str] = []
    said: list[list[str]] = []
    for sentence in sentences(text):
        words = _words(sentence)
        if reason := _unwanted(sentence, words, said, figures, orders) or _invented(sentence, words, figures, foreign):
            edits.append(Edit(reason, sentence.strip()))
        else:
            kept.append(sentence)
            said.append(words)
    text, room = "".join(kept).strip(), orders.max_characters
    stated = _stated(text, request, orders) if states_facts(request.task) else ""
    if room is not None and stated:
        room -= len(stated) + 1
        if room < MAX_CHARACTERS[0]:
            stated, room = "", orders.max_characters
    text, cut = _shortened(text, room)
    if not stated:
        return text, edits + cut
    gap = "" if request.language == "zh" else " "
    return f"{text}{gap}{stated}".strip(), [*edits, *cut, Edit("stated", "", stated)]


def _facts(request: Request) -> str:
    """All that the request says."""
    pairs = (part for pair in (*request.attributes, *request.history) for part in pair)
    return " ".join((request.title, *pairs, request.question, request.transcript))


def _stated(text: str, request: Request, orders: Orders) -> str:
    """The attributes that a text does not name, a sentence each, but none with a banned word."""
    colon, stop = ("：", "。") if request.language == "zh" else (": ", ".")
    missing = (
        f"{name[:1].upper()}{name[1:]}{colon}{value.rstrip('.。')}{stop}"
        for name, value in request.attributes
        if value.casefold() not in text.casefold()
    )
    kept = (sentence for sentence in missing if not any(_has(sentence, word) for word in orders.banned))
    return ("" if request.language == "zh" else " ").join(kept)


def _unwanted(
    sentence: str, words: list[str], said: list[list[str]], figures: set[tuple[float | None, bool]], orders: Orders
) -> str:
    """Why a sentence of these words may not stay; empty if it may.

    Args:
        said: the words of the sentences before it.
        figures: what the request names, as :func:`_figure` reads it.
    """
    if len(words) >= 4 and any(_alike(words, earlier) >= ALIKE for earlier in said):
        return "repetition"
    if any(_figure(amount) not in figures for amount in _AMOUNT.findall(sentence)):
        return "price"
    if any(_has(sentence, word) for word in orders.banned):
        return "banned"
    return ""


def _invented(sentence: str, words: list[str], figures: set[tuple[float | None, bool]], foreign: frozenset[str]) -> str:
    """``invented`` if a sentence has a fact of the prompt's examples or, where these have any, a number of nobody's."""
    if foreign & set(words):
        return "invented"
    numbers = map(_figure, _ANY_NUMBER.findall(sentence)) if foreign else ()
    return "invented" if any(number not in figures for number in numbers) else ""


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _alike(words: Sequence[str], others: Sequence[str]) -> float:
    return SequenceMatcher(None, words, others, autojunk=False).ratio()


def _figure(text: str) -> tuple[float | None, bool]:
    """The number and whether it is a share: ``1.299,00 €`` → (1299.0, False), ``20%`` → (20.0, True)."""
    return Price.fromstring(text.rstrip("% ")).amount_float, text.endswith("%")


def _has(sentence: str, word: str) -> bool:
    """Whether a word or phrase stands in the sentence: as a whole where its script puts spaces between words."""
    edges = [r"(?<!\w)" if word[0].isascii() else "", r"(?!\w)" if word[-1].isascii() else ""]
    return re.search(edges[0] + re.escape(word) + edges[1], sentence, re.IGNORECASE) is not None


@cache
def linter() -> Linter:
    """Harper's, with its dictionary: 0.3 s and 100 MB, so only for whoever edits."""
    from harper import Linter

    made = Linter()
    made.lint("A mispeled word loads what sugests others.")
    return made


def _mended(text: str, facts: str) -> tuple[str, list[Edit]]:
    """The text without the mistakes that Harper is sure of."""
    known = set(_words(facts))
    edits, end = [], len(text)
    for finding in sorted(linter().lint(text), key=lambda f: f.span.start, reverse=True):
        start, stop, before = finding.span.start, finding.span.end, finding.problem_text
        if not finding.suggestions or stop > end or known.intersection(_words(before)):
            continue
        first = finding.suggestions[0]
        after = first.replacement_text
        if first.kind.name == "INSERT_AFTER":
            after = before + after
        if finding.lint_kind not in MENDED and not (finding.lint_kind == "Spelling" and _typo(before, after)):
            continue
        text, end = text[:start] + after + text[stop:], start
        edits.append(Edit("grammar", before, after))
    return text, edits[::-1]


def _typo(before: str, after: str) -> bool:
    """Whether a word is more likely mistyped than a name that the dictionary lacks."""
    return before.islower() and len(before) > 3 and SequenceMatcher(None, before, after).ratio() >= LIKELY


def _shortened(text: str, most: int | None) -> tuple[str, list[Edit]]:
    """The sentences that fit, or the words of the first one."""
    if most is None or len(text) <= most:
        return text, []
    kept = ""
    for sentence in sentences(text):
        if len((kept + sentence).rstrip()) > most:
            break
        kept += sentence
    if not kept:
        kept = text[: most - 1]
        if text[most - 1].isascii() and not text[most - 1].isspace() and " " in kept:
            kept = kept.rsplit(" ", 1)[0]
        kept = kept.rstrip(" ,;:") + "…"
        return kept, [Edit("length", text, kept)]
    return kept.rstrip(), [Edit("length", text[len(kept) :].strip())]

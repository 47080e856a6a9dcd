"""Attributes read off a text: what a title, a label or a note says of the product in the lexicon's words and figures.

What an attribute is called stands in `extraction.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stages.facts import Fact
from stages.figures import Figure, figures, properties_at
from stages.lexicon import lexicon, mentions, words
from stages.text import HAN

#: Kinds of the lexicon that are attributes.
_KINDS = ("material", "colour", "origin", "certificate", "size")
#: What stands between the figures of one attribute: 40 to 60 W.
_BETWEEN = re.compile(r"\s?(?:[~–—-]|to|至|到)\s?")
_NUMBER = r"\d+|two|three|four|five|six|seven|eight|nine|ten|twelve|[一二两三四五六七八九十]{1,2}"
_UNIT = r"(?:mm|cm|m|in(?:ch(?:es)?)?|ft|毫米|厘米|公分|米|英寸|寸|[\"″])"
_SIDE = rf"\d+(?:[.,]\d+)?\s?{_UNIT}?"
_PIECES = (
    "pack|pk|pcs?|pieces?|count|ct|sheets?|bags|tablets|capsules|pairs|sachets|cans|bottles|pods|bars|rolls|cards|tubes|sticks"
    "|panels|colou?rs|wipes|refills|pencils|pens|eggs"
)
_CLASSIFIERS = "件支只片包袋盒瓶罐条双个枚粒本卷张块把杯听颗贴对提副"
#: What a title states in forms of its own, the first that fits: kind → where, the value in its group where it has one.
_FORMS = (
    (
        "",
        re.compile(r"\b\d+[\s-]in[\s-]\d\b|\b\d+W-\d+\b|\b\d+:\d+\b|\b\dx\d\b|360\s?[°度](?=\s?旋转)?", re.IGNORECASE),
    ),
    (
        "certificate",
        re.compile(r"(?<![A-Za-z0-9])(?:3C|CCC|CE|RoHS|FSC)(?=\s?(?:认证|certified|-certified))", re.IGNORECASE),
    ),
    (
        "pixels",
        re.compile(
            r"\b\d{3,4}\s?[x×]\s?\d{3,4}\b(?!\s?(?:mm|cm|m\b))|(?<![\d.])\d(?:\.\d)?K(?![A-Za-z])|\d{3,4}[pP](?![A-Za-z])"
        ),
    ),
    (
        "dimensions",
        re.compile(rf"(?<![\d.]){_SIDE}(?:\s?[x×*]\s?{_SIDE}){{0,1}}\s?[x×*]\s?\d+(?:[.,]\d+)?\s?{_UNIT}(?![A-Za-z])"),
    ),
    (
        "age",
        re.compile(
            r"\bages?\s(?P<value>\d+(?:\s?[-–+]\s?\d*)?)|\b\d+(?:\s?[-–]\s?\d+)?\s?\+?\s?(?:years|yrs|months)(?:\s(?:and|&)\sup|\+)?"
            r"|\d+(?:[-~至]\d+)?(?:岁|个月)(?:以上|\+)?",
            re.IGNORECASE,
        ),
    ),
    (
        "size",
        re.compile(
            r"\b(?:EU|UK|US)\s?\d{1,2}(?:\.5)?\b|\bW\d{2}\s?L\d{2}\b|\b(?i:size)\s(?P<value>(?:\d{1,2}|[XSML]{1,4})\b)"
            r"|\d{2,3}(?:[-~至]\d{2,3})?码|\b\d{3}/\d{2}[A-Z]\b"
        ),
    ),
    (
        "count",
        re.compile(
            rf"\b(?:pack|set|box|case|bundle|tin|bag|packet|carton|pair)s? of (?P<of>{_NUMBER})\b"
            rf"|(?<![\d.,])(?P<en>\d+)[\s-]?(?:(?!thread)[a-z]+\s)?(?:{_PIECES})\b(?!\s?(?:of|per))"
            rf"|\b(?P<word>two|three|four|five|six|seven|eight|nine|ten|twelve)[\s-](?:{_PIECES})\b"
            rf"|(?<![\d.第])(?P<zh>{_NUMBER})(?:件套|[{_CLASSIFIERS}](?:套?装|套|入|/[盒包袋件箱]))"
            r"|(?<![\d.])(?P<bare>\d+)(?:颗粒|[片抽颗粒支张枚](?![\w]*?克)|色(?=套|装|彩|水|马))"
            rf"|(?:(?<=[^\W\d_])|(?<=[^\W\d_]\s))[x×*]\s?(?P<times>\d+)(?:[{_CLASSIFIERS}]|(?![\w.]))"
            r"|(?<![\d.])(?P<by>\d+)\s?[x×]\s?(?=\d+(?:\.\d+)?\s?(?:ml|l|cl|g|kg|oz)\b)",
            re.IGNORECASE,
        ),
    ),
)
#: What stands before a word that the product is not made of, or that is not its colour.
_NOT_OWN = re.compile(r"\b(?:for|not|no|without|like|faux|imitation|look)\s(?:\w+\s)?$|[仿无不适用于]$", re.IGNORECASE)
#: And behind it: what works on a material, what is called after a country.
_NOT_OWN_BEHIND = re.compile(
    r"[\s-](?:screws?|cleaners?|polish|glue|detergent|conditioner|drill|saw|stain|filler|care|press|windows?|toast|fries|"
    r"bulldog|horn|pastry|delight|shepherd|cabinet)\b|(?:清洁|清洗|专用|保养|护理|胶水|螺丝|遮阳|毛球|膜)",
    re.IGNORECASE,
)
#: What a figure is of that stands behind it: what the product is for.
_FOR = re.compile(r"\bfor\b[^,;|()]*$|适用[^，、\s]*$", re.IGNORECASE)
#: A Chinese colour that no list has: 豆沙色, 雾霾色.
_COLOUR = re.compile(rf"[{HAN}]{{1,3}}色")
_NO_COLOUR = re.compile("[特本角出景护固掉上变多双单彩提显染各润]色")


#: A text that denies something is not extracted from: "not made of leather".
_DENIAL = re.compile(r"\b(?:no|not|never|without|nor|free|cannot)\b|n['’]t\b|[不无没未非勿禁]", re.IGNORECASE)
#: Ages are verbatim or not at all; a price or a share in a title is mostly an offer.
_NEVER = frozenset(("age", "money", "percent"))


class Extract(NamedTuple):
    """An attribute that a text states.

    Attributes:
        kind: a kind of the lexicon or of a figure, ``dimensions``, ``count`` or ``age``.
        value: as it stands in the text.
        number, unit: of a single figure; None and empty otherwise.
    """

    kind: str
    name: str
    value: str
    number: float | None = None
    unit: str = ""


def extract(text: str, language: str) -> list[Extract]:
    """The attributes that a text states, in its order.

    Args:
        language: of their names, ``en`` or ``zh``.
    """
    forms = _of_forms(text)
    measures = list(_of_figures(text, forms))
    stated = [row for row in _of_words(text) if _is_free(row[0], row[1], (*forms, *measures))]
    found = [*stated, *(row for row in forms if row[2]), *measures]
    names = extraction_table()["names"][language]
    return [
        Extract(kind, names[kind], text[start:end], number, unit)
        for start, end, kind, number, unit in sorted(found)
        if kind in names
    ]


def extract_of_facts(
    facts: Sequence[Fact], language: str, sources: Sequence[str] = ("title", "label", "transcript")
) -> list[tuple[Fact, Extract]]:
    """The attributes that facts of these sources state, of kinds that no given attribute has.

    A second material of one fact stands beside the first; what a later fact says of a kind is the same again.
    """
    given = [fact for fact in facts if fact.source == "attribute"]
    names = {fact.name.casefold() for fact in given}
    known = {each.kind for fact in given for each in extract(f"{fact.name}: {fact.text}", language)}
    found = []
    for fact in facts:
        if fact.source in sources and not _DENIAL.search(fact.text):
            every = extract(fact.text, language)
            every = [each for each in every if each.kind not in _NEVER]
            found += [(fact, each) for each in every if each.kind not in known and each.name.casefold() not in names]
            known.update(each.kind for each in every)
    return found


def unit_of(measure: str) -> str:
    """The unit of a figure as it is written: ``ml`` of ``350 ml``."""
    return re.sub(r"^[\s$€£¥₹]*[\d.,]*[\s-]*", "", measure)


@cache
def extraction_table() -> dict[str, Any]:
    """Reads `extraction.yaml`."""
    table: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
    return table


_Row = tuple[int, int, str, float | None, str]


def _is_free(start: int, end: int, taken: Sequence[_Row] | Sequence[tuple[int, int]]) -> bool:
    """Whether no row has letters of this place."""
    return not any(row[0] < end and start < row[1] for row in taken)


def _of_words(text: str) -> list[_Row]:
    """Words of the lexicon; two of one kind side by side are one: merino wool."""
    found: list[_Row] = []
    common = {(each.start, each.end) for each in mentions(text)}
    for mention in mentions(text, bare=True):
        kinds = {kind for kind, name in mention.groups if (kind, name) in lexicon().broader}
        kind = next((each for each in _KINDS if each in kinds), None)
        before, behind = text[: mention.start], text[mention.end :]
        name = next((name for each, name in mention.groups if each == kind), "")
        # A common word counts where it is a material or a colour: a single Chinese character is too often another word.
        if (mention.start, mention.end) not in common and (kind == "size" or mention.end - mention.start == 1):
            continue
        if not kind or _NOT_OWN.search(before) or _NOT_OWN_BEHIND.match(behind) or name.endswith((" fit", "-length")):
            continue
        start = mention.start
        if found and found[-1][2] == kind and not text[found[-1][1] : start].strip(" "):
            start = found.pop()[0]
        found.append((start, mention.end, kind, None, ""))
    for word in words(text):
        if _is_free(word.start, word.end, found) and _COLOUR.fullmatch(word.stem) and not _NO_COLOUR.search(word.stem):
            found.append((word.start, word.end, "colour", None, ""))
    return found


def _of_forms(text: str) -> list[_Row]:
    """What is stated in a form of its own, none within another."""
    taken: list[tuple[int, int]] = []
    found: list[_Row] = []
    for kind, form in _FORMS:
        for match in form.finditer(text):
            if not _is_free(*match.span(), taken):
                continue
            taken.append(match.span())
            group = next((name for name, written in match.groupdict().items() if written), 0)
            written = match[group]
            number = float(written) if kind == "count" and written.isdigit() else None
            found.append((*match.span(group), kind, number, ""))
    return found


def _of_figures(text: str, taken: Sequence[_Row]) -> Iterator[_Row]:
    free = [each for each in figures(text) if _is_free(each.start, each.end, taken)]
    for together in _join(free, text):
        first, last = together[0], together[-1]
        if not last.kind or _FOR.search(text[: first.start]):
            continue
        unit = unit_of(text[last.start : last.end])
        several = len(together) > 1
        below = last.kind in ("celsius", "fahrenheit") and text[first.start - 1 : first.start] == "-"
        start = first.start - below
        number = None if several else -last.number if below else last.number
        yield start, last.end, _kind(together, text), number, "" if several else unit


def _join(found: Sequence[Figure], text: str) -> Iterator[list[Figure]]:
    """Figures of one kind with a dash between them."""
    together: list[Figure] = []
    for each in found:
        before = together[-1] if together else None
        if before and before.kind == each.kind and _BETWEEN.fullmatch(text[before.end : each.start]):
            together.append(each)
            continue
        if together:
            yield together
        together = [each]
    if together:
        yield together


def _kind(together: Sequence[Figure], text: str) -> str:
    """What the figures are: a length is a height where the text says so."""
    figure = together[-1]
    if figure.kind != "length":
        return figure.kind
    named = properties_at(text, figure) & {"height", "width", "depth", "thickness", "diameter"}
    return min(named) if named else "length"

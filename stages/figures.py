"""Figures of a text: numbers, in digits or words, with their units, so that one text's can be held against another's.

Units are pint's, written in English or Chinese (`units.yaml`): ``0.5 l`` equals ``500 ml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cn2an
import pint
import yaml
from num2words import num2words
from price_parser import Price

#: Share by which two figures may differ and be one: rounding of a conversion.
TOLERANCE = 0.005
#: Words that count things in Chinese; a numeral before one is a count.
_CLASSIFIERS = "个只条件套层格款种片支瓶盒袋包张把台部对口倍重色段孔轮位人岁次粒颗枚杯壶节组卷根块本册页档级路头芯门"
_DIGITS = r"\d+(?:[,. \u00a0\u202f]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?"
#: A number of these before 年 is a date, not a time.
_YEARS = (1900, 2100)
#: What stands between two numbers of one unit.
_BETWEEN = re.compile(r"\s?(?:[x×*/~–—-]|to|至|到|by|and)\s?")
_NUMERAL = "[零一二两三四五六七八九十百千万]+"


class Figure(NamedTuple):
    """A number in a text.

    Attributes:
        value: in the kind's base unit.
        kind: of the unit; empty for a number without one.
        number: as it was written, without the unit.
        start, end: its place, unit included.
    """

    value: float
    kind: str
    number: float
    start: int
    end: int

    def equals(self, other: Figure) -> bool:
        """Whether both say the same; a number that has lost its unit still does."""
        if self.kind == other.kind:
            return abs(self.value - other.value) <= TOLERANCE * abs(other.value)
        return not self.kind and self.number == other.number


@cache
def _units() -> dict[str, tuple[str, float]]:
    """As it is written → kind and factor to its base unit."""
    registry: Any = pint.UnitRegistry()
    table = yaml.safe_load(Path(__file__).with_name("units.yaml").read_text("utf-8"))
    registry.define("fluid_ounce = 29.5735 ml")
    found: dict[str, tuple[str, float]] = {}
    for kind, units in table["measured"].items():
        for unit, names in units.items():
            factor = float(registry.Quantity(1, registry.parse_expression(unit)).to_base_units().magnitude)
            found |= dict.fromkeys(names, (kind, factor))
    for kind, names in table["counted"].items():
        found |= dict.fromkeys(names, (kind, 1.0))
    plurals = {name + "s": unit for name, unit in found.items() if name.isascii() and name.isalpha() and len(name) > 2}
    return plurals | found


@cache
def _words() -> dict[str, int]:
    """English numerals from zero to ninety-nine, ``one`` left out: it is an article as often."""
    words = {num2words(number): number for number in range(100) if number != 1}
    return words | {word.replace("-", " "): number for word, number in words.items()} | {"dozen": 12, "hundred": 100}


@cache
def _pattern() -> re.Pattern[str]:
    names = sorted(_units(), key=len, reverse=True)
    units, loose = (
        "|".join(re.escape(name).replace(r"\ ", r"[\s-]") for name in names if len(name) >= least) for least in (1, 2)
    )
    words = "|".join(sorted(map(re.escape, _words()), key=len, reverse=True))
    # No letter goes on it, in a script that parts words by spaces; "in" is no inch before a word ("25 in stock").
    after = r"(?!(?<=[A-Za-z])[A-Za-z]|(?<=\bin)\s\w)"
    currency = r"[$€£¥₹]|(?:USD|EUR|GBP|CNY|RMB|JPY)\s"
    return re.compile(
        rf"(?P<before>{currency})?\s?"
        rf"(?:(?<![A-Za-z0-9_.])(?P<digits>{_DIGITS})(?P<myriads>[万千亿])?|\b(?P<word>{words})\b|(?<!第)(?P<numeral>{_NUMERAL}))"
        rf"(?:[\s-]?(?P<unit>(?-i:{units})){after}|[\s-]?(?P<loose>{loose}){after})?",
        re.IGNORECASE,
    )


def figures(text: str) -> list[Figure]:
    """The figures of a text, in order.

    A number before ``x`` or a dash takes the unit of the one behind it (``30 x 20 cm``). Chinese numerals count where a
    unit or a measure word follows, but ``一`` with a measure word is an article.
    """
    found: list[Figure] = []
    for match in _pattern().finditer(text):
        written, chinese = match["unit"] or match["loose"], match["numeral"]
        kind, factor = _unit(match["unit"], match["loose"])
        follower = text[match.end() : match.end() + 1]
        if chinese and not written and (follower not in _CLASSIFIERS or not follower or chinese == "一"):
            continue
        if match["before"]:
            kind, factor = "money", 1.0
        number = _number(match)
        if number is None:
            continue
        if written == "年" and _YEARS[0] <= number <= _YEARS[1]:
            kind, factor = "", 1.0
        start = match.start() + len(match[0]) - len(match[0].lstrip())
        found.append(Figure(number * factor, kind, number, start, match.end()))
    for place in reversed(range(len(found) - 1)):
        one, after = found[place], found[place + 1]
        if not one.kind and after.kind and _BETWEEN.fullmatch(text[one.end : after.start]):
            found[place] = one._replace(kind=after.kind, value=one.number * after.value / (after.number or 1))
    return found


def _unit(exact: str | None, loose: str | None) -> tuple[str, float]:
    """Kind and factor of a unit as it stands, or, where letters of another case were written, of the nearest."""
    if exact and (unit := _units().get(re.sub(r"[\s-]", " ", exact)) or _units().get(exact)):
        return unit
    if not exact and not loose:
        return "", 1.0
    written = re.sub(r"[\s-]", " ", exact or loose or "").casefold()
    return next(unit for name, unit in _units().items() if re.sub(r"[\s-]", " ", name).casefold() == written)


def _number(match: re.Match[str]) -> float | None:
    if match["digits"]:
        number = Price.fromstring(match["digits"]).amount_float
        return number and number * {"千": 1e3, "万": 1e4, "亿": 1e8}.get(match["myriads"], 1)
    if match["word"]:
        return float(_words()[match["word"].casefold()])
    try:
        return float(cn2an.cn2an(match["numeral"], "smart"))
    except ValueError:  # a row of numerals that is no number
        return None


_CODE = re.compile(r"(?<![A-Za-z0-9])(?=[0-9]*[A-Za-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]+(?![A-Za-z0-9])")


def codes(text: str) -> set[str]:
    """Words of letters and digits that are no figure with its unit, in lower case: ``ip67``, ``v10``."""
    spans = [(each.start, each.end) for each in figures(text)]
    return {
        match[0].casefold()
        for match in _CODE.finditer(text)
        if not any(start <= match.start() and match.end() <= end for start, end in spans)
    }


class Facts:
    """The figures and codes that are known, with the property each belongs to.

    Args:
        texts: what is known, whose figures belong to nothing in particular; the title first, of which a word such as
            "power bank" names no property.
        attributes: (name, value); a unit in the name counts for a value without one (``weight (g): 213``).
    """

    def __init__(self, texts: Iterable[str], attributes: Iterable[tuple[str, str]] = ()) -> None:
        self._figures: list[tuple[Figure, frozenset[str]]] = []
        self._codes: set[str] = set()
        title, *others = texts
        self._named = properties(title)
        for text in (title, *others):
            self._add(text, frozenset())
        for name, value in attributes:
            self._add(name, frozenset())
            self._add(_with_unit(name, value), properties(name))

    def _add(self, text: str, names: frozenset[str]) -> None:
        self._figures += [(figure, names) for figure in figures(text)]
        self._codes |= codes(text)

    def supports(self, sentence: str) -> bool:
        """Whether every figure and code of a sentence is known, and none is given to another property than its own."""
        if any(code not in self._codes for code in codes(sentence)):
            return False
        return all(self._knows(figure, sentence) for figure in figures(sentence))

    def _knows(self, figure: Figure, sentence: str) -> bool:
        owners = [names for known, names in self._figures if figure.equals(known)]
        if not owners:
            return False
        said = properties_at(sentence, figure) - self._named
        return not said or any(not names or names & said for names in owners)


def _with_unit(name: str, value: str) -> str:
    """The value, with the unit that its name has in brackets."""
    unit = re.search(r"[(（\[]\s*([^)）\]]+?)\s*[)）\]]\s*$", name)
    return f"{value} {unit[1]}" if unit and unit[1] in _units() and re.fullmatch(r"[\d.,\s]+", value) else value


#: Property → words that name it, of an attribute's name and of a sentence.
_PROPERTIES = {
    "height": r"height|high|tall|高度?|身高",
    "width": r"width|wide|breadth|宽度?",
    "depth": r"depth|deep|深度?",
    "length": r"length|long|长度?",
    "diameter": r"diameter|直径",
    "thickness": r"thickness|thick|厚度?",
    "weight": r"(?:net |gross )?weights?|weighs?|weighing|heavy|净重|毛重|(?<![承载负])重量?|克重|净含量",
    "load": r"load|capacity per shelf|holds? up to|supports? up to|承重|载重|负重",
    "capacity": r"capacity|volume|storage|容量|容积|存储",
    "battery life": r"battery life|run ?time|playtime|playback|续航|使用时间",
    "charging time": r"charg(?:e|ing) time|充电时间",
    "output": r"output|输出",
    "input": r"input|输入",
    "screen": r"screen|display|屏幕|显示屏",
    "range": r"range|reach|距离",
    "warranty": r"warranty|guarantee|质保|保修",
    "memory": r"\bram\b|memory|内存|运行内存",
    "temperature": r"temperature|温度",
    "price": r"price|costs?|价格?|售价",
    "cable": r"cable|cord|线长|线缆",
}
_NAMES = {
    name: re.compile(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])", re.IGNORECASE) for name, words in _PROPERTIES.items()
}
_DIMENSIONS = ("height", "width", "depth", "length", "thickness")


def properties(name: str) -> frozenset[str]:
    """The properties that an attribute's name means; none where the table has none."""
    return frozenset(each for each, pattern in _NAMES.items() if pattern.search(name))


def properties_at(sentence: str, figure: Figure) -> frozenset[str]:
    """The property that a sentence gives a figure: the word right behind it, or else close before it."""
    behind = sentence[figure.end : figure.end + 16]
    if found := re.match(r"(?:\s|的|in\s)*([A-Za-z]+|[\u4e00-\u9fff]{1,3})", behind):
        named = frozenset(each for each in _DIMENSIONS if _NAMES[each].match(found[1]))
        if named and found[1][:1].isascii():
            return named
    before = re.split(r"[,;，；。、]|\band\b|\bwith\b|[和与及]", sentence[max(0, figure.start - 40) : figure.start])[-1]
    return properties(before)

"""Figures of a text: numbers, in digits or words, with their units, so that one text's can be held against another's.

Units are pint's, written in English or Chinese (`units.yaml`): ``0.5 l`` equals ``500 ml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import cn2an
import pint
import yaml
from num2words import num2words
from price_parser import Price
from text_to_num import text2num

from stages.facts import Fact
from stages.lexicon import neutral_words, words

#: Share by which two figures may differ and be one: rounding of a conversion.
TOLERANCE = 0.005
#: Words that count things in Chinese; a numeral before one is a count.
_CLASSIFIERS = "个只条件套层格款种片支瓶盒袋包张把台部对口倍重色段孔轮位人岁次粒颗枚杯壶节组卷根块本册页档级路头芯门"
_DIGITS = r"\d+(?:[,. \u00a0\u202f]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?"
#: A number of these before 年 is a date, not a time.
_YEARS = (1900, 2100)
#: What stands between two numbers of one unit.
_BETWEEN = re.compile(r"\s?(?:[x×*/~–—-]|to|至|到|by|and)\s?")
#: What makes a fact's figure one of each of several things, and what a sentence puts before or behind such a figure.
_EACH = re.compile(r"\b(?:each|apiece|every|one|single|per)\b|[每单]|×|\bx\b", re.IGNORECASE)
_EACH_BEFORE = re.compile(r"\b(?:each|every)(?: \w+){0,2} ?$|每[^，。、\d]{0,3}$", re.IGNORECASE)
_EACH_BEHIND = re.compile(r"\s*(?:each|apiece|per (?:bag|piece|bar|item|can|pack))\b", re.IGNORECASE)
_ITEMS = re.compile(r"[、;；，]|, (?:and )?| and ")
_TIMES = re.compile(r"\s?[x×*]\s?")
_NUMERAL = "[零〇一二两三四五六七八九十百千万]+(?:点[零〇一二三四五六七八九]+)?|半"
_DIGIT = "零一二三四五六七八九"
#: What stands behind a Chinese unit and belongs to its number: 一年半, 一米二, 一米零四.
_REST = re.compile(f"(?P<half>半)|(?P<zero>零)?(?P<digit>[{_DIGIT}])(?![{_DIGIT}十百千万点成折{_CLASSIFIERS}])")
#: Tenths: 七成, 九成五.
_TENTHS = re.compile(f"成(?![功为立品分本员交就长熟])(?P<digit>[{_DIGIT}])?")
_FRACTIONS = {"half": 1 / 2, "third": 1 / 3, "quarter": 1 / 4, "fifth": 1 / 5, "tenth": 1 / 10}
#: What a sentence puts before a figure (Chinese: or behind it) that it rounds, and between which shares of it the fact
#: then lies.
_ROUNDINGS = (
    (re.compile(r"(?:less than|under|below|within|不到|不足|低于|小于)\s*$", re.IGNORECASE), None, (0.75, 1.0)),
    (re.compile(r"(?:nearly|almost|just under|close to|将近|接近|近)\s*$", re.IGNORECASE), None, (0.9, 1.0)),
    (re.compile(r"(?:more than|over|above|a good|at least|超过|高于|多于|不止)\s*$", re.IGNORECASE), None, (1.0, 1.25)),
    (re.compile(r"(?:about|around|roughly|some|approximately|约|大约|差不多)\s*$", re.IGNORECASE), None, (0.9, 1.1)),
    (None, re.compile(r"\s*(?:or so|左右|上下)"), (0.9, 1.1)),
    (None, re.compile(r"\s*(?:\w+ )?and a (?:few|bit|little)|多|出头|有余"), (1.0, 1.25)),
)
#: The word or two behind a count.
_COUNTED = re.compile(r"[ -]?[A-Za-z]+(?: [A-Za-z]+)?|[\u4e00-\u9fff]{1,4}")
#: Figures of the facts up to which sums and products of two are tried.
MOST_SUMMED = 24
#: A figure near one of these may be the sum or the product of two of the facts.
_TOTALS = re.compile(
    r"\b(?:in all|in total|altogether|total|together)\b|[合共总]计|共|加起来|加在一起|合起来", re.IGNORECASE
)


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
            factor = float((1 * registry.parse_expression(unit)).to_base_units().magnitude)
            found |= dict.fromkeys(names, (kind, factor))
    for kind, names in table["counted"].items():
        found |= dict.fromkeys(names, (kind, 1.0))
    plurals = {name + "s": unit for name, unit in found.items() if name.isascii() and name.isalpha() and len(name) > 2}
    return plurals | found


@cache
def _words() -> str:
    """Matches an English numeral or fraction; not ``one`` alone, which is an article as often."""
    ones = sorted({part for number in range(100) for part in num2words(number).split("-")}, key=len, reverse=True)
    large, fraction = "hundred|thousand|million|dozen", "|".join(_FRACTIONS)
    word = rf"(?:{'|'.join(ones)}|{large})"
    return (
        rf"(?:half an? |an? )?(?:{large})(?: (?:and )?{word})*"
        rf"|(?!one\b(?! (?:{large}|and an? )))(?:{word})\b(?:[ -](?:and )?{word}\b)*(?: and an? (?:{fraction}))?"
        rf"|(?:an? )?(?:{fraction})(?: of)? an?(?= )"
    )


@cache
def _pattern() -> re.Pattern[str]:
    names = sorted(_units(), key=len, reverse=True)
    units, loose = (
        "|".join(re.escape(name).replace(r"\ ", r"[\s-]") for name in names if len(name) >= least) for least in (1, 2)
    )
    # No letter goes on it, in a script that parts words by spaces; "in" is no inch before a word ("25 in stock").
    after = r"(?!(?<=[A-Za-z])[A-Za-z]|(?<=\bin)\s\w)"
    currency = r"[$€£¥₹]|(?:USD|EUR|GBP|CNY|RMB|JPY)\s"
    return re.compile(
        rf"(?P<before>{currency})?\s?"
        rf"(?:(?:(?<![A-Za-z0-9_.])|(?<=[A-Z]{{2}})(?=[\d.]+[\u4e00-\u9fff]))(?P<digits>{_DIGITS})(?P<myriads>[万千亿])?|\b(?P<word>{_words()})\b|(?<!第)(?P<numeral>{_NUMERAL}))"
        rf"(?:[\s-]?(?P<unit>(?-i:{units})){after}|[\s-]?(?P<loose>{loose}){after})?",
        re.IGNORECASE,
    )


def figures(text: str) -> list[Figure]:
    """The figures of a text, in order.

    A number before ``x`` or a dash takes the unit of the one behind it (``30 x 20 cm``). Chinese numerals count where a
    unit or a measure word follows, but ``一`` with a measure word is an article.
    """
    found = [figure for match in _pattern().finditer(text) if (figure := _figure(match, text))]
    for place in reversed(range(len(found) - 1)):
        one, after = found[place], found[place + 1]
        between = text[one.end : after.start]
        if _TIMES.fullmatch(between) and after.kind not in ("length", "pixels"):
            continue  # six times 45 g
        if not one.kind and after.kind and _BETWEEN.fullmatch(between):
            found[place] = one._replace(kind=after.kind, value=one.number * after.value / (after.number or 1))
    return found


def _figure(match: re.Match[str], text: str) -> Figure | None:
    written, numeral, end = match["unit"] or match["loose"], match["numeral"], match.end()
    kind, factor = _unit(match["unit"], match["loose"])
    number = _number(match)
    if number is None:
        return None
    if numeral and not written:
        if tenths := _TENTHS.match(text, end):
            kind, number, end = "percent", 10 * number + _DIGIT.index(tenths["digit"] or "零"), tenths.end()
        elif numeral in ("一", "半") or text[end : end + 1] not in tuple(_CLASSIFIERS):
            return None
    elif numeral and kind and (rest := _REST.match(text, end)) and (rest["half"] or kind in ("length", "mass")):
        number += 0.5 if rest["half"] else _DIGIT.index(rest["digit"]) / (100 if rest["zero"] else 10)
        end = rest.end()
    if match["before"]:
        kind, factor = "money", 1.0
    if written == "年" and _YEARS[0] <= number <= _YEARS[1]:
        kind, factor = "", 1.0
    start = match.start() + len(match[0]) - len(match[0].lstrip())
    return Figure(number * factor, kind, number, start, end)


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
        # A single point is a decimal one, also before three digits (0.125 kg); a comma behind a zero likewise.
        point = "." if re.fullmatch(r"\d+\.\d+", match["digits"]) else "," if match["digits"].startswith("0,") else None
        number = Price.fromstring(match["digits"], decimal_separator=point).amount_float
        return number and number * {"千": 1e3, "万": 1e4, "亿": 1e8}.get(match["myriads"], 1)
    if match["word"]:
        return _english(match["word"].casefold().replace("-", " "))
    numeral = match["numeral"]
    if numeral == "半":
        return 0.5
    if re.fullmatch("[零〇一二三四五六七八九]{2,}", numeral):  # digit by digit, as years are read
        return float("".join(str(_DIGIT.index(digit)) for digit in numeral.replace("〇", "零")))
    try:
        return float(cn2an.cn2an(numeral, "smart"))
    except ValueError:  # a row of numerals that is no number
        return None


def _english(words: str) -> float | None:
    if part := re.fullmatch(rf"(?:an? )?({'|'.join(_FRACTIONS)})(?: of)? an?", words):
        return _FRACTIONS[part[1]]
    more = re.search(r" and an? (\w+)$", words)
    rest = words[: more.start()] if more else words
    factor = (0.5 if rest.startswith("half ") else 1) * (12 if rest.endswith("dozen") else 1)
    rest = re.sub(r"^(?:half )?(?:an? )?(?=hundred|thousand|million|dozen)", "one ", rest).removesuffix(" dozen")
    try:
        return float(text2num(rest, "en")) * factor + (_FRACTIONS[more[1]] if more else 0)
    except ValueError:  # a row of numerals that is no number
        return None


_CODE = re.compile(r"(?<![A-Za-z0-9])(?=[0-9]*[A-Za-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]+(?![A-Za-z0-9])")


def codes(text: str, found: Iterable[Figure]) -> set[str]:
    """Words of letters and digits that are none of the figures `found` there, in lower case: ``ip67``, ``v10``."""
    spans = [(each.start, each.end, each.kind) for each in found]
    return {
        match[0].casefold()
        for match in _CODE.finditer(text)
        if not any(
            (start <= match.start() and match.end() <= end) or (kind and start < match.end() < end)  # DHA120毫克
            for start, end, kind in spans
        )
    }


class KnownFigures:
    """The figures and codes of numbered facts, with the property each belongs to.

    The title's words, such as "power bank", name no property; an attribute's do. A unit in an attribute's name counts
    for a value without one (``weight (g): 213``).
    """

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._figures: list[tuple[Figure, frozenset[str], int]] = []
        self._each: set[int] = set()
        self._texts: dict[int, str] = {}
        self._codes: dict[str, int] = {}
        self._lists: list[tuple[str, int, int]] = []
        self._named: frozenset[str] = frozenset()
        for fact in facts:
            if fact.source == "title":
                self._named = properties(fact.text)
            named = fact.name if fact.source == "attribute" else ""
            self._texts[fact.number] = f"{named} {fact.text}".casefold()
            self._add(named, frozenset(), fact.number)
            self._add(with_unit(named, fact.text), properties(named), fact.number)
            if _EACH.search(f"{named} {fact.text}"):
                self._each.add(fact.number)
            if named:
                self._lists.append((named.casefold().removesuffix("s"), len(_ITEMS.split(fact.text)), fact.number))

    def _add(self, text: str, names: frozenset[str], number: int) -> None:
        found = figures(text)
        self._figures += [(figure, names, number) for figure in found]
        for code in codes(text, found):
            self._codes.setdefault(code, number)

    def of_code(self, code: str) -> tuple[int, ...]:
        """Number of the fact that has a code; none where no fact has."""
        return (self._codes[code],) if code in self._codes else ()

    def of_figure(self, figure: Figure, sentence: str) -> tuple[int, ...]:
        """Numbers of the facts that have a sentence's figure, and not for another property; none where none has."""
        owners = [
            (names, number)
            for known, names, number in self._figures
            if _says(figure, known, sentence) and (figure.kind or self._counts(figure, known, number, sentence))
        ]
        said = properties_at(sentence, figure) - self._named
        fit = [number for names, number in owners if not said or not names or names & said]
        if figure.kind and (
            _EACH_BEFORE.search(sentence[: figure.start]) or _EACH_BEHIND.match(sentence[figure.end :])
        ):
            fit = [number for number in fit if number in self._each]  # 40 g of twenty bags are not 40 g each
        return tuple(dict.fromkeys(fit)) or self._of_total(figure, sentence) or self._of_list(figure, sentence)

    def _counts(self, figure: Figure, known: Figure, number: int, sentence: str) -> bool:
        """Whether a number without a unit counts what the fact counts: 80 cushions are not the 80 cm of a fact."""
        behind = _COUNTED.match(sentence[figure.end :])
        if not behind:
            return True
        things = [word.stem for word in words(behind[0]) if word.stem not in neutral_words()]
        things = [thing for thing in things if thing.strip(_CLASSIFIERS)]
        if not things:
            return True
        return not known.kind and any(thing.strip(_CLASSIFIERS) in self._texts[number] for thing in things)

    def of_kind(self, figure: Figure) -> bool:
        """Whether the facts have a figure of this kind: then another one contradicts it."""
        return any(known.kind == figure.kind for known, _, _ in self._figures)

    def _of_list(self, figure: Figure, sentence: str) -> tuple[int, ...]:
        """The attribute that names as many things as a sentence counts: "two colours" of ``colours: black, sand``."""
        behind = sentence[figure.end :].casefold().lstrip()
        return tuple(
            number
            for name, items, number in self._lists
            if not figure.kind and items == figure.number and re.match(rf"[种个款只条]?{re.escape(name)}", behind)
        )

    def _of_total(self, figure: Figure, sentence: str) -> tuple[int, ...]:
        if not _TOTALS.search(sentence) or len(self._figures) > MOST_SUMMED:
            return ()
        for (one, _, first), (other, _, second) in combinations(self._figures, 2):
            totals = [one.value + other.value] if one.kind == other.kind else []
            totals += [one.value * other.value] if not one.kind or not other.kind else []
            kinds = {one.kind or other.kind, one.kind and other.kind, other.kind}
            if figure.kind in kinds and any(abs(figure.value - total) <= TOLERANCE * total for total in totals):
                return tuple(dict.fromkeys((first, second)))
        return ()


def _says(figure: Figure, known: Figure, sentence: str) -> bool:
    """Whether a sentence's figure is a known one, or one that it rounds in words."""
    if figure.equals(known):
        return True
    if figure.kind != known.kind or not figure.value:
        return False
    before, behind = sentence[: figure.start], sentence[figure.end :]
    return any(
        least <= known.value / figure.value <= most
        for said_before, said_behind, (least, most) in _ROUNDINGS
        if (said_before.search(before) if said_before else said_behind and said_behind.match(behind))
    )


def with_unit(name: str, value: str) -> str:
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

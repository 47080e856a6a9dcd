"""Figures of a text, in both languages, with their units in one scale.

`pint` knows the units, `num2words` the English numerals, `cn2an` the Chinese ones. A figure is a number with a unit, a
bare number (a count, a year), or a code: letters and digits in one word, such as ``IPX8``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cn2an
import pint
from num2words import num2words

_registry: pint.UnitRegistry = pint.UnitRegistry(cache_folder=None)
#: pint's name → how the field writes it, as a regular expression. Those that begin with ``@`` stand for themselves.
UNITS = {
    "millimeter": "mm|millimet(?:re|er)s?|毫米",
    "centimeter": "cm|centimet(?:re|er)s?|厘米|公分",
    "kilometer": "km|kilomet(?:re|er)s?|公里|千米",
    "meter": "(?-i:m)|met(?:re|er)s?|米(?![色白灰粒饭其])",
    "inch": 'inch(?:es)?|″|”|"|英寸|吋|寸',
    "foot": "ft|feet|foot|英尺",
    "yard": "yards?",
    "milligram": "mg|milligrams?|毫克",
    "microgram": "µg|μg|mcg|micrograms?|微克",
    "kilogram": "kgs?|kilograms?|kilos?|公斤|千克",
    "gram": "(?-i:g)|grams?|克(?![服制])",
    "metric_ton": "tonnes?|吨",
    "pound": "lbs?|pounds?",
    "fluid_ounce": "fl\\.? ?oz|fluid ounces?",
    "ounce": "oz|ounces?|盎司",
    "half_kilogram": "斤",
    "milliliter": "(?-i:ml|mL|ML)|millilit(?:re|er)s?|毫升",
    "centiliter": "cl|centilit(?:re|er)s?",
    "liter": "(?-i:l|L)|lit(?:re|er)s?|升(?![级降])",
    "second": "(?-i:s)|secs?|seconds?|秒钟?",
    "minute": "mins?|minutes?|分钟",
    "hour": "(?-i:h)|hrs?|hours?|个?小时",
    "day": "days?|nights?|天(?![然鹅蓝空])",
    "week": "weeks?|周(?![边围])|个?星期",
    "month": "months?|个月|月龄",
    "year": "years?|yrs?|年(?![级龄份])|岁|周岁",
    "volt": "(?-i:V)|volts?|伏特?",
    "milliampere_hour": "mah|milliamp(?:ere)?[- ]hours?|毫安时",
    "ampere_hour": "ah|amp(?:ere)?[- ]hours?|安时",
    "milliampere": "mA|milliamps?|毫安",
    "ampere": "(?-i:A)|amps?|安(?!全|装|静|心|全|卓)",
    "watt_hour": "wh|watt[- ]hours?|瓦时",
    "kilowatt": "kw|kilowatts?|千瓦",
    "watt": "(?-i:W)|watts?|瓦",
    "kilohertz": "khz",
    "megahertz": "mhz",
    "gigahertz": "ghz",
    "hertz": "hz|hertz|赫兹",
    "kilocalorie": "kcal|calories|千卡|大卡",
    "kilojoule": "kj|kilojoules?|千焦",
    "newton_meter": "(?-i:Nm)|N·m|newton[- ]met(?:re|er)s?|牛米",
    "@byte_mega": "(?-i:MB)|megabytes?",
    "@byte_giga": "(?-i:GB)|gigabytes?",
    "@byte_tera": "(?-i:TB)|terabytes?",
    "@decibel": "db|decibels?|分贝",
    "@celsius": "° ?c|℃|摄氏度|degrees?(?: celsius)?|°|度(?![假过])",
    "@fahrenheit": "° ?f|degrees? fahrenheit|华氏度",
    "@percent": "%|percent|per cent|％",
    "@lumen": "lm|lumens?|流明",
    "@kelvin": "(?-i:K)|kelvin",
    "@hrc": "hrc",
    "@atmosphere": "atm",
    "@rpm": "rpm|转/分钟?|转每分钟?",
    "@beaufort": "beaufort",
    "@megapixel": "mp|megapixels?|万像素",
    "@point": "磅",
    "@kmh": "km/h|kph",
    "@mph": "mph",
    "@money": "dollars?|euros?|元(?!素|气|宝)|块钱",
}
_registry.define("half_kilogram = 0.5 * kilogram")
_registry.define("newton_meter = newton * meter")
#: Units of the imperial system: a figure that was converted into or out of them is rounded.
ROUNDED = frozenset(("inch", "foot", "yard", "pound", "ounce", "fluid_ounce"))
CURRENCY = "[$£€¥￥]"
#: Chinese words of a count: a numeral before one of them is a number, elsewhere it is part of an idiom.
COUNTERS = "[个种款件片包盒支只双层档块颗条套瓶罐张本页枚次位人道幅倍项步段套]"
_CHINESE = "[一二两三四五六七八九十百千万半]"
_IDIOMS = re.compile(
    "一(?:个|种|款|件|片|包|盒|支|只|双|层|档|块|颗|条|套|瓶|罐|张|本|页|枚|次|位|人|道|幅|项|步|段|年|天)"
)
_WIDE = str.maketrans("０１２３４５６７８９．％", "0123456789.%")
NUMBER = r"\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?"
_SCALES = {"百": 100, "千": 1_000, "万": 10_000, "亿": 100_000_000}
_RANGE = re.compile(r"\s*(?:-|–|—|~|～|to|and|or|x|×|\*|by|至|到|/)\s*", re.IGNORECASE)
_LIST_MARK = re.compile(r"^[ \t]*\d{1,2}[.)、．](?!\d)", re.MULTILINE)


@dataclass(frozen=True)
class Figure:
    """A figure of a text.

    Args:
        begin, end: of its characters.
        written: as the text has it.
        value: in `unit`.
        unit: a key of :data:`UNITS`; empty for a bare number, ``code`` for letters and digits in one word.
        digits: that stand behind the decimal point.
        inherited: the unit stands behind a later number of the same range: ``2 to 5 m``.
    """

    begin: int
    end: int
    written: str
    value: float
    unit: str = ""
    digits: int = 0
    inherited: bool = False

    @property
    def dimension(self) -> str:
        """What the unit measures; units of one dimension can be compared."""
        return _dimension(self.unit)

    @property
    def base(self) -> float:
        """The value in the base unit of its dimension."""
        return self.value * _factor(self.unit) + (-160 / 9 if self.unit == "@fahrenheit" else 0)

    def equals(self, other: Figure) -> bool:
        """Whether both say the same, a conversion between metric and imperial units being rounded."""
        if self.dimension != other.dimension:
            return False
        if self.unit == "code":
            return _code(self.written) == _code(other.written)
        if (self.unit in ROUNDED) == (other.unit in ROUNDED):
            return abs(self.base - other.base) <= 1e-6 * max(abs(self.base), abs(other.base))
        converted = (other.base - (self.base - self.value * _factor(self.unit))) / _factor(self.unit)
        close = abs(converted - self.value) <= 0.025 * abs(converted)
        return close and round(converted, self.digits) == round(self.value, self.digits)


def _code(word: str) -> str:
    return re.sub(r"[\W_]", "", word).casefold()


@cache
def _dimension(unit: str) -> str:
    if unit.startswith("@byte"):
        return "@byte"
    if unit in ("@celsius", "@fahrenheit"):
        return "@temperature"
    if unit in ("", "code") or unit.startswith("@"):
        return unit
    if unit in ("kilocalorie", "kilojoule"):
        return "food energy"
    return str(_registry.Unit(unit).dimensionality)


@cache
def _factor(unit: str) -> float:
    """How many base units one of this is."""
    bytes_ = {"@byte_mega": 1.0, "@byte_giga": 1e3, "@byte_tera": 1e6, "@fahrenheit": 5 / 9}
    if unit in ("", "code") or unit.startswith("@"):
        return bytes_.get(unit, 1.0)
    return float(_registry.Quantity(1, unit).to_base_units().magnitude)


@cache
def _unit_pattern() -> tuple[re.Pattern[str], dict[str, str]]:
    """A unit directly behind a number, the longest way of writing first; group → the unit's name."""
    ways = [(name, way) for name, pattern in UNITS.items() for way in _alternatives(pattern)]
    ways.sort(key=lambda item: -len(re.sub(r"\(\?-?i?[:!=]?|[\\()?|]", "", item[1].split("(?!")[0])))
    groups = "|".join(f"(?P<u{number}>{way})" for number, (_, way) in enumerate(ways))
    pattern = re.compile(rf"[\s-]?(?:{groups})(?:(?<![A-Za-z])|(?![A-Za-z0-9]))", re.IGNORECASE)
    return pattern, {f"u{number}": name for number, (name, _) in enumerate(ways)}


def _alternatives(pattern: str) -> list[str]:
    """The pattern's alternatives on its first level."""
    parts, depth, begin = [], 0, 0
    for at, sign in enumerate(pattern):
        depth += (sign in "([") - (sign in ")]")
        if sign == "|" and depth == 0:
            parts.append(pattern[begin:at])
            begin = at + 1
    return [*parts, pattern[begin:]]


def _unit_at(text: str, at: int) -> tuple[str, int] | None:
    """Name and end of the unit that begins there."""
    pattern, names = _unit_pattern()
    found = pattern.match(text, at)
    if found is None or found.lastgroup is None:
        return None
    return names[found.lastgroup], found.end()


@cache
def english_numerals() -> dict[str, float]:
    """English numerals from two to 999 and whole thousands to a hundred thousand → value."""
    table = {"dozen": 12.0, "a dozen": 12.0}
    for number in [*range(2, 1000), *(n * 1000 for n in range(1, 101))]:
        words = num2words(number)
        table |= {way: float(number) for way in (words, words.replace(" and ", " "), words.replace("-", " "))}
    return table


@cache
def _english_pattern() -> re.Pattern[str]:
    words = sorted(map(re.escape, english_numerals()), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(words)}|one|half an?)(?![A-Za-z])", re.IGNORECASE)


def normal(text: str) -> str:
    """The text with full-width digits made narrow, character by character, so that places stay."""
    return text.translate(_WIDE)


def figures(text: str) -> list[Figure]:
    """The figures of a text in their order."""
    text = normal(text)
    marks = [found.span() for found in _LIST_MARK.finditer(text)]
    taken: list[tuple[int, int]] = list(marks)
    found: list[Figure] = []
    for read in (_codes, _numbers, _english, _chinese):
        for figure in read(text):
            if all(figure.end <= begin or figure.begin >= end for begin, end in taken):
                taken.append((figure.begin, figure.end))
                found.append(figure)
    return _with_ranges(text, sorted(found, key=lambda figure: figure.begin))


def _codes(text: str) -> Iterator[Figure]:
    """Words of letters and digits: a model number, a rating, a format."""
    for found in re.finditer(r"(?<![A-Za-z0-9])\d-in-\d(?![A-Za-z0-9])", text):
        yield Figure(found.start(), found.end(), found[0], 0.0, "code")
    for found in re.finditer(r"(?<![A-Za-z0-9.-])[A-Za-z]+-?\d[A-Za-z0-9]*(?:-\d+)?", text, re.ASCII):
        yield Figure(found.start(), found.end(), found[0], 0.0, "code")
    for found in re.finditer(r"(?<![A-Za-z0-9.,])\d+(?:\.\d+)?-?[A-Za-z]+[A-Za-z0-9]*", text, re.ASCII):
        number = re.match(NUMBER, found[0])
        if (
            number
            and _unit_at(text, found.start() + number.end()) is None
            and not found[0][number.end() :].startswith("-")
        ):
            ordinal = re.fullmatch(r"\d+(?:st|nd|rd|th|s|x)", found[0], re.IGNORECASE)
            if not ordinal:
                yield Figure(found.start(), found.end(), found[0], 0.0, "code")


def _numbers(text: str) -> Iterator[Figure]:
    for found in re.finditer(NUMBER, text):
        if re.match(r"(?:st|nd|rd|th)\b", text[found.end() :]) or text[: found.start()].endswith("第"):
            continue
        plain = re.sub(r"[,\s]", "", found[0])
        value, end = float(plain), found.end()
        scale = re.match(r"\s?([百千万亿])(?!像素|[克瓦卡焦米])", text[end:])
        if scale:
            value, end = value * _SCALES[scale[1]], end + scale.end()
        yield _figure(text, found.start(), end, value, len(plain.partition(".")[2]))


def _figure(text: str, begin: int, end: int, value: float, digits: int = 0) -> Figure:
    """A number with the unit that follows it, if one does, or the currency before it."""
    before = re.search(rf"{CURRENCY}\s?$", text[:begin])
    if before:
        return Figure(before.start(), end, text[before.start() : end], value, "@money", digits)
    unit = _unit_at(text, end)
    if unit is None or _is_calendar_year(text, value, unit[0]):
        return Figure(begin, end, text[begin:end], value, "", digits)
    return Figure(begin, unit[1], text[begin : unit[1]], value, unit[0], digits)


def _is_calendar_year(text: str, value: float, unit: str) -> bool:
    return unit == "year" and 1900 <= value <= 2100


def _english(text: str) -> Iterator[Figure]:
    for found in _english_pattern().finditer(text):
        word = found[0].casefold()
        if word.startswith("half"):
            unit = _unit_at(text, found.end())
            if unit:
                yield Figure(found.start(), unit[1], text[found.start() : unit[1]], 0.5, unit[0], 1)
            continue
        figure = _figure(text, found.start(), found.end(), english_numerals().get(word, 1.0))
        if word != "one" or (figure.unit and not re.search(r"day|night|second|foot", figure.written)):
            yield figure


def _chinese(text: str) -> Iterator[Figure]:
    for found in re.finditer(f"百分之({_CHINESE}+|\\d+)", text):
        value = _chinese_value(found[1])
        if value is not None:
            yield Figure(found.start(), found.end(), found[0], value, "@percent")
    for found in re.finditer(f"(?<!第){_CHINESE}+", text):
        if _IDIOMS.match(text, found.start()) or re.match("一年四季|一日三餐|十分(?!钟)|半天", text[found.start() :]):
            continue
        unit, counted = _unit_at(text, found.end()), re.match(COUNTERS, text[found.end() :])
        value = _chinese_value(found[0])
        if value is None or (unit is None and not counted) or (found[0] == "半" and unit is None):
            continue
        yield _figure(text, found.start(), found.end(), value, 1 if "半" in found[0] else 0)


def _chinese_value(word: str) -> float | None:
    if word.isdigit():
        return float(word)
    if word == "半":
        return 0.5
    try:
        return float(cn2an.cn2an(word.replace("半", ""), "smart"))
    except ValueError:
        return None


def _with_ranges(text: str, found: list[Figure]) -> list[Figure]:
    """A bare number before ``to 5 m`` has that unit too."""
    for at in range(len(found) - 2, -1, -1):
        first, second = found[at], found[at + 1]
        joined = _RANGE.fullmatch(text[first.end : second.begin])
        if joined and not first.unit and second.unit not in ("", "code", "@money"):
            found[at] = Figure(first.begin, first.end, first.written, first.value, second.unit, first.digits, True)
    return found

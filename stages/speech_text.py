"""Copy as it is read aloud: numbers, sizes, prices and signs in words, sentence by sentence. American English."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from num2words import num2words

#: Longest piece that is spoken in one go, in characters: the voice loses its breath in longer ones.
MAX_SENTENCE = 300

#: Unit → its name for one and for more; after a number only. Case counts where it tells units apart.
UNITS = {
    "mm": ("millimeter", "millimeters"),
    "cm": ("centimeter", "centimeters"),
    "m": ("meter", "meters"),
    "km": ("kilometer", "kilometers"),
    "in": ("inch", "inches"),
    '"': ("inch", "inches"),
    "″": ("inch", "inches"),
    "ft": ("foot", "feet"),
    "'": ("foot", "feet"),
    "′": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "cm²": ("square centimeter", "square centimeters"),
    "m²": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"),
    "sq ft": ("square foot", "square feet"),
    "g/m²": ("gram per square meter", "grams per square meter"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "kg": ("kilogram", "kilograms"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "fl oz": ("fluid ounce", "fluid ounces"),
    "ml": ("milliliter", "milliliters"),
    "cl": ("centiliter", "centiliters"),
    "dl": ("deciliter", "deciliters"),
    "l": ("liter", "liters"),
    "L": ("liter", "liters"),
    "gal": ("gallon", "gallons"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "Wh": ("watt hour", "watt hours"),
    "V": ("volt", "volts"),
    "A": ("amp", "amps"),
    "mA": ("milliamp", "milliamps"),
    "mAh": ("milliamp hour", "milliamp hours"),
    "Ah": ("amp hour", "amp hours"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "MP": ("megapixel", "megapixels"),
    "px": ("pixel", "pixels"),
    "dB": ("decibel", "decibels"),
    "lm": ("lumen", "lumens"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "bar": ("bar", "bars"),
    "psi": ("pound per square inch", "pounds per square inch"),
    "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "°": ("degree", "degrees"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "sec": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"),
    "pc": ("piece", "pieces"),
    "pcs": ("piece", "pieces"),
    "%": ("percent", "percent"),
    "‰": ("per mille", "per mille"),
}
#: Sign → main unit and its hundredth, each for one and for more.
CURRENCIES = {
    "$": (("dollar", "dollars"), ("cent", "cents")),
    "€": (("euro", "euros"), ("cent", "cents")),
    "£": (("pound", "pounds"), ("penny", "pence")),
    "¥": (("yen", "yen"), ("sen", "sen")),
}
_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
#: Written short, said in full; case does not count.
_SHORT = {
    "e.g.": "for example",
    "i.e.": "that is",
    "etc.": "et cetera",
    "approx.": "approximately",
    "incl.": "including",
    "excl.": "excluding",
    "vs.": "versus",
    "dia.": "diameter",
    "w/o": "without",
    "w/": "with ",
    "Ø": "diameter",
    "&": " and ",
    "@": " at ",
}
#: Capitals that are read letter by letter though they could be said as a word.
_SPELLED = ("LED", "LCD", "USB", "TV", "PC", "HD", "UHD", "HDMI", "GPS", "DIY", "UV", "AC", "DC", "ID", "IP", "SIM",
            "EU", "UK", "US", "BBQ", "RGB", "SSD", "CD", "DVD", "RV", "SUV", "ATV", "MDF", "ABS", "NFC", "AI", "RJ",
            "XL", "XXL", "CC", "FM", "QR", "SD", "HP", "LG", "OLED", "UPS", "EV", "EAN", "ISO", "IR")  # fmt: skip
_FRACTIONS = {"1/2": "one half", "1/3": "one third", "2/3": "two thirds", "1/4": "one quarter", "3/4": "three quarters"}

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
# "in" is a unit where no further word follows, or close to its number: "24in wide" but not "2 in the box".
_IN = r"(?<=\d)in|in(?=\s*(?:[.,;:)x×]|$))"
_UNIT = "|".join(_IN if unit == "in" else re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_AFTER = r"(?![\w²³])"


def sentences(text: str) -> list[str]:
    """The text's sentences as they are said; what is left blank is dropped, and what is too long is cut at a pause.

    Numbers, sizes, prices and signs are in words, list marks and emphasis are gone.
    """
    said = []
    for line in text.splitlines():
        # A line without a full stop (a heading, an item of a list) is a sentence of its own.
        for sentence in re.split(r"(?<=[.!?…])(?<!\bNo\.)(?<!\bapprox\.)[\"')\]”’]*\s+(?=[^a-z])", _plain(line)):
            said += _cut(speakable(sentence))
    return said


def speakable(text: str) -> str:
    """One sentence with everything in words: ``Only $9.50, 3 x 4 cm`` → ``Only nine dollars and fifty cents, …``."""
    text = _plain(text)
    for short, full in _SHORT.items():
        text = re.sub(rf"(?<!\w){re.escape(short)}", full, text, flags=re.IGNORECASE)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = re.sub(r"[^\w\s.,;:!?'-]|_", " ", text)
    text = re.sub(r"\s+([.,;:!?])", r"\1", " ".join(text.split()))
    return text if re.search(r"\w", text) else ""


def _plain(text: str) -> str:
    """One kind of quotes and dashes, no marks of lists or emphasis, no emoji."""
    text = re.sub(r"^\s*(?:[-*•–—]|#{1,6}|\d{1,2}[.)])\s+", "", text)
    text = re.sub(r"(\*\*|__|`)", "", text)
    for fraction, written in zip("½⅓⅔¼¾", _FRACTIONS, strict=True):
        text = re.sub(rf"(\d)\s*{fraction}", rf"\1 and {_FRACTIONS[written]}", text)
        text = text.replace(fraction, _FRACTIONS[written])
    text = text.translate({ord("“"): '"', ord("”"): '"', ord("’"): "'", ord("‘"): "'", 0x2011: "-", 0xA0: " "})
    text = re.sub(r'(?<!\d)"([^"]*)"', r"\1", text)  # what is left stands for inches
    text = re.sub(r"\s*—\s*|\s+–\s+|\s+-\s+", ", ", text)
    text = unicodedata.normalize("NFC", text)
    text = "".join(unicodedata.normalize("NFKC", c) if c.isalpha() else c for c in text)  # 𝐛𝐨𝐥𝐝 and ｗｉｄｅ letters
    return "".join(c for c in text if c == "°" or unicodedata.category(c) not in ("So", "Cf", "Cc", "Co", "Cs"))


def _cut(sentence: str) -> list[str]:
    """Pieces of at most :data:`MAX_SENTENCE` characters, cut at a pause where there is one, else between words."""
    pieces = []
    while len(sentence) > MAX_SENTENCE:
        head = sentence[:MAX_SENTENCE]
        at = max(head.rfind(mark) for mark in (", ", "; ", ": ")) + 1
        at = at or head.rfind(" ") if at < MAX_SENTENCE // 3 else at
        at = at if at > 0 else MAX_SENTENCE
        pieces.append(sentence[:at].strip())
        sentence = sentence[at:].strip()
    return [*pieces, sentence] if sentence else pieces


def words(number: str) -> str:
    """A number in words, American: ``1,250.5`` → ``one thousand two hundred fifty point five``."""
    whole, _, decimals = number.replace(",", "").partition(".")
    if len(whole) > 12:
        return " ".join(num2words(int(digit)) for digit in whole)
    said = num2words(int(whole)).replace(",", "").replace(" and ", " ")
    return f"{said} point {' '.join(num2words(int(digit)) for digit in decimals)}" if decimals else said


def _amount(match: re.Match[str]) -> str:
    return f"{words(match[1])} {UNITS[match[2]][match[1] != '1']}"


def _range(match: re.Match[str]) -> str:
    unit = f" {UNITS[match[3]][1]}" if match[3] else ""
    return f"{words(match[1])} to {words(match[2])}{unit}"


def _size(match: re.Match[str]) -> str:
    """``120 x 60 cm`` and ``4x4``; a unit after each number or after the last."""
    parts = re.findall(rf"({_NUMBER})\s*({_UNIT})?", match[0])
    return " by ".join(f"{words(n)} {UNITS[u][n != '1']}" if u else words(n) for n, u in parts)


def _price(sign: str, number: str) -> str:
    (one, more), (hundredth, hundredths) = CURRENCIES[_CODES.get(sign, sign)]
    whole, _, cents = number.replace(",", "").partition(".")
    said = f"{words(whole)} {one if whole == '1' else more}"
    if cents and int(cents):
        return f"{said} and {words(str(int(cents)))} {hundredth if int(cents) == 1 else hundredths}"
    return said


def _year(match: re.Match[str]) -> str:
    return num2words(int(match[0]), to="year").replace(",", "").replace(" and ", " ")


def _spell(match: re.Match[str]) -> str:
    return " ".join(match[0])


def _letters_and_digits(match: re.Match[str]) -> str:
    """``RJ45`` → ``RJ 45``, ``4K`` → ``4 K``, ``X200s`` → ``X 200 s``."""
    return " ".join(re.findall(r"\d+|[^\W\d]+", match[0]))


_SIGNS = rf"[{''.join(CURRENCIES)}]|{'|'.join(_CODES)}"
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?:#|\bNo\.)\s*(?=\d)"), "number "),
    (re.compile(rf"(?<!\w)({_SIGNS})\s?({_NUMBER})"), lambda m: _price(m[1], m[2])),
    (re.compile(rf"(?<![\w.])({_NUMBER})\s?({_SIGNS})(?!\w)"), lambda m: _price(m[2], m[1])),
    (
        re.compile(
            rf"(?<![\w.])(?:{_NUMBER})\s*(?:{_UNIT})?"
            rf"(?:\s*[x×*]\s*(?:{_NUMBER})(?!\d)(?:\s*(?:{_UNIT}){_AFTER})?)+(?!\w)"
        ),
        _size,
    ),
    (re.compile(r"(?<![\w.])(\d+)\s?[x×](?=\s+[A-Za-z])"), lambda m: f"{words(m[1])} times"),
    (re.compile(rf"(?<![\w.])({_NUMBER})\s?[-–]\s?({_NUMBER})(?:\s?({_UNIT}))?{_AFTER}(?!-)"), _range),
    (re.compile(rf"(?<![\w.,])[-−](?={_NUMBER})"), "minus "),
    (re.compile(r"(?<![\w./])([123]/[234])(?![\w/])"), lambda m: _FRACTIONS.get(m[1], m[1])),
    (re.compile(rf"\b(half|third|quarter)\s({_UNIT}){_AFTER}"), lambda m: f"{m[1]} {UNITS[m[2]][0]}"),
    (re.compile(r"(?<![\w.])(\d+):(\d+)(?!\w)"), lambda m: f"{words(m[1])} by {words(m[2])}"),
    (re.compile(rf"(?<![\w.])({_NUMBER})[\s-]?({_UNIT}){_AFTER}"), _amount),
    (re.compile(r"\b(\d+)(?:st|nd|rd|th)\b"), lambda m: num2words(int(m[1]), to="ordinal").replace(" and ", " ")),
    (re.compile(r"(?<=\d)\s*\+(?!\w)|\s\+(?=\s)"), " plus"),
    (re.compile(r"\b(?=\w*\d)(?=\w*[^\W\d_])\w+\b"), _letters_and_digits),
    (re.compile(r"(?<![\w.,])(?:1[6-9]|20)\d\d(?![\w%]|[.,]\d)"), _year),
    (re.compile(rf"(?<![\w.])(?:{_NUMBER})"), lambda m: words(m[0])),
    (re.compile(r"\d+"), lambda m: f" {words(m[0])} "),  # what is left: versions, codes
    (re.compile(r"(?<=\w)/(?=\w)"), " or "),
    # Letter by letter: the known ones, and what has no vowel and so could not be said.
    (re.compile(rf"\b(?:{'|'.join(_SPELLED)}|[B-DF-HJ-NP-TV-XZ]{{2,5}})\b"), _spell),
)

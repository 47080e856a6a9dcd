"""Chinese copy as it is read aloud: numbers, sizes, prices and signs in characters, sentence by sentence; and as
phonemes, with the English words between.

Numbers by cn2an, words by rjieba, pinyin by pypinyin, and its phonemes by misaki (Apache-2.0), as Kokoro was trained.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cn2an
import rjieba
import yaml
from misaki.transcription import pinyin_to_ipa
from pypinyin import Style, lazy_pinyin

from stages.text import HAN

#: Digits of the shortest number that is no amount but a code, read digit by digit.
CODE_DIGITS = 9
#: Words before which two is 两; after 第 it is 二 all the same.
_COUNTED = (
    "个只条件套层款种片支瓶盒袋包张把台部对口倍位岁次粒颗枚杯壶节组卷根块本页档级路头门双"
    "米升斤公千厘毫克吨天周小分秒平立英万年步"
)
_PLAIN = str.maketrans(
    dict.fromkeys('·《》「」『』“”"', " ")
    | dict.fromkeys("、—()[]【】", ", ")
    | dict.fromkeys("。…", ". ")
    | dict.fromkeys("–−", "-")
    | dict.fromkeys("～〜", "~")
    | dict.fromkeys("‘’", "'")
    | {"⁄": "/"}
)
_TONES = (("˧˩˧", "↓"), ("˧˥", "↗"), ("˥˩", "↘"), ("˥", "→"))
#: Syllabic consonants and the mark of a glide → as Kokoro's vocabulary writes them.
_SIGNS = {"ɻ̩": "ɨ", "ɹ̩": "ɨ", "̯": ""}
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"


@lru_cache(1)
def _names() -> dict[str, dict[str, str]]:
    return yaml.safe_load(Path(__file__).with_name("mandarin.yaml").read_text("utf-8"))


def sentences(text: str) -> list[str]:
    """The text's sentences as they are said: Chinese characters, English words, and the pauses ``,.!?;:``."""
    said = []
    for line in text.splitlines():
        for sentence in re.split(r"(?<=[。！？!?；;…])\s*|(?<=[.])\s+", _unmarked(line)):
            if spoken := speakable(sentence):
                said.append(spoken)
    return said


def _unmarked(line: str) -> str:
    """Without marks of lists and emphasis, and emoji."""
    line = re.sub(r"\*\*|__|`", "", line)
    line = re.sub(r"^\s*(?:[-*•–—]\s+|#{1,6}\s*|\d{1,2}[.)、](?!\d)\s*)", "", line)
    line = re.sub(rf"(?<=[{HAN}])\s+(?=[{HAN}])", ", ", line)
    return "".join(c for c in line if c in "°℃℉" or unicodedata.category(c) not in ("So", "Cf", "Cc", "Co", "Cs"))


def speakable(text: str) -> str:
    """One sentence without figures or signs: ``净重1.5kg，仅¥99`` → ``净重一点五公斤, 仅九十九元``."""
    text = re.sub(r"(\d)\s*([½⅓⅔¼¾])", lambda m: f"{m[1]}又{unicodedata.normalize('NFKC', m[2])}", text)
    text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)  # of every script
    text = re.sub(r"(?<=[\da-zA-Z])\s*[*×✕]\s*(?=\d)", "x", text)
    for pattern, replacement in _rules():
        text = pattern.sub(replacement, text)
    text = re.sub(rf"[^\w\s,.!?;:'{HAN}]|_", " ", text)
    text = re.sub(rf"(?<=[{HAN}])\s+(?=[{HAN}])", "", " ".join(text.split()))
    text = re.sub(r"\s*([,.;:!?])[\s,.;:!?]*", r"\1 ", text).strip(" ,;:")
    return text if re.search(r"\w", text) else ""


def number(written: str) -> str:
    """A number in characters: ``1,250.5`` → ``一千二百五十点五``.

    A long one, and one that begins with a nought, is read digit by digit.
    """
    plain = written.replace(",", "")
    whole = plain.partition(".")[0]
    if len(whole) >= CODE_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        return digits(plain)
    said = cn2an.an2cn(plain)
    return f"两{said[1:]}" if re.match("二[千万亿]", said) else said


def digits(written: str) -> str:
    """Digit by digit: ``2024`` → ``二零二四``."""
    return "".join("点" if digit == "." else cn2an.an2cn(digit) for digit in written if digit.isdigit() or digit == ".")


def _amount(written: str, unit: str) -> str:
    return ("两" if unit and written == "2" else number(written)) + unit


def _size(match: re.Match[str]) -> str:
    """``120x60x75cm``: the unit after each number or after the last."""
    units = _names()["units"]
    parts = re.findall(rf"({_NUMBER})\s*({_unit()})?", match[0])
    return "乘".join(number(n) + units.get(u, "") for n, u in parts)


def _range(match: re.Match[str]) -> str:
    first, one, last, unit = match.groups()
    name = _names()["units"].get(unit or "", "")
    if name == "百分之":
        return f"百分之{number(first)}到百分之{number(last)}"
    below = _names()["units"].get(one or "", "")
    return f"{number(first)}{below if below != name else ''}到{number(last)}{name}"


def _measured(match: re.Match[str]) -> str:
    written, unit = match.groups()
    name = _names()["units"][unit]
    return f"{name}{number(written)}" if name in ("百分之", "千分之") else _amount(written, name)


def _model(match: re.Match[str]) -> str:
    """``MX-200`` → ``M X 二零零``: digits beside letters are read one by one, letters by their names."""
    return "".join(
        f" {digits(part)} " if part[0].isdigit() else f" {part if len(part) > 3 else ' '.join(part.upper())} "
        for part in re.findall(r"\d+(?:\.\d+)?|[A-Za-z]+", match[0])
    )


@lru_cache(1)
def _unit() -> str:
    return "|".join(re.escape(unit) for unit in sorted(_names()["units"], key=len, reverse=True))


@lru_cache(1)
def _rules() -> tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]:
    names, after = _names(), r"(?![A-Za-z\d])"
    unit = rf"(?:{_unit()}){after}"
    sign = "|".join(re.escape(sign) for sign in names["currencies"])
    return (
        (re.compile(r"\d+(?:\.\d+){2,}"), lambda m: digits(m[0])),
        (re.compile(r"(?<![\d.A-Za-z])([2-6])G(?![A-Za-z])"), lambda m: f"{digits(m[1])} G "),
        (re.compile(r"(?<![\d.A-Za-z])(\d{4,5})K(?![A-Za-z])"), lambda m: f"{number(m[1])} K "),
        (re.compile(r"[φΦØ]"), "直径"),
        (re.compile(r"(?:[Nn]o\.|#|№)\s*(\d+)"), lambda m: f"{number(m[1])}号"),
        (
            re.compile(rf"(?<![A-Za-z])({sign})\s?({_NUMBER})(?:\s*(?:元|块))?"),
            lambda m: number(m[2]) + names["currencies"][m[1]],
        ),
        (
            re.compile(rf"(?<![\d.A-Za-z])({_NUMBER})\s?({sign})(?![A-Za-z])"),
            lambda m: number(m[1]) + names["currencies"][m[2]],
        ),
        (
            re.compile(
                rf"(?<![A-Za-z\d.])(?:{_NUMBER})\s*(?:{_unit()})?(?:\s*[xX]\s*(?:{_NUMBER})\s*(?:{unit})?)+(?![A-Za-z\d])"
            ),
            _size,
        ),
        (re.compile(r"(?<!\d)([01]?\d|2[0-4]):([0-5]\d)(?![\d:])"), _time),
        (re.compile(r"(?<![\d:])(\d+):(\d+)(?![\d:])"), lambda m: f"{number(m[1])}比{number(m[2])}"),
        (
            re.compile(
                rf"(?<![A-Za-z\d.-])(-)?({_NUMBER})\s?(?:°C|摄氏度|°)\s*[~到至-]\s*(-)?({_NUMBER})\s?(?:°C|摄氏度|°)"
            ),
            lambda m: f"{'零下' * bool(m[1])}{number(m[2])}到{'零下' * bool(m[3])}{number(m[4])}摄氏度",
        ),
        (
            re.compile(rf"(?<![A-Za-z\d.])-({_NUMBER})\s?(°C|°F|摄氏度|度)"),
            lambda m: f"零下{number(m[1])}{names['units'].get(m[2], m[2])}",
        ),
        (
            re.compile(
                rf"(?<![A-Za-z\d.])({_NUMBER})\s?({_unit()})?\s?[~-]\s?({_NUMBER})(?:\s?({_unit()}){after})?(?![\dA-Za-z-])"
            ),
            _range,
        ),
        (
            re.compile(rf"(?<![\d/])({_NUMBER})/({_NUMBER})\s?({unit})"),
            lambda m: f"{number(m[1])}或{number(m[2])}{names['units'][m[3]]}",
        ),
        (re.compile(r"(?<![\d/])([1-9])/([2-9]|10)(?![\d/])"), lambda m: f"{number(m[2])}分之{number(m[1])}"),
        (re.compile(r"(?<!\d)((?:1[6-9]|20)\d\d)(?=\s?年)"), lambda m: digits(m[1])),
        (re.compile(rf"(?<![A-Za-z\d.])({_NUMBER})\s?({_unit()}){after}"), _measured),
        (
            re.compile(r"(?<![A-Za-z\d])(?=[A-Za-z\d.-]*\d)(?=[A-Za-z\d.-]*[A-Za-z])[A-Za-z\d]+(?:[.-][A-Za-z\d]+)*"),
            _model,
        ),
        (re.compile(rf"(?<![第\d.])2(?=\s?[{_COUNTED}])"), "两"),
        (re.compile(rf"(?<![\d.{HAN}])-(?=\d)"), "负"),
        (re.compile(_NUMBER), lambda m: number(m[0])),
        (re.compile(r"\s*\+\s*"), "加"),
        (re.compile(r"\s*&\s*"), "和"),
        (re.compile(rf"(?<=[{HAN}])/(?=[个只盒瓶袋包箱件套片支张次天年月日斤米升克人双对])"), "每"),
        (re.compile(r"≥"), "不少于"),
        (re.compile(r"≤"), "不超过"),
        (re.compile(r"≈"), "约"),
        (re.compile(r"±"), "正负"),
        (re.compile(r"%"), "百分号"),
        (re.compile(rf"[~/|]|(?<=[{HAN}])[-x](?=[{HAN}])"), ", "),
    )


def _time(match: re.Match[str]) -> str:
    """``10:30`` → ``十点三十分``; ``16:09`` too, but ``16:9`` is a ratio."""
    minutes = "整" if match[2] == "00" else f"{'零' * (match[2][0] == '0')}{number(str(int(match[2])))}分"
    return f"{number(str(int(match[1])))}点{minutes}"


def transcribe(sentence: str, foreign: Callable[[str], str]) -> str:
    """The phonemes of a sentence of :func:`sentences`, in Kokoro's signs, tones as arrows.

    Args:
        foreign: the phonemes of a run of words in Latin letters.
    """
    said = []
    for run in re.finditer(rf"([{HAN}]+)|([^{HAN},.!?;:]+)|([,.!?;:]+)\s*", sentence):
        if run[1]:
            said.append(" ".join(_word(word) for word in rjieba.cut(run[1])))
        elif run[2]:
            said.append(f" {foreign(run[2])} " if run[2].strip() else " ")
        else:
            said.append(run[3][0] + " ")
    return re.sub(r"\s+([,.!?;:])", r"\1", " ".join("".join(said).split()))


@lru_cache(maxsize=20_000)
def _word(word: str) -> str:
    syllables = lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, errors="ignore")
    return "".join(_syllable(syllable) for syllable in syllables)


@lru_cache(maxsize=5_000)
def _syllable(pinyin: str) -> str:
    phonemes = "".join(pinyin_to_ipa(pinyin)[0])
    for tone, arrow in _TONES:
        phonemes = phonemes.replace(tone, arrow)
    for sign, plain in _SIGNS.items():
        phonemes = phonemes.replace(sign, plain)
    return phonemes

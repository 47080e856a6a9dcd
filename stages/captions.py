"""Captions: the copy as cards of white letters on a dark band, and as a track that a player shows.

Letters come from Noto Sans CJK, which has Latin and Chinese ones, pictographs from Noto Emoji, in one colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby

import manimgx_fonts
import noto_cjk_sans_otc
from PIL import Image, ImageDraw, ImageFont

LINES = 3  # of a caption at most
BAND = (0, 0, 0, 168)  # white on it has a contrast of 7 or more over white
SIMPLIFIED_CHINESE = 2  # of the fonts in the collection: Latin letters are the same in all
BOLD = 700
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_KEYCAP = "[0-9#*]\ufe0f?\u20e3"
#: What joins pictographs to one, and has no picture of its own.
_JOINER = r"\u200D\uFE0F\U000E0020-\U000E007F"
_PICTOGRAPHS = re.compile(rf"((?:{_KEYCAP}|[\U0001F000-\U0001FAFF\u2600-\u27BF\u2B00-\u2BFF\u20E3{_JOINER}])+)")
_SIGN = re.compile(rf"{_KEYCAP}|.", re.DOTALL)
#: A letter of a script that has no spaces, or a word with the space behind it.
_UNSPACED = r"\u2E80-\u9FFF\uF900-\uFAFF\uFF00-\uFFEF"
_PART = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+\s*|\s+")

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Caption:
    """What is said from one second to another: its lines."""

    lines: tuple[str, ...]
    begins: float
    ends: float


@dataclass(frozen=True)
class Card:
    """A caption as it is seen: its picture, RGBA, its place in the film, and the seconds of its caption."""

    picture: Image.Image
    place: Box
    begins: float
    ends: float


def sentences(text: str) -> tuple[str, ...]:
    """The text's sentences, without pictographs that there is no glyph for."""
    plain = " ".join(_PICTOGRAPHS.sub(lambda found: "".join(sign for sign, _ in _signs(found[0])), text).split())
    return tuple(part.strip() for part in _SENTENCE.split(plain) if part.strip())


def timed(texts: tuple[str, ...], size: tuple[int, int], seconds: float) -> list[Caption]:
    """The texts broken to a film's width and height, each for its share of the time that all take to be said."""
    broken = _fitting(texts, size)
    total, passed, found = sum(len(line) for lines in broken for line in lines), 0, []
    for lines in broken:
        begins = passed
        passed += sum(map(len, lines))
        found.append(Caption(tuple(lines), seconds * begins / total, seconds * passed / total))
    return found


def card(caption: Caption, size: tuple[int, int]) -> Card:
    """The caption on its band, at the foot of a film."""
    letter = _letter(size)
    height, pad = round(letter * 1.4), round(letter * 0.7)
    width = max(_length(line, letter) for line in caption.lines)
    picture = Image.new("RGBA", size)
    draw = ImageDraw.Draw(picture)
    bottom = size[1] - round(size[1] * 0.07)
    top = bottom - height * len(caption.lines) - 2 * pad
    left = (size[0] - width) / 2 - pad
    draw.rounded_rectangle((left, top, size[0] - left, bottom), radius=pad, fill=BAND)
    for number, line in enumerate(caption.lines):
        x, y = (size[0] - _length(line, letter)) / 2, top + pad + height * (number + 0.5)
        for piece, font in _runs(line, letter):
            draw.text((x, y), piece, "white", font, anchor="lm")
            x += font.getlength(piece)
    place = picture.getbbox() or (0, 0, *size)  # the band is always there
    return Card(picture.crop(place), place, caption.begins, caption.ends)


@cache
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(noto_cjk_sans_otc.FONT_PATH), pixels, index=SIMPLIFIED_CHINESE)


@cache
def _pictographs(pixels: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(str(files(manimgx_fonts) / "NotoEmoji[wght].ttf"), pixels)
    font.set_variation_by_axes([BOLD])
    return font


@cache
def _has(sign: str, pictographs: bool) -> bool:
    """Whether a font has a glyph for what is one sign."""
    font = _pictographs(32) if pictographs else _font(32)
    return bytes(font.getmask(sign)) != bytes(font.getmask("\U000fffff"))


def _signs(run: str) -> Iterator[tuple[str, bool]]:
    """The signs of a run that can be drawn, and whether as a pictograph; stars and ticks are letters' own."""
    for sign in _SIGN.findall(run):
        if re.match(f"[{_JOINER}]", sign) or _has(sign, True):
            yield sign, True
        elif _has(sign, False):
            yield sign, False


def _runs(line: str, pixels: int) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
    """The line in pieces of one font each."""
    for number, piece in enumerate(_PICTOGRAPHS.split(line)):
        for pictograph, signs in groupby(_signs(piece) if number % 2 else [(piece, False)], lambda sign: sign[1]):
            text = "".join(sign for sign, _ in signs)
            if text:
                yield text, _pictographs(pixels) if pictograph else _font(pixels)


def _length(line: str, pixels: int) -> float:
    return sum(font.getlength(piece) for piece, font in _runs(line, pixels))


def _letter(size: tuple[int, int]) -> int:
    return round(min(size) * 0.052)


def _lines(text: str, size: tuple[int, int]) -> list[str]:
    """The text broken to the picture's width: between words, or between letters where a word is too long."""
    letter, most = _letter(size), 0.82 * size[0]
    lines, line = [], ""
    for part in _PART.findall(text):
        for piece in [part] if _length(part.rstrip(), letter) <= most else part:
            if line and _length((line + piece).rstrip(), letter) > most:
                lines.append(line.rstrip())
                line = ""
            line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def _fitting(texts: tuple[str, ...], size: tuple[int, int]) -> list[list[str]]:
    """Texts as lines, a long one as several captions of much the same length."""
    broken = []
    for text in texts:
        lines = _lines(text, size)
        count = -(-len(lines) // LINES)
        each = -(-len(lines) // count)
        broken += [lines[i : i + each] for i in range(0, len(lines), each)]
    return broken

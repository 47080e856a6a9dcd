"""Photos of labels, rendered: flat, turned, in perspective, blurred, under glare; the same seed, the same photo."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import manimgx_fonts
import matplotlib
import noto_cjk_sans_otc
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from skimage.transform import ProjectiveTransform

SIDE = 1_200  # of a photo, in pixels
LABEL = (760, 560)  # of its label
SIZES = (76, 46, 26)  # of brand, name and small print, in pixels
SIMPLIFIED_CHINESE = 2  # of the fonts in Noto's collection
_DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
#: Colours of paper and print.
INKS = [((250, 248, 240), (30, 30, 34)), ((24, 60, 52), (244, 238, 214)), ((214, 190, 150), (60, 34, 20))]
INKS += [((196, 40, 44), (255, 250, 240)), ((236, 240, 246), (20, 52, 120))]


@dataclass(frozen=True)
class Paper:
    """A label as it is printed: RGB, and the colour that it fades into beside it."""

    picture: Image.Image
    table: tuple[int, ...]


def label(lines: list[str], seed: int) -> Paper:
    """A printed label of brand, name and small print; a line that is too long is set smaller."""
    draw_from = random.Random(seed)
    paper, ink = draw_from.choice(INKS)
    fonts = [draw_from.randrange(3) for _ in range(3)]
    picture = Image.new("RGB", LABEL, paper)
    draw = ImageDraw.Draw(picture)
    centred = draw_from.random() < 0.5
    y = 34
    for number, line in enumerate(lines):
        kind = min(number, 2)
        size = SIZES[kind]
        while (font := _font(line, fonts[kind], size)).getlength(line) > LABEL[0] - 60:
            size -= 1
        x = (LABEL[0] - font.getlength(line)) / 2 if centred else 30
        draw.text((x, y), line, ink, font)
        y += round(size * (1.5 if kind < 2 else 1.75))
        if number == 1:
            draw.line((30, y, LABEL[0] - 30, y), ink, 2)
            y += 24
    return Paper(picture, tuple(draw_from.randrange(90, 210) for _ in range(3)))


@cache
def _font(line: str, kind: int, size: int) -> ImageFont.FreeTypeFont:
    """A typeface that has the line's letters: Noto for Chinese, else one of three."""
    if any("\u2e80" <= letter <= "\uffef" for letter in line):
        path = str(files(noto_cjk_sans_otc) / "NotoSansCJK-Regular.ttc")
        return ImageFont.truetype(path, size, index=SIMPLIFIED_CHINESE)
    if kind == 0:
        font = ImageFont.truetype(str(files(manimgx_fonts) / "NotoSans[wght].ttf"), size)
        font.set_variation_by_axes([600.0, 100.0][: len(font.get_variation_axes())])
        return font
    return ImageFont.truetype(str(_DEJAVU / ("DejaVuSerif.ttf", "DejaVuSans-Bold.ttf")[kind - 1]), size)


def _lay(paper: Paper, corners: np.ndarray) -> Image.Image:
    """The label with its corners [4, 2] at these places of a photo, on a table of one colour with some grain."""
    width, height = paper.picture.size
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    back = ProjectiveTransform.from_estimate(corners, source).params
    coefficients = (back / back[2, 2]).ravel()[:8]
    flat = Image.new("L", paper.picture.size, 255)
    how = ((SIDE, SIDE), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    photo = Image.new("RGB", (SIDE, SIDE), paper.table)
    photo.paste(paper.picture.transform(*how), mask=flat.transform(*how))
    return photo


def _placed(turn: float = 0.0, pull: float = 0.0) -> np.ndarray:
    """The label's corners in the photo, turned by degrees, its far side shorter by a share."""
    (width, height), middle = LABEL, SIDE / 2
    x, y = width / 2, height / 2
    corners = np.array([[-x * (1 - pull), -y * (1 - pull / 2)], [x * (1 - pull), -y * (1 - pull)], [x, y], [-x, y]])
    angle = np.deg2rad(turn)
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return corners @ turned + middle


def _grain(photo: Image.Image, seed: int, strength: float = 4.0) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, strength, (SIDE, SIDE, 1))
    return Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8))


def _glare(photo: Image.Image, seed: int) -> Image.Image:
    """A soft light spot over part of the label."""
    place = random.Random(seed)
    x, y = (place.uniform(0.3, 0.7) * SIDE for _ in range(2))
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    spot = np.exp(-((columns - x) ** 2 / (2 * 190**2) + (rows - y) ** 2 / (2 * 120**2)))[..., None]
    return Image.fromarray((np.asarray(photo) * (1 - 0.6 * spot) + 255 * 0.6 * spot).clip(0, 255).astype(np.uint8))


def _small(photo: Image.Image) -> Image.Image:
    """As a small upload is: half the pixels, and those of a JPEG."""
    from io import BytesIO

    file = BytesIO()
    photo.resize((SIDE // 2, SIDE // 2), Image.Resampling.BOX).save(file, "JPEG", quality=60)
    return Image.open(file).convert("RGB")


def _far(photo: Image.Image) -> Image.Image:
    """The label small in a large photo."""
    table = Image.new("RGB", (2 * SIDE, 2 * SIDE), photo.getpixel((0, 0)))
    table.paste(photo, (SIDE // 3, SIDE // 4))
    return table


#: Distortion → the photo of a label, seeded.
DISTORTIONS: dict[str, Callable[[Paper, int], Image.Image]] = {
    "flat": lambda paper, seed: _grain(_lay(paper, _placed()), seed),
    "turned 15°": lambda paper, seed: _grain(_lay(paper, _placed(15 if seed % 2 else -15)), seed),
    "turned 40°": lambda paper, seed: _grain(_lay(paper, _placed(40 if seed % 2 else -40)), seed),
    "on its side": lambda paper, seed: _grain(_lay(paper, _placed(90 if seed % 2 else -90)), seed),
    "upside down": lambda paper, seed: _grain(_lay(paper, _placed(180)), seed),
    "perspective": lambda paper, seed: _grain(_lay(paper, _placed(8 if seed % 2 else -8, 0.3)), seed),
    "blurred": lambda paper, seed: _grain(_lay(paper, _placed()).filter(ImageFilter.GaussianBlur(2.2)), seed),
    "glare": lambda paper, seed: _grain(_glare(_lay(paper, _placed(5)), seed), seed),
    "far": lambda paper, seed: _far(_grain(_lay(paper, _placed(3)), seed)),
    "small": lambda paper, seed: _small(_grain(_lay(paper, _placed(3)), seed)),
}

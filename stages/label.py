"""What is printed on a product: text detection, direction, recognition and reading order, around three networks.

Sources: Liao et al. 2020, Real-time Scene Text Detection with Differentiable Binarization (arXiv:1911.08947); Du et al.
2020, PP-OCR (arXiv:2009.09941), whose networks, sizes and thresholds these are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.label_boxes import Box, Floats, View, along, boxes, closer, reading_order, upside_down
from stages.label_text import MAX_LINES, Corners, LabelText, Line
from stages.text import clean

_CHINESE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")

Pixels = NDArray[np.uint8]

PHOTO_PX = 2_048  # longer side of the photo that lines are cut from
DETECTOR_PX = 736  # longer side of what the detector sees; see docs/labels.md
DETECTOR_STEP = 32  # its sides are multiples of this
WIDTH_STEP = 64  # widths of the recognizer's batches are multiples of this
MAX_WIDTH = 1_920  # a longer line is squeezed
GREY = 127  # what stands beside a line that is shorter than its batch; zero after normalisation
ROWS = 8  # lines in one run
SPACE = 0.02  # least probability of a space between two characters
LEAST_CONFIDENCE = 0.5  # a line that is read with less is left out


@dataclass(frozen=True)
class LabelReader:
    """Reads photos with three networks.

    Args:
        detect: uint8 [height, width, 3] → probability that a pixel is text, float32 [height, width].
        classify: uint8 [lines, height, width, 3] → probabilities upright and upside down, float32 [lines, 2].
        recognize: uint8 [lines, height, any width, 3] → at each step the likeliest character, its probability, and that
            of a space: int64, float32 and float32 [lines, steps].
        characters: by id; the first is CTC's blank.
        classified, height: pixels of a line as `classify` sees it, height and width, and as `recognize` does.
    """

    detect: Callable[[Pixels], Floats]
    classify: Callable[[Pixels], Floats]
    recognize: Callable[[Pixels], tuple[NDArray[np.int64], Floats, Floats]]
    characters: Sequence[str]
    classified: tuple[int, int]
    height: int

    def __call__(self, photo: Image.Image, scale: float = 1.0) -> LabelText:
        """What is printed in a photo of mode RGB, its lines in reading order; at most :data:`MAX_LINES`, best first.

        Args:
            scale: the photo file's own pixels to one of `photo`.
        """
        view = View.whole(photo)
        found = self._find(view)
        if (nearer := closer(photo, found, DETECTOR_PX)) and (again := self._find(nearer)):
            view, found = nearer, again
        kept = along(sorted(found, key=_weight, reverse=True)[:MAX_LINES])
        if not kept:
            return LabelText()
        levels = Levels(view.picture)
        kept = self._upright(levels, kept)
        read = zip(kept, self._read(levels, kept), strict=True)
        lines = [(box, text, sure) for box, (text, sure) in read if text and sure >= LEAST_CONFIDENCE]
        ordered = [lines[place] for place in reading_order([box for box, _, _ in lines])]
        rows = (Line(text, _corners(view.in_photo(box), scale), sure) for box, text, sure in ordered)
        return LabelText(tuple(rows), len(found) - len(kept))

    def _find(self, view: View) -> list[Box]:
        """The boxes of a view, in its pixels."""
        return boxes(self.detect(for_detector(view.picture)), view.picture.size)

    def _upright(self, levels: Levels, found: list[Box]) -> list[Box]:
        """The boxes with those turned half round that are upside down."""
        views = [line_image(levels, box, *self.classified) for box in found]
        scores = np.concatenate([self.classify(np.stack(few)) for few in _few(views)])[:, 1]
        return [box.turned(2 if down else 0) for box, down in zip(found, upside_down(found, scores), strict=True)]

    def _read(self, levels: Levels, found: list[Box]) -> list[tuple[str, float]]:
        """Text and confidence of each box; boxes of about one width share a run."""
        widths = np.array([line_width(box, self.height) for box in found])
        read = [("", 0.0)] * len(found)
        for few in _few(np.argsort(widths, kind="stable").tolist()):
            width = int(widths[few].max())
            steps = self.recognize(np.stack([line_image(levels, found[place], self.height, width) for place in few]))
            for place, ids, probabilities, spaces in zip(few, *steps, strict=True):
                read[place] = decode(ids, probabilities, spaces, self.characters)
        return read


class Levels:
    """A photo at its own size and at whole fractions of it, made when they are wanted."""

    def __init__(self, photo: Image.Image) -> None:
        self._photos = {1: photo}

    def reduced(self, factor: int) -> Image.Image:
        """The photo with each side so many times shorter."""
        if factor not in self._photos:
            self._photos[factor] = self._photos[1].reduce(factor)
        return self._photos[factor]


def for_detector(photo: Image.Image) -> Pixels:
    """The photo as the detector reads it: uint8 [height, width, 3], sides multiples of 32, at most 960.

    A photo that is smaller is not enlarged.
    """
    scale = min(1.0, DETECTOR_PX / max(photo.size))
    width, height = (max(1, round(side * scale / DETECTOR_STEP)) * DETECTOR_STEP for side in photo.size)
    return np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))


def line_width(box: Box, height: int) -> int:
    """Width in pixels of a box's text at a height, up to a multiple of 64."""
    width = min(MAX_WIDTH, box.width / max(box.height, 1e-3) * height)
    return WIDTH_STEP * int(np.ceil(max(width, 1) / WIDTH_STEP))


def line_image(levels: Levels, box: Box, height: int, room: int) -> Pixels:
    """A box's text set upright: uint8 [height, room, 3], squeezed where longer, grey beside it where shorter."""
    width = int(np.clip(round(box.width / max(box.height, 1e-3) * height), 1, room))
    factor = max(1, int(box.height / height))
    corners = box.corners / factor
    # Pillow's affine map goes from the pixels of the line to those of the photo.
    (ax, ay), (bx, by) = (corners[1] - corners[0]) / width, (corners[3] - corners[0]) / height
    data = (ax, bx, corners[0, 0], ay, by, corners[0, 1])
    upright = levels.reduced(factor).transform(
        (width, height), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC, fillcolor=(GREY,) * 3
    )
    line = np.full((height, room, 3), GREY, np.uint8)
    line[:, :width] = np.asarray(upright)
    return line


def decode(
    ids: NDArray[np.int64], probabilities: Floats, spaces: Floats, characters: Sequence[str]
) -> tuple[str, float]:
    """The text of CTC's best path (Graves et al. 2006), clean, and the mean probability of its characters.

    The network was trained on Chinese and leaves spaces out of English that is small or blurred. Between two characters
    of which neither is Chinese, a space is taken that is only somewhat likely.

    Args:
        ids: int64 [steps], the likeliest character of each; `probabilities` float32 [steps], how likely.
        spaces: float32 [steps], how likely a space is.
    """
    kept = np.flatnonzero((ids != 0) & (ids != np.concatenate([[0], ids[:-1]])))
    parts: list[str] = []
    for place, step in enumerate(kept):
        letter = characters[ids[step]]
        if parts and not _CHINESE.match(parts[-1]) and not _CHINESE.match(letter):
            between = spaces[kept[place - 1] + 1 : step]
            if len(between) and between.max() > SPACE:
                parts.append(" ")
        parts.append(letter)
    return clean("".join(parts)), round(float(probabilities[kept].mean()), 4) if len(kept) else 0.0


def _weight(box: Box) -> float:
    """By what boxes are chosen where there are too many: large and sure first."""
    return box.score * box.height


def _corners(box: Box, scale: float) -> Corners:
    """A box's corners in the photo file's own pixels."""
    return tuple((round(float(x) * scale), round(float(y) * scale)) for x, y in box.corners)


def _few(rows: list) -> Iterator[list]:
    """The rows, as many at once as a network takes."""
    return (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))

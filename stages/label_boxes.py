"""Where a photo has text: the boxes of its lines, their directions and their reading order.

Source: Liao et al. 2020, Real-time Scene Text Detection with Differentiable Binarization (arXiv:1911.08947), with the
thresholds of PP-OCR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull

Floats = NDArray[np.float32]

TEXT_PIXEL = 0.3  # least probability of a pixel that belongs to text
TEXT_BOX = 0.6  # least mean probability of a box that is kept
UNCLIP = 1.6  # the detector finds text shrunk; its boxes grow by this, times area over perimeter
MIN_SIDE = 3  # of a box in the detector's pixels, before it grows
LONG = 1.5  # a box so much longer than high runs along its longer side
SURE = 0.9  # that a line is upside down, whatever the others are
TILT = np.deg2rad(10)  # of most lines, from which a photo is set level and looked at again
CLOSER = 1.4  # by which its text must become larger for another look


@dataclass(frozen=True)
class Box:
    """A line of text in a photo.

    Attributes:
        corners: float32 [4, 2], x and y in pixels, clockwise from the text's own top left.
        score: the detector's mean probability, 0 to 1.
    """

    corners: Floats
    score: float

    @property
    def width(self) -> float:
        """Length along the text, in pixels."""
        return float(np.linalg.norm(self.corners[1] - self.corners[0]))

    @property
    def height(self) -> float:
        """Length across the text, in pixels."""
        return float(np.linalg.norm(self.corners[3] - self.corners[0]))

    @property
    def angle(self) -> float:
        """Direction of the text in radians, 0 to the right, clockwise."""
        x, y = self.corners[1] - self.corners[0]
        return float(np.arctan2(y, x))

    def turned(self, quarters: int) -> Box:
        """The same box, its text running a quarter turn clockwise further, so many times."""
        return replace(self, corners=np.roll(self.corners, -quarters, axis=0))


@dataclass(frozen=True)
class View:
    """A part of a photo, cut out level.

    Attributes:
        picture: the part, mode RGB.
        axes: float64 [2, 2], a step right and a step down in it as columns, in the photo's pixels.
        origin: float64 [2], its top left corner in the photo.
    """

    picture: Image.Image
    axes: NDArray[np.float64]
    origin: NDArray[np.float64]

    @classmethod
    def whole(cls, photo: Image.Image) -> View:
        """The photo as it is."""
        return cls(photo, np.eye(2), np.zeros(2))

    def in_photo(self, box: Box) -> Box:
        """A box of the part, in the photo's pixels."""
        return replace(box, corners=(box.corners @ self.axes.T + self.origin).astype(np.float32))


def closer(photo: Image.Image, found: Sequence[Box], detector_px: int) -> View | None:
    """The part of a photo that has text, level; None where another look at it would show no more.

    The detector breaks lines that run aslant, and misses small ones.

    Args:
        detector_px: the longer side of what the detector sees.
    """
    long = [box for box in found if max(box.width, box.height) >= LONG * min(box.width, box.height)]
    if not long:
        return None
    axis = _axis([box if box.width >= box.height else box.turned(1) for box in long])
    tilt = (axis + np.pi / 4) % (np.pi / 2) - np.pi / 4
    tilted = abs(tilt) > TILT
    turn = tilt if tilted else 0.0
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    level = np.concatenate([box.corners for box in found]) @ axes
    margin = 2 * float(np.median([min(box.width, box.height) for box in found]))
    low, high = level.min(0) - margin, level.max(0) + margin
    if not tilted:
        low, high = low.clip(0), high.clip(max=photo.size)
    width, height = (max(1, int(np.ceil(side))) for side in high - low)
    before, after = (min(1.0, detector_px / max(size)) for size in (photo.size, (width, height)))
    if not tilted and after < CLOSER * before:
        return None
    origin = axes @ low
    data = (axes[0, 0], axes[0, 1], origin[0], axes[1, 0], axes[1, 1], origin[1])
    how = (Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    return View(photo.transform((width, height), *how, fillcolor=(127, 127, 127)), axes, origin)


def boxes(probability: Floats, size: tuple[int, int]) -> list[Box]:
    """The smallest rectangles round the detector's regions, grown to the text's full height.

    Args:
        probability: float32 [height, width], the detector's.
        size: width and height of the photo that the boxes are for, in pixels.
    """
    height, width = probability.shape
    regions, count = ndimage.label(probability > TEXT_PIXEL, np.ones((3, 3)))
    scores = ndimage.mean(probability, regions, np.arange(1, count + 1)) if count else ()
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    found = []
    for number, (place, score) in enumerate(zip(ndimage.find_objects(regions), scores, strict=True), start=1):
        if score < TEXT_BOX or max(side.stop - side.start for side in place) < MIN_SIDE:
            continue
        outline = _outline(regions[place] == number) + np.array([place[1].start, place[0].start])
        corners = smallest_rectangle(outline)
        sides = np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[3] - corners[0])
        if min(sides) >= MIN_SIDE:
            grown = _grown(corners, float(sides[0] * sides[1] * UNCLIP / (2 * sum(sides))))
            found.append(Box((grown * scale).astype(np.float32), float(score)))
    return found


def smallest_rectangle(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rectangle of least area round points [n, 2]: corners [4, 2], clockwise as pixels lie (y downward).

    One side of it lies on a side of the convex hull (Freeman & Shapira 1975).
    """
    hull = points[ConvexHull(points).vertices]
    x, y = (np.roll(hull, -1, axis=0) - hull).T
    angles = np.unique(np.arctan2(y, x) % (np.pi / 2))
    turns = np.stack([np.stack([np.cos(angles), np.sin(angles)], -1), np.stack([-np.sin(angles), np.cos(angles)], -1)])
    u, v = turns @ hull.T  # along and across each candidate, [angles, points]
    (left, right), (top, bottom) = ((side.min(1), side.max(1)) for side in (u, v))
    best = int(((right - left) * (bottom - top)).argmin())
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])[..., best]
    return corners @ turns[:, best]


def along(found: Sequence[Box]) -> list[Box]:
    """The boxes with the text's direction along their first side, pointing right, or down where it is vertical.

    A box that is about as long as high (a short word, one character) goes with the long ones.
    """
    lying = [box if box.width >= box.height else box.turned(1) for box in found]
    long = [box for box in lying if box.width >= LONG * box.height]
    main = _axis(long)
    right = []
    for box in lying:
        if box.width < LONG * box.height and np.cos(2 * (box.angle - main)) < 0:
            box = box.turned(1)
        turned_left = np.cos(box.angle) < -1e-3 or (abs(np.cos(box.angle)) <= 1e-3 and np.sin(box.angle) < 0)
        right.append(box.turned(2) if turned_left else box)
    return right


def upside_down(found: Sequence[Box], scores: Floats) -> list[bool]:
    """Which boxes are upside down.

    Args:
        scores: float32 [boxes], the classifier's for each. It errs on short lines, so that lines of one direction vote;
            a line that is surely otherwise goes by itself.
    """
    angles = np.array([box.angle for box in found])
    weights = np.array([min(box.width / box.height, 10) for box in found])
    down = []
    for angle, score in zip(angles, scores, strict=True):
        like = weights * (np.cos(angles - angle) > np.cos(np.pi / 6))
        vote = float((scores * like).sum() / like.sum())
        down.append(bool(score > SURE if abs(score - 0.5) > SURE - 0.5 else vote > 0.5))
    return down


def reading_order(found: Sequence[Box]) -> list[int]:
    """The places of boxes as they are read: rows from top to bottom, each from left to right.

    Boxes of another direction than most of the text come after those.
    """
    if not found:
        return []
    directions = [np.exp(1j * box.angle) * box.width for box in found]
    main = float(np.angle(sum(directions)))
    across = np.array([[np.cos(main), np.sin(main)], [-np.sin(main), np.cos(main)]])
    centres = np.stack([box.corners.mean(0) for box in found]) @ across.T
    turned = [np.cos(box.angle - main) < np.cos(np.pi / 4) for box in found]
    order: list[int] = []
    for others in (False, True):
        places = sorted((p for p in range(len(found)) if turned[p] == others), key=lambda p: centres[p, 1])
        rows: list[list[int]] = []
        for place in places:
            row = rows[-1] if rows else []
            if (
                row
                and centres[place, 1] - np.mean(centres[row, 1]) < min(found[place].height, found[row[0]].height) / 2
            ):
                row.append(place)
            else:
                rows.append([place])
        order += [place for row in rows for place in sorted(row, key=lambda p: centres[p, 0])]
    return order


def _axis(found: Sequence[Box]) -> float:
    """The direction that most of the text has, as an axis: radians, -π/2 to π/2; 0 where there is none."""
    return float(np.angle(sum(np.exp(2j * box.angle) * box.width for box in found)) / 2) if found else 0.0


def _outline(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The corners of the first and last pixel of each row of a region: [n, 2], x and y."""
    rows = np.flatnonzero(region.any(1))
    first, last = region[rows].argmax(1), region.shape[1] - region[rows, ::-1].argmax(1)
    return np.array(
        [(x, y + down) for ends in (first, last) for x, y in zip(ends, rows, strict=True) for down in (0, 1)]
    )


def _grown(corners: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    """A rectangle with every side moved outward."""
    right, down = corners[1] - corners[0], corners[3] - corners[0]
    right, down = by * right / np.linalg.norm(right), by * down / np.linalg.norm(down)
    return corners + np.array([-right - down, right - down, right + down, -right + down])

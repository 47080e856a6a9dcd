"""LABEL_TEXT: what is printed on a product, as JSON that crosses between steps and to the caller.

``{"lines": [{"text": "LAVENDER", "box": [[x, y], …], "confidence": 0.98}, …], "omitted": 0, "failed": false}``
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stages.errors import invalid, too_large
from stages.text import clean, decode_utf8

MAX_BYTES = 262_144  # of LABEL_TEXT; 200 of the longest lines have 180,000
MAX_LINES = 200  # that are read of one photo: two to four seconds of one core
#: The least confidence of a line that is a fact of the product.
SURE = 0.8

SAME_HEIGHT = 1.25  # ratio of the heights of two lines up to which they count as one size

Corners = tuple[tuple[int, int], ...]


class Line(NamedTuple):
    """One line.

    Attributes:
        box: four corners, x and y in the photo's own pixels as it is shown (upright by its EXIF orientation), clockwise
            from the text's own top left.
        confidence: the mean probability of its characters, 0 to 1.
    """

    text: str
    box: Corners
    confidence: float

    @property
    def height(self) -> float:
        """Of the text, in pixels."""
        return float(np.hypot(*np.subtract(self.box[3], self.box[0])))


@dataclass(frozen=True)
class LabelText:
    """What is printed in one photo.

    Attributes:
        lines: in reading order.
        omitted: how many lines were found and not read, because there were too many.
        failed: the photo could not be read; there are no lines, and nobody knows what it says.
    """

    lines: tuple[Line, ...] = ()
    omitted: int = 0
    failed: bool = False

    @property
    def sure(self) -> tuple[Line, ...]:
        """The lines of :data:`SURE` confidence with two different letters or digits: an ornament often reads as one."""
        return tuple(line for line in self.lines if line.confidence >= SURE and len(_signs(line.text)) > 1)


def dumps(label: LabelText) -> bytes:
    """The LABEL_TEXT tensor."""
    lines = [line._asdict() for line in label.lines]
    whole = {"lines": lines, "omitted": label.omitted, "failed": label.failed}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def read_label_text(data: bytes) -> LabelText:
    """A LABEL_TEXT tensor, checked; its texts clean. Empty bytes are no label.

    Raises:
        StageError: ``invalid_input`` or ``too_large`` on ``LABEL_TEXT``.
    """
    if not data.strip():
        return LabelText()
    text = decode_utf8(data, "LABEL_TEXT", MAX_BYTES)
    try:
        whole = json.loads(text)
        lines = tuple(map(_line, whole["lines"]))
        label = LabelText(lines, int(whole.get("omitted", 0)), bool(whole.get("failed", False)))
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise invalid(
            "LABEL_TEXT",
            f"is not what read_label gives ({type(error).__name__}: {error}); send "
            '{"lines": [{"text": "…", "box": [[x, y], [x, y], [x, y], [x, y]], "confidence": 0.9}]}',
        ) from error
    if len(lines) > MAX_LINES:
        raise too_large("LABEL_TEXT", f"{len(lines)} lines, the limit is {MAX_LINES}; send the ones that matter")
    return label


def prominent(lines: Sequence[Line], max_bytes: int) -> tuple[str, ...]:
    """The texts of lines, the largest first, none twice, as many as fit into so many bytes.

    Lines of about one height stay in the order of `lines`.
    """
    texts: dict[str, str] = {}
    sizes: dict[float, float] = {}  # height → the largest of those that it counts as one with
    largest = np.inf
    for height in sorted((line.height for line in lines), reverse=True):
        largest = largest if height * SAME_HEIGHT >= largest else height
        sizes[height] = largest
    for line in sorted(lines, key=lambda line: -sizes[line.height]):
        size = len(line.text.encode("utf-8"))
        if line.text and line.text.casefold() not in texts and size <= max_bytes:
            texts[line.text.casefold()] = line.text
            max_bytes -= size
    return tuple(texts.values())


def _signs(text: str) -> set[str]:
    return set(filter(str.isalnum, text))


def _line(line: dict[str, Any]) -> Line:
    text, confidence = line["text"], float(line["confidence"])
    corners = tuple((int(x), int(y)) for x, y in line["box"])
    if not isinstance(text, str) or len(corners) != 4 or not 0 <= confidence <= 1:
        raise ValueError(f"a line has text {text!r:.40}, {len(corners)} corners and confidence {confidence}")
    return Line(clean(text), corners, confidence)

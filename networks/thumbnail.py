"""A picture's thumbnail as rows of the condition: what its features leave out and decoders of pictures start from."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

SIDE = 56
WIDTH = 384  # of a row
ROWS = 25  # the least that hold 3 x 56 x 56 numbers and one more


def of_pixels(pixels: Tensor) -> Tensor:
    """FP32 [B, H, W, 3] in 0..255, H and W multiples of 56 → [B, 3, 56, 56] in 0..1."""
    return F.avg_pool2d(pixels.permute(0, 3, 1, 2), (pixels.shape[1] // SIDE, pixels.shape[2] // SIDE)) / 255


def to_rows(thumbnail: Tensor) -> Tensor:
    """[B, 3, 56, 56] in 0..1 → [B, 25, 384] in -0.5..0.5, the last number being 1: there is a thumbnail."""
    flat = F.pad(thumbnail.flatten(1) - 0.5, (0, ROWS * WIDTH - 3 * SIDE * SIDE - 1))
    return F.pad(flat, (0, 1), value=1.0).reshape(-1, ROWS, WIDTH)


def from_rows(rows: Tensor) -> Tensor:
    """[B, 25, 384] → [B, 3, 56, 56]."""
    return rows.flatten(1)[:, : 3 * SIDE * SIDE].reshape(-1, 3, SIDE, SIDE) + 0.5


def is_there(rows: Tensor) -> Tensor:
    """Whether there is a thumbnail in rows [B, 25, 384]: bool [B]. Where there is none, all is zero."""
    return rows[:, -1, -1] > 0.5

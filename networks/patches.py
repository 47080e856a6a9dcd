"""The colours of a picture's patches: what the features of its spatial tokens leave out and decoders want to see."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GRID = 7  # tokens a side
CELLS = 4  # colours a patch side
COLOURS = CELLS * CELLS * 3
SIDE = GRID * CELLS  # of the thumbnail that all colours together are


def patch_colours(pixels: Tensor) -> Tensor:
    """FP32 [B, H, W, 3] in 0..255, H and W multiples of 28 → [B, 49, 48] in -0.5..0.5, patches in raster order."""
    small = F.avg_pool2d(pixels.permute(0, 3, 1, 2), (pixels.shape[1] // SIDE, pixels.shape[2] // SIDE))
    return from_thumbnail(small / 255 - 0.5)


def from_thumbnail(thumbnail: Tensor) -> Tensor:
    """[B, 3, 28, 28] → [B, 49, 48]."""
    batch = thumbnail.shape[0]
    patches = thumbnail.reshape(batch, 3, GRID, CELLS, GRID, CELLS).permute(0, 2, 4, 3, 5, 1)
    return patches.reshape(batch, GRID * GRID, COLOURS)


def to_thumbnail(colours: Tensor) -> Tensor:
    """[B, 49, 48] → [B, 3, 28, 28]."""
    batch = colours.shape[0]
    patches = colours.reshape(batch, GRID, GRID, CELLS, CELLS, 3).permute(0, 5, 1, 3, 2, 4)
    return patches.reshape(batch, 3, SIDE, SIDE)


def mirrored(tokens: Tensor) -> Tensor:
    """Tokens [B, 49, D] of the picture as in a mirror; their features are taken to turn with it."""
    batch, _, width = tokens.shape
    return torch.flip(tokens.reshape(batch, GRID, GRID, width), [2]).reshape(batch, GRID * GRID, width)

"""The condition as soft-prefix vectors: what a causal decoder reads in the place of the product's name.

Source: Li and Liang 2021, arXiv:2101.00190; Mokady et al. 2021, arXiv:2111.09734, for pictures.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CONDITION_WIDTH = 384
#: Rows of the condition that it reads: the fused summary, the classes as words, the picture's own summary.
ROWS = (0, 1, 3)
VECTORS = 4


class SoftPrefix(nn.Module):
    """rows [B, 3, 384] of the condition → vectors [B, 4, H] beside token embeddings.

    Args:
        hidden: width H of the decoder's embeddings.
        inner: width between.
    """

    def __init__(self, hidden: int, inner: int = 1024) -> None:
        super().__init__()
        self.hidden = hidden
        self.first = nn.Linear(len(ROWS) * CONDITION_WIDTH, inner)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, inner), nn.GELU(), nn.Linear(inner, inner))
            for _ in range(2)
        )
        self.last = nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, VECTORS * hidden))

    def forward(self, rows: Tensor) -> Tensor:
        x = self.first(rows.flatten(1) * math.sqrt(CONDITION_WIDTH))
        for block in self.blocks:
            x = x + block(x)
        return self.last(x).view(-1, VECTORS, self.hidden)


def rows_of(condition: Tensor) -> Tensor:
    """[B, 11 or 36, 384] → what :class:`SoftPrefix` reads of it."""
    return condition[:, torch.tensor(ROWS)]

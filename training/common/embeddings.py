"""What is asked of embeddings in one space: losses that pull them to names, and recall."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.05
#: Share of the target that goes to names of like meaning, and how alike they must be.
SOFT_SHARE, SOFT_TEMPERATURE = 0.25, 0.1


def name_targets(names: Tensor) -> Tensor:
    """[N, N]: for each name [N, D] those that it should be near: itself, and a little those that mean the same."""
    alike = (names @ names.T / SOFT_TEMPERATURE).softmax(-1)
    return (1 - SOFT_SHARE) * torch.eye(len(names)) + SOFT_SHARE * alike


def contrast(a: Tensor, b: Tensor, same: Tensor) -> Tensor:
    """InfoNCE of unit rows a, b [n, D] in both directions; rows of the same name [n, n] share the target."""
    target = same / same.sum(1, keepdim=True)
    logits = a @ b.T / TEMPERATURE
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def recall(queries: Tensor, candidates: Tensor, wanted: Tensor) -> dict[str, float]:
    """Share of queries [n, D] with a wanted one [n, m] among the nearest 1 and 5 of candidates [m, D]."""
    order = (queries @ candidates.T).topk(5, dim=1).indices
    found = wanted.gather(1, order)
    return {"@1": found[:, 0].float().mean().item(), "@5": found.any(1).float().mean().item()}

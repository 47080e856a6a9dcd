"""A shopper without training: the mean of the products that were looked at, by what was done and how long ago."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from families.common import hub
from families.common.slot import Slot
from graph.schema import Model
from networks.behavior_encoder import KINDS
from networks.fusion import unit

ACCEPTS = f"a .json file with a weight for each of {', '.join(KINDS)}, and half_life_s"
NUMBERS = (*KINDS, "half_life_s")


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".json"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Rows and width of the features; the width is the items'."""
    hub.read_numbers(checkpoint, NUMBERS)
    return {"rows": 1, "width": "item_index.width"}


class MeanOfItems(nn.Module):
    """item_embeddings FP32 [B, E, W], event_kinds INT64, event_ages and event_mask FP32 [B, E] → FP32 [B, 1, W], of
    unit length; zero where there is no event."""

    kinds: Tensor

    def __init__(self, kinds: list[float], half_life_s: float) -> None:
        super().__init__()
        self.half_life_s = half_life_s
        self.register_buffer("kinds", torch.tensor(kinds))

    def forward(self, item_embeddings: Tensor, event_kinds: Tensor, event_ages: Tensor, event_mask: Tensor) -> Tensor:
        # Ages count from the latest event, so that no old history underflows; `unit` cancels the common factor.
        newest = torch.where(event_mask > 0, event_ages, 1e12).amin(1, keepdim=True)
        decay = torch.exp2(-((event_ages - newest) * event_mask) / self.half_life_s)
        weights = self.kinds[event_kinds] * decay * event_mask
        return unit((item_embeddings * weights.unsqueeze(2)).sum(1, keepdim=True))


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network with the weights of the file."""
    numbers = hub.read_numbers(checkpoint, NUMBERS)
    return MeanOfItems([numbers[kind] for kind in KINDS], numbers["half_life_s"]).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: rows of different lengths through the mask."""
    batch, events = sizes["batch"], sizes["events"]
    counts = rng.integers(1, events + 1, batch)
    items = rng.standard_normal((batch, events, sizes["width"]), np.float32)
    return {
        "item_embeddings": items / np.linalg.norm(items, axis=-1, keepdims=True),
        "event_kinds": rng.integers(0, len(KINDS), (batch, events)),
        "event_ages": np.sort(rng.uniform(0, 1e6, (batch, events)).astype(np.float32), 1)[:, ::-1].copy(),
        "event_mask": (np.arange(events) < counts[:, None]).astype(np.float32),
    }

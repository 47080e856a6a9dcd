"""Behaviour encoder: `networks.behavior_encoder` with the weights that `python -m training behavior` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from export.recipe import Slot
from graph.schema import Model
from networks.behavior_encoder import KINDS, WIDTH, BehaviorEncoder
from networks.features import ROWS, join_features


class Served(nn.Module):
    """The network, what it gives in one tensor."""

    def __init__(self, network: BehaviorEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, item_embeddings: Tensor, event_kinds: Tensor, event_ages: Tensor, event_mask: Tensor) -> Tensor:
        """FP32 [B, E, 384] and INT64, FP32, FP32 [B, E] → FP32 [B, 9, 384]."""
        return join_features(*self.network(item_embeddings, event_kinds, event_ages, event_mask))


ACCEPTS = "a .safetensors file of `python -m training behavior`"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".safetensors"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Rows and width of the features."""
    return {"rows": ROWS, "width": WIDTH, "takes": {"item_index.width": WIDTH}}


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network in float32; its file is half precision."""
    network = BehaviorEncoder()
    network.load_state_dict({name: value.float() for name, value in load_file(checkpoint).items()})
    return Served(network).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: rows of different lengths through the mask, every third with one event only."""
    batch, events = sizes["batch"], sizes["events"]
    counts = rng.integers(1, events + 1, batch)
    counts[::3] = events
    counts[1::3] = 1
    items = rng.standard_normal((batch, events, WIDTH), np.float32)
    pauses = rng.lognormal(4, 3, (batch, events)).clip(0, 1e7)
    return {
        "item_embeddings": items / np.linalg.norm(items, axis=-1, keepdims=True),
        "event_kinds": rng.integers(0, len(KINDS), (batch, events)),
        "event_ages": pauses[:, ::-1].cumsum(1)[:, ::-1].astype(np.float32),
        "event_mask": (np.arange(events) < counts[:, None]).astype(np.float32),
    }

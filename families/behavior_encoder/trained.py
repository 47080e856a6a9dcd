"""Behaviour encoder: `networks.behavior_encoder` with the weights that `python -m training behavior` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import nn

from families.common.slot import Slot
from graph.schema import Model
from networks.behavior_encoder import KINDS, BehaviorEncoder
from networks.features import ROWS, JoinedFeatures

ACCEPTS = "a .safetensors file of `python -m training behavior`"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".safetensors"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Rows and width of the features."""
    width = load_file(checkpoint)["item.weight"].shape[1]
    return {"rows": ROWS, "width": width, "takes": {"item_index.width": width}}


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network in float32; its file is half precision."""
    weights = {name: value.float() for name, value in load_file(checkpoint).items()}
    hidden, width = weights["item.weight"].shape
    network = BehaviorEncoder(width, hidden)
    network.load_state_dict(weights)
    return JoinedFeatures(network).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: rows of different lengths through the mask, every third with one event only."""
    batch, events = sizes["batch"], sizes["events"]
    counts = rng.integers(1, events + 1, batch)
    counts[::3] = events
    counts[1::3] = 1
    items = rng.standard_normal((batch, events, sizes["width"]), np.float32)
    pauses = rng.lognormal(4, 3, (batch, events)).clip(0, 1e7)
    return {
        "item_embeddings": items / np.linalg.norm(items, axis=-1, keepdims=True),
        "event_kinds": rng.integers(0, len(KINDS), (batch, events)),
        "event_ages": pauses[:, ::-1].cumsum(1)[:, ::-1].astype(np.float32),
        "event_mask": (np.arange(events) < counts[:, None]).astype(np.float32),
    }

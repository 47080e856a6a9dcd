"""Sound decoder: `experiments.sound_decoder` with the weights that `python -m experiments sound` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import nn

from experiments.sound_decoder import NOISE, WIDTH, SoundDecoder
from families.common.slot import Slot
from graph.schema import Model


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network in float32; its file is half precision."""
    network = SoundDecoder()
    network.load_state_dict({name: value.float() for name, value in load_file(checkpoint).items()})
    return network.eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: unit conditions, the first of them zero as for a product that nothing is known of."""
    condition = rng.standard_normal((sizes["batch"], WIDTH), np.float32)
    condition /= np.linalg.norm(condition, axis=1, keepdims=True)
    condition[0] *= sizes["batch"] == 1
    return {"condition": condition, "noise": rng.standard_normal((sizes["batch"], NOISE), np.float32)}

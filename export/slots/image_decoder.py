"""The image decoder: a variant of `networks.image_decoder` with the weights of `python -m training pictures`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from export.recipe import Slot
from networks.image_decoder import CONDITION_WIDTH, FEATURES, SIZE, SPATIAL_ROWS, ImageDecoder, Still, create
from networks.patches import COLOURS

ROWS = 60  # of the condition


class Served(nn.Module):
    """Pictures as bytes, channels last: UINT8 [..., 64, 64, 3]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        pictures = self.network(condition, noise)
        return (pictures.movedim(-3, -1) * 255).round().clamp(0, 255).to(torch.uint8)


def decoder(checkpoint: Path, slot: Slot) -> ImageDecoder:
    """The variant that the recipe's option `variant` names; its file is half precision, the network float32."""
    network = create(str(slot.options["variant"]))
    network.load_state_dict({name: value.float() for name, value in load_file(checkpoint).items()})
    return network


def load(checkpoint: Path, slot: Slot) -> nn.Module:
    """The decoder as it is served: one picture."""
    return Served(Still(decoder(checkpoint, slot))).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: every other row with a photo's patches, the others with words alone."""
    batch = sizes["batch"]
    condition = np.zeros((batch, ROWS, CONDITION_WIDTH), np.float32)
    condition[:, 0] = rng.standard_normal((batch, CONDITION_WIDTH))
    photos = condition[::2, -SPATIAL_ROWS:]
    photos[..., :FEATURES] = rng.standard_normal((*photos.shape[:2], FEATURES))
    photos[..., FEATURES : FEATURES + COLOURS] = rng.uniform(-0.5, 0.5, (*photos.shape[:2], COLOURS))
    return {"condition": condition, "noise": rng.standard_normal((batch, 3, SIZE, SIZE)).astype(np.float32)}

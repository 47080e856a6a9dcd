"""A clip through the image tower of CLIP or SigLIP: the mean of its frames' embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from families.common.slot import Slot
from families.image_encoder import clip
from graph.schema import Model
from networks.fusion import unit

ACCEPTS = clip.ACCEPTS
accepts = clip.accepts


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of a frame; rows and width of the features; their space."""
    said = clip.facts(checkpoint, slot)
    return {name: said[name] for name in ("side", "rows", "width", "space")}


class Frames(nn.Module):
    """frames UINT8 [B, T, side, side, 3] → FP32 [B, 1, width], of unit length."""

    def __init__(self, encoder: clip.ImageTower) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: Tensor) -> Tensor:
        embeddings, _ = self.encoder(frames.flatten(0, 1))
        return unit(embeddings.unflatten(0, (-1, frames.shape[1])).mean(1))


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network of a folder with both towers."""
    return Frames(clip.load(checkpoint, slot, model)).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: smooth random pictures."""
    pictures = clip.sample(sizes | {"batch": sizes["batch"] * sizes["frames"]}, rng)["pixels"]
    return {"frames": pictures.reshape(sizes["batch"], sizes["frames"], *pictures.shape[1:])}

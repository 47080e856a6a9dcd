"""Fusion: a variant of `networks.fusion` with the weights that `python -m training fusion` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from export.recipe import Slot
from networks.fusion import CLASSES, POOLED, SPATIAL, WIDTH, create


class Served(nn.Module):
    """The network with its condition given twice: for the caller and for the next steps (see `export.pipeline`)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        text_embedding: Tensor,
        text_mask: Tensor,
        image_embedding: Tensor,
        image_tokens: Tensor,
        image_scores: Tensor,
        image_mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        condition, embedding = self.network(
            text_embedding, text_mask, image_embedding, image_tokens, image_scores, image_mask
        )
        return condition, embedding, condition.clone()


def load(checkpoint: Path, slot: Slot) -> nn.Module:
    """The variant that the recipe's option `variant` names; its file is half precision, the network float32."""
    network = create(str(slot.options["variant"]))
    network.load_state_dict({name: value.float() for name, value in load_file(checkpoint).items()})
    return Served(network).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: rows with both modalities, one of them, and none."""
    batch, tokens = sizes["batch"], sizes["tokens"]
    present = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], np.float32)[np.arange(batch) % 4]
    text_mask, image_mask = present[:, :1], present[:, 1:]
    text = rng.standard_normal((batch, WIDTH), np.float32)
    scores = rng.dirichlet(np.full(CLASSES, 0.01), batch).astype(np.float32)
    return {
        "text_embedding": text / np.linalg.norm(text, axis=1, keepdims=True) * text_mask,
        "text_mask": text_mask,
        "image_embedding": rng.random((batch, POOLED), np.float32) * image_mask,
        "image_tokens": rng.standard_normal((batch, tokens, SPATIAL), np.float32) * image_mask[..., None],
        "image_scores": scores * image_mask,
        "image_mask": image_mask,
    }

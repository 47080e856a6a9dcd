"""Fusion: a variant of `networks.fusion` with the weights that `python -m training fusion` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from export.recipe import Slot
from networks.fusion import ALIGNED, CLASSES, MODALITIES, POOLED, SPATIAL, TOKENS, WIDTH, create


class Served(nn.Module):
    """The network with its condition given twice: for the caller and for the next steps (see `export.pipeline`)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        text_embedding: Tensor,
        image_embedding: Tensor,
        image_tokens: Tensor,
        image_scores: Tensor,
        image_thumbnail: Tensor,
        video_embedding: Tensor,
        video_tokens: Tensor,
        audio_embedding: Tensor,
        audio_tokens: Tensor,
        behavior_embedding: Tensor,
        behavior_tokens: Tensor,
        presence: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        condition, embedding, weights = self.network(
            text_embedding,
            image_embedding,
            image_tokens,
            image_scores,
            image_thumbnail,
            video_embedding,
            video_tokens,
            audio_embedding,
            audio_tokens,
            behavior_embedding,
            behavior_tokens,
            presence,
        )
        return condition, embedding, weights, condition.clone()


def load(checkpoint: Path, slot: Slot) -> nn.Module:
    """The variant that the recipe's option `variant` names; its file is half precision, the network float32."""
    network = create(str(slot.options["variant"]))
    network.load_state_dict({name: value.float() for name, value in load_file(checkpoint).items()})
    return Served(network).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: rows with every modality, with some, and with none."""
    batch, tokens = sizes["batch"], sizes["tokens"]
    presence = rng.integers(0, 2, (batch, len(MODALITIES))).astype(np.float32)
    presence[0], presence[-1] = 1, presence[-1] * (batch == 1)
    there = dict(zip(MODALITIES, presence.T[..., None], strict=True))

    def unit(*shape: int) -> np.ndarray:
        values = rng.standard_normal(shape, np.float32)
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    scores = rng.dirichlet(np.full(CLASSES, 0.01), batch).astype(np.float32)
    given = {
        "text_embedding": unit(batch, WIDTH) * there["text"],
        "image_embedding": rng.random((batch, POOLED), np.float32) * there["image"],
        "image_tokens": rng.standard_normal((batch, tokens, SPATIAL), np.float32) * there["image"][..., None],
        "image_scores": scores * there["image"],
        "image_thumbnail": rng.uniform(-0.5, 0.5, (batch, sizes["thumbnail_rows"], WIDTH)).astype(np.float32)
        * there["image"][..., None],
        "presence": presence,
    }
    for modality in ALIGNED:
        given[f"{modality}_embedding"] = unit(batch, WIDTH) * there[modality]
        given[f"{modality}_tokens"] = unit(batch, TOKENS, WIDTH) * there[modality][..., None]
    return given

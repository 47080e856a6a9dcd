"""Fusion without training, for encoders whose vectors live in one space: the weighted mean of what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from families.common import hub
from families.common.slot import Slot
from graph.schema import Model
from networks.fusion import MODALITIES, SUMMARY_ROWS, unit

ACCEPTS = f"a .json file with a weight for each of {', '.join(MODALITIES)}, for encoders of one space"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".json"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Rows and width of the condition; the width, which is the embedding's too, is the encoders'. Of a sound it takes
    what is said in it."""
    hub.read_numbers(checkpoint, MODALITIES)
    return {
        "tokens": max(SUMMARY_ROWS.values()) + 1,
        "width": "text_encoder.width",
        "hears": "transcript",
        "takes": {
            "image_encoder.space": "text_encoder.space",
            "video_encoder.space": "text_encoder.space",
            "audio_encoder.space": "text_encoder.space",
            "behavior_encoder.width": "text_encoder.width",
        },
    }


class SharedFusion(nn.Module):
    """text_embedding [B, W], features [B, 1, W] of each modality and presence [B, 5] → condition [B, 7, W] (twice: for
    the caller and for the next steps), embedding [B, W] and weights [B, 5].

    Args:
        modalities: whose features are given, in their order.
        weights: of all modalities, in the order of :data:`MODALITIES`.
    """

    weights: Tensor

    def __init__(self, modalities: list[str], weights: list[float]) -> None:
        super().__init__()
        self.columns = [list(MODALITIES).index(name) for name in ("text", *modalities)]
        self.register_buffer("weights", torch.tensor(weights))

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        text, *features, presence = given
        nothing = torch.zeros_like(text)
        summaries = [nothing] * len(MODALITIES)
        counts = [torch.zeros_like(presence[:, 0])] * len(MODALITIES)
        for column, summary in zip(self.columns, (text, *(each[:, 0] for each in features)), strict=True):
            summaries[column] = summary * presence[:, column : column + 1]
            counts[column] = presence[:, column] * self.weights[column]
        every, weights = torch.stack(summaries, 1), torch.stack(counts, 1)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
        embedding = unit((every * weights.unsqueeze(2)).sum(1))
        condition = torch.cat([embedding.unsqueeze(1), every[:, 1:2], every], 1)
        return condition, embedding, weights, condition.clone()


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network that takes the inputs of `model`."""
    given = [tensor.name.removesuffix("_features") for tensor in model.inputs[1:-1]]
    return SharedFusion(given, list(hub.read_numbers(checkpoint, MODALITIES).values())).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: rows with every modality, with some, and with none."""
    batch, width = sizes["batch"], sizes["width"]
    presence = rng.integers(0, 2, (batch, len(MODALITIES))).astype(np.float32)
    presence[0], presence[-1] = 1, presence[-1] * (batch == 1)
    vectors = rng.standard_normal((batch, len(MODALITIES), width), np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors *= presence[..., None]
    features = {f"{name}_features": vectors[:, i : i + 1] for i, name in enumerate(MODALITIES)}
    return {"text_embedding": vectors[:, 0], "presence": presence} | features

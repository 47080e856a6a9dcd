"""Fusion: a variant of `networks.fusion` with the weights that `python -m training fusion` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from export.recipe import Slot
from graph.schema import Model
from networks import thumbnail
from networks.features import LEAST_IMAGE_ROWS, ROWS, joined_image, parted, parted_image
from networks.fusion import ALIGNED, CLASSES, CONDITION_TOKENS, MODALITIES, POOLED, SPATIAL, WIDTH, create


class Served(nn.Module):
    """The network, each modality in one tensor (`networks.features`).

    Its condition is given twice: for the caller and for the next steps (see `graph.ensembles`).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        text_embedding: Tensor,
        image_features: Tensor,
        video_features: Tensor,
        audio_features: Tensor,
        behavior_features: Tensor,
        presence: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        others = [part for each in (video_features, audio_features, behavior_features) for part in parted(each)]
        condition, embedding, weights = self.network(text_embedding, *parted_image(image_features), *others, presence)
        return condition, embedding, weights, condition.clone()


ACCEPTS = "a .safetensors file of `python -m training fusion`, with the option variant"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".safetensors"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Rows and width of the condition; the width is the embedding's too."""
    takes = {"text_encoder.width": WIDTH, "image_encoder.width": WIDTH, "image_encoder.least_rows": LEAST_IMAGE_ROWS}
    takes |= {f"{name}_encoder.{fact}": value for name in ALIGNED for fact, value in (("rows", ROWS), ("width", WIDTH))}
    return {"tokens": CONDITION_TOKENS, "width": WIDTH, "takes": takes}


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The variant that the recipe's option `variant` names; its file is half precision, the network float32."""
    network = create(str(slot.options["variant"]))
    network.load_state_dict({name: value.float() for name, value in load_file(checkpoint).items()})
    return Served(network).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: rows with every modality, with some, and with none."""
    batch, tokens = sizes["batch"], sizes["image_rows"] - LEAST_IMAGE_ROWS + 1
    presence = rng.integers(0, 2, (batch, len(MODALITIES))).astype(np.float32)
    presence[0], presence[-1] = 1, presence[-1] * (batch == 1)
    there = dict(zip(MODALITIES, presence.T[..., None], strict=True))

    def unit(*shape: int) -> np.ndarray:
        values = rng.standard_normal(shape, np.float32)
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    picture = (
        rng.random((batch, POOLED), np.float32),
        rng.standard_normal((batch, tokens, SPATIAL), np.float32),
        rng.dirichlet(np.full(CLASSES, 0.01), batch).astype(np.float32),
        rng.uniform(-0.5, 0.5, (batch, thumbnail.ROWS, WIDTH)).astype(np.float32),
    )
    given = {
        "text_embedding": unit(batch, WIDTH) * there["text"],
        "image_features": joined_image(*map(torch.from_numpy, picture)).numpy() * there["image"][..., None],
        "presence": presence,
    }
    for modality in ALIGNED:
        given[f"{modality}_features"] = unit(batch, ROWS, WIDTH) * there[modality][..., None]
    return given

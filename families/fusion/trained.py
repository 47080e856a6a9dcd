"""Fusion: a variant of `networks.fusion` with the weights that `python -m training fusion` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from families.common.slot import BuildError, Slot
from graph.schema import Model
from networks import thumbnail
from networks.features import ROWS, count_image_rows, count_rows, join_image, split_features, split_image
from networks.fusion import ALIGNED, MODALITIES, VARIANTS, Fusion, Shape, create

ACCEPTS = "a .safetensors file of `python -m training fusion`, with the option variant"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".safetensors"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Rows and width of the condition, the width being the embedding's too; sizes of the picture's features.

    Raises:
        BuildError: the file holds other weights.
    """
    weights = load_file(checkpoint)
    if slot.options.get("variant") not in VARIANTS:
        raise BuildError(
            f"fusion: option variant is {slot.options.get('variant')!r}; write one of {', '.join(VARIANTS)}"
        )
    try:
        shape = Shape.of(weights)
        create(str(slot.options["variant"]), shape=shape).load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise BuildError(
            f"{checkpoint}: no weights of a {slot.options['variant']} fusion ({str(error)[:200]}); mend the variant"
        ) from error
    picture = {"pooled": shape.pooled, "spatial": shape.spatial, "classes": shape.classes}
    takes = {"text_encoder.width": shape.width} | {f"image_encoder.{name}": size for name, size in picture.items()}
    for name in ALIGNED:
        takes |= {f"{name}_encoder.rows": ROWS, f"{name}_encoder.width": shape.width}
    sizes = {"tokens": shape.condition_tokens, "width": shape.width, "image_rows": "image_encoder.rows"}
    return sizes | picture | {"takes": takes}


class Served(nn.Module):
    """The network, each modality in one tensor (`networks.features`).

    Its condition is given twice: for the caller and for the next steps (see `graph.ensembles`).

    Args:
        modalities: the optional ones that the bundle has; the network sees zeros of the others.
    """

    def __init__(self, network: Fusion, modalities: Sequence[str] = tuple(MODALITIES)[1:]) -> None:
        super().__init__()
        self.network, self.modalities = network, list(modalities)

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """text_embedding [B, D], the features of each modality, presence [B, 5] → condition, embedding, weights."""
        text, *features, presence = given
        there = dict(zip(self.modalities, features, strict=True))
        nothing = text.new_zeros((text.shape[0], ROWS, self.network.shape.width))
        others = [part for name in ALIGNED for part in split_features(there.get(name, nothing))]
        picture = split_image(there["image"], self.network.shape)
        condition, embedding, weights = self.network(text, *picture, *others, presence)
        return condition, embedding, weights, condition.clone()


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The variant that the recipe's option `variant` names; its file is half precision, the network float32."""
    weights = {name: value.float() for name, value in load_file(checkpoint).items()}
    network = create(str(slot.options["variant"]), shape=Shape.of(weights))
    network.load_state_dict(weights)
    names = [tensor.name.removesuffix("_features") for tensor in model.inputs[1:-1]]
    return Served(network, names).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: rows with every modality, with some, and with none."""
    batch, shape = sizes["batch"], Shape(**{name: sizes[name] for name in ("width", "pooled", "spatial", "classes")})
    tokens = (sizes["image_rows"] - count_image_rows(shape, 0)) // count_rows(shape.spatial)
    presence = rng.integers(0, 2, (batch, len(MODALITIES))).astype(np.float32)
    presence[0], presence[-1] = 1, presence[-1] * (batch == 1)
    there = dict(zip(MODALITIES, presence.T[..., None], strict=True))

    def unit(*sides: int) -> np.ndarray:
        values = rng.standard_normal(sides, np.float32)
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    picture = (
        rng.random((batch, shape.pooled), np.float32),
        rng.standard_normal((batch, tokens, shape.spatial), np.float32),
        rng.dirichlet(np.full(shape.classes, 0.01), batch).astype(np.float32),
        rng.uniform(-0.5, 0.5, (batch, thumbnail.ROWS, thumbnail.WIDTH)).astype(np.float32),
    )
    given = {
        "text_embedding": unit(batch, shape.width) * there["text"],
        "image_features": join_image(*map(torch.from_numpy, picture)).numpy() * there["image"][..., None],
        "presence": presence,
    }
    for modality in ALIGNED:
        given[f"{modality}_features"] = unit(batch, ROWS, shape.width) * there[modality][..., None]
    return given

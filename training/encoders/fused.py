"""A trained fusion as one more encoder: what it is given of products, and where it puts them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from networks.fusion import (
    ALIGNED,
    CLASSES,
    FIRST_THUMBNAIL_ROW,
    INPUTS,
    MODALITIES,
    POOLED,
    SPATIAL,
    TOKENS,
    WIDTH,
    Fusion,
    create,
)
from training.common.weights import restore
from training.encoders.features import Features

#: Rows encoded at once; bounds memory.
CHUNK = 256


@dataclass
class Batch:
    """Fusion's inputs for n products, by name; what is absent is zero."""

    values: dict[str, Tensor]

    def inputs(self) -> tuple[Tensor, ...]:
        """In the order of `networks.fusion.INPUTS`."""
        return tuple(self.values[name] for name in INPUTS)


Aligned = tuple[Tensor, Tensor]


def batch(
    *,
    text: Tensor | None = None,
    image: Features | tuple[Tensor, ...] | None = None,
    video: Aligned | None = None,
    audio: Aligned | None = None,
    behavior: Aligned | None = None,
) -> Batch:
    """What is given of n products: titles' embeddings [n, 384], pictures' features, (embedding, tokens) of the rest."""
    given = {
        "text": None if text is None else (text,),
        "image": tensors(image) if isinstance(image, Features) else image,
        "video": video,
        "audio": audio,
        "behavior": behavior,
    }
    count = next(len(tensors[0]) for tensors in given.values() if tensors is not None)
    shapes = {
        "text": ((WIDTH,),),
        "image": ((POOLED,), (1, SPATIAL), (CLASSES,), (1, WIDTH)),
        **dict.fromkeys(ALIGNED, ((WIDTH,), (TOKENS, WIDTH))),
    }
    values: dict[str, Tensor] = {}
    for modality, names in MODALITIES.items():
        there = given[modality] or tuple(torch.zeros(count, *shape) for shape in shapes[modality])
        values |= dict(zip(names, there, strict=True))
    presence = torch.tensor([[float(given[modality] is not None) for modality in MODALITIES]])
    return Batch(values | {"presence": presence.expand(count, -1)})


def tensors(features: Features) -> tuple[Tensor, ...]:
    """Fusion's image inputs, float32; what it only hands on, the thumbnail, is left empty."""
    seen = (torch.from_numpy(a).float() for a in (features.embedding, features.tokens, features.scores))
    return *seen, torch.zeros(len(features), 1, WIDTH)


def image_only(features: Features) -> Batch:
    """Pictures without a title."""
    return batch(image=features)


def text_only(text: Tensor) -> Batch:
    """Titles without a picture."""
    return batch(text=text)


def with_title(text: Tensor, features: Features) -> Batch:
    """Titles beside pictures."""
    return batch(text=text, image=features)


@torch.inference_mode()
def run(network: Fusion, batch: Batch) -> tuple[Tensor, Tensor]:
    """The condition's rows before the photo's thumbnail [n, 11, 384], and the embedding [n, 384], in chunks."""
    conditions, embeddings = [], []
    for chunk in zip(*(x.split(CHUNK) for x in batch.inputs()), strict=True):
        condition, embedding, _ = network(*chunk)
        conditions.append(condition[:, :FIRST_THUMBNAIL_ROW].clone())
        embeddings.append(embedding)
    return torch.cat(conditions), torch.cat(embeddings)


def load(variant: str, path: Path) -> Fusion:
    """A variant with the weights that `training.common.weights.save` wrote, in float32."""
    return restore(create(variant), path)

"""What fusion is trained on and judged by beside titles and pictures: clips, recordings and sessions, encoded.

Each comes from its own encoder's training room, which says what of it that encoder was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from networks.fusion import ALIGNED
from training.audio import head as audio
from training.behavior.features import read as sessions_of
from training.catalogue.products import Product
from training.common.files import WEIGHTS
from training.video import encoder as video


@dataclass
class Samples:
    """One modality's samples of P products, grouped by product.

    `embedding` float16 [N, 384], `tokens` float16 [N, 8, 384]; `first` and `count` int64 [P] say which rows are a
    product's.
    """

    embedding: NDArray[np.float16]
    tokens: NDArray[np.float16]
    first: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, groups: list[tuple[NDArray, NDArray]]) -> Samples:
        """From each product's embeddings [K, 384] and tokens [K, 8, 384]."""
        counts = np.array([len(embedding) for embedding, _ in groups])
        return cls(
            np.concatenate([embedding for embedding, _ in groups]).astype(np.float16),
            np.concatenate([tokens for _, tokens in groups]).astype(np.float16),
            np.cumsum(counts) - counts,
            counts,
        )

    def draw(self, products: NDArray[np.int64], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """For each product a sample's embedding and tokens, zeros where it has none, and which have one [n]."""
        there = self.count[products] > 0
        rows = self.first[products] + rng.integers(np.maximum(self.count[products], 1))
        rows = np.minimum(rows, len(self.embedding) - 1)
        has = torch.from_numpy(there).float()
        embedding = torch.from_numpy(self.embedding[rows]).float() * has[:, None]
        return embedding, torch.from_numpy(self.tokens[rows]).float() * has[:, None, None], has


def samples(products: list[Product], trained: bool) -> dict[str, Samples]:
    """Modality → samples of the products: those that the encoders were trained on, or those that they were not."""
    groups: dict[str, list[tuple[NDArray, NDArray]]] = {modality: [] for modality in ALIGNED}
    for modality, read in (("video", _clips), ("audio", _recordings), ("behavior", _sessions)):
        for embedding, tokens, known in read(products):
            rows = np.flatnonzero(known == trained)
            groups[modality].append((embedding[rows], tokens[rows]))
    return {modality: Samples.of(group) for modality, group in groups.items()}


def _clips(products: list[Product]) -> Iterator[tuple[NDArray, NDArray, NDArray[np.bool_]]]:
    found = video.features(products, video.load(WEIGHTS / "video_encoder" / "model.safetensors"))
    for product in products:
        clips = found[product.key]
        yield clips.embedding, clips.tokens, clips.trained


def _recordings(products: list[Product]) -> Iterator[tuple[NDArray, NDArray, NDArray[np.bool_]]]:
    found = audio.features(products)
    for row, product in enumerate(products):
        yield found["embedding"][row], found["tokens"][row], ~found["held_out"] & (not product.held_out)


def _sessions(products: list[Product]) -> Iterator[tuple[NDArray, NDArray, NDArray[np.bool_]]]:
    for product in products:
        sessions = sessions_of(product)
        yield sessions.embedding, sessions.tokens, ~sessions.held_out

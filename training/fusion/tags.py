"""The tagger's table: the vocabulary in a fusion variant's space, and how much each reading of a picture counts.

The scores are fitted on half of the held-out products (products of an even hash) and reported on the other half: a
scale fitted on products that were trained on would trust the fused space too much.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from networks.fusion import Fusion
from training.catalogue.products import Product
from training.catalogue.vocabulary import Word, names_it, vocabulary, word_of
from training.encoders.features import Features
from training.encoders.fused import image_only, run, text_only
from training.encoders.served import TextEncoder
from training.encoders.texts import embed, titles
from training.fusion.recall import Held

IMAGE_ROW, CLASSES_ROW = 3, 1
#: A tag that is less probable than this is left out.
LEAST = 0.04


@dataclass(frozen=True)
class Table:
    """V words: `fused` [V, 384] and `named` [V, 384], unit length, and the scales (see `stages/tags.py`)."""

    words: tuple[str, ...]
    fused: Tensor
    named: Tensor
    image_scale: float
    named_scale: float
    text_scale: float


def accepted(products: list[Product], words: list[Word]) -> Tensor:
    """[len(products), V]: which words name which product; none where the catalogue's name has no known word."""
    right = torch.zeros(len(products), len(words))
    for row, product in enumerate(products):
        if word := word_of(product.name):
            right[row] = torch.tensor([float(w.word.lower() in word.names) for w in words])
    return right


def calibrating(held: Held) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows of the held-out products the scores are fitted on, and which they are reported on."""
    even = np.array([int(p.key, 16) % 2 == 0 for p in held.products])[held.product_of]
    return even, ~even


def image_readings(network: Fusion, features: Features, fused: Tensor, named: Tensor) -> tuple[Tensor, Tensor]:
    """How near each word is to each picture [n, V]: in the fused space, and to the classes that the encoder named."""
    condition, _ = run(network, image_only(features))
    return condition[:, IMAGE_ROW] @ fused.T, condition[:, CLASSES_ROW] @ named.T


def fit(readings: list[Tensor], right: Tensor) -> list[float]:
    """A scale for each reading [n, V] that makes the accepted words [n, V] most probable; never negative."""
    scales = torch.full((len(readings),), np.log(10.0), requires_grad=True)
    known = right.any(1)
    optimizer = torch.optim.LBFGS([scales], lr=0.5, max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = sum(scale * reading[known] for scale, reading in zip(scales.exp(), readings, strict=True))
        value = -(logits.log_softmax(-1) + (right[known] + 1e-30).log()).logsumexp(-1).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return scales.exp().tolist()


def fit_table(network: Fusion, products: list[Product], held: Held, encoder: TextEncoder) -> Table:
    """The table for a trained network; `held` are the held-out products."""
    words = vocabulary()
    texts = torch.from_numpy(embed([w.word for w in words], encoder))
    _, fused = run(network, text_only(texts))
    rows = np.flatnonzero(calibrating(held)[0])
    right = accepted(held.products, words)[torch.from_numpy(held.product_of[rows])]
    image_scale, named_scale = fit(list(image_readings(network, held.features[rows], fused, texts)), right)
    trained = [p for p in products if not p.held_out]
    forms = [titles(p) for p in trained]
    given = torch.from_numpy(embed([t for f in forms for t in f], encoder))
    _, embeddings = run(network, text_only(given))
    (text_scale,) = fit([embeddings @ fused.T], accepted(trained, words).repeat_interleave(len(forms[0]), 0))
    return Table(tuple(w.word for w in words), fused, texts, image_scale, named_scale, text_scale)


def write(table: Table, folder: Path) -> Path:
    """Writes ``tags.npz`` for `stages/tags.py`; vectors in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tags.npz"
    np.savez_compressed(
        path,
        words=np.array(table.words),
        fused=table.fused.half().numpy(),
        named=table.named.half().numpy(),
        image_scale=np.float32(table.image_scale),
        named_scale=np.float32(table.named_scale),
        text_scale=np.float32(table.text_scale),
        least=np.float32(LEAST),
    )
    return path


@dataclass(frozen=True)
class Naming:
    """Shares of pictures that the tags name: by the first, by one of the first four, the right kind by the first."""

    first: float
    four: float
    kind: float
    pictures: int


def naming(logits: Tensor, names: list[str]) -> Naming:
    """Logits [n, V] for pictures of products of these names [n]; four is what a prompt shows of the tags."""
    words = vocabulary()
    best = logits.topk(4, dim=1).indices.tolist()
    hits = []
    for row, name in zip(best, names, strict=True):
        word = word_of(name) or Word(name, (), "other")
        named = [names_it(words[i].word, word) for i in row]
        hits.append((named[0], any(named), named[0] or words[row[0]].kind == word.kind))
    first, four, kind = np.mean(hits, axis=0).tolist()
    return Naming(first, four, kind, len(names))

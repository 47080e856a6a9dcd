"""Sessions that lead to each product, encoded: what fusion's training takes of the modality `behavior`.

One file a product, ``<cache>/features/behavior-<weights>/<key>.npz``: `embedding` float16 [n, 384], `tokens` float16
[n, 8, 384] and `held_out` bool [n], n at most twice :data:`SAMPLES`. The product itself is what the shopper opens next
and is not the one they look at. A row that is not held out comes from a shopper of the encoder's training, popularity
evened out so that rare products have some too; a held-out one from a shopper never trained on, to whom all products
were offered. Products held out of training have held-out rows only. A few products have fewer rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from networks.behavior_encoder import BehaviorEncoder
from training.behavior.encoder import FOLDER, Data, Histories, World, load
from training.behavior.evaluation import encode
from training.behavior.sessions import Shop
from training.catalogue.products import Product
from training.common.files import cache_folder, sha256

SAMPLES = 8  # of each product from either kind of shopper
SHOPPERS = 3000
EVEN = 0.2  # the exponent of popularity here
SEEDS = {False: 21, True: 22}  # whether the shoppers are held out → the simulation's seed


@dataclass
class Samples:
    """`embedding` [n, 384], `tokens` [n, 8, 384], float16; `held_out` [n]."""

    embedding: NDArray[np.float16]
    tokens: NDArray[np.float16]
    held_out: NDArray[np.bool_]


def folder() -> Path:
    """Named by the weights, so that another network's features are never taken for theirs."""
    return cache_folder() / "features" / f"behavior-{sha256(FOLDER / 'model.safetensors')[:12]}"


def read(product: Product) -> Samples:
    """A product's samples, as :func:`compute` left them."""
    with np.load(folder() / f"{product.key}.npz") as file:
        return Samples(file["embedding"], file["tokens"], file["held_out"])


def compute(products: list[Product], world: World) -> Iterator[Product]:
    """Computes all unless they are there, yielding each product as it is done."""
    if all((folder() / f"{p.key}.npz").exists() for p in products):
        yield from products
        return
    network, data = load(FOLDER / "model.safetensors"), world.data()
    parts = {held: _samples(network, data, products, held) for held in (False, True)}
    folder().mkdir(parents=True, exist_ok=True)
    for row, product in enumerate(products):
        columns = []
        for held, (owner, embedding, tokens) in parts.items():
            own = owner == row
            columns.append((embedding[own], tokens[own], np.full(own.sum(), held)))
        embedding, tokens, held_out = (np.concatenate(c) for c in zip(*columns, strict=True))
        np.savez(folder() / f"{product.key}.npz", embedding=embedding, tokens=tokens, held_out=held_out)
        yield product


def _samples(
    network: BehaviorEncoder, data: Data, products: list[Product], held: bool
) -> tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.float16]]:
    """The product [n] each sample leads to, its embedding and its tokens."""
    shop = Shop.read(products, with_held_out=held, zipf=EVEN)
    histories = Histories.cached("even-all" if held else "even", shop, range(SHOPPERS), SEEDS[held])
    ends = np.concatenate([e[1:] for e in histories.ends()])  # after two visits at least
    ends = np.random.default_rng(SEEDS[held]).permutation(ends)
    wanted = histories.following[ends]
    order = np.argsort(wanted, kind="stable")
    place = np.arange(len(order)) - np.searchsorted(wanted[order], wanted[order])
    chosen = ends[order][place < SAMPLES]
    embedding, tokens = encode(network, data, histories, chosen)
    return histories.following[chosen], embedding.numpy().astype(np.float16), tokens.numpy().astype(np.float16)

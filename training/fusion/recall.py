"""Recall of a fusion variant on what it was not trained on: held-out views of known products, and held-out products.

A hit is the product of the same title (titles repeat: there are 25 chairs), or, from title and picture to pictures,
the very same product.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from networks.fusion import ALIGNED, MODALITIES, Fusion
from training.catalogue.products import HELD_OUT_VIEWS, VIEWS, Product
from training.common.embeddings import recall
from training.encoders.features import Features, join, read
from training.encoders.fused import batch, image_only, run, text_only, with_title
from training.encoders.served import TextEncoder
from training.encoders.texts import embed
from training.fusion.modalities import Samples, samples

#: Every way to present a product: the 31 subsets of the modalities.
SUBSETS = tuple(subset for count in range(1, len(MODALITIES) + 1) for subset in combinations(MODALITIES, count))
SUBSET_SEED = 3


@dataclass
class Held:
    """Pictures that were not trained on: `features` [n], the product of each [n] and its view [n].

    `aligned` holds clips, spoken titles and sessions that were not trained on, by modality.
    """

    name: str
    products: list[Product]
    features: Features
    product_of: NDArray[np.int64]
    view_of: NDArray[np.int64]
    aligned: dict[str, Samples]


def held_out_sets(products: list[Product]) -> list[Held]:
    """The held-out views of products that were trained on, and all views of those that were not."""
    sets = []
    for name, kept, views in (
        ("held-out views", [p for p in products if not p.held_out], range(VIEWS - HELD_OUT_VIEWS, VIEWS)),
        ("held-out products", [p for p in products if p.held_out], range(VIEWS)),
    ):
        rows = np.array(views)
        features = join([read(product)[rows] for product in kept])
        product_of = np.arange(len(kept)).repeat(len(rows))
        aligned = samples(kept, trained=False)
        sets.append(Held(name, kept, features, product_of, np.tile(rows, len(kept)), aligned))
    return sets


def evaluate(network: Fusion, held: Held, all_names: list[str], encoder: TextEncoder) -> dict[str, dict[str, float]]:
    """Direction → recall @1 and @5, queries and candidates; `all_names` are every title of the catalogue."""
    names_of_images = np.array([held.products[p].name for p in held.product_of])
    own_names = sorted(set(names_of_images))
    name_texts = torch.from_numpy(embed(all_names, encoder))
    _, images = run(network, image_only(held.features))
    _, titles = run(network, text_only(name_texts))
    is_name = torch.from_numpy(names_of_images[:, None] == np.array(all_names)[None])
    own = [all_names.index(name) for name in own_names]
    own_texts = name_texts[is_name.float().argmax(1)]
    # From title and picture to the product's other view: the last view asks, the one before is looked for.
    asks, looked_for = (np.flatnonzero(held.view_of == VIEWS - 1 - i) for i in range(2))
    _, both = run(network, with_title(own_texts[asks], held.features[asks]))
    neutral = torch.from_numpy(embed(["product"], encoder)).expand(len(images), -1)
    _, neutral_both = run(network, with_title(neutral, held.features))
    same_product = torch.from_numpy(held.product_of[asks][:, None] == held.product_of[looked_for][None])
    directions = {
        "text → image": (titles[own], images, is_name.T[own]),
        "image → text": (images, titles, is_name),
        "both → image": (both, images[looked_for], same_product),
        "both → text": (both, titles, is_name[asks]),
        "“product” and image → text": (neutral_both, titles, is_name),
    }
    return {
        direction: recall(*given) | {"queries": len(given[0]), "candidates": len(given[1])}
        for direction, given in directions.items()
    }


def evaluate_subsets(
    network: Fusion, held: Held, all_names: list[str], encoder: TextEncoder
) -> dict[str, dict[str, dict[str, float]]]:
    """Subset, its modalities joined by " + ", → direction → recall @1 and @5.

    Each product of which every modality is there asks once, with one held-out sample of each; looked for are its
    other picture, and, where no title is given, its name among all names.
    """
    rng = np.random.default_rng(SUBSET_SEED)
    names = np.array([p.name for p in held.products])
    asks, looked_for = (np.flatnonzero(held.view_of == VIEWS - 1 - i) for i in range(2))
    drawn = {modality: held.aligned[modality].draw(np.arange(len(names)), rng) for modality in ALIGNED}
    there = np.logical_and.reduce([has.numpy() > 0 for _, _, has in drawn.values()])
    name_texts = torch.from_numpy(embed(all_names, encoder))
    _, pictures = run(network, image_only(held.features[looked_for]))
    _, titles = run(network, text_only(name_texts))
    # Titles repeat, and so a picture of any product of that name is right.
    same_name = torch.from_numpy(names[there][:, None] == names[None])
    is_name = torch.from_numpy(names[there][:, None] == np.array(all_names)[None])
    rows = np.flatnonzero(there)
    chosen: dict[str, Any] = {
        "text": torch.from_numpy(embed(list(names), encoder))[rows],
        "image": held.features[asks[rows]],
        **{modality: tuple(x[rows] for x in drawn[modality][:2]) for modality in ALIGNED},
    }
    results = {}
    for subset in SUBSETS:
        _, asked = run(network, batch(**{modality: chosen[modality] for modality in subset}))
        found = {"→ image": recall(asked, pictures, same_name) | {"queries": len(rows), "candidates": len(names)}}
        if "text" not in subset:
            found["→ text"] = recall(asked, titles, is_name) | {"queries": len(rows), "candidates": len(all_names)}
        results[" + ".join(subset)] = found
    return results

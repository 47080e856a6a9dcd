"""What is reported of the trained weights: recall of the variants, and what the tags name, read in which way."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from networks.fusion import VARIANTS, Fusion
from training.catalogue.photos import photos
from training.catalogue.products import Product
from training.catalogue.vocabulary import Word, names_it, vocabulary
from training.common.files import WEIGHTS
from training.encoders.features import Features
from training.encoders.fused import load
from training.encoders.served import ImageEncoder, TextEncoder
from training.encoders.served import fit as fit_picture
from training.fusion.recall import Held, evaluate, evaluate_subsets, held_out_sets
from training.fusion.tags import Table, calibrating, fit_table, image_readings, naming

#: How the tags may read a picture.
WAYS = ("fused", "classes", "both")


def everything(products: list[Product], encoder: TextEncoder) -> dict[str, Any]:
    """Results by variant, for every variant that has weights: ``recall`` and ``tags`` (see :func:`tagging`)."""
    names = sorted({p.name for p in products})
    held = held_out_sets(products)
    results: dict[str, Any] = {"variants": {}, "names": len(names), "products": len(products)}
    for variant in VARIANTS:
        path = WEIGHTS / "fusion" / f"{variant}.safetensors"
        if not path.exists():
            continue
        network = load(variant, path)
        results["variants"][variant] = {
            "recall": {h.name: evaluate(network, h, names, encoder) for h in held},
            "subsets": {h.name: evaluate_subsets(network, h, names, encoder) for h in held},
            "tags": tagging(network, products, held, encoder),
        }
    return results


def ways(network: Fusion, table: Table, features: Features) -> dict[str, Tensor]:
    """The tags' logits [n, V] for pictures, read in each of :data:`WAYS`."""
    fused, classes = image_readings(network, features, table.fused, table.named)
    return {"fused": fused, "classes": classes, "both": table.image_scale * fused + table.named_scale * classes}


def tagging(network: Fusion, products: list[Product], sets: list[Held], encoder: TextEncoder) -> dict[str, Any]:
    """Set → way → shares of :class:`training.fusion.tags.Naming`; the real photos also with their tags."""
    table = fit_table(network, products, sets[1], encoder)
    results: dict[str, Any] = {}
    for held in sets:
        rows = (
            np.flatnonzero(calibrating(held)[1]) if held.name == "held-out products" else np.arange(len(held.features))
        )
        names = [held.products[p].name for p in held.product_of[rows]]
        logits = ways(network, table, held.features[rows])
        results[held.name] = {way: asdict(naming(logits[way], names)) for way in WAYS}
    shown = photos()
    pictures = []
    for photo in shown:
        with Image.open(photo["path"]) as picture:
            pictures.append(fit_picture(picture))
    logits = ways(network, table, Features(*ImageEncoder()(np.stack(pictures))))
    words = vocabulary()
    results["real photos"] = {way: _photo_tags(logits[way], shown, words) for way in WAYS}
    return results


def _photo_tags(logits: Tensor, shown: list[dict[str, Any]], words: list[Word]) -> dict[str, Any]:
    rows = {}
    for row, photo in zip(logits.topk(4, dim=1).indices.tolist(), shown, strict=True):
        rows[photo["name"]] = [words[i].word for i in row]
    right = [
        [names_it(tag, Word(p["accepted"][0], tuple(p["accepted"][1:]), "")) for tag in rows[p["name"]]] for p in shown
    ]
    return {
        "first": sum(r[0] for r in right) / len(right),
        "four": sum(any(r) for r in right) / len(right),
        "pictures": len(right),
        "tags": rows,
    }

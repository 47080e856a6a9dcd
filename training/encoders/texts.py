"""The titles that a product may come with, and their embeddings, kept in the cache."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from training.catalogue.products import Product
from training.catalogue.vocabulary import word_of
from training.encoders.features import features_folder
from training.encoders.served import TextEncoder

#: Titles that say nothing. With a picture beside them, the picture has to speak; the empty one is an absent text.
NEUTRAL = (
    "product", "item", "article", "new product", "untitled", "thing for sale", "photo", "brand new, free shipping",
    "best price", "special offer", "IMG_2041.jpg", "SKU 48213", "No. 7", "my listing", "goods", "new arrival", "",
)  # fmt: skip


def titles(product: Product) -> list[str]:
    """The same number of titles for every product, the name itself first."""
    name, word = product.name, word_of(product.name)
    lower = name.lower()
    common = word.word if word else lower
    return [
        name,
        f"a photo of a {lower}",
        f"{name}, {product.category}",
        f"{lower} for the {product.category.lower()}",
        f"{name} {' '.join(product.tags)}".strip(),
        f"{common}, {lower}" if common.lower() != lower else f"new {lower}",
        common,
        f"buy {lower} online",
    ]


def embed(texts: list[str], encoder: TextEncoder) -> NDArray[np.float32]:
    """float32 [len(texts), 384], computed once for each list of texts."""
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
    path = features_folder() / f"texts-{digest}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unique = list(dict.fromkeys(texts))
        row = {text: i for i, text in enumerate(unique)}
        np.save(path, encoder(unique)[[row[text] for text in texts]])
    return np.load(path)

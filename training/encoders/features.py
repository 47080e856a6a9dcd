"""Features of the catalogue under the frozen encoders, computed once and kept in the cache.

One file a product, ``<cache>/features/<encoders>/<key>.npz``, float16: the views as rendered (`VIEWS` rows), the
library's own picture (one row), and for products that are trained on altered copies of some of these (`ALTERED`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from training.catalogue.products import HELD_OUT_VIEWS, VIEWS, Product
from training.catalogue.views import icon_picture, view_path
from training.common.files import cache_folder
from training.encoders.served import SIDE, ImageEncoder, fingerprint, fit

#: Rows of a product's file that are trained on: the views but the held-out ones, the icon, and the altered copies.
TRAINED_VIEWS = VIEWS - HELD_OUT_VIEWS
ICON = VIEWS
#: Rows of which an altered copy is made.
ALTERED = (0, 1, 2, 3, 4, ICON)


@dataclass
class Features:
    """What fusion takes of n pictures: `embedding` [n, 1280], `tokens` [n, 49, 320], `scores` [n, 1000]."""

    embedding: NDArray[np.floating]
    tokens: NDArray[np.floating]
    scores: NDArray[np.floating]

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> Features:
        return Features(self.embedding[rows], self.tokens[rows], self.scores[rows])

    def __len__(self) -> int:
        return len(self.embedding)


def join(parts: list[Features]) -> Features:
    """All rows of all parts."""
    return Features(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("embedding", "tokens", "scores")))


def alter(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture as another shop might show it: cropped or set in a margin, mirrored, other colours and light."""
    side = picture.width
    scale = rng.uniform(0.75, 1.35)
    window = side / scale
    left, top = (rng.uniform(min(0, side - window), max(0, side - window)) for _ in range(2))
    ground = picture.getpixel((1, 1))
    altered = picture.transform(
        (SIDE, SIDE), Image.Transform.EXTENT, (left, top, left + window, top + window), Image.Resampling.BICUBIC,
        fillcolor=ground,
    )  # fmt: skip
    if rng.random() < 0.5:
        altered = altered.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.5:
        hue, saturation, value = altered.convert("HSV").split()
        turn = int(rng.integers(256))
        altered = Image.merge("HSV", (hue.point(lambda h: (h + turn) % 256), saturation, value)).convert("RGB")
    for enhance, low, high in (
        (ImageEnhance.Color, 0.2, 1.3),
        (ImageEnhance.Brightness, 0.7, 1.25),
        (ImageEnhance.Contrast, 0.7, 1.3),
    ):
        altered = enhance(altered).enhance(rng.uniform(low, high))
    return altered


def features_folder() -> Path:
    """Named by the encoders, so that others' features are never taken for theirs."""
    return cache_folder() / "features" / fingerprint()


def _pictures(product: Product) -> NDArray[np.uint8]:
    pictures = []
    for view in range(VIEWS):
        with Image.open(view_path(product, view)) as picture:
            pictures.append(picture.convert("RGB"))
    pictures.append(icon_picture(product))
    rng = np.random.default_rng([int(product.key, 16), 1])
    altered = [] if product.held_out else [alter(pictures[row], rng) for row in ALTERED]
    return np.stack([fit(picture) for picture in (*pictures, *altered)])


def compute(products: list[Product], encoder: ImageEncoder) -> Iterator[Product]:
    """Computes what is not there yet, yielding each product as it is done."""
    folder = features_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for product in products:
        path = folder / f"{product.key}.npz"
        if not path.exists():
            embedding, tokens, scores = (a.astype(np.float16) for a in encoder(_pictures(product)))
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, embedding=embedding, tokens=tokens, scores=scores)
            partial.rename(path)
        yield product


def read(product: Product) -> Features:
    """A product's features, as :func:`compute` left them."""
    with np.load(features_folder() / f"{product.key}.npz") as file:
        return Features(file["embedding"], file["tokens"], file["scores"])


#: Rows of a product's features that may be trained on: all but the held-out views.
TRAINED_ROWS = np.r_[:TRAINED_VIEWS, ICON, VIEWS + 1 : VIEWS + 1 + len(ALTERED)]

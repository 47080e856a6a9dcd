"""What the image decoder draws, judged on what it was not trained on, by networks that had no part in its training.

The judge is the image encoder: a drawn picture's pooled features are compared with those of every catalogue product
seen from eight sides (:data:`SIDES`), and the nearest product is what it is taken for. The photo's true studio shot is
judged in the same way: the ceiling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from networks import thumbnail
from networks.fusion import Fusion
from networks.image_decoder import SIZE, Still
from networks.video_decoder import FRAMES
from training.catalogue import studio, turntables
from training.catalogue.products import HELD_OUT_VIEWS, VIEWS, Product
from training.common.files import cache_folder
from training.decoders.pictures import frames, thumbnails
from training.encoders.features import TRAINED_VIEWS, Features, join, read
from training.encoders.fused import image_only, run, text_only, with_title
from training.encoders.served import ImageEncoder, TextEncoder, fingerprint, fit
from training.encoders.texts import embed

#: Frames of a product in the index that judges.
SIDES = tuple(range(0, FRAMES, 3))
#: A colour is right within this distance (CIEDE2000) of the true one: lighter or darker, but not another colour.
COLOUR_DISTANCE = 20.0
WAYS = ("text", "photo", "both")
#: Of each set that are judged.
PHOTOS = 120
SEED = 5


@dataclass
class Query:
    """A picture that was not trained on, and what the decoder shall make of it.

    Args:
        product: its place among all products.
        thumbnail: uint8 [3, 56, 56] of the photo.
        truth: uint8 [S, S, 3], the photo's studio shot, and its opacity `mask` [S, S].
        azimuth: of the photo, in radians.
    """

    product: int
    view: int
    azimuth: float
    thumbnail: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass
class Index:
    """Unit features [P, SIDES, 1280] of every product's sides."""

    features: NDArray[np.float32]
    products: list[Product]

    @classmethod
    def build(cls, products: list[Product], encoder: ImageEncoder) -> Index:
        """Computed once for each encoder, and kept in the cache."""
        path = cache_folder() / "features" / fingerprint() / f"sides-{SIZE}.npy"
        if not path.exists():
            rows = [features_of(frames(product)[0][list(SIDES)], encoder) for product in products]
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.stack(rows))
        return cls(np.load(path), products)

    def ranks(self, pictures: NDArray[np.uint8], encoder: ImageEncoder) -> tuple[NDArray[np.int64], NDArray]:
        """Products [n, P], the nearest first, and the pictures' features [n, 1280]."""
        found = features_of(pictures, encoder)
        near = np.einsum("nd,psd->nps", found, self.features).max(2)
        return np.argsort(-near, axis=1), found


def features_of(pictures: NDArray[np.uint8], encoder: ImageEncoder) -> NDArray[np.float32]:
    """uint8 [n, S, S, 3] → unit float32 [n, 1280]."""
    square = np.stack([fit(Image.fromarray(p).resize((224, 224), Image.Resampling.BICUBIC)) for p in pictures])
    pooled = encoder(square)[0]
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def queries(products: list[Product], held_out: bool, count: int) -> list[Query]:
    """Held-out views of known products, or views of held-out ones; `count` of them at most, drawn once for all."""
    rng = np.random.default_rng(SEED)
    views = range(VIEWS - HELD_OUT_VIEWS, VIEWS) if not held_out else range(TRAINED_VIEWS)
    pairs = [(i, view) for i, p in enumerate(products) if p.held_out == held_out for view in views]
    made = []
    for place in sorted(rng.permutation(len(pairs))[:count]):
        index, view = pairs[place]
        product = products[index]
        azimuth = float(turntables.view_angles(product)[view, 0])
        shots, masks = studio.read(product)
        seen = thumbnails(product, range(view, view + 1))[0]
        made.append(Query(index, view, azimuth, seen, shots[view], masks[view]))
    return made


def conditions(asked: list[Query], products: list[Product], fusion: Fusion, encoder: TextEncoder) -> dict[str, Tensor]:
    """Way → condition [n, 26, 384]: the fused embedding, then the photo's thumbnail (zeros for words alone)."""
    features: Features = join([read(products[q.product])[np.array([q.view])] for q in asked])
    texts = torch.from_numpy(embed([products[q.product].name for q in asked], encoder))
    rows = thumbnail.to_rows(torch.from_numpy(np.stack([q.thumbnail for q in asked])) / 255)
    batches = {"text": text_only(texts), "photo": image_only(features), "both": with_title(texts, features)}
    return {
        way: torch.cat([run(fusion, batch)[1].unsqueeze(1), rows * (way != "text")], 1)
        for way, batch in batches.items()
    }


@torch.inference_mode()
def draw(decoder: Still, condition: Tensor, seed: int) -> NDArray[np.uint8]:
    """uint8 [n, S, S, 3]; every row its own noise."""
    noise = torch.randn(len(condition), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    parts = [decoder(*rows) for rows in zip(condition.split(32), noise.split(32), strict=True)]
    pixels = (torch.cat(parts).permute(0, 2, 3, 1) * 255).round().clamp(0, 255)
    return pixels.to(torch.uint8).numpy()


def colour_apart(picture: NDArray[np.uint8], query: Query) -> float:
    """CIEDE2000 between the mean colours of the drawn and the true product, where the true one is."""
    inside = query.mask > 128
    if not inside.any():
        inside = query.mask > 0
    drawn, true = (rgb2lab(p[inside].mean(0)[None, None] / 255.0) for p in (picture, query.truth))
    return float(deltaE_ciede2000(drawn, true).item())


def frechet(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The Fréchet distance of two sets of features [n, 1280], both brought to 64 dimensions by b's principal axes."""
    from scipy.linalg import sqrtm

    axes = np.linalg.svd(b - b.mean(0), full_matrices=False)[2][:64].T
    (m, s), (n, t) = (((x @ axes).mean(0), np.cov((x @ axes).T)) for x in (a, b))
    return float(((m - n) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real))


def judge(
    pictures: NDArray[np.uint8], asked: list[Query], index: Index, encoder: ImageEncoder
) -> tuple[dict[str, float], NDArray[np.float32]]:
    """Shares of pictures taken for the right product (first, in five), for one of its category, of the right colour."""
    order, features = index.ranks(pictures, encoder)
    wanted = np.array([q.product for q in asked])
    names = np.array([p.name for p in index.products])
    categories = np.array([p.category for p in index.products])
    # Titles repeat: there are 25 chairs, but this is about the very chair.
    in_first = order[:, 0] == wanted
    in_five = (order[:, :5] == wanted[:, None]).any(1)
    apart = np.array([colour_apart(p, q) for p, q in zip(pictures, asked, strict=True)])
    return {
        "product": float(in_first.mean()),
        "product_in_5": float(in_five.mean()),
        "same_name": float((names[order[:, 0]] == names[wanted]).mean()),
        "category_accuracy": float((categories[order[:, 0]] == categories[wanted]).mean()),
        "colour_accuracy": float((apart <= COLOUR_DISTANCE).mean()),
        "colour_distance": float(np.median(apart)),
    }, features


def evaluate(
    decoders: dict[str, Still],
    products: list[Product],
    fusion: Fusion,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
    count: int = PHOTOS,
) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yields (set, what, figures); what is `variant/way`, or `true shot`, the ceiling, or `photo`."""
    index = Index.build(products, image_encoder)
    for name, held_out in (("held-out views", False), ("held-out products", True)):
        asked = queries(products, held_out, count)
        truths = np.stack([q.truth for q in asked])
        figures, true_features = judge(truths, asked, index, image_encoder)
        yield name, "true shot", figures | {"pictures": len(asked), "candidates": len(products)}
        given = conditions(asked, products, fusion, text_encoder)
        for variant, decoder in decoders.items():
            for way in WAYS:
                drawn = draw(decoder, given[way], SEED)
                figures, features = judge(drawn, asked, index, image_encoder)
                figures["frechet"] = frechet(features, true_features)
                again = features_of(draw(decoder, given[way][:60], SEED + 1), image_encoder)
                figures["seeds_apart"] = float(1 - (features[:60] * again).sum(1).mean())
                yield name, f"{variant}/{way}", figures

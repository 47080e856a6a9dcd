"""What the video encoder gets right on clips that it was not trained on, beside the image encoder on the same frames.

A clip asks, all names of the catalogue are the candidates, and a hit is a product of the same name. Beside the video
encoder stands the mean, over the same frames, of what fusion makes of each with the image encoder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from networks.fusion import Fusion
from networks.video_encoder import VideoEncoder, unit
from training.catalogue.products import Product
from training.common.embeddings import recall
from training.encoders.features import Features
from training.encoders.fused import image_only, run, text_only
from training.encoders.served import ImageEncoder, TextEncoder, fit
from training.encoders.texts import embed
from training.video import clips
from training.video.encoder import cached_folder, read

#: Of the products that are trained on, every which one is asked for; all others are.
EVERY = 3
#: Clips a product and set.
EACH = {"held-out arc": 1, "held-out motion and light": 1, "held-out products": 2}
#: The set's name → the kind of clip in it, and whether its products were held out.
SETS = {
    "held-out arc": ("arc", False),
    "held-out motion and light": ("motion", False),
    "held-out products": ("trained", True),
}


@dataclass
class Asked:
    """One clip that is asked for: its product and its number among the product's clips."""

    product: Product
    number: int


def asked(products: list[Product]) -> dict[str, list[Asked]]:
    """Each set's clips."""
    found: dict[str, list[Asked]] = {}
    for name, (kind, held_out) in SETS.items():
        kept = [p for p in products if p.held_out == held_out]
        rows = []
        for product in kept if held_out else kept[::EVERY]:
            numbers = [n for n, k in enumerate(clips.kinds(product)) if k == kind]
            rows += [Asked(product, number) for number in numbers[: EACH[name]]]
        found[name] = rows
    return found


def through_images(
    rows: list[Asked], encoder: ImageEncoder, fusion: Fusion, tag: str, deadline: float
) -> Tensor | None:
    """[n, 384]: the mean over each clip's frames of the fused image embedding, kept in the cache; None past `deadline`
    (by `time.monotonic`).

    `tag` names the encoder's and fusion's state, so that another's embeddings are not taken for these.
    """
    means, current, films = [], None, []
    for row in rows:
        path = cached_folder() / "through-images" / tag / f"{row.product.key}-{row.number}.npy"
        if not path.exists():
            if time.monotonic() > deadline:
                return None
            if row.product is not current:
                current, films = row.product, clips.clips(row.product)
            squares = np.stack([fit(Image.fromarray(frame)) for frame in films[row.number].frames])
            features = Features(*(part.astype(np.float16) for part in encoder(squares)))
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, run(fusion, image_only(features))[1].mean(0).numpy())
        means.append(torch.from_numpy(np.load(path)))
    return unit(torch.stack(means))


def through_clips(rows: list[Asked], network: VideoEncoder, frames: NDArray[np.int64] | None = None) -> Tensor:
    """[n, 384]: the video embedding of each clip, or of these `frames` of it."""
    films = torch.from_numpy(np.stack([read(row.product)[row.number] for row in rows]))
    films = films if frames is None else films[:, torch.from_numpy(frames)]
    with torch.inference_mode():
        return torch.cat([network.mix(part.float())[0] for part in films.split(64)])


def evaluate(
    network: VideoEncoder, products: list[Product], texts: TextEncoder, images: dict[str, Tensor], fusion: Fusion
) -> dict[str, Any]:
    """Set → candidates, queries, and recall @1 and @5 of each way; `images` as :func:`through_images` gives them."""
    names = sorted({p.name for p in products})
    bank = torch.from_numpy(embed(names, texts))
    _, fused_bank = run(fusion, text_only(bank))
    results = {}
    for name, rows in asked(products).items():
        wanted = torch.tensor([[row.product.name == n for n in names] for row in rows])
        own = through_clips(rows, network)
        backwards = through_clips(rows, network, np.arange(clips.LENGTH)[::-1].copy())
        results[name] = {
            "queries": len(rows),
            "candidates": len(names),
            "video encoder": recall(own, bank, wanted),
            "video encoder, four frames": recall(through_clips(rows, network, np.arange(0, 8, 2)), bank, wanted),
            "video encoder, frame 0 only": recall(through_clips(rows, network, np.arange(1)), bank, wanted),
            "image encoder and fusion, mean over the frames": recall(images[name], fused_bank, wanted),
            "both, mean": recall(unit(own + images[name]), bank, wanted),
            "cosine to the same clip backwards": float((own * backwards).sum(-1).mean()),
        }
    return results

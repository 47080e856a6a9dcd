"""Studio shots: every random picture of a product taken once more by the same camera, as a studio would show it.

White ground, the turntable's light and a soft shadow; what stays is where the camera stands and what it frames. So a
picture and its studio shot match pixel by pixel, which is what the image decoder learns from. Layout below
``<cache>/catalogue/studio``: ``<key>.webp``, the shots side by side, their opacity as alpha.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.catalogue.products import VIEWS, Product, catalogue_folder
from training.catalogue.render import Model, View, take
from training.catalogue.turntables import AMBIENT, GAMMA, LIGHT_ABOVE_DEGREES, LIGHT_ASIDE_DEGREES, QUALITY, SHADOW
from training.catalogue.views import random_views

SIDE = 64
WHITE = (1.0, 1.0, 1.0)


def path(product: Product) -> Path:
    """The product's shots."""
    return catalogue_folder() / "studio" / f"{product.key}.webp"


def studio_view(view: View) -> View:
    """The same camera in the studio."""
    light = (view.azimuth + math.radians(LIGHT_ASIDE_DEGREES), math.radians(LIGHT_ABOVE_DEGREES))
    return replace(
        view,
        light=light,
        ambient=AMBIENT,
        gamma=GAMMA,
        tint=WHITE,
        ground="plain",
        ground_colours=(WHITE, WHITE),
        shadow=SHADOW,
    )


def write(product: Product, model: Model) -> None:
    """Renders the product's shots."""
    taken = [take(model, studio_view(view), SIDE) for view in random_views(product, model)]
    opacity = [(t.opacity.clip(0, 1) * 255).round().astype(np.uint8) for t in taken]
    pixels = np.concatenate([np.dstack([t.picture, o]) for t, o in zip(taken, opacity, strict=True)], 1)
    path(product).parent.mkdir(parents=True, exist_ok=True)
    partial = path(product).with_suffix(".partial")
    Image.fromarray(pixels, "RGBA").save(partial, "WEBP", quality=QUALITY, method=2, exact=True)
    partial.rename(path(product))


def read(product: Product) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """uint8 [12, 64, 64, 3] on white with their shadow, and the product's opacity [12, 64, 64].

    Raises:
        FileNotFoundError: not rendered yet; says the command.
    """
    if not path(product).exists():
        raise FileNotFoundError(f"no {path(product)}; render it with `python -m training catalogue`")
    with Image.open(path(product)) as strip:
        pixels = np.asarray(strip.convert("RGBA")).reshape(SIDE, VIEWS, SIDE, 4).transpose(1, 0, 2, 3)
    return np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])

"""The pictures of a product: where its random views and the library's own picture lie, how the views are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from training.catalogue.products import VIEWS, Product, catalogue_folder
from training.catalogue.render import Model, View, random_view

#: Views from the front half; the others from anywhere.
FRONTAL = (0, 1, 2, 3, 4, 5, 6, 10)


def views_folder(product: Product) -> Path:
    """Where the product's pictures lie."""
    return catalogue_folder() / "views" / product.key


def view_path(product: Product, view: int) -> Path:
    """The picture of one view."""
    return views_folder(product) / f"{view:02d}.jpg"


def icon_picture(product: Product) -> Image.Image:
    """The library's own picture, on white."""
    with Image.open(views_folder(product) / "icon.png") as icon:
        ground = Image.new("RGBA", icon.size, "white")
        ground.alpha_composite(icon.convert("RGBA"))
    return ground.convert("RGB")


def random_views(product: Product, model: Model) -> list[View]:
    """How the product's `VIEWS` random pictures were taken: the generator's draws again, no picture."""
    rng = np.random.default_rng(int(product.key, 16))
    return [random_view(rng, model, index in FRONTAL) for index in range(VIEWS)]

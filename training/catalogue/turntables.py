"""Turntables: every product from 24 sides under one camera and one light, and what rendering told about it.

Layout below ``<cache>/catalogue/turntables``: ``<key>.webp``, the frames side by side from left to right, their
opacity as alpha; ``<key>.json``, how the product's `VIEWS` random pictures were taken, its colours and materials.
The camera stands still and the product turns: scale, light and ground are the same in all frames of one product.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.catalogue.appearance import colour_of, main_colours, material_of
from training.catalogue.products import Product, catalogue_folder
from training.catalogue.render import Model, View, is_flat, spans, take
from training.catalogue.views import random_views

FRAMES = 24
STEP_DEGREES = 360 // FRAMES
SIDE = 96
ELEVATION_DEGREES, FLAT_ELEVATION_DEGREES = 15, 30
#: Camera's distance in radii of the product, and the share of the frame that the widest frame spans.
DISTANCE, FILL = 4.0, 0.9
#: The key light from the camera: to its right, and above the floor.
LIGHT_ASIDE_DEGREES, LIGHT_ABOVE_DEGREES = 35, 65
AMBIENT, GAMMA, SHADOW = 0.5, 0.85, 0.25
QUALITY = 90
#: Side and distance of the frames that colours and materials are taken from.
FACTS_SIDE, FACTS_EVERY = 64, 4


def turntable_folder() -> Path:
    """Where the frames lie."""
    return catalogue_folder() / "turntables"


def strip_path(product: Product) -> Path:
    """The product's frames."""
    return turntable_folder() / f"{product.key}.webp"


def facts_path(product: Product) -> Path:
    """What rendering told about the product."""
    return turntable_folder() / f"{product.key}.json"


def frame_views(model: Model) -> list[View]:
    """The cameras of the frames: azimuth 0, 15, …, 345 degrees, frame 0 frontal, one window for all."""
    white = (1.0, 1.0, 1.0)
    views = []
    for frame in range(FRAMES):
        azimuth = math.radians(frame * STEP_DEGREES)
        views.append(
            View(
                azimuth=azimuth,
                elevation=math.radians(FLAT_ELEVATION_DEGREES if is_flat(model) else ELEVATION_DEGREES),
                distance=DISTANCE,
                fill=FILL,
                shift=(0.0, 0.0),
                light=(azimuth + math.radians(LIGHT_ASIDE_DEGREES), math.radians(LIGHT_ABOVE_DEGREES)),
                ambient=AMBIENT,
                gamma=GAMMA,
                tint=white,
                ground="plain",
                ground_colours=(white, white),
                shadow=SHADOW,
            )
        )
    left, right, low, high = np.array([spans(model, view) for view in views]).T
    # The axis stays in the middle, so that nothing wanders as the product turns.
    half = max(right.max(), -left.min(), (high.max() - low.min()) / 2) / FILL
    window = (float(half), 0.0, float(high.max() + low.min()) / 2)
    return [replace(view, window=window) for view in views]


def write(product: Product, model: Model) -> None:
    """Renders what is not there yet: the product's frames, and what they tell."""
    turntable_folder().mkdir(parents=True, exist_ok=True)
    views = frame_views(model)
    if not facts_path(product).exists():
        _replace(facts_path(product), (json.dumps(_facts(product, model, views)) + "\n").encode())
    if not strip_path(product).exists():
        taken = [take(model, view, SIDE) for view in views]
        pixels = np.concatenate([np.dstack([t.picture, _bytes(t.opacity)]) for t in taken], 1)
        file = BytesIO()
        Image.fromarray(pixels, "RGBA").save(file, "WEBP", quality=QUALITY, method=2, exact=True)
        _replace(strip_path(product), file.getvalue())


def _facts(product: Product, model: Model, views: list[View]) -> dict[str, Any]:
    """What :func:`read_facts` gives: colours and materials as some small frames show them."""
    taken = [take(model, view, FACTS_SIDE) for view in views[::FACTS_EVERY]]
    shown = np.mean([t.shown for t in taken], 0)
    materials: dict[str, float] = {}
    for material, share in zip(model.materials, shown, strict=True):
        materials[material.name] = round(materials.get(material.name, 0.0) + float(share), 5)
    return {
        "flat": is_flat(model),
        "colours": main_colours(
            np.concatenate([t.base.reshape(-1, 3) for t in taken]), np.concatenate([t.opacity.ravel() for t in taken])
        ),
        "materials": materials,
        "views": [asdict(view) for view in random_views(product, model)],
    }


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.rename(path)


def _bytes(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (share.clip(0, 1) * 255).round().astype(np.uint8)


def is_there(product: Product) -> bool:
    """Whether both files were written."""
    return strip_path(product).exists() and facts_path(product).exists()


def read_rgba(product: Product) -> NDArray[np.uint8]:
    """uint8 [24, 96, 96, 4]: the frames on white ground with their shadow, and how opaque the product is.

    Raises:
        FileNotFoundError: not rendered yet; says the command.
    """
    path = strip_path(product)
    if not path.exists():
        raise FileNotFoundError(f"no turntable at {path}; render it with `python -m training catalogue`")
    with Image.open(path) as strip:
        pixels = np.asarray(strip.convert("RGBA"))
    return np.ascontiguousarray(pixels.reshape(SIDE, FRAMES, SIDE, 4).transpose(1, 0, 2, 3))


def read(product: Product) -> NDArray[np.uint8]:
    """uint8 [24, 96, 96, 3]: frame i shows the product from azimuth 15 i degrees, on white; frame 0 is frontal.

    Raises:
        FileNotFoundError: not rendered yet; says the command.
    """
    return np.ascontiguousarray(read_rgba(product)[..., :3])


def read_mask(product: Product) -> NDArray[np.bool_]:
    """bool [24, 96, 96]: where the product is, clear glass too."""
    return read_rgba(product)[..., 3] >= 16


def read_facts(product: Product) -> dict[str, Any]:
    """What rendering told about the product.

    ``flat``; ``colours`` as `appearance.main_colours` gives them; ``materials``, the share of the frame that each of
    the model's materials takes; ``views``, the fields of `render.View` for each random picture.

    Raises:
        FileNotFoundError: not rendered yet; says the command.
    """
    path = facts_path(product)
    if not path.exists():
        raise FileNotFoundError(f"no {path}; write it with `python -m training catalogue`")
    return json.loads(path.read_text())


def looks(product: Product) -> dict[str, str | None]:
    """The words for the product's ``colour`` and ``material``, None where nothing tells."""
    facts = read_facts(product)
    words = " ".join([product.name, *product.tags])
    return {"colour": colour_of(facts["colours"]), "material": material_of(words, facts["materials"])}


def view_angles(product: Product) -> NDArray[np.float32]:
    """float32 [12, 2]: azimuth and elevation in radians of the product's random pictures, in their order."""
    return np.array([(v["azimuth"], v["elevation"]) for v in read_facts(product)["views"]], np.float32)


def elevation(product: Product) -> float:
    """The turntable camera's elevation in radians."""
    return math.radians(FLAT_ELEVATION_DEGREES if read_facts(product)["flat"] else ELEVATION_DEGREES)

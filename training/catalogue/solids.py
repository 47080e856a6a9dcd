"""Solids: which places of a cube each product fills, and where a camera's picture frames it.

The cube is upright and stands on the product's own axes; its middle is where the turntable's axis meets the middle of
the turntable's window, its half side the window's half side at the axis. A place is filled where nobody can look at it
along any of the cube's six axes without meeting a surface first: surfaces and what they enclose, without a bowl's
inside or the room under a table. Layout below ``<cache>/catalogue/solids``: ``<key>.npz`` with ``filled``, the places
[z, y, x] packed to bits (z towards the front, y down), and ``boxes`` float32 [24 + 12, 4], of every turntable's frame
and random picture the product's least and greatest x and y (down), the cube's half side being one as that camera sees
it from its distance; ``nearness`` [24 + 12], one over that distance; ``elevations`` [24 + 12] in radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray

from networks import video_decoder
from training.catalogue.products import Product, catalogue_folder
from training.catalogue.render import Model, View, spans, surface_at
from training.catalogue.turntables import frame_views
from training.catalogue.views import random_views

PLACES = 64  # a side of the cube
POINTS = 200_000
#: A surface that lets more through than this does not count.
LEAST_OPACITY = 0.1


def path(product: Product) -> Path:
    """The product's solid."""
    return catalogue_folder() / "solids" / f"{product.key}.npz"


@dataclass(frozen=True)
class Solid:
    """`filled` bool [64, 64, 64]; `boxes` [36, 4], `nearness` [36] and `elevations` [36] of frames, then pictures."""

    filled: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    nearness: NDArray[np.float32]
    elevations: NDArray[np.float32]


def enclosed(surface: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A surface's places [n, n, n] and those that it hides from all six sides."""
    hidden = np.ones_like(surface)
    for axis in range(3):
        hidden &= np.logical_or.accumulate(surface, axis)
        hidden &= np.flip(np.logical_or.accumulate(np.flip(surface, axis), axis), axis)
    return hidden


def solid(product: Product, model: Model) -> Solid:
    """What :func:`read` gives, from the model itself."""
    views = [*frame_views(model), *random_views(product, model)]
    half, _, down = views[0].window or (0.0, 0.0, 0.0)
    side = half * views[0].distance
    slope, rise = np.cos(views[0].elevation), np.sin(views[0].elevation)
    height = views[0].distance * down / (slope + down * rise)
    mesh = trimesh.Trimesh(model.vertices, model.faces, process=False)
    points, triangles = trimesh.sample.sample_surface(mesh, POINTS, seed=0)
    points = np.asarray(points, np.float32)
    opaque = surface_at(model, np.asarray(triangles), points)[1] >= LEAST_OPACITY
    x, y, z = ((points[opaque] - (0, height, 0)) / side).T
    places = np.stack([z, -y, x])
    index = ((places + 1) / 2 * (PLACES - 1)).round().astype(int)
    index = index[:, ((index >= 0) & (index < PLACES)).all(0)]
    surface = np.zeros((PLACES,) * 3, bool)
    surface[tuple(index)] = True
    return Solid(
        enclosed(surface),
        np.array([_box(model, view, side, float(height)) for view in views], np.float32),
        np.array([side / view.distance for view in views], np.float32),
        np.array([view.elevation for view in views], np.float32),
    )


def _box(model: Model, view: View, side: float, height: float) -> tuple[float, float, float, float]:
    left, right, low, high = spans(model, view)
    slope, rise = np.cos(view.elevation), np.sin(view.elevation)
    middle = height * slope / (view.distance - height * rise)
    scale = view.distance / side
    return left * scale, right * scale, (middle - high) * scale, (middle - low) * scale


def write(product: Product, model: Model) -> None:
    """Works out the product's solid."""
    found = solid(product, model)
    path(product).parent.mkdir(parents=True, exist_ok=True)
    partial = path(product).with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        filled=np.packbits(found.filled),
        boxes=found.boxes,
        nearness=found.nearness,
        elevations=found.elevations,
    )
    partial.rename(path(product))


def packed(found: Solid) -> NDArray[np.uint8]:
    """As the video decoder remembers it: filled where any of a place's eight is, so that thin things stay."""
    step = PLACES // video_decoder.PLACES
    coarse = found.filled.reshape((video_decoder.PLACES, step) * 3).any((1, 3, 5))
    return np.packbits(coarse)


def read(product: Product) -> Solid:
    """The product's solid.

    Raises:
        FileNotFoundError: not worked out yet; says the command.
    """
    if not path(product).exists():
        raise FileNotFoundError(f"no {path(product)}; make it with `python -m training catalogue`")
    with np.load(path(product)) as file:
        filled = np.unpackbits(file["filled"]).astype(bool).reshape((PLACES,) * 3)
        return Solid(filled, file["boxes"], file["nearness"], file["elevations"])

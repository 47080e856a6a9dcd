"""How still pictures move: a cut-out product swings to and fro, a whole photo comes nearer.

What a product's outline encloses is taken for a smooth relief, highest in the middle, as a balloon of that outline
would be (a Poisson equation inside it; the idea of Repoussé, Joshi and Carr 2008, SBIM); the photo is turned with that
relief. So every pixel is the photo's own, its detail is kept, and nothing that the photo does not show
comes into sight: for the few degrees of a swing that is what an eye takes for depth.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

ZOOM = 0.07  # how much a photo grows while it is shown
SWING = math.radians(20)  # to either side
PERIOD = 96  # frames of one swing to and fro
DEPTH = 0.6  # of the relief, beside a round body of the same outline
DISTANCE = 4.0  # of the eye, in half the product's longer side
CELLS = 64  # along the longer side of a relief
MESH_PX = 16  # of the cells that are turned as one
MARGIN = 0.12  # round the product, into which it may turn
STEPS = 12  # of the search for the place that a turned pixel comes from


def zoomed(picture: Image.Image, progress: float) -> Image.Image:
    """The picture at `progress` 0 to 1 of the time that it is shown, slowly coming nearer."""
    margin = ZOOM * progress / 2 / (1 + ZOOM * progress)
    width, height = picture.size
    window = (margin * width, margin * height, (1 - margin) * width, (1 - margin) * height)
    return picture.resize(picture.size, Image.Resampling.BILINEAR, box=window)


def relief(opacity: Image.Image) -> np.ndarray:
    """How far a product of mode L stands out of its middle plane: float32 [h, w] of 64 cells at most, in its pixels."""
    scale = CELLS / max(opacity.size)
    small = opacity.resize([max(1, round(side * scale)) for side in opacity.size], Image.Resampling.BOX)
    inside = np.asarray(small) > 127
    height, width = inside.shape
    within = np.flatnonzero(inside)
    rows, columns = (sparse.diags([-1.0, 2.0, -1.0], [-1, 0, 1], (n, n), format="csr") for n in (height, width))
    laplacian = sparse.kron(sparse.eye(height), columns) + sparse.kron(rows, sparse.eye(width))
    blown = np.zeros(inside.size)
    if len(within):
        blown[within] = spsolve(laplacian.tocsr()[within][:, within].tocsc(), np.ones(len(within)))
    round_body = np.sqrt(2 * np.maximum(blown, 0)).reshape(inside.shape)
    return (ndimage.gaussian_filter(round_body, 1.0) * DEPTH / scale).astype(np.float32)


class Swing:
    """A cut-out product before its ground, swinging.

    Args:
        product: mode RGBA.
        place: of its left upper corner on the ground.
        ground: mode RGB, its own shadow on it.
    """

    def __init__(self, product: Image.Image, place: tuple[int, int], ground: Image.Image) -> None:
        margin = math.ceil(MARGIN * max(product.size))
        wide = Image.new("RGBA", (product.width + 2 * margin, product.height + 2 * margin))
        wide.paste(product, (margin, margin))
        self._relief = relief(wide.getchannel("A"))
        self._product = wide.convert("RGBa")  # colours times opacity: edges take no colour from beyond
        self._place = place[0] - margin, place[1] - margin
        self._ground = ground
        self._made: dict[int, Image.Image] = {}

    def frame(self, number: int) -> Image.Image:
        """The frame of that number; they repeat after :data:`PERIOD`."""
        quarter, left = PERIOD // 4, number % PERIOD
        # Up and down again, to both sides: each angle comes twice.
        step = left if left <= quarter else 2 * quarter - left if left <= 3 * quarter else left - PERIOD
        if step not in self._made:
            angle = SWING * math.sin(step / quarter * math.pi / 2)
            self._made[step] = turned(self._product, self._relief, angle).convert("RGBA")
        product, frame = self._made[step], self._ground.copy()
        frame.paste(product, self._place, product)
        return frame


def turned(picture: Image.Image, relief: np.ndarray, angle: float) -> Image.Image:
    """The picture as its relief shows it, turned about its upright middle by an angle in radians."""
    width, height = picture.size
    x, y = (np.append(np.arange(0, side, MESH_PX), side).astype(np.float64) for side in (width, height))
    aim_x, aim_y = np.meshgrid(x - width / 2, y - height / 2)
    sin, cos = math.sin(angle), math.cos(angle)
    eye = DISTANCE * max(picture.size) / 2
    rows, columns = relief.shape
    from_x, from_y = aim_x, aim_y
    for _ in range(STEPS):
        places = (from_y / height + 0.5) * rows - 0.5, (from_x / width + 0.5) * columns - 0.5
        out = ndimage.map_coordinates(relief, places, order=1, mode="constant")
        nearer = 1 - (out * cos - from_x * sin) / eye
        from_x = (from_x + (aim_x * nearer - out * sin) / cos) / 2
        from_y = (from_y + aim_y * nearer) / 2
    corners = np.stack([from_x + width / 2, from_y + height / 2], 2)
    quads = np.concatenate([corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:]], 2)
    mesh = [
        ((int(x[i]), int(y[j]), int(x[i + 1]), int(y[j + 1])), quads[j, i].tolist())
        for j in range(len(y) - 1)
        for i in range(len(x) - 1)
    ]
    return picture.transform(picture.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)

"""A product cut out of its photo and set before a studio's ground: the shop's own product, at the photo's own detail.

The network's opacity has 320 pixels a side; a guided filter (He, Sun and Tang 2013, IEEE TPAMI 35(6)) brings its edges
to where the photo has them. What shines through at an edge is taken out of the product's colours before it is set
before another ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from stages import motion
from stages.errors import invalid
from stages.marked import ENHANCED, film_file, picture_file
from stages.soundtrack import tune
from stages.text import choice

#: The request's tensors, as :func:`read_order` takes them.
FIELDS = ("BACKGROUND", "ASPECT", "SIZE", "IMAGE_FORMAT", "STYLE")
BACKGROUNDS = ("white", "shadow", "studio", "transparent", "photo")
ASPECTS = {"1:1": (1, 1), "4:5": (4, 5), "9:16": (9, 16), "16:9": (16, 9)}
#: Style → saturation, contrast, brightness, and gains of red and blue.
STYLES = {
    "natural": (1.0, 1.0, 1.0, 1.0, 1.0),
    "vivid": (1.3, 1.1, 1.0, 1.0, 1.0),
    "soft": (0.9, 0.86, 1.04, 1.0, 1.0),
    "warm": (1.05, 1.0, 1.0, 1.06, 0.92),
    "cool": (1.0, 1.0, 1.0, 0.95, 1.06),
    "mono": (0.0, 1.08, 1.0, 1.0, 1.0),
}
FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
SIZES = (256, 2_048)  # least and most pixels of the longer side
DEFAULT_SIZE = 1_200
CLIP_SIZES = (720, 1_080)  # of a clip: usual and most
FRAMES_A_SECOND = 24
PHOTO_PX = 2_048  # of a photo's longer side; more is not read

SEEN = 0.5  # opacity from which a pixel counts as the product's
SHARE = (0.01, 0.97)  # of the photo that a product covers; outside, there is none to cut out
FILLED = 0.82  # of the picture's height or width
MOST_ENLARGED = 3.0
PART = 0.1  # of the largest part's area, from which another one belongs to the product too
CUT = 0.15  # of its outline that lies on the photo's edge: more, and the photo is a close-up
#: Paper tells the colour of the light: the ground, where it is this even, this bright and no more coloured than that.
EVEN, BRIGHT, COLOURED = 0.06, 0.45, 0.35
MOST_BALANCED = 1.35  # the largest gain of a channel over another
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Order:
    """How the picture shall be made, checked.

    Args:
        background: one of :data:`BACKGROUNDS`; ``photo`` keeps the photo's own: nothing is cut out.
        aspect: one of :data:`ASPECTS`, width to height.
        size: pixels of the longer side; None for what suits a picture or a clip.
        file_format: one of :data:`FORMATS`.
        style: one of :data:`STYLES`.
    """

    background: str = BACKGROUNDS[0]
    aspect: str = "1:1"
    size: int | None = None
    file_format: str = "jpeg"
    style: str = "natural"


def read_order(
    background: bytes | None = None,
    aspect: bytes | None = None,
    size: int | None = None,
    file_format: bytes | None = None,
    style: bytes | None = None,
) -> Order:
    """The request's fields; what is left out keeps its default.

    Raises:
        StageError: ``invalid_input`` on ``BACKGROUND``, ``ASPECT``, ``SIZE``, ``IMAGE_FORMAT`` or ``STYLE``.
    """
    order = Order(
        background=choice("BACKGROUND", background, BACKGROUNDS),
        aspect=choice("ASPECT", aspect, tuple(ASPECTS)),
        size=size,
        file_format=choice("IMAGE_FORMAT", file_format, tuple(FORMATS)),
        style=choice("STYLE", style, tuple(STYLES)),
    )
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise invalid("SIZE", f"{size} is outside {SIZES[0]} to {SIZES[1]:,} pixels of the longer side")
    return order


def for_network(photo: Image.Image, side: int) -> np.ndarray:
    """uint8 [side, side, 3]: the whole photo, squashed, as the network was trained."""
    return np.asarray(photo.resize((side, side), Image.Resampling.LANCZOS))


def shoot(photo: np.ndarray, opacity: np.ndarray, order: Order) -> tuple[bytes, float]:
    """The studio shot as a file that says in its XMP what was done, and the share as :class:`Shot` has it.

    Raises:
        StageError: ``invalid_input`` on ``IMAGE_FORMAT``: jpeg, where the background shall be transparent; and as
            :func:`arranged`.
    """
    if order.background == "transparent" and order.file_format == "jpeg":
        raise invalid("IMAGE_FORMAT", "jpeg knows no transparency; send png or webp, or another BACKGROUND")
    shot = arranged(photo, opacity, order, sides(order.aspect, order.size or DEFAULT_SIZE))
    return picture_file(shot.picture(), FORMATS[order.file_format], ENHANCED), shot.share


def film(photo: np.ndarray, opacity: np.ndarray, order: Order, music: bytes | None = None) -> tuple[bytes, float]:
    """The studio shot as a clip of four seconds that can be shown in a loop, and the share as :class:`Shot` has it.

    The product swings to and fro (see `stages.motion`); a photo that is shown whole comes nearer and goes back.

    Args:
        music: a sound file that is heard.

    Returns:
        An MP4 (H.264, AAC where anything is heard, index first) that says in its metadata what was done.

    Raises:
        StageError: ``invalid_input`` on ``SIZE`` or ``BACKGROUND``: more than a clip can have; or on ``MUSIC``.
    """
    size = order.size or CLIP_SIZES[0]
    if size > CLIP_SIZES[1]:
        raise invalid("SIZE", f"{size:,} is more than the {CLIP_SIZES[1]:,} pixels that a clip's longer side may have")
    refuse_transparent(order.background)
    width, height = (side // 2 * 2 for side in sides(order.aspect, size))  # H.264 halves colours
    shot = arranged(photo, opacity, order, (width, height))
    frames = map(shot.frame, range(motion.PERIOD))
    comment = f"made of a photo; DigitalSourceType {ENHANCED}"
    sound = tune(music, motion.PERIOD / FRAMES_A_SECOND)
    return film_file(frames, (width, height), FRAMES_A_SECOND, 20, comment, sound), shot.share


def refuse_transparent(background: str) -> None:
    """Of a film.

    Raises:
        StageError: ``invalid_input`` on ``BACKGROUND``.
    """
    if background == "transparent":
        raise invalid("BACKGROUND", "a film knows no transparency; send white, shadow, studio or photo")


@dataclass(frozen=True)
class Shot:
    """A product, mode RGBA, its left upper corner's `place` on the `ground`, mode RGB or RGBA.

    `share`: of the photo that the product covers; 0 where nothing stands out, the photo is a close-up, or nothing shall
    be cut out: it is then shown whole.
    """

    product: Image.Image
    place: tuple[int, int]
    ground: Image.Image
    share: float

    def picture(self) -> Image.Image:
        """The product on its ground."""
        canvas = self.ground.copy()
        # On a ground of nothing it keeps its own opacity.
        canvas.paste(self.product, self.place, self.product if canvas.mode == "RGB" else None)
        return canvas

    def frame(self, number: int) -> Image.Image:
        """A clip's frame of that number: the product swings, a whole photo comes nearer and goes back."""
        if self.share:
            return self._swing.frame(number)
        return motion.zoomed(self._whole, (1 - math.cos(2 * math.pi * number / motion.PERIOD)) / 2)

    @cached_property
    def _swing(self) -> motion.Swing:
        return motion.Swing(self.product, self.place, self.ground)

    @cached_property
    def _whole(self) -> Image.Image:
        return self.picture()


def sides(aspect: str, longer: int) -> tuple[int, int]:
    """Width and height of one of :data:`ASPECTS`, in pixels."""
    width, height = (round(longer * side / max(ASPECTS[aspect])) for side in ASPECTS[aspect])
    return width, height


def arranged(photo: np.ndarray, opacity: np.ndarray, order: Order, size: tuple[int, int], free: float = 0.0) -> Shot:
    """The product of a photo, cut out and in even light, in the middle of its ground.

    Args:
        photo: uint8 [H, W, 3].
        opacity: float32 [320, 320], the network's for that photo.
        size: width and height of the picture.
        free: share of the height that stays free below the product.

    Raises:
        StageError: ``invalid_input`` on ``IMAGE``: no product to cut out, where the background shall be transparent.
    """
    colours = photo.astype(np.float32) / 255
    spread = max(photo.shape[:2]) / len(opacity)  # of the photo's pixels, to one of the network's
    alpha = largest_parts(refine(opacity, colours), spread)
    share = float((alpha > SEEN).mean())
    if reason := _whole(alpha, share, order.background):
        if order.background == "transparent":
            raise invalid("IMAGE", f"{reason}, so there is nothing to cut out; send a photo of the whole product")
        share, alpha = 0.0, np.ones_like(alpha)
    colours = balanced(colours, alpha)
    box = _box(alpha)
    rows, columns = slice(box[1], box[3]), slice(box[0], box[2])
    colours, alpha = colours[rows, columns], alpha[rows, columns]
    product = np.dstack([own_colours(colours, alpha, spread), alpha])
    if share:  # a scene keeps its light
        product[..., :3] = developed(product[..., :3], product[..., 3])
    product[..., :3] = styled(product[..., :3], order.style)
    touching = box[3] == len(photo)  # cut by the photo's edge, it stands on nothing
    return Shot(*_placed(product, size, order.background, bool(share) and not touching, free), share)


def refine(opacity: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The network's opacity at the photo's size, its edges where the photo has them: float32 [H, W] in 0..1."""
    height, width = colours.shape[:2]
    coarse = Image.fromarray(np.clip(opacity, 0, 1).astype(np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    guide, mask = colours @ _LUMA, np.asarray(coarse)
    radius = 2 * max(2, round(max(height, width) / len(opacity))) + 1

    def mean(x: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(x, radius, mode="nearest")

    guide_mean, mask_mean = mean(guide), mean(mask)
    slope = (mean(guide * mask) - guide_mean * mask_mean) / (mean(guide * guide) - guide_mean**2 + 1e-4)
    fine = mean(slope) * guide + mean(mask_mean - slope * guide_mean)
    # Faint haze is ground, and what is nearly whole is the product.
    return np.clip((fine - 0.1) / 0.8, 0, 1).astype(np.float32)


def largest_parts(alpha: np.ndarray, spread: float) -> np.ndarray:
    """Without what is seen apart from the product: reflections, other things, haze.

    Args:
        spread: pixels of the photo to one of the network's.
    """
    parts, count = ndimage.label(alpha > SEEN)
    if not count:
        return alpha
    areas = np.bincount(parts.ravel())[1:]
    kept = np.isin(parts, 1 + np.flatnonzero(areas >= PART * areas.max()))
    edge = max(2, round(spread))
    return alpha * ndimage.uniform_filter(ndimage.binary_dilation(kept, iterations=2 * edge).astype(np.float32), edge)


def _whole(alpha: np.ndarray, share: float, background: str) -> str:
    """Why the photo is to be shown whole; empty if the product is to be cut out."""
    if background == "photo":
        return "the photo shall keep its ground"
    if share < SHARE[0]:
        return "nothing stands out"
    if share > SHARE[1]:
        return "the product covers all of it"
    seen = alpha > SEEN
    box = _box(alpha)
    cut = sum(int(edge.sum()) for edge in (seen[0], seen[-1], seen[:, 0], seen[:, -1]))
    return "the product goes on beyond its edges" if cut > CUT * 2 * (box[2] - box[0] + box[3] - box[1]) else ""


def own_colours(colours: np.ndarray, alpha: np.ndarray, spread: float) -> np.ndarray:
    """The picture, but at half-seen pixels the colour of the product's whole ones within some `spread` pixels."""
    whole = (alpha > 0.95).astype(np.float32)
    if not whole.any():
        return colours
    weight, *near = (
        ndimage.gaussian_filter(plane * whole, spread, mode="constant")
        for plane in (np.float32(1), *np.moveaxis(colours, 2, 0))
    )
    near = np.dstack(near) / np.maximum(weight, 1e-4)[..., None]
    known = np.clip(weight / 0.05, 0, 1)[..., None] * (1 - whole[..., None])
    return colours * (1 - known) + near * known


def developed(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The product in even light: brighter where it was taken too dark, its blacks deepened; hue stays as it is."""
    light = colours @ _LUMA
    dark, bright = np.percentile(light[alpha > SEEN], [1, 99])
    floor = min(float(dark), 0.1 * float(bright), 0.04)
    gain = float(np.clip(0.92 / max(float(bright) - floor, 1e-3), 1.0, 1.3))
    factor = gain * np.maximum(light - floor, 0) / np.maximum(light, 1e-3)
    return np.clip(colours * factor[..., None], 0, 1)


def balanced(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The photo under white light, where the ground is paper and so tells the light's colour; else as it is."""
    ground = colours[::4, ::4][alpha[::4, ::4] < 0.02]
    if len(ground) < 200:
        return colours
    light = np.median(ground, 0)
    spread = np.abs(ground - light).mean()
    if spread > EVEN or light.max() < BRIGHT or 1 - light.min() / light.max() > COLOURED:
        return colours
    gains = (light @ _LUMA) / light
    return np.clip(colours * np.clip(gains, 1 / MOST_BALANCED, MOST_BALANCED), 0, 1)


def styled(colours: np.ndarray, style: str) -> np.ndarray:
    """The product in one of :data:`STYLES`: float32 [h, w, 3]."""
    saturation, contrast, brightness, red, blue = STYLES[style]
    if style == "natural":
        return colours
    grey = (colours @ _LUMA)[..., None]
    made = grey + saturation * (colours - grey)
    made = ((made - 0.5) * contrast + 0.5) * brightness * np.array([red, 1, blue], np.float32)
    return np.clip(made, 0, 1).astype(np.float32)


def _box(alpha: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is seen, with the soft edge round it."""
    rows, columns = (np.flatnonzero((alpha > 0.05).any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _placed(
    product: np.ndarray, size: tuple[int, int], background: str, stands: bool, free: float
) -> tuple[Image.Image, tuple[int, int], Image.Image]:
    """The product [h, w, 4] as large as it is shown, its place above what stays free, and its ground."""
    width, height = size[0], round(size[1] * (1 - free))
    filled = FILLED if stands or product[..., 3].min() < SEEN else 1.0
    scale = min(filled * width / product.shape[1], filled * height / product.shape[0], MOST_ENLARGED)
    inner = max(1, round(product.shape[1] * scale)), max(1, round(product.shape[0] * scale))
    cut_out = Image.fromarray((product * 255).round().astype(np.uint8), "RGBA").resize(inner, Image.Resampling.LANCZOS)
    sharp = cut_out.convert("RGB").filter(ImageFilter.UnsharpMask(radius=1.2, percent=60, threshold=2))
    sharp.putalpha(cut_out.getchannel("A"))
    place = (width - inner[0]) // 2, (height - inner[1]) // 2
    if background == "transparent":
        return sharp, place, Image.new("RGBA", size, (255, 255, 255, 0))
    ground = _studio(size) if background == "studio" else np.ones(size[::-1], np.float32)
    if background != "white" and stands:
        ground = ground * (1 - _shadow(sharp.getchannel("A"), place, size))
    return sharp, place, Image.fromarray((ground * 255).round().astype(np.uint8)).convert("RGB")


def _studio(size: tuple[int, int]) -> np.ndarray:
    """A light grey ground, brightest behind the product: float32 [H, W]."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    away = np.hypot((x - width / 2) / width, (y - height * 0.45) / height)
    return np.clip(0.97 - 0.22 * away**1.5, 0, 1)


def _shadow(alpha: Image.Image, place: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """How dark the ground is round the product's foot: float32 [H, W]."""
    width, height = alpha.size
    # What stands nearest to the ground throws it: the lower fifth, flattened.
    foot = alpha.crop((0, height - max(1, height // 5), width, height)).resize((width, max(2, height // 16)))
    layer = Image.new("L", size, 0)
    layer.paste(foot, (place[0], place[1] + height - foot.height))
    wide = ndimage.gaussian_filter(np.asarray(layer, np.float32) / 255, max(size) / 70)
    near = ndimage.gaussian_filter(np.asarray(layer, np.float32) / 255, max(size) / 250)
    return np.clip(0.35 * wide + 0.25 * near, 0, 0.6)

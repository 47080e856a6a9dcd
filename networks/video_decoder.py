"""The video decoder: the product, cut out of the image decoder's picture, lifted into a volume and turned.

From the cut-out, `Camera` tells how it was taken: from how high and how near, and where the product's axis is. `Solids`
recalls, of the known products that the embedding is nearest to, the one whose shape fits the cut-out best from some
side; where none is like it, the cut-out is taken to be as deep as it is wide, and round. A U-Net that is shown that
shape gives every pixel a column of places along its line of sight, each with its opacity, and how their colour differs
from the pixel's. That volume is seen by a camera that goes round it, 24 times, by alpha compositing (the idea of neural
volumes, Lombardi et al. 2019, arXiv:1906.07751); a small network that is the same for all frames sharpens what comes
out and lights it anew. Its shadow falls on the floor that it stands on. So the turn is even and its frames agree by
construction; what the network has to guess is what the picture does not show. A volume is sampled as its slices, one
below the other in one picture, because engines sample four-dimensional tensors only.

Frame 0 is the side that the picture shows; from one frame to the next the camera goes on by 15 degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.image_decoder import CHANNELS, CONDITION_WIDTH, SIZE, ImageDecoder, Memory, UNet, split

FRAMES = 24
DEPTHS = 32  # places of a column
SHADES = 8  # of them with a colour of their own; between them it changes evenly
STEPS = 36  # along a line of sight, where the volume is looked at
FINE = 24
PLACES = 32  # a side of a shape that is recalled
CANDIDATES = 24  # known products whose shapes are compared
OUTLINE, LOOKS = 24, 24  # pixels of a side and places along a line of sight of that comparison
LIKENESS = 0.3  # of a product's embedding, beside the share that the two outlines have in common
LEAST_LIKE = 0.5  # of the nearest product's likeness, below which another is not recalled
UNLIKE, UNFIT = 0.45, 0.5  # below that likeness of the nearest, or share of the outlines in common, none is recalled
LEAST_FULL = 1.0  # opacity, before its sigmoid, of the fullest place behind a pixel of the cut-out
AT_ONCE = 4  # frames that are seen together: a frame takes ten megabytes on its way
SHARPNESS = 3.0  # of the volume's edges, beside what it was taught to be sure of
EMPTY = -18.0  # opacity, before its sigmoid, outside the volume
NEARNESS = 0.27  # of the camera that goes round: one over its distance, the volume's half side being one
#: The light stands to the camera's right and above, and its shadow on white is so dark; as the catalogue has it.
LIGHT_ASIDE, LIGHT_ABOVE, SHADOW = math.radians(35), math.radians(65), 0.25
LIGHT_STEPS = 12  # from the floor towards the light, where the volume is looked at
SEEN = 0.3  # opacity from which a pixel counts as the product's
MARGIN = 1.1  # of the square round the product, in its larger side


def square(opacity: Tensor) -> tuple[Tensor, Tensor]:
    """The square round what is opaque in [B, 1, S, S]: its centre [B, 2] (x, y) and side [B, 1], the picture's being 2.

    A picture without anything gives a square of its own size.
    """
    seen = opacity[:, 0] > SEEN
    line = torch.linspace(-1, 1, opacity.shape[-1], device=opacity.device)
    ends = []
    for there in (seen.any(1), seen.any(2)):
        low = torch.where(there, line, 1.0).amin(1)
        high = torch.where(there, line, -1.0).amax(1)
        nothing = low > high
        ends.append((torch.where(nothing, -1.0, low), torch.where(nothing, 1.0, high)))
    centre = torch.stack([(low + high) / 2 for low, high in ends], 1)
    side = torch.stack([high - low for low, high in ends], 1).amax(1, keepdim=True)
    return centre, side.clamp(min=0.1) * MARGIN


def window(picture: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """What a window of `scale` [B, 1] times the picture's size round `centre` [B, 2] shows of [B, C, S, S]."""
    line = torch.linspace(-1, 1, picture.shape[-1], device=picture.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x, y], 2).unsqueeze(0) * scale[:, :, None, None] + centre[:, None, None]
    return F.grid_sample(picture, places, align_corners=True)


@dataclass
class Taken:
    """How pictures were taken, each field [B, 1] but `axis`.

    `share`: of the turntable's window that the square round the product takes; `axis` [B, 2]: where the volume's middle
    is, from the square's, half its side being one; `elevation` and `nearness` of the camera; `turning`: the elevation
    of the camera that goes round, a flat thing being shown from further above. Angles in radians.
    """

    share: Tensor
    axis: Tensor
    elevation: Tensor
    nearness: Tensor
    turning: Tensor

    def only(self, which: int | slice) -> Taken:
        """Of some pictures."""
        which = slice(which, which + 1) if isinstance(which, int) else which
        return Taken(*(number[which] for number in vars(self).values()))

    def stacked(self) -> Tensor:
        """[B, 6], each of about the same weight."""
        return torch.cat([self.share.log(), self.axis, self.elevation, 2 * self.nearness, 2 * self.turning], 1)


class Camera(nn.Module):
    """How a picture was taken: cut-out in its square [B, 4, 64, 64], fused [B, 384] → :class:`Taken`."""

    def __init__(self) -> None:
        super().__init__()
        widths = (4, 24, 48, 64, 64)
        self.layers = nn.Sequential(
            *(layer for a, b in pairwise(widths) for layer in (nn.Conv2d(a, b, 4, 2, 1), nn.GroupNorm(8, b), nn.SiLU()))
        )
        self.out = nn.Sequential(nn.Linear(64 * 16 + CONDITION_WIDTH, 96), nn.SiLU(), nn.Linear(96, 6))
        for parameter in self.out[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, cut_out: Tensor, fused: Tensor) -> Taken:
        seen = self.layers(cut_out).flatten(1)
        numbers = self.out(torch.cat([seen, fused * math.sqrt(CONDITION_WIDTH)], 1))
        share, axis, elevation, nearness, turning = numbers.split([1, 2, 1, 1, 1], 1)
        return Taken(
            1.2 * (share + 1).sigmoid(),
            0.5 * axis.tanh(),
            1.4 * (elevation - 1).sigmoid(),
            0.15 + 0.3 * nearness.sigmoid(),
            0.6 * turning.sigmoid(),
        )


class Solids(nn.Module):
    """Shapes of known products, of which one is recalled and turned as the cut-out shows it.

    `keys` [N, 384] are the products' unit embeddings. `packed` uint8 [N, P³ / 8] says which places are filled of an
    upright cube with the turntable's axis in its middle and the turntable's window as its side: z towards the front, y
    down and x, eight of them a byte, the first in its highest bit.
    """

    keys: Tensor
    packed: Tensor
    bits: Tensor
    sides: Tensor

    def __init__(self, known: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(known, CONDITION_WIDTH))
        self.register_buffer("packed", torch.zeros(known, PLACES**3 // 8, dtype=torch.uint8))
        self.register_buffer("bits", 2 ** torch.arange(7, -1, -1, dtype=torch.int32), persistent=False)
        self.register_buffer("sides", torch.arange(FRAMES) * (2 * math.pi / FRAMES), persistent=False)

    def filled(self, which: Tensor) -> Tensor:
        """Of some products [...]: 1 where they are filled, [..., P³]."""
        packed = self.packed[which].int().unsqueeze(-1)
        return (torch.div(packed, self.bits, rounding_mode="trunc") % 2).to(self.keys.dtype).flatten(-2)

    def forward(self, cut_out: Tensor, fused: Tensor, taken: Taken) -> Tensor:
        """What the cut-out [B, 4, 64, 64] in the turntable's window may hide: filled [B, 32, 64, 64] in 0..1."""
        batch = fused.shape[0]
        likeness, which = (fused @ self.keys.T).topk(min(CANDIDATES, len(self.keys)), 1)
        shapes = self.filled(which)  # [B, K, P³]
        around = gone_round(sight(taken.elevation, taken.nearness, LOOKS, OUTLINE), self.sides.expand(batch, -1))
        x, y, z = ((around.clamp(-1, 1) + 1) * ((PLACES - 1) / 2)).round().long().unbind(-1)
        row = torch.arange(batch, device=fused.device).reshape(-1, 1, 1, 1, 1) * PLACES
        index = ((row + z) * PLACES + y) * PLACES + x
        met = shapes.transpose(1, 2).flatten(0, 1)[index.flatten()]
        outlines = met.reshape(batch, FRAMES, LOOKS, OUTLINE * OUTLINE, -1).amax(2)
        own = F.adaptive_avg_pool2d(cut_out[:, 3:], OUTLINE).reshape(batch, 1, -1, 1)
        common = torch.minimum(outlines, own).sum(2) / torch.maximum(outlines, own).sum(2).clamp(min=1e-3)
        fit = common + LIKENESS * likeness.unsqueeze(1)
        fit = torch.where((likeness >= LEAST_LIKE * likeness[:, :1]).unsqueeze(1), fit, -1.0)
        best = fit.flatten(1).argmax(1, keepdim=True)  # of [B, 24, K]
        known = (likeness[:, :1] >= UNLIKE) & (common.flatten(1).gather(1, best) >= UNFIT)
        count = likeness.shape[1]
        side = self.sides[torch.div(best, count, rounding_mode="trunc")]
        shape = shapes.gather(1, (best % count).unsqueeze(2).expand(-1, -1, PLACES**3))
        recalled = in_lines(shape.flatten(1), gone_round(sight(taken.elevation, taken.nearness, DEPTHS, SIZE), side))
        return torch.where(known[..., None, None], recalled, rounded(cut_out[:, 3:], taken))


def in_lines(shapes: Tensor, places: Tensor) -> Tensor:
    """How far shapes [B, P³] fill upright places along lines of sight [B, 1, D, S, S, 3]: [B, D, S, S] in 0..1."""
    volumes = shapes.reshape(-1, 1, PLACES, PLACES, PLACES)
    return sample(volumes, places.reshape(shapes.shape[0], -1, SIZE, 3)).reshape(-1, DEPTHS, SIZE, SIZE)


def to_edge(inside: Tensor) -> Tensor:
    """How many pixels away, S / 2 at most, the nearest pixel outside is: [B, S, S], one inside and zero outside."""
    side = inside.shape[-1]
    line = torch.arange(side, device=inside.device, dtype=inside.dtype)
    apart = (line[:, None] - line).square()
    down = (side**2 * inside.unsqueeze(1) + apart.unsqueeze(2)).amin(2)
    return (down.unsqueeze(2) + apart).amin(3).sqrt().clamp(max=side / 2)


def rounded(opacity: Tensor, taken: Taken) -> Tensor:
    """What a cut-out [B, 1, S, S] may be if it is like nothing known, along lines of sight: [B, D, S, S].

    It stands upright, as deep as its widest part is wide, and like a cushion gets thinner towards its outline (the idea
    of Teddy, Igarashi et al. 1999).
    """
    inside = (opacity > 0.5).to(opacity.dtype)
    batch, _, side, _ = inside.shape
    edge = to_edge(inside[:, 0]).unsqueeze(1)
    widest = edge.flatten(1).amax(1)[:, None, None, None]
    thick = (edge * (2 * widest - edge)).clamp(min=1).sqrt() * inside * (2 / (side - 1))
    places = sight(taken.elevation, taken.nearness, DEPTHS, side)
    # How thick it is there, the outline's upright plane tells.
    middle = in_sight(places * places.new_tensor([1, 1, 0]), taken.elevation, taken.nearness)
    thick = F.grid_sample(thick, middle[..., :2].reshape(batch, -1, side, 2), align_corners=True)
    deep = (thick.reshape(batch, -1, side, side) - places[..., 2].abs()) * (DEPTHS / 2)
    return (deep + 0.5).clamp(0, 1) * inside


class Lift(UNet):
    """A cut-out in the turntable's window [B, 4, 64, 64], fused [B, 384] and what :class:`Solids` recalled → a volume.

    Its opacity before its sigmoid [B, 1, 32, 64, 64] and colour [B, 3, 32, 64, 64]: z, from the farthest to the
    nearest, y and x of lines of sight.
    """

    places: Tensor

    def __init__(self) -> None:
        super().__init__(4 * 4 + 2 + DEPTHS, SIZE // 2)
        line = torch.linspace(-1, 1, SIZE // 2)
        self.register_buffer("places", torch.stack(torch.meshgrid(line, line, indexing="ij")), persistent=False)
        self.last = nn.Conv2d(CHANNELS[0], 4 * FINE, 3, padding=1)
        self.columns = nn.Conv2d(FINE + 4, DEPTHS + 3 * SHADES, 3, padding=1)
        for parameter in self.columns.parameters():
            nn.init.zeros_(parameter)

    def forward(self, cut_out: Tensor, fused: Tensor, recalled: Tensor) -> tuple[Tensor, Tensor]:
        batch = fused.shape[0]
        layers = [F.pixel_unshuffle(cut_out, 2), self.places.expand(batch, -1, -1, -1), F.avg_pool2d(recalled, 2)]
        x = self.look(torch.cat(layers, 1), self.styled(fused))
        x = F.pixel_shuffle(self.last(F.silu(x)), 2)
        columns, shades = self.columns(torch.cat([F.silu(x), cut_out], 1)).split([DEPTHS, 3 * SHADES], 1)
        product, inside = cut_out.split([3, 1], 1)
        # Nothing stands where the cut-out has nothing. Where no shape is recalled, most stands near the middle plane.
        line = torch.linspace(-1, 1, DEPTHS, device=columns.device)
        known = recalled.amax(1, keepdim=True)
        expected = known * (8 * recalled - 4) + (1 - known) * (1 - 6 * line.abs())[:, None, None]
        opacity = columns + expected + 6 * inside - 6
        # What the photo shows is there, whatever is recalled.
        missing = (LEAST_FULL - opacity.amax(1, keepdim=True)).clamp(min=0)
        opacity = opacity + missing * (2 * inside - 1).clamp(min=0)
        shades = shades.reshape(batch * 3, 1, SHADES, SIZE * SIZE)
        shades = F.interpolate(shades, (DEPTHS, SIZE * SIZE), mode="bilinear", align_corners=True)
        # Beyond the cut-out's edge its colours go on.
        near = F.avg_pool2d(cut_out, 7, 1, 3, count_include_pad=False) * 0.1
        colour = (product + near[:, :3]) / (inside + near[:, 3:]).clamp(min=0.002)
        colour = colour.unsqueeze(2) + shades.reshape(batch, 3, DEPTHS, SIZE, SIZE)
        return opacity.unsqueeze(1), colour


def sample(volume: Tensor, places: Tensor) -> Tensor:
    """[B, C, Z, Y, X] at places [B, H, W, 3] (x, y, z in -1..1): [B, C, H, W], zero outside."""
    batch, channels, deep, high, wide = volume.shape
    x, y, z = places.unbind(3)
    inside = (places.abs() <= 1).all(3).to(volume.dtype).unsqueeze(1)
    slices = volume.reshape(batch, channels, deep * high, wide)
    z = (z.clamp(-1, 1) + 1) / 2 * (deep - 1)
    first = z.floor().clamp(max=deep - 2)
    row = first * high + (y.clamp(-1, 1) + 1) / 2 * (high - 1)
    near, far = (
        F.grid_sample(slices, torch.stack([x, at / (deep * high - 1) * 2 - 1], 3), align_corners=True)
        for at in (row, row + high)
    )
    return (near + (far - near) * (z - first).unsqueeze(1)) * inside


def sight(elevation: Tensor, nearness: Tensor, depths: int, side: int) -> Tensor:
    """Lines of sight of a camera at elevation and nearness [B, 1], in steps from the farthest to the nearest.

    [B, depths, side, side, 3]: upright places (x, y down, z) relative to the azimuth it looks from.
    """
    line = torch.linspace(-1, 1, side, device=elevation.device)
    z, y, x = torch.meshgrid(torch.linspace(-1, 1, depths, device=elevation.device), line, line, indexing="ij")
    scale = 1 - z * nearness[:, :, None, None]
    sin, cos = elevation.sin()[:, :, None, None], elevation.cos()[:, :, None, None]
    down = y * scale
    return torch.stack([x * scale, down * cos - z * sin, down * sin + z * cos], 4)


def gone_round(places: Tensor, turns: Tensor) -> Tensor:
    """Places [B, ..., 3] as the camera that has not yet gone on by `turns` [B, T] calls them: [B, T, ..., 3]."""
    shape = (*turns.shape, *(1 for _ in places.shape[1:-1]))
    sin, cos = turns.sin().reshape(shape), turns.cos().reshape(shape)
    x, y, z = places.unsqueeze(1).unbind(-1)
    return torch.stack([x * cos + z * sin, y.expand_as(x * cos), z * cos - x * sin], -1)


def in_sight(places: Tensor, elevation: Tensor, nearness: Tensor) -> Tensor:
    """Upright places [B, T, ..., 3] as places in the volume of a camera at elevation and nearness [B, 1]."""
    shape = (-1, *(1 for _ in places.shape[1:-1]))
    elevation, nearness = elevation.reshape(shape), nearness.reshape(shape)
    x, y, z = places.unbind(-1)
    down, depth = y * elevation.cos() + z * elevation.sin(), z * elevation.cos() - y * elevation.sin()
    scale = 1 - depth * nearness
    return torch.stack([x / scale, down / scale, depth], -1)


def seen(volume: Tensor) -> Tensor:
    """[B, 4, z, y, x], colour times opacity and opacity, looked at along z from its near end: [B, 5, y, x].

    Colour times opacity, opacity, and how near it is, times opacity.
    """
    front_first = volume.flip(2)
    clear = (1 - front_first[:, 3:]).clamp(min=1e-4)
    through = (clear.log().cumsum(2) - clear.log()).exp()
    near = torch.linspace(1, -1, volume.shape[2], device=volume.device)[:, None, None] * front_first[:, 3:]
    return (torch.cat([front_first, near], 1) * through).sum(2)


def floor(there: Tensor, taken: Taken) -> Tensor:
    """How far down the lowest filled place of volumes [B, 1, Z, Y, X] is: [B, 1]."""
    down = sight(taken.elevation, taken.nearness, there.shape[2], there.shape[3])[..., 1]
    # What is less than half filled counts for less, the emptier: no place decides by a hair.
    return (down - 4 * (0.5 - there[:, 0]).clamp(min=0)).flatten(1).amax(1, keepdim=True)


def towards_light(elevation: Tensor, nearness: Tensor, floor: Tensor, side: int) -> Tensor:
    """From where lines of sight meet the floor [B, 1] towards the light: [B, LIGHT_STEPS, side, side, 3], upright."""
    line = torch.linspace(-1, 1, side, device=floor.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    sin, cos, nearness, floor = (each[:, :, None] for each in (elevation.sin(), elevation.cos(), nearness, floor))
    z = (y * cos - floor) / (y * cos * nearness + sin).clamp(min=0.05)
    scale = 1 - z * nearness
    met = torch.stack([x * scale, floor.expand_as(z), y * scale * sin + z * cos], -1)
    far = torch.linspace(0.03, 2, LIGHT_STEPS, device=floor.device)[:, None, None, None]
    aside = math.cos(LIGHT_ABOVE)
    light = (aside * math.sin(LIGHT_ASIDE), -math.sin(LIGHT_ABOVE), aside * math.cos(LIGHT_ASIDE))
    return met.unsqueeze(1) + far * torch.tensor(light, device=floor.device)


class Sharpen(nn.Module):
    """Frames [B, 5, 64, 64] as :func:`seen` gives them → [B, 4, 64, 64], the first four channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(5, FINE, 3, padding=1)
        self.narrow = nn.Conv2d(FINE, 2 * FINE, 4, 2, 1)
        self.blocks = nn.ModuleList(nn.Conv2d(2 * FINE, 2 * FINE, 3, padding=1) for _ in range(3))
        self.wide = nn.Conv2d(3 * FINE, FINE, 3, padding=1)
        self.out = nn.Conv2d(FINE, 4, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, frames: Tensor) -> Tensor:
        fine = F.silu(self.first(frames))
        x = F.silu(self.narrow(fine))
        for block in self.blocks:
            x = x + F.silu(block(x))
        x = F.silu(self.wide(torch.cat([F.interpolate(x, scale_factor=2.0), fine], 1)))
        return frames[:, :4] + self.out(x)


class VideoDecoder(nn.Module):
    """A cut-out [B, 4, 64, 64] (colour times opacity, and opacity) and fused [B, 384] → frames.

    Args:
        known: so many products it can recall the shapes of.
    """

    def __init__(self, known: int) -> None:
        super().__init__()
        self.solids = Solids(known)
        self.camera = Camera()
        self.lift = Lift()
        self.sharpen = Sharpen()

    @classmethod
    def restored(cls, weights: dict[str, Tensor]) -> VideoDecoder:
        """With weights of any precision, ready to draw in float32."""
        decoder = cls(len(weights["solids.keys"]))
        decoder.load_state_dict(weights)
        return decoder.eval()

    def frames(self, opacity: Tensor, colour: Tensor, taken: Taken, turns: Tensor) -> tuple[Tensor, Tensor]:
        """What :class:`Lift` gave, seen after turns [B, T]: as :func:`seen` gives it and sharpened, [B·T, …]."""
        batch = turns.shape[0]
        # What lies between two places is asked for before the sigmoid, so that a surface there stays one, without steps
        # (Sun et al. 2022, arXiv:2111.11215).
        volume = torch.cat([colour, (SHARPNESS * opacity).clamp(min=EMPTY) - EMPTY], 1)
        ahead = sight(taken.turning, torch.full_like(taken.turning, NEARNESS), STEPS, SIZE)
        parts = []
        for few in turns.split(AT_ONCE, 1):
            places = in_sight(gone_round(ahead, few), taken.elevation, taken.nearness)
            found = sample(volume, places.reshape(batch, -1, SIZE, 3))
            found = found.reshape(batch, 4, few.shape[1], STEPS, SIZE, SIZE).transpose(1, 2).flatten(0, 1)
            there = (found[:, 3:] + EMPTY).sigmoid()
            parts.append(seen(torch.cat([found[:, :3] * there, there], 1)).reshape(*few.shape, 5, SIZE, SIZE))
        coarse = torch.cat(parts, 1).flatten(0, 1)
        return coarse, self.sharpen(coarse)

    def shadows(self, opacity: Tensor, taken: Taken, turns: Tensor) -> Tensor:
        """How much of the light what :class:`Lift` gave takes from the floor behind it, after turns [B, T].

        [B·T, 1, 64, 64], worked out at half the size: it is soft.
        """
        batch, side = turns.shape[0], SIZE // 2
        there = (SHARPNESS * opacity).sigmoid()
        turning = taken.turning.clamp(min=0.05)
        ahead = towards_light(turning, torch.full_like(turning, NEARNESS), floor(there, taken), side)
        parts = []
        for few in turns.split(AT_ONCE, 1):
            places = in_sight(gone_round(ahead, few), taken.elevation, taken.nearness)
            found = sample(there, places.reshape(batch, -1, side, 3))
            parts.append(found.reshape(*few.shape, LIGHT_STEPS, side, side).amax(2))
        dark = F.avg_pool2d(torch.cat(parts, 1).flatten(0, 1).unsqueeze(1), 3, 1, 1)
        return F.interpolate(dark, (SIZE, SIZE), mode="bilinear", align_corners=True)

    def framed(self, cut_out: Tensor, fused: Tensor) -> tuple[Tensor, Taken]:
        """The cut-out, wherever it is, brought into the turntable's window, and how it was taken."""
        centre, side = square(cut_out[:, 3:])
        taken = self.camera(window(cut_out, centre, side / 2), fused)
        return window(cut_out, centre + taken.axis * side / 2, side / 2 / taken.share), taken

    def forward(self, cut_out: Tensor, fused: Tensor, turns: Tensor) -> Tensor:
        """[B, T, 3, 64, 64] in 0..1, on white."""
        framed, taken = self.framed(cut_out, fused)
        opacity, colour = self.lift(framed, fused, self.solids(framed, fused, taken))
        frames = self.frames(opacity, colour, taken, turns)[1]
        ground = 1 - SHADOW * self.shadows(opacity, taken, turns)
        frames = (frames[:, :3] + ground * (1 - frames[:, 3:])).clamp(0, 1)
        return frames.reshape(*turns.shape, 3, SIZE, SIZE)


class Turntable(nn.Module):
    """condition [B, R, 384] and noise [B, 3, 64, 64] → frames [B, 24, 3, 64, 64]."""

    turns: Tensor

    def __init__(self, painter: ImageDecoder, memory: Memory, decoder: VideoDecoder) -> None:
        super().__init__()
        self.painter = painter
        self.memory = memory
        self.decoder = decoder
        self.register_buffer("turns", torch.arange(FRAMES) * (2 * math.pi / FRAMES), persistent=False)

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        layers = self.painter.layers(self.memory(condition, noise), noise)
        cut_out = torch.cat([layers.product.clamp(0, 1) * layers.opacity, layers.opacity], 1)
        fused, _ = split(condition)
        return self.decoder(cut_out, fused, self.turns.expand(fused.shape[0], -1))

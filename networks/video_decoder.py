"""The video decoder: the product, cut out of the image decoder's picture, lifted into a volume and turned.

A U-Net reads the cut-out and gives every pixel a column of voxels behind it, each with its opacity and how its colour
differs from the pixel's. The volume is then turned about its vertical axis and seen by the camera of the reference
turntables, 24 times, by alpha compositing (the idea of neural volumes, Lombardi et al. 2019, arXiv:1906.07751); a small
network that is the same for all frames sharpens what comes out. So the turn is even and its frames agree by
construction; what the network has to guess is what the picture does not show. All sampling is in planes, a turn being
one and the camera's tilt another, because engines sample four-dimensional tensors only.

Frame 0 is the side that the picture shows; from one frame to the next the camera goes on by 15 degrees.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.image_decoder import CHANNELS, CONDITION_WIDTH, SIZE, ImageDecoder, Memory, UNet, split

FRAMES = 24
VOXELS = 32  # a side of the volume
ELEVATION = math.radians(15)  # of the camera
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


class Extent(nn.Module):
    """How much of its turntable's window a product takes as seen here: cut-out [B, 4, 64, 64], fused [B, 384] → [B, 1].

    It says from one side how wide the others are: a bench seen from its end will need room.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (4, 24, 48, 64, 64)
        self.layers = nn.Sequential(
            *(layer for a, b in pairwise(widths) for layer in (nn.Conv2d(a, b, 4, 2, 1), nn.GroupNorm(8, b), nn.SiLU()))
        )
        self.out = nn.Sequential(nn.Linear(64 * 16 + CONDITION_WIDTH, 96), nn.SiLU(), nn.Linear(96, 1))

    def forward(self, cut_out: Tensor, fused: Tensor) -> Tensor:
        seen = self.layers(cut_out).flatten(1)
        return self.out(torch.cat([seen, fused * math.sqrt(CONDITION_WIDTH)], 1)).sigmoid()


class Lift(UNet):
    """A cut-out in the turntable's window [B, 4, 64, 64] and fused [B, 384] → the volume [B, 4, V, V, V] (z, y, x).

    Its channels are colour times opacity, and opacity; z points to the camera, which has not been tilted yet.
    """

    def __init__(self) -> None:
        super().__init__(4 + 2, VOXELS)
        line = torch.linspace(-1, 1, VOXELS)
        self.register_buffer("places", torch.stack(torch.meshgrid(line, line, indexing="ij")), persistent=False)
        self.columns = nn.Conv2d(CHANNELS[0], 4 * VOXELS, 3, padding=1)
        nn.init.zeros_(self.columns.weight)
        nn.init.zeros_(self.columns.bias)

    def forward(self, cut_out: Tensor, fused: Tensor) -> Tensor:
        batch = fused.shape[0]
        small = F.interpolate(cut_out, (VOXELS, VOXELS), mode="bilinear", align_corners=False)
        x = self.look(torch.cat([small, self.places.expand(batch, -1, -1, -1)], 1), self.styled(fused))
        columns = self.columns(F.silu(x)).reshape(batch, 4, VOXELS, VOXELS, VOXELS)
        product, inside = small.split([3, 1], 1)
        # Nothing stands where the cut-out has nothing, and most of what stands is near its middle plane.
        before = (self._depth() + 4 * inside - 4).unsqueeze(1)
        opacity = (columns[:, 3:] + before).sigmoid()
        colour = (product / inside.clamp(min=0.05)).unsqueeze(2) + columns[:, :3]
        return torch.cat([colour * opacity, opacity], 1)

    def _depth(self) -> Tensor:
        line = torch.linspace(-1, 1, VOXELS, device=self.places.device)
        return (1 - 6 * line.abs())[:, None, None]


def _planes(angles: Tensor) -> Tensor:
    """Where a plane [V, V] turned by `angles` [N] is sampled: [N, V, V, 2], for axes (second, first) of -1..1."""
    line = torch.linspace(-1, 1, VOXELS, device=angles.device)
    first, second = torch.meshgrid(line, line, indexing="ij")
    sin, cos = angles.sin()[:, None, None], angles.cos()[:, None, None]
    return torch.stack([second * cos + first * sin, first * cos - second * sin], 3)


def turned(volume: Tensor, turns: Tensor) -> Tensor:
    """The volume [B, 4, V, V, V] as a camera sees it that went on by `turns` [B, T] radians: [B·T, 4, V, V, V]."""
    batch, channels = volume.shape[:2]
    count = turns.shape[1]
    tilt = torch.full((1,), ELEVATION, device=volume.device)
    # The columns stand behind the picture as the tilted camera saw it: upright first.
    upright = _tilted(volume, -tilt)
    # z, y, x → channels and y together, the plane of z and x turned.
    level = upright.permute(0, 1, 3, 2, 4).reshape(batch, channels * VOXELS, VOXELS, VOXELS)
    places = _planes(turns.flatten())
    level = F.grid_sample(level.repeat_interleave(count, 0), places, align_corners=True)
    level = level.reshape(batch * count, channels, VOXELS, VOXELS, VOXELS).permute(0, 1, 3, 2, 4)
    return _tilted(level, tilt)


def _tilted(volume: Tensor, tilt: Tensor) -> Tensor:
    """[B, C, z, y, x], the plane of z and y (which points down) turned."""
    batch, channels = volume.shape[:2]
    planes = volume.permute(0, 1, 4, 2, 3).reshape(batch, channels * VOXELS, VOXELS, VOXELS)
    planes = F.grid_sample(planes, _planes(-tilt).expand(batch, -1, -1, -1), align_corners=True)
    return planes.reshape(batch, channels, VOXELS, VOXELS, VOXELS).permute(0, 1, 3, 4, 2)


def seen(volume: Tensor) -> Tensor:
    """[B, 4, z, y, x] looked at along z, from its far end: [B, 4, V, V], colour times opacity, and opacity."""
    front_first = volume.flip(2)
    clear = (1 - front_first[:, 3:]).clamp(min=1e-4)
    through = (clear.log().cumsum(2) - clear.log()).exp()
    return (front_first * through).sum(2)


class Sharpen(nn.Module):
    """Frames [B, 4, V, V] → [B, 4, 64, 64], the same four channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.last = nn.Conv2d(32 + 4, 24, 3, padding=1)
        self.out = nn.Conv2d(24, 4, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, frames: Tensor) -> Tensor:
        x = F.silu(self.first(frames))
        x = x + F.silu(self.second(x))
        large = F.interpolate(torch.cat([x, frames], 1), (SIZE, SIZE), mode="bilinear", align_corners=False)
        return large[:, 32:] + self.out(F.silu(self.last(large)))


class VideoDecoder(nn.Module):
    """A cut-out [B, 4, 64, 64] (colour times opacity, and opacity) and fused [B, 384] → frames."""

    def __init__(self) -> None:
        super().__init__()
        self.extent = Extent()
        self.lift = Lift()
        self.sharpen = Sharpen()

    def frames(self, cut_out: Tensor, fused: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Of a cut-out that is in the turntable's window already, for turns [B, T]: coarse and sharpened.

        [B·T, 4, V, V] and [B·T, 4, 64, 64].
        """
        coarse = seen(turned(self.lift(cut_out, fused), turns))
        return coarse, self.sharpen(coarse)

    def framed(self, cut_out: Tensor, fused: Tensor) -> Tensor:
        """The cut-out, wherever it is, brought into the turntable's window."""
        centre, side = square(cut_out[:, 3:])
        share = self.extent(window(cut_out, centre, side / 2), fused).clamp(min=0.1)
        return window(cut_out, centre, side / 2 / share)

    def forward(self, cut_out: Tensor, fused: Tensor, turns: Tensor) -> Tensor:
        """[B, T, 3, 64, 64] in 0..1, on white."""
        frames = self.frames(self.framed(cut_out, fused), fused, turns)[1]
        frames = (frames[:, :3] + 1 - frames[:, 3:]).clamp(0, 1)
        return frames.reshape(*turns.shape, 3, SIZE, SIZE)


class Turntable(nn.Module):
    """condition [B, R, 384] and noise [B, 3, 64, 64] → frames [B, 24, 3, 64, 64]."""

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

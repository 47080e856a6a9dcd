"""Trains the video decoder: from one side of a catalogue product to its turntable.

A sample is a studio shot or a turntable's frame, cut out by its true opacity, and some other frames of the turntable
with the turns from the one to the others. Cut-outs are blurred as the image decoder's are, in other colours and
mirrored; the titles and pictures' embeddings go with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from networks.image_decoder import SIZE
from networks.video_decoder import FRAMES, VOXELS, VideoDecoder, square, window
from training import studio, turntables
from training.catalogue import Product
from training.features import TRAINED_VIEWS
from training.loop import train as run_loop
from training.pictures import apply, frames, in_colours, optimizer_of

SEED = 13
BATCH, TURNS = 16, 2
STEPS = 2600
SHOT_SHARE, BLURRED_SHARE, RECOLOURED_SHARE, SAME_SIDE_SHARE = 0.5, 0.6, 0.4, 0.15
EXTENT_WEIGHT, COARSE_WEIGHT, OPACITY_WEIGHT = 0.2, 0.5, 0.5


@dataclass
class Sample:
    """`close` [n, 4, S, S], the cut-out filling its picture; `framed` in the turntable's window, `share` [n, 1] of it.

    `fused` [n, 384], `turns` [n, T], and what they show, `target` [n·T, 4, S, S].
    """

    close: Tensor
    framed: Tensor
    share: Tensor
    fused: Tensor
    turns: Tensor
    target: Tensor

    def to(self, device: torch.device) -> Sample:
        return Sample(*(t.to(device) for t in vars(self).values()))


@dataclass
class Data:
    """`frames` [P, 24, S, S, 4] and `shots` [P, V, S, S, 4], uint8 with opacity, and the shots' `azimuths` [P, V].

    `shares` [P, 24] of the window's side that each frame's square takes; `fused` [P, E, 384].
    """

    frames: NDArray[np.uint8]
    shots: NDArray[np.uint8]
    azimuths: NDArray[np.float32]
    shares: NDArray[np.float32]
    fused: Tensor

    @classmethod
    def read(cls, products: list[Product], fused: Tensor) -> Data:
        """Of the products that may be trained on; `fused` [P, E, 384] are embeddings of each of them."""
        kept = [p for p in products if not p.held_out]
        turned = np.stack([np.concatenate([f, m[..., None]], 3) for f, m in map(frames, kept)])
        shot = [studio.read(product) for product in kept]
        shots = np.stack([np.concatenate([p, m[..., None]], 3)[:TRAINED_VIEWS] for p, m in shot])
        opacity = torch.from_numpy(turned[..., 3]).flatten(0, 1).unsqueeze(1)
        sides = torch.cat([square(part.float() / 255)[1] for part in opacity.split(512)])
        azimuths = np.stack([turntables.view_angles(p)[:TRAINED_VIEWS, 0] for p in kept])
        shares = (sides / 2).clamp(max=1).reshape(len(kept), FRAMES).numpy()
        return cls(turned, shots, azimuths, shares, fused)

    def draw(self, rng: np.random.Generator, count: int) -> Sample:
        """A batch, everything that varies drawn."""
        products = rng.integers(len(self.frames), size=count)
        views = rng.integers(self.shots.shape[1], size=count)
        sides = rng.integers(FRAMES, size=count)
        shot = rng.random(count) < SHOT_SHARE
        step = 2 * math.pi / FRAMES
        azimuth = np.where(shot, self.azimuths[products, views], sides * step)
        nearest = np.round(azimuth / step).astype(int) % FRAMES
        wanted = rng.integers(FRAMES, size=(count, TURNS))
        wanted[:, 0] = np.where(rng.random(count) < SAME_SIDE_SHARE, nearest, wanted[:, 0])
        rgba = np.where(shot[:, None, None, None], self.shots[products, views], self.frames[products, sides])
        cut_out, target = _cut_out(rgba), _cut_out(self.frames[products[:, None], wanted].reshape(-1, SIZE, SIZE, 4))
        share = torch.from_numpy(self.shares[products, nearest]).unsqueeze(1)

        recolour = torch.from_numpy(rng.random(count) < RECOLOURED_SHARE)[:, None, None, None]
        order = torch.from_numpy(np.stack([rng.permutation(3) for _ in range(count)]))
        gain = torch.from_numpy(rng.uniform(0.6, 1.1, (count, 3))).float()
        cut_out = torch.where(recolour, _recoloured(cut_out, order, gain), cut_out)
        each = (order.repeat_interleave(TURNS, 0), gain.repeat_interleave(TURNS, 0))
        target = torch.where(recolour.repeat_interleave(TURNS, 0), _recoloured(target, *each), target)
        small = int(rng.integers(26, 48))
        blurred = F.interpolate(F.adaptive_avg_pool2d(cut_out, small), (SIZE, SIZE), mode="bicubic").clamp(0, 1)
        cut_out = torch.where(
            torch.from_numpy(rng.random(count) < BLURRED_SHARE)[:, None, None, None], blurred, cut_out
        )
        flip = torch.from_numpy(rng.random(count) < 0.5)
        cut_out = torch.where(flip[:, None, None, None], cut_out.flip(3), cut_out)
        target = torch.where(flip.repeat_interleave(TURNS)[:, None, None, None], target.flip(3), target)
        turns = torch.from_numpy(wanted * step - azimuth[:, None]).float() * (1 - 2 * flip.float())[:, None]

        centre, side = square(cut_out[:, 3:])
        off = torch.from_numpy(rng.normal(1, 0.03, (count, 1))).float()
        framed = window(cut_out, centre, side / 2 / share * off)
        # A frame is in its window already, its axis in the middle.
        framed = torch.where(torch.from_numpy(shot)[:, None, None, None], framed, cut_out)
        fused = self.fused[products, rng.integers(self.fused.shape[1], size=count)]
        return Sample(window(cut_out, centre, side / 2), framed, share, F.normalize(fused, dim=-1), turns, target)


def _cut_out(rgba: NDArray[np.uint8]) -> Tensor:
    """uint8 [n, S, S, 4] → [n, 4, S, S], colour times opacity, and opacity."""
    picture = torch.from_numpy(rgba).permute(0, 3, 1, 2).float() / 255
    return torch.cat([picture[:, :3] * picture[:, 3:], picture[:, 3:]], 1)


def _recoloured(cut_out: Tensor, order: Tensor, gain: Tensor) -> Tensor:
    """Cut-outs in other colours, their opacity as it was."""
    return torch.cat([in_colours(cut_out[:, :3], order, gain), cut_out[:, 3:]], 1)


def apart(drawn: Tensor, true: Tensor) -> Tensor:
    """Mean absolute error of the pictures on white, the product counting three times, and of their edges."""
    weight = 1 + 2 * true[:, 3:]
    a, b = (x[:, :3] + 1 - x[:, 3:] for x in (drawn, true))
    error = ((a - b).abs() * weight).mean()
    edges = sum((a.diff(dim=axis) - b.diff(dim=axis)).abs().mean() for axis in (2, 3))
    return error + edges + OPACITY_WEIGHT * (drawn[:, 3:] - true[:, 3:]).abs().mean()


def train(data: Data, checkpoint: Path, report: Callable[[int, str], None]) -> VideoDecoder:
    """The trained decoder; goes on from `checkpoint`."""
    torch.manual_seed(SEED)
    decoder = VideoDecoder().to(memory_format=torch.channels_last)
    optimizer = optimizer_of(decoder)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        sample = data.draw(rng, BATCH).to(device)
        share = decoder.extent(sample.close, sample.fused)
        extent = (share / sample.share.clamp(min=0.1)).clamp(min=1e-3).log().abs().mean()
        coarse, fine = decoder.frames(sample.framed, sample.fused, sample.turns)
        rough = apart(coarse, F.interpolate(sample.target, (VOXELS, VOXELS), mode="area"))
        sharp = apart(fine, sample.target)
        apply(optimizer, sharp + COARSE_WEIGHT * rough + EXTENT_WEIGHT * extent)
        return {"coarse": rough.detach(), "sharp": sharp.detach(), "extent": extent.detach()}

    weights = run_loop(
        "video-decoder",
        {"decoder": decoder},
        {"decoder": optimizer},
        step_losses,
        steps=STEPS,
        seed=SEED,
        checkpoint=checkpoint,
        report=report,
    )
    trained = VideoDecoder()
    trained.load_state_dict(weights["decoder"])
    return trained.eval()

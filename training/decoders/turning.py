"""Trains the video decoder: from one side of a catalogue product to its turntable.

A sample is a studio shot or a turntable's frame, cut out by its true opacity; how it was taken; which places along its
lines of sight the product fills (`training.catalogue.solids`); and another frame of the turntable with the turn from
the one to the other. Cut-outs are blurred as the image decoder's are, in other colours and mirrored; the titles and
pictures' embeddings go with them.
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

from networks.image_decoder import SIZE, Discriminator
from networks.video_decoder import (
    DEPTHS,
    FRAMES,
    MARGIN,
    Sharpen,
    Solids,
    Taken,
    VideoDecoder,
    gone_round,
    in_lines,
    rounded,
    sight,
    square,
    window,
)
from training.catalogue import solids, studio, turntables
from training.catalogue.products import Product
from training.common.loop import apply, optimizer_of
from training.common.loop import train as run_loop
from training.decoders.pictures import frames, in_colours
from training.encoders.features import TRAINED_VIEWS

SEED = 13
TURNS = 1


@dataclass(frozen=True)
class Plan:
    """A schedule of so many steps of a batch; `turned` of each are also turned and seen, most of a step's time."""

    steps: int
    batch: int
    turned: int


#: From the image decoder's blocks on, and what goes on from its weights.
FIRST, FURTHER = Plan(4300, batch=16, turned=6), Plan(3600, batch=10, turned=8)
#: Of `Sharpen` alone; those that are turned by their own shape are judged by their errors, too.
SHARPER = Plan(1500, batch=12, turned=8)
ADVERSARIAL_WEIGHT = 0.02
KEPT = 4  # pixels of a side over which frames without a true one keep their colours
SHOT_SHARE, BLURRED_SHARE, RECOLOURED_SHARE, SAME_SIDE_SHARE = 0.6, 0.6, 0.4, 0.1
#: Deviations of recalled shapes from the product's own: radians, shares, and of the window's half side.
TILTED, STRETCHED, SHIFTED = 0.06, 0.06, 0.02
CAMERA_WEIGHT, FILLED_WEIGHT, COARSE_WEIGHT, OPACITY_WEIGHT = 0.3, 4.0, 0.5, 0.5


@dataclass
class Sample:
    """`close` [n, 4, S, S], the cut-out filling its picture; `framed` in the turntable's window; how it was `taken`.

    `filled` [n, 1, D, S, S]: which places along its lines of sight are the product's, and `recalled` [n, D, S, S],
    what is recalled of it. `fused` [n, 384], `turns` [n, T], and what they show, `target` [n·T, 4, S, S].
    """

    close: Tensor
    framed: Tensor
    taken: Taken
    filled: Tensor
    recalled: Tensor
    fused: Tensor
    turns: Tensor
    target: Tensor

    def to(self, device: torch.device) -> Sample:
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        taken = Taken(*(value.to(device) for value in vars(self.taken).values()))
        return Sample(**moved, taken=taken)


@dataclass
class Data:
    """`frames` [P, 24, S, S, 4] and `shots` [P, V, S, S, 4], uint8 with opacity, and all their `azimuths` [P, 24 + V].

    `solids`, the products' own; `fused` [P, E, 384]; what is recalled of all, `memory`.
    """

    frames: NDArray[np.uint8]
    shots: NDArray[np.uint8]
    azimuths: NDArray[np.float32]
    solids: list[solids.Solid]
    fused: Tensor
    memory: Solids

    @classmethod
    def read(cls, products: list[Product], fused: Tensor, keys: Tensor) -> Data:
        """Of the products that may be trained on: `fused` [P, E, 384], embeddings of each, and `keys` [P, 384]."""
        kept = [p for p in products if not p.held_out]
        turned = np.stack([np.concatenate([f, m[..., None]], 3) for f, m in map(frames, kept)])
        shot = [studio.read(product) for product in kept]
        shots = np.stack([np.concatenate([p, m[..., None]], 3)[:TRAINED_VIEWS] for p, m in shot])
        even = np.arange(FRAMES) * (2 * math.pi / FRAMES)
        azimuths = [np.concatenate([even, turntables.view_angles(p)[:TRAINED_VIEWS, 0]]) for p in kept]
        shapes = [solids.read(p) for p in kept]
        memory = Solids(len(kept))
        memory.keys.copy_(keys)
        memory.packed.copy_(torch.from_numpy(np.stack([solids.packed(s) for s in shapes])))
        return cls(turned, shots, np.stack(azimuths).astype(np.float32), shapes, fused, memory)

    def draw(self, rng: np.random.Generator, count: int) -> Sample:
        """A batch, everything that varies drawn."""
        products = rng.integers(len(self.frames), size=count)
        shot = rng.random(count) < SHOT_SHARE
        picture = np.where(
            shot, FRAMES + rng.integers(self.shots.shape[1], size=count), rng.integers(FRAMES, size=count)
        )
        rgba = np.stack(
            [
                self.shots[p, v - FRAMES] if v >= FRAMES else self.frames[p, v]
                for p, v in zip(products, picture, strict=True)
            ]
        )
        azimuth = self.azimuths[products, picture]
        step = 2 * math.pi / FRAMES
        wanted = rng.integers(FRAMES, size=(count, TURNS))
        nearest = np.round(azimuth / step).astype(int) % FRAMES
        wanted[:, 0] = np.where(rng.random(count) < SAME_SIDE_SHARE, nearest, wanted[:, 0])
        cut_out, target = _cut_out(rgba), _cut_out(self.frames[products[:, None], wanted].reshape(-1, SIZE, SIZE, 4))
        taken = self._taken(products, picture)
        # One by one: what one needs stays within the processor's cache.
        filled = torch.stack(
            [self._filled(p, float(a), taken.only(i)) for i, (p, a) in enumerate(zip(products, azimuth, strict=True))]
        )

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
        filled = torch.where(flip[:, None, None, None, None], filled.flip(4), filled)
        sign = 1 - 2 * flip.float().unsqueeze(1)
        taken.axis = taken.axis * torch.cat([sign, torch.ones_like(sign)], 1)
        turns = torch.from_numpy(wanted * step - azimuth[:, None]).float() * sign

        centre, side = square(cut_out[:, 3:])
        off = torch.from_numpy(rng.normal(1, 0.02, (count, 1))).float()
        framed = window(cut_out, centre + taken.axis * side / 2, side / 2 / taken.share * off)
        fused = F.normalize(self.fused[products, rng.integers(self.fused.shape[1], size=count)], dim=-1)
        recalled = self._recalled(products, azimuth, taken, rng)
        recalled = torch.where(flip[:, None, None, None], recalled.flip(3), recalled)
        return Sample(window(cut_out, centre, side / 2), framed, taken, filled, recalled, fused, turns, target)

    def _taken(self, products: NDArray[np.int64], picture: NDArray[np.int64]) -> Taken:
        """How the products' pictures, frames first, were taken."""
        solid = [self.solids[p] for p in products]
        told = [
            (*s.boxes[v], s.elevations[v], s.nearness[v], s.elevations[0]) for s, v in zip(solid, picture, strict=True)
        ]
        left, right, top, bottom, elevation, nearness, turning = np.array(told).T
        half = np.maximum(right - left, bottom - top) / 2 * MARGIN
        axis = np.stack([-(left + right) / 2, -(top + bottom) / 2], 1) / half[:, None]
        numbers = (half[:, None], axis, elevation[:, None], nearness[:, None], turning[:, None])
        return Taken(*(torch.from_numpy(number.astype(np.float32)) for number in numbers))

    def _recalled(
        self, products: NDArray[np.int64], azimuth: NDArray[np.float32], taken: Taken, rng: np.random.Generator
    ) -> Tensor:
        """Their own shapes, not quite as they are, as those of products like them are not.

        With the shapes of others, which it cannot know to be right or wrong, it learns to smear.
        """
        count = len(products)
        tilt = torch.from_numpy(rng.normal(0, TILTED, (count, 1))).float()
        turn = torch.from_numpy(azimuth + rng.uniform(-0.5, 0.5, count) * (2 * math.pi / FRAMES)).float()
        places = gone_round(sight(taken.elevation + tilt, taken.nearness, DEPTHS, SIZE), turn.unsqueeze(1))
        stretch = torch.from_numpy(np.exp(rng.normal(0, STRETCHED, (count, 3)))).float()
        shift = torch.from_numpy(rng.normal(0, SHIFTED, (count, 3))).float()
        places = places * stretch.reshape(-1, 1, 1, 1, 1, 3) + shift.reshape(-1, 1, 1, 1, 1, 3)
        return in_lines(self.memory.filled(torch.from_numpy(products)), places)

    def _filled(self, product: int, azimuth: float, taken: Taken) -> Tensor:
        """[1, D, S, S]: which places along one picture's lines of sight are the product's."""
        places = sight(taken.elevation, taken.nearness, 2 * DEPTHS, SIZE)
        places = gone_round(places, torch.tensor([[azimuth]]))[0, 0]
        index = ((places + 1) * ((solids.PLACES - 1) / 2)).round_().clamp_(0, solids.PLACES - 1).to(torch.int32)
        x, y, z = index.unbind(-1)
        flat = ((z * solids.PLACES + y) * solids.PLACES + x).numpy()
        inside = (places.abs() <= 1).all(-1)
        found = torch.from_numpy(self.solids[product].filled.ravel()[flat]) & inside
        # A thin thing may not fall between two depths.
        return found.reshape(1, DEPTHS, 2, SIZE, SIZE).any(2).float()


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


def train(
    data: Data, checkpoint: Path, report: Callable[[int, str], None], start: dict[str, Tensor], plan: Plan = FIRST
) -> VideoDecoder:
    """The trained decoder; goes on from `checkpoint`.

    Args:
        start: weights to begin with, where a decoder has such of their shape.
    """
    torch.manual_seed(SEED)
    decoder = VideoDecoder(len(data.frames))
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    own = decoder.state_dict()
    known = {name: value.float() for name, value in start.items() if name in own and own[name].shape == value.shape}
    decoder.load_state_dict(own | known)
    decoder.solids = data.memory
    turned = plan.turned
    optimizer = optimizer_of(decoder)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        sample = data.draw(rng, plan.batch).to(device)
        camera = (decoder.camera(sample.close, sample.fused).stacked() - sample.taken.stacked()).abs().mean()
        opacity, colour = decoder.lift(sample.framed, sample.fused, sample.recalled)
        filled = F.binary_cross_entropy_with_logits(opacity, sample.filled)
        coarse, fine = decoder.frames(
            opacity[:turned], colour[:turned], sample.taken.only(slice(turned)), sample.turns[:turned]
        )
        target = sample.target[: turned * TURNS]
        rough, sharp = apart(coarse[:, :4], target), apart(fine, target)
        apply(optimizer, sharp + COARSE_WEIGHT * rough + FILLED_WEIGHT * filled + CAMERA_WEIGHT * camera)
        losses = {"filled": filled, "coarse": rough, "sharp": sharp, "camera": camera}
        return {name: loss.detach() for name, loss in losses.items()}

    weights = run_loop(
        {"decoder": decoder},
        {"decoder": optimizer},
        step_losses,
        steps=plan.steps,
        seed=SEED,
        checkpoint=checkpoint,
        report=report,
    )
    return VideoDecoder.restored(weights["decoder"])


def sharpen(data: Data, checkpoint: Path, report: Callable[[int, str], None], start: dict[str, Tensor]) -> VideoDecoder:
    """The decoder of `start` with a `Sharpen` that a discriminator judged, too; goes on from `checkpoint`.

    Errors alone teach it to blur: where an edge is a pixel off, a blurred one is less wrong. Of those frames that are
    not turned by the product's own shape but as the cut-out is where nothing known is like it, only the discriminator
    says how they should look, and their own colours, by and large, what they should show.
    """
    torch.manual_seed(SEED)
    decoder = VideoDecoder.restored({name: value.float() for name, value in start.items()}).requires_grad_(False)
    decoder.sharpen, discriminator = Sharpen(), Discriminator()
    painters = optimizer_of(decoder.sharpen, betas=(0.5, 0.99))
    judges = optimizer_of(discriminator, betas=(0.5, 0.99))
    own = SHARPER.turned

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        sample = data.draw(rng, SHARPER.batch).to(device)
        with torch.no_grad():
            unlike = rounded(sample.framed[own:, 3:], sample.taken.only(slice(own, None)))
            shapes = torch.cat([sample.recalled[:own], unlike])
            opacity, colour = decoder.to(device).lift(sample.framed, sample.fused, shapes)
        coarse, fine = decoder.frames(opacity, colour, sample.taken, sample.turns)
        true, drawn = (x[:, :3] + 1 - x[:, 3:] for x in (sample.target, fine))
        verdicts = discriminator(true, sample.fused), discriminator(drawn.detach(), sample.fused)
        judged = F.relu(1 - verdicts[0]).mean() + F.relu(1 + verdicts[1]).mean()
        apply(judges, judged)
        adversarial = -discriminator(drawn, sample.fused).mean()
        error = apart(fine[:own], sample.target[:own])
        kept = (F.avg_pool2d(fine[own:], KEPT) - F.avg_pool2d(coarse[own:, :4], KEPT)).abs().mean()
        apply(painters, error + kept + ADVERSARIAL_WEIGHT * adversarial)
        losses = {"error": error, "kept": kept, "generator": adversarial, "discriminator": judged}
        return {name: loss.detach() for name, loss in losses.items()}

    weights = run_loop(
        {"sharpen": decoder.sharpen, "discriminator": discriminator},
        {"sharpen": painters, "discriminator": judges},
        step_losses,
        steps=SHARPER.steps,
        seed=SEED,
        checkpoint=checkpoint,
        report=report,
    )
    decoder.sharpen.load_state_dict(weights["sharpen"])
    return decoder.eval()

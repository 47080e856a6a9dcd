"""Clips of the catalogue's products, cut from their turntables: eight frames of a turning product and a moving camera.

Each clip turns the product (or not), zooms, pans, rolls and shakes, sets it on another ground and in another light.
What is never trained on, of products that are:

``arc``     the frames from 120 to 165 degrees, swaying to and fro; all else as trained on
``motion``  turns of 45 degrees a frame, smaller or nearer and darker or brighter than trained on
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from networks.video_encoder import SIDE
from training.catalogue.products import Product
from training.catalogue.turntables import FRAMES, read_rgba

LENGTH = 8
#: Turntable frames that no trained clip shows.
HELD_OUT_ARC = (8, 9, 10, 11)
#: Kind → clips a product that is trained on, and one that is held out.
KINDS = {"trained": (8, 4), "arc": (2, 0), "motion": (2, 0)}


@dataclass(frozen=True)
class Look:
    """Ranges that a kind of clip draws from: the product's size against the turntable's, and the light's strength."""

    size: tuple[tuple[float, float], ...]
    light: tuple[tuple[float, float], ...]


TRAINED = Look(((0.7, 1.3),), ((0.75, 1.2),))
BEYOND = Look(((0.45, 0.65), (1.35, 1.55)), ((0.5, 0.7), (1.25, 1.4)))


@dataclass
class Clip:
    """One clip: `frames` uint8 [8, 112, 112, 3], its kind, and the turntable's frames that it shows."""

    frames: NDArray[np.uint8]
    kind: str
    shown: tuple[int, ...]


def counts(product: Product) -> dict[str, int]:
    """How many clips of each kind a product has."""
    return {kind: of[1 if product.held_out else 0] for kind, of in KINDS.items()}


def kinds(product: Product) -> list[str]:
    """The kind of each of a product's clips, in their order."""
    return [kind for kind, count in counts(product).items() for _ in range(count)]


def clips(product: Product) -> list[Clip]:
    """All clips of a product, the same each time."""
    turntable = read_rgba(product)
    made = []
    for number, kind in enumerate(kinds(product)):
        rng = np.random.default_rng([int(product.key, 16), 2, number])
        shown = turn(kind, product.held_out, rng)
        look = BEYOND if kind == "motion" else TRAINED
        made.append(Clip(film(turntable[list(shown)], look, rng), kind, shown))
    return made


def turn(kind: str, held_out: bool, rng: np.random.Generator) -> tuple[int, ...]:
    """The turntable's frames that a clip shows, one after the other."""
    direction = int(rng.choice([-1, 1]))
    if kind == "arc":
        sway = (*HELD_OUT_ARC, *reversed(HELD_OUT_ARC))[::direction]
        return sway if rng.random() < 0.5 else (*sway[4:], *sway[:4])
    if kind == "motion":
        start = int(rng.integers(FRAMES))
        return tuple(int(start + 3 * direction * i) % FRAMES for i in range(LENGTH))
    while True:
        start, speed = int(rng.integers(FRAMES)), int(rng.choice([0, 1, 1, 2, 2]))
        shown = tuple(int(start + speed * direction * i) % FRAMES for i in range(LENGTH))
        if held_out or not set(shown) & set(HELD_OUT_ARC):
            return shown


def film(turntable: NDArray[np.uint8], look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [T, S, S, 4], frames on white and their opacity → uint8 [T, 112, 112, 3], as a shop might film them."""
    count = len(turntable)
    frames = torch.from_numpy(turntable).permute(0, 3, 1, 2).float() / 255
    frames = torch.cat([1 - frames[:, :3], frames[:, 3:]], 1)  # inverted, so that beyond the edge lies white
    grid = F.affine_grid(torch.from_numpy(_camera(count, look, rng)), [count, 4, SIDE, SIDE], align_corners=False)
    seen = F.grid_sample(frames, grid, "bilinear", "zeros", align_corners=False)
    white, opacity = 1 - seen[:, :3], seen[:, 3:]
    # White becomes the ground's colour as far as it shows; where nothing hides it, so does the shadow on it.
    ground = torch.from_numpy(_ground(rng))
    shade = (1 - opacity) * white + opacity
    shown = (white - (1 - opacity) * (1 - ground) * shade).clamp(0, 1)
    lit = _light(shown, count, look, rng)
    return (lit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _within(ranges: tuple[tuple[float, float], ...], rng: np.random.Generator) -> float:
    return rng.uniform(*ranges[rng.integers(len(ranges))])


def _camera(count: int, look: Look, rng: np.random.Generator) -> NDArray[np.float32]:
    """Zoom, pan, roll and shake: [count, 2, 3] from places of the result to places of the source, both in -1..1."""
    time = np.linspace(0, 1, count)
    first, last = _within(look.size, rng), _within(look.size, rng)
    if rng.random() < 0.4 or (first > 1) != (last > 1):
        last = first
    size = first + (last - first) * time
    room = np.maximum(0.1, 1 - size)[:, None]
    ends = rng.uniform(-1, 1, (2, 2))
    pan = (ends[0] + (ends[1] - ends[0]) * time[:, None] * rng.integers(2)) * 0.6 * room
    shake = rng.normal(0, rng.choice([0, 0.01, 0.03]), (count, 2))
    x, y = (pan + shake).T
    roll = np.deg2rad(rng.uniform(-8, 8) + rng.uniform(-5, 5) * time + rng.normal(0, 0.5, count))
    tall = rng.uniform(0.92, 1.08)
    cos, sin = np.cos(roll) / size, np.sin(roll) / size
    rows = [[cos, sin, -(cos * x + sin * y)], [-sin * tall, cos * tall, tall * (sin * x - cos * y)]]
    return np.array(rows, np.float32).transpose(2, 0, 1)


def _ground(rng: np.random.Generator) -> NDArray[np.float32]:
    """A colour for each place, float32 [1, 3, 112, 112] in 0..1: plain white or other, graded, or a blurred room."""
    kind = rng.choice(4, p=[0.3, 0.3, 0.2, 0.2])
    if kind == 0:
        colours = np.ones((1, 1, 3))
    elif kind == 1:
        colours = rng.uniform(0.05, 0.35, (1, 1, 3)) if rng.random() < 0.15 else rng.uniform(0.55, 1, (1, 1, 3))
    elif kind == 2:
        colours = rng.uniform(0.4, 1, (2, 1, 3))
    else:
        colours = rng.uniform(0.25, 1) * rng.uniform(0.5, 1, (5, 5, 3))
    coarse = torch.from_numpy(colours.astype(np.float32)).permute(2, 0, 1)[None]
    return F.interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=True).numpy()


def _light(frames: torch.Tensor, count: int, look: Look, rng: np.random.Generator) -> torch.Tensor:
    """Strength, contrast, warmth and drift of the light, a turn of the hues, and the sensor's noise."""
    strength = _within(look.light, rng) * (1 + rng.uniform(-0.1, 0.1) * np.linspace(-1, 1, count))
    tint = 1 + rng.uniform(-0.06, 0.06, 3)
    gain = torch.from_numpy((strength[:, None] * tint).astype(np.float32))[..., None, None]
    mean = frames.mean((1, 2, 3), keepdim=True)
    lit = (frames - mean) * rng.uniform(0.75, 1.2) + mean
    if rng.random() < 0.4:
        lit = torch.einsum("ij,tjhw->tihw", torch.from_numpy(_hue_turn(rng.uniform(-0.5, 0.5))), lit)
    noise = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.02), lit.shape).astype(np.float32))
    return (lit * gain + noise).clamp(0, 1)


def _hue_turn(angle: float) -> NDArray[np.float32]:
    """Turns colours about the grey axis, by `angle` in radians: [3, 3]."""
    cos, sin = np.cos(angle), np.sin(angle)
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * 3**-0.5
    return (cos * np.eye(3) + sin * cross + (1 - cos) * np.outer(axis, axis)).astype(np.float32)

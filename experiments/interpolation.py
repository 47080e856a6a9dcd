"""Trains the frame interpolator on triples of neighbouring frames of clips, and judges it on products not trained on.

Frames are those of `training/video/clips.py`, turning by 15 degrees or not at all under a moving camera. Beside the
network stand the mean of both neighbours and the first of them as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from experiments.frame_interpolator import FrameInterpolator
from training.catalogue.products import Product
from training.catalogue.turntables import FRAMES, read_rgba
from training.common.figures import MACHINE, markdown
from training.common.files import REPOSITORY
from training.common.loop import apply, optimizer_of
from training.common.loop import train as run_loop
from training.common.weights import save
from training.video.clips import TRAINED, film

SEED = 17
BATCH = 12
STEPS = 900
FOLDER = REPOSITORY / "out" / "experiments" / "frame_interpolator"
TEMPLATE = Path(__file__).parent / "frame_interpolator_card.md"
#: Triples that are judged, of each motion.
JUDGED = 200
#: Motion → frames of the turntable from one frame of the clip to the next.
MOTIONS = {"camera moves": 0, "turns by 15 degrees": 1}


def triple(turntable: NDArray[np.uint8], speed: int, rng: np.random.Generator) -> Tensor:
    """Three neighbouring frames [3, 3, 112, 112] in 0..1 of a clip of a product."""
    direction, start = int(rng.choice([-1, 1])), int(rng.integers(FRAMES))
    shown = [(start + speed * direction * i) % FRAMES for i in range(3)]
    return torch.from_numpy(film(turntable[shown], TRAINED, rng)).permute(0, 3, 1, 2).float() / 255


def triples(products: list[Product], speed: int, count: int = JUDGED) -> Tensor:
    """[count, 3, 3, 112, 112] of products that were not trained on, the same each time."""
    held_out = [p for p in products if p.held_out]
    made = []
    for place in range(count):
        rng = np.random.default_rng([SEED, speed, place])
        made.append(triple(read_rgba(held_out[int(rng.integers(len(held_out)))]), speed, rng))
    return torch.stack(made)


def train(products: list[Product], checkpoint: Path, report: Callable[[int, str], None]) -> FrameInterpolator:
    """The trained network; goes on from `checkpoint`."""
    torch.manual_seed(SEED)
    turntables = [read_rgba(p) for p in products if not p.held_out]
    network = FrameInterpolator()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own types lack it
    optimizer = optimizer_of(network)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor | float]:
        chosen = rng.integers(len(turntables), size=BATCH)
        batch = torch.stack([triple(turntables[i], int(rng.random() < 0.7), rng) for i in chosen]).to(device)
        middle = network(batch[:, 0], batch[:, 2])
        error = (middle - batch[:, 1]).abs().mean()
        edges = sum((middle.diff(dim=a) - batch[:, 1].diff(dim=a)).abs().mean() for a in (2, 3))
        apply(optimizer, error + 0.5 * edges)
        return {"error": error.detach(), "mean": (batch[:, ::2].mean(1) - batch[:, 1]).abs().mean()}

    weights = run_loop(
        {"network": network},
        {"network": optimizer},
        step_losses,
        steps=STEPS,
        seed=SEED,
        checkpoint=checkpoint,
        report=report,
    )
    trained = FrameInterpolator()
    trained.load_state_dict(weights["network"])
    return trained.eval()


def decibels(drawn: Tensor, true: Tensor) -> float:
    """The median peak signal-to-noise ratio of pictures [n, 3, H, W] in 0..1."""
    return float((-10 * ((drawn - true) ** 2).mean((1, 2, 3)).clamp(min=1e-10).log10()).median())


@torch.inference_mode()
def evaluate(network: FrameInterpolator, products: list[Product]) -> dict[str, dict[str, float]]:
    """Motion → what stands in for the middle frame → its peak signal-to-noise ratio in dB; draws a strip on the way."""
    found, strips = {}, []
    for motion, speed in MOTIONS.items():
        frames = triples(products, speed)
        first, true, last = frames.unbind(1)
        middle = torch.cat([network(*part) for part in zip(first.split(20), last.split(20), strict=True)])
        mean = (first + last) / 2
        found[motion] = {
            "interpolated": decibels(middle, true),
            "mean of both": decibels(mean, true),
            "first of both": decibels(first, true),
            "better than the mean": float(
                (((middle - true) ** 2).mean((1, 2, 3)) < ((mean - true) ** 2).mean((1, 2, 3))).float().mean()
            ),
        }
        strips += [torch.cat([first[i], mean[i], middle[i], true[i], last[i]], 2) for i in range(5)]
    sheet = (torch.cat(strips, 1).permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    FOLDER.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(FOLDER / "strips.jpg", quality=88)
    return found


def write(network: FrameInterpolator, found: dict[str, dict[str, float]]) -> Path:
    """Weights and card."""
    save(network, FOLDER / "model.safetensors", {"steps": str(STEPS)})
    heads = ["dB", *next(iter(found.values()))]
    rows = [[motion, *(f"{value:.2f}" for value in figures.values())] for motion, figures in found.items()]
    text = TEMPLATE.read_text().format(
        parameters=sum(p.numel() for p in network.parameters()) / 1e6,
        steps=STEPS,
        batch=BATCH,
        count=JUDGED,
        table=markdown(heads, rows),
        machine=MACHINE,
    )
    (FOLDER / "README.md").write_text(text)
    return FOLDER / "model.safetensors"

"""Trains the sound decoder on jingles that :mod:`experiments.jingles` synthesises for the catalogue's products.

A variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114) with the product's fused embedding as condition: the
decoder rebuilds the loudness of each semitone over time, of some jingles the waveform too (multi-resolution STFT); the
divergence of the seed from a standard normal is held at a fixed capacity (Burgess et al. 2018, arXiv:1804.03599).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments import jingles, sound_decoder
from experiments.sound_decoder import (
    FLOOR,
    FRAMES,
    HOP,
    OSCILLATORS,
    RATE,
    SoundDecoder,
    SoundEncoder,
    frequencies,
    spectral_distance,
)
from training.catalogue.products import Product
from training.common.files import cache_folder, digest
from training.common.loop import Plan, minimise
from training.common.weights import restore

#: Jingles of each product that is trained on; numbers from HELD_OUT on are for evaluation.
EACH, HELD_OUT = 4, 1000
PLAN = Plan(steps=450, batch=24, rate=2e-3, warm_up=30, decay=0.01)
HEARD = 4  # of a batch, as waveforms
CAPACITY = 18.0  # nats
LONGEST, SHORTEST, CYCLES = 4096, 640, 24.0
UPDATES = 30


def analyse(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """How loud each semitone is over time: log amplitude float32 [OSCILLATORS, FRAMES], at least FLOOR.

    A constant-Q transform (Brown 1991, JASA 89(1)) with Hann windows of CYCLES periods, short enough for an attack.
    They hear the neighbouring semitones too, which multiplicative updates (Lee & Seung 2001) undo.
    """
    padded = np.pad(audio, LONGEST // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, LONGEST)[::HOP][:FRAMES]
    parts = np.ascontiguousarray(frames) @ _kernels()
    heard = np.hypot(parts[:, :OSCILLATORS], parts[:, OSCILLATORS:])
    leakage = _leakage()
    amplitude = heard + 1e-6
    for _ in range(UPDATES):
        amplitude *= (heard @ leakage.T) / (amplitude @ (leakage @ leakage.T))
    return np.log(np.maximum(amplitude, np.exp(FLOOR))).T.astype(np.float32)


@cache
def _kernels() -> NDArray[np.float32]:
    """[LONGEST, 2 * OSCILLATORS]: cosines, then sines, windowed so that a tone of amplitude one gives one."""
    t = (np.arange(LONGEST) - LONGEST / 2) / RATE
    columns = []
    for frequency in frequencies().numpy():
        length = np.clip(CYCLES / frequency, SHORTEST / RATE, LONGEST / RATE)
        window = np.where(np.abs(t) < length / 2, 1 + np.cos(2 * np.pi * t / length), 0)
        columns.append((window / window.sum() * 2, frequency))
    waves = [[w * turn(2 * np.pi * f * t) for w, f in columns] for turn in (np.cos, np.sin)]
    return np.array(waves[0] + waves[1], np.float32).T


@cache
def _leakage() -> NDArray[np.float32]:
    """[OSCILLATORS, OSCILLATORS]: how loud a tone on each semitone is heard on each other."""
    t = (np.arange(LONGEST) - LONGEST / 2) / RATE
    parts = np.exp(2j * np.pi * frequencies().numpy()[:, None] * t) @ _kernels()
    return np.abs(parts[:, :OSCILLATORS] - 1j * parts[:, OSCILLATORS:]).astype(np.float32) / 2


@dataclass
class Data:
    """Jingles of n = products x EACH: `audio` float16 [n, SAMPLES], `loudness` float16 [n, K, FRAMES], `product` [n];
    `conditions` [P, forms, 384] of all products."""

    audio: NDArray[np.float16]
    loudness: NDArray[np.float16]
    product: NDArray[np.int64]
    conditions: Tensor

    @classmethod
    def read(cls, products: list[Product], conditions: NDArray[np.float32]) -> Data:
        """Synthesised once and kept in the cache."""
        path = cache_folder() / "jingles" / f"{digest(Path(jingles.__file__), Path(__file__))}.npz"
        kept = [i for i, p in enumerate(products) if not p.held_out]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            audio = np.stack([jingles.of_product(products[i], n) for i in kept for n in range(EACH)])
            loudness = np.stack([analyse(a).astype(np.float16) for a in audio])
            np.savez(path, audio=audio.astype(np.float16), loudness=loudness)
        with np.load(path) as file:
            return cls(file["audio"], file["loudness"], np.repeat(kept, EACH), torch.from_numpy(conditions))


class Objective(nn.Module):
    """Decoder and encoder with their losses, as one module so that it can be spread over devices."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = SoundDecoder()
        self.encoder = SoundEncoder()

    def forward(self, condition: Tensor, loudness: Tensor, audio: Tensor, draw: Tensor) -> dict[str, Tensor]:
        """condition [B, 384], loudness [B, K, FRAMES], waveforms of the first rows, a standard normal [B, 32]."""
        mean, log_variance = self.encoder(loudness)
        rebuilt = self.decoder.loudness(condition, mean + (log_variance / 2).exp() * draw)
        # What is loud counts most: the floor fills most of the picture.
        weight = 1 + 3 * (loudness / -FLOOR + 1)
        error = (weight * (rebuilt.clamp(min=FLOOR) - loudness).abs()).mean()
        # At the floor nothing pulls down any more; what lies below costs a little.
        error = error + 0.05 * (FLOOR - 1 - rebuilt).clamp(min=0).mean()
        heard = self.decoder.oscillators(rebuilt[: len(audio)])
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return {
            "loudness": error,
            "spectra": 0.3 * spectral_distance(heard, audio),
            "seed": 0.02 * (divergence - CAPACITY).abs(),
        }


def losses(data: Data) -> Callable[[nn.Module, np.random.Generator, torch.device], dict[str, Tensor]]:
    """One step's terms on jingles drawn at random, a product's embedding under one of its titles and views."""

    def draw(objective: nn.Module, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        chosen = rng.integers(len(data.product), size=PLAN.batch)
        form = rng.integers(data.conditions.shape[1], size=len(chosen))
        tensors = (
            data.conditions[data.product[chosen], form],
            torch.from_numpy(data.loudness[chosen].astype(np.float32)),
            torch.from_numpy(data.audio[chosen[:HEARD]].astype(np.float32)),
            torch.from_numpy(rng.standard_normal((len(chosen), 32)).astype(np.float32)),
        )
        return objective(*(t.to(device) for t in tensors))

    return draw


def train(data: Data, checkpoint: Path, report: Callable[[int, str], None], plan: Plan = PLAN) -> Objective:
    """Trained decoder and encoder; goes on from `checkpoint`."""
    torch.manual_seed(plan.seed)
    return minimise(Objective(), losses(data), plan, checkpoint, report)


def load(path: Path) -> SoundDecoder:
    """The decoder with the weights that `python -m experiments sound` wrote, in float32."""
    decoder = SoundDecoder()
    restore(decoder, path)
    return decoder


def fingerprint() -> str:
    """Changes with what a training run depends on."""
    return digest(Path(__file__), Path(jingles.__file__), Path(sound_decoder.__file__))

"""Measures generated sonic logos against synthesised ones, and against simply playing one that is at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

from experiments import jingles
from experiments.jingles import MOODS, mood_of
from experiments.sound import HELD_OUT, Data, analyse
from experiments.sound_decoder import NOISE, RATE, Oscillators, SoundDecoder
from training.catalogue.products import Product

BANDS, SIZE, STEP = 40, 1024, 256
SEGMENTS = 10  # of the 2.5 s, over which the classifier's features are means
FLOOR_DB = -80.0
SEEDS = 4  # of each product


def spectrum(audio: NDArray[np.float32]) -> Tensor:
    """Power [n, bins, frames] of waveforms [n, samples]."""
    window = torch.hann_window(SIZE)
    return torch.stft(torch.from_numpy(audio), SIZE, STEP, window=window, return_complex=True).abs() ** 2


def log_mel(audio: NDArray[np.float32]) -> Tensor:
    """dB below the loudest [n, BANDS, frames], at least FLOOR_DB."""
    bank = mel_filter_bank(SIZE // 2 + 1, BANDS, 60.0, RATE / 2, RATE, norm="slaney")
    mel = torch.from_numpy(bank.astype(np.float32)).T @ spectrum(audio)
    level = 10 * mel.clamp(min=1e-12).log10()
    return (level - level.amax((1, 2), keepdim=True)).clamp(min=FLOOR_DB)


def pooled(audio: NDArray[np.float32]) -> Tensor:
    """The classifier's features [n, BANDS * SEGMENTS]."""
    return F.adaptive_avg_pool1d(log_mel(audio), SEGMENTS).flatten(1) / -FLOOR_DB


class MoodClassifier:
    """Two layers on log-mel, trained on synthesised jingles."""

    def __init__(self, audio: NDArray[np.float32], moods: NDArray[np.int64]) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Linear(BANDS * SEGMENTS, 64), nn.GELU(), nn.Dropout(0.3), nn.Linear(64, len(MOODS))
        )
        optimizer = torch.optim.AdamW(self.network.parameters(), 3e-3, weight_decay=0.05)
        features, target = pooled(audio), torch.from_numpy(moods)
        for _ in range(300):
            optimizer.zero_grad()
            F.cross_entropy(self.network(features), target).backward()
            optimizer.step()
        self.network.eval()

    @torch.inference_mode()
    def accuracy(self, audio: NDArray[np.float32], moods: NDArray[np.int64]) -> float:
        """Share of waveforms in whose sound the mood is heard."""
        return float((self.network(pooled(audio)).argmax(1).numpy() == moods).mean())


def distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean absolute difference of log-mel, dB, row by row."""
    return float((log_mel(a) - log_mel(b)).abs().mean())


def cleanliness(audio: NDArray[np.float32]) -> dict[str, float]:
    """Spectral flatness (0 a tone, 1 white noise) of the loud frames, the level between the tones under the loudest
    (the tenth percentile of bins, dB), and the brightness (spectral centroid, Hz)."""
    power = spectrum(audio) + 1e-12
    loud = power.sum(1) > 0.01 * power.sum(1).amax(1, keepdim=True)
    flat = power.log().mean(1).exp() / power.mean(1)
    floor = 10 * (power.quantile(0.1, dim=1) / power.amax(1)).log10()
    return {
        "flatness": float(flat[loud].mean()),
        "floor dB": float(floor[loud].mean()),
        "centroid Hz": float(centroids(audio).mean()),
    }


def centroids(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spectral centroid [n], Hz."""
    power = spectrum(audio).sum(2)
    return (power @ torch.linspace(0, RATE / 2, SIZE // 2 + 1) / power.sum(1).clamp(min=1e-12)).numpy()


def diversity(by_seed: list[NDArray[np.float32]]) -> float:
    """Mean distance, dB, between waveforms of the same products under different seeds."""
    pairs = [(a, b) for a in range(len(by_seed)) for b in range(a)]
    return float(np.mean([distance(by_seed[a], by_seed[b]) for a, b in pairs]))


@torch.inference_mode()
def generate(decoder: SoundDecoder, conditions: Tensor, seed: int) -> NDArray[np.float32]:
    """Waveforms [n, samples] for conditions [n, 384]."""
    noise = torch.from_numpy(
        np.random.default_rng([5, seed]).standard_normal((len(conditions), NOISE)).astype(np.float32)
    )
    return torch.cat([decoder(c, z) for c, z in zip(conditions.split(16), noise.split(16), strict=True)]).numpy()


@torch.inference_mode()
def rebuilt(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Waveforms as the oscillators play them after analysis: what the decoder could reach at best."""
    return Oscillators()(torch.from_numpy(np.stack([analyse(a) for a in audio]))).clamp(-1, 1).numpy()


def evaluate(decoder: SoundDecoder, data: Data, products: list[Product]) -> dict[str, Any]:
    """Figures on products that were not trained on; also `examples`: waveforms for the pictures."""
    moods = list(MOODS)
    mood = np.array([moods.index(mood_of(p)) for p in products])
    classifier = MoodClassifier(data.audio.astype(np.float32), mood[data.product])
    held = np.array([i for i, p in enumerate(products) if p.held_out])
    real = [np.stack([jingles.of_product(products[i], HELD_OUT + n) for i in held]) for n in range(SEEDS)]
    conditions = data.conditions[held, 0]
    made = [generate(decoder, conditions, n) for n in range(SEEDS)]
    shuffled = generate(decoder, conditions[np.random.default_rng(0).permutation(len(held))], 0)
    trained = np.unique(data.product)
    nearest = trained[(conditions @ data.conditions[trained, 0].T).argmax(1).numpy()]
    each = len(data.product) // len(trained)
    at_hand = data.audio[np.searchsorted(data.product, nearest)].astype(np.float32)
    other = data.audio[np.searchsorted(data.product, nearest) + (each - 1)].astype(np.float32)
    bound = rebuilt(real[0])
    accuracy = {
        "synthesised, other seeds": classifier.accuracy(real[0], mood[held]),
        "generated": float(np.mean([classifier.accuracy(m, mood[held]) for m in made])),
        "generated, conditions shuffled": classifier.accuracy(shuffled, mood[held]),
        "nearest product's synthesised": classifier.accuracy(at_hand, mood[held]),
        "most frequent mood": float(np.bincount(mood[held]).max() / len(held)),
    }
    distances = {
        "synthesised, another seed": distance(real[1], real[0]),
        "generated": float(np.mean([distance(m, real[0]) for m in made])),
        "generated, conditions shuffled": distance(shuffled, real[0]),
        "nearest product's synthesised": distance(at_hand, real[0]),
        "the same through analysis and oscillators": distance(bound, real[0]),
    }
    brightness = {
        "generated": float(np.corrcoef(centroids(made[0]), centroids(real[0]))[0, 1]),
        "nearest product's synthesised": float(np.corrcoef(centroids(at_hand), centroids(real[0]))[0, 1]),
        "synthesised, another seed": float(np.corrcoef(centroids(real[1]), centroids(real[0]))[0, 1]),
    }
    return {
        "products": len(held),
        "mood accuracy": accuracy,
        "log-mel distance to the product's own, dB": distances,
        "brightness correlation with the product's own": brightness,
        "cleanliness": {
            "synthesised": cleanliness(real[0]),
            "through analysis and oscillators": cleanliness(bound),
            "generated": cleanliness(made[0]),
        },
        "diversity over seeds, dB": {
            "synthesised": diversity(real),
            "generated": diversity(made),
            "nearest product's synthesised": distance(at_hand, other),
        },
        "examples": [(products[i].name, moods[mood[i]], real[0][k], bound[k], made[0][k], made[1][k])
                     for k, i in enumerate(held)],
    }  # fmt: skip

"""Sound decoder: a condition and a seed → a sonic logo of 2.5 s, as a waveform.

A recurrent network writes a compact code fifty times a second, convolutions widen it to the loudness of a bank of
oscillators on the semitone grid (the signal model of DDSP, Engel et al. 2020, arXiv:2001.04643), and the bank plays
them. Tones are clean by construction: there is no phase to guess, which small vocoders hear as noise. The seed is the
latent of a conditional variational autoencoder whose encoder is needed in training only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 384  # of the condition
NOISE = 32
RATE = 16_000
SAMPLES = 40_000
LOWEST, OSCILLATORS = 52, 68  # MIDI notes 52 (165 Hz) to 119 (7.9 kHz)
HOP = 160  # samples between two loudnesses: 10 ms
FRAMES = SAMPLES // HOP
STEPS = FRAMES // 2  # of the recurrent network: 20 ms
CODE = 24
HIDDEN = 256
CHANNELS = 128
#: Loudness is a natural logarithm; at FLOOR and below an oscillator is silent.
FLOOR = -8.0


def frequencies() -> Tensor:
    """Of the oscillators, Hz, float64 [OSCILLATORS]."""
    notes = torch.arange(LOWEST, LOWEST + OSCILLATORS, dtype=torch.float64)
    return 440 * 2 ** ((notes - 69) / 12)


class Oscillators(nn.Module):
    """Log loudness [B, K, FRAMES] → waveform [B, SAMPLES]; loudness is linear between frames."""

    start_sin: Tensor
    start_cos: Tensor
    within_sin: Tensor
    within_cos: Tensor
    slope: Tensor

    def __init__(self) -> None:
        super().__init__()
        turns = frequencies() / RATE
        start = torch.arange(FRAMES, dtype=torch.float64) * HOP * turns.unsqueeze(1)
        start = start + torch.rand(OSCILLATORS, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        within = torch.arange(HOP, dtype=torch.float64) * turns.unsqueeze(1)
        # sin(a + b) in four small tables instead of one of K x SAMPLES.
        for name, table in (("start", start), ("within", within)):
            angle = 2 * torch.pi * (table % 1)
            self.register_buffer(f"{name}_sin", angle.sin().float(), persistent=False)
            self.register_buffer(f"{name}_cos", angle.cos().float(), persistent=False)
        self.register_buffer("slope", torch.arange(HOP) / HOP, persistent=False)

    def forward(self, loudness: Tensor) -> Tensor:
        level = (loudness.clamp(FLOOR, 1.0).exp() - torch.e**FLOOR).clamp(min=0)
        following = torch.cat([level[..., 1:], torch.zeros_like(level[..., :1])], -1)
        # Sum over oscillators as matrix products [FRAMES, K] x [K, HOP], for each frame's own loudness.
        wave = self._played(level, 1 - self.slope) + self._played(following, self.slope)
        return wave.flatten(1)

    def _played(self, level: Tensor, fade: Tensor) -> Tensor:
        sines = (level * self.start_sin).transpose(1, 2) @ (self.within_cos * fade)
        return sines + (level * self.start_cos).transpose(1, 2) @ (self.within_sin * fade)


class SoundDecoder(nn.Module):
    """condition [B, 384] and noise [B, 32], standard normal, → audio [B, 40000] at 16 kHz within ±1."""

    def __init__(self) -> None:
        super().__init__()
        self.style = nn.Sequential(
            nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Dropout(0.2), nn.Linear(HIDDEN, CHANNELS), nn.LayerNorm(CHANNELS)
        )
        self.time = nn.Parameter(torch.randn(STEPS, 64) * 0.5)
        self.begin = nn.Linear(CHANNELS + NOISE, HIDDEN)
        self.recurrent = nn.GRU(CHANNELS + NOISE + 64, HIDDEN, batch_first=True)
        self.write = nn.Linear(HIDDEN, CODE)
        self.widen = nn.Sequential(
            nn.Conv1d(CODE, CHANNELS, 3, padding=1),
            nn.GELU(),
            nn.ConvTranspose1d(CHANNELS, CHANNELS, 4, 2, 1),
            nn.GELU(),
            nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(CHANNELS, OSCILLATORS, 3, padding=1),
        )
        nn.init.constant_(self.widen[-1].get_parameter("bias"), -6.0)
        self.oscillators = Oscillators()

    def loudness(self, condition: Tensor, noise: Tensor) -> Tensor:
        """Natural log of each oscillator's loudness [B, OSCILLATORS, FRAMES]."""
        # A unit vector's entries are small; unscaled it would hardly count.
        given = torch.cat([self.style(condition * WIDTH**0.5), noise], 1)
        steps = given.unsqueeze(1).expand(-1, STEPS, -1)
        time = self.time.unsqueeze(0).expand(given.shape[0], -1, -1)
        begin = self.begin(given).tanh().unsqueeze(0)
        codes = self.write(self.recurrent(torch.cat([steps, time], -1), begin)[0])
        return self.widen(codes.transpose(1, 2))

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        return self.oscillators(self.loudness(condition, noise)).clamp(-1, 1)


class SoundEncoder(nn.Module):
    """Log loudness [B, K, FRAMES] and condition → mean and log variance [B, 32] of the seed; for training only."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Sequential(
            nn.Conv1d(OSCILLATORS, CHANNELS, 5, 2, 2),
            nn.GELU(),
            nn.Conv1d(CHANNELS, CHANNELS, 5, 2, 2),
            nn.GELU(),
            nn.Conv1d(CHANNELS, CHANNELS, 5, 2, 2),
            nn.GELU(),
        )
        self.recurrent = nn.GRU(CHANNELS, CHANNELS, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * CHANNELS, 2 * NOISE)

    def forward(self, loudness: Tensor) -> tuple[Tensor, Tensor]:
        features = self.narrow(loudness / 4 + 1).transpose(1, 2)
        mean, log_variance = self.out(self.recurrent(features)[0].mean(1)).chunk(2, -1)
        return mean, log_variance.clamp(-6, 2)


def spectral_distance(a: Tensor, b: Tensor) -> Tensor:
    """Multi-resolution STFT loss of waveforms [B, n] (Yamamoto et al. 2020, arXiv:1910.11480)."""
    total = a.new_zeros(())
    for size in (256, 1024, 2048):
        window = torch.hann_window(size, device=a.device)
        one, other = (torch.stft(x, size, size // 4, window=window, return_complex=True).abs() for x in (a, b))
        scale = size**0.5
        logs = F.l1_loss((one / scale + 1e-3).log(), (other / scale + 1e-3).log())
        total = total + logs + (one - other).norm() / other.norm().clamp(min=1e-3)
    return total / 3

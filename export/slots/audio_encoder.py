"""Whisper's encoder with the head that `python -m training audio` trained: log-mel → the fused space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from export.recipe import Slot
from export.sources import fetch
from graph.schema import Model
from networks.audio_encoder import WIDTH, AudioEncoder, Head
from networks.features import ROWS, join_features
from networks.whisper import MELS, POSITIONS, load_encoder


class Served(nn.Module):
    """The network, what it gives in one tensor."""

    def __init__(self, network: AudioEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, log_mel: Tensor) -> Tensor:
        """log_mel FP32 [B, 80, F] → FP32 [B, 9, 384]."""
        return join_features(*self.network(log_mel))


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Rows and width of the features; the log-mel that it takes is the transcriber's."""
    takes = {"transcriber.mels": MELS, "transcriber.mel_frames": 2 * POSITIONS}
    return {"rows": ROWS, "width": WIDTH, "takes": takes}


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """Whisper's encoder of a CTranslate2 folder, and the head that the options `head` and `head_sha256` pin."""
    encoder = load_encoder(checkpoint)
    head = Head(encoder.shape.width)
    path = fetch(str(slot.options["head"]), str(slot.options["head_sha256"]))
    head.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return Served(AudioEncoder(encoder, head)).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: tones that come and go over noise, in the range of whisper's log-mel."""
    batch, frames = sizes["batch"], sizes["mel_frames"]
    noise = rng.uniform(-0.8, 0.2, (batch, MELS, frames))
    beat = np.sin(np.arange(frames) * rng.uniform(0.05, 0.3, (batch, 1, 1)) + rng.uniform(0, 6, (batch, MELS, 1)))
    return {"log_mel": np.maximum(noise, 1.2 * beat - 0.4).astype(np.float32)}

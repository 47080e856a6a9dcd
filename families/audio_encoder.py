"""Whisper's encoder with the head that `python -m training audio` trained: log-mel → the fused space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import nn

from families.common.slot import BuildError, Slot
from graph.schema import Model
from networks.audio_encoder import AudioEncoder, Head
from networks.features import ROWS, JoinedFeatures
from networks.whisper import load_encoder


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Rows and width of the features; bands and length of the log-mel that it takes, which are the transcriber's."""
    network = _network(checkpoint, slot)
    shape, width = network.encoder.shape, network.head.out[1].out_features
    takes = {"transcriber.mels": shape.mels, "transcriber.mel_frames": 2 * shape.positions}
    return {"rows": ROWS, "width": width, "mels": shape.mels, "takes": takes}


def _network(checkpoint: Path, slot: Slot) -> AudioEncoder:
    """Whisper's encoder of a folder of CTranslate2 or transformers, and the head that the option `head` names.

    Raises:
        BuildError: the file holds no head, or one that was trained on a whisper of another width.
        ValueError: the folder holds no whisper.
    """
    encoder, path = load_encoder(checkpoint), slot.file("head")
    try:
        head = Head.of(load_file(path))
    except (KeyError, RuntimeError) as error:
        raise BuildError(
            f"{path} holds no head of an audio encoder ({str(error)[:200]}); name a file of `python -m training audio`"
        ) from error
    if (have := head.norm.normalized_shape[0]) != encoder.shape.width:
        raise BuildError(
            f"{path} was trained on a whisper of width {have}, {checkpoint} has {encoder.shape.width}; take the one "
            "that the head was trained on, or train a head of that width (training/audio/head.py)"
        )
    return AudioEncoder(encoder, head)


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network, what it gives in one tensor."""
    return JoinedFeatures(_network(checkpoint, slot)).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: tones that come and go over noise, in the range of whisper's log-mel."""
    batch, mels, frames = sizes["batch"], sizes["mels"], sizes["mel_frames"]
    noise = rng.uniform(-0.8, 0.2, (batch, mels, frames))
    beat = np.sin(np.arange(frames) * rng.uniform(0.05, 0.3, (batch, 1, 1)) + rng.uniform(0, 6, (batch, mels, 1)))
    return {"log_mel": np.maximum(noise, 1.2 * beat - 0.4).astype(np.float32)}

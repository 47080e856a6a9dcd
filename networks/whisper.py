"""Whisper's encoder for clips of any length, and the reading of whisper weights from a CTranslate2 folder.

Source: Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision (arXiv:2212.04356).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

MELS = 80
HEAD_WIDTH = 64  # of every whisper
POSITIONS = 1500  # 30 s at 50 a second

#: Type codes of a CTranslate2 model file.
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_ctranslate2(path: Path) -> dict[str, NDArray]:
    """The variables of a CTranslate2 ``model.bin`` by name.

    Raises:
        ValueError: the file is not of that kind, or ends too early.
    """

    def number(file: BinaryIO, code: str) -> int:
        return struct.unpack(f"<{code}", file.read(struct.calcsize(code)))[0]

    def text(file: BinaryIO) -> str:
        return file.read(number(file, "H"))[:-1].decode()  # a zero ends it

    variables = {}
    try:
        with path.open("rb") as file:
            number(file, "I")  # version of the format
            if (kind := text(file)) != "WhisperSpec":
                raise ValueError(f"{path} holds a {kind!r}, not a WhisperSpec")
            number(file, "I")  # revision of the spec
            for _ in range(number(file, "I")):
                name = text(file)
                shape = [number(file, "I") for _ in range(number(file, "B"))]
                dtype = _DTYPES[number(file, "B")]
                variables[name] = np.frombuffer(file.read(number(file, "I")), dtype).reshape(shape)
    except (struct.error, UnicodeDecodeError, KeyError) as error:
        raise ValueError(f"{path} is no CTranslate2 model file: {error}") from error
    return variables


@dataclass(frozen=True)
class Shape:
    """What whispers differ in: tiny is 384 wide with 4 layers a side, base 512 wide with 6."""

    width: int
    layers: int

    @classmethod
    def of(cls, variables: dict[str, NDArray]) -> Shape:
        """Of a checkpoint's variables; raises KeyError where they have no encoder."""
        layers = {int(name[1]) for key in variables if (name := re.match(r"encoder/layer_(\d+)/", key))}
        return cls(variables["encoder/position_encodings/encodings"].shape[1], len(layers))


class Layer(nn.Module):
    """A pre-norm transformer layer; the projections of query, key and value are one matrix, as CTranslate2 has them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.attention_norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, width] → the same shape."""

        def heads(part: Tensor) -> Tensor:
            return part.reshape(x.shape[0], -1, self.heads, HEAD_WIDTH).transpose(1, 2)

        query, key, value = (heads(part) for part in self.project(self.attention_norm(x)).chunk(3, -1))
        weights = (query @ key.transpose(2, 3) * HEAD_WIDTH**-0.5).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(x.shape))
        return x + self.narrow(F.gelu(self.widen(self.feed_norm(x))))


class Encoder(nn.Module):
    """log_mel [B, 80, frames], 100 frames a second → states [B, ceil(frames / 2), width].

    Whisper itself pads every clip to 30 s; here a clip takes as many positions as it has, so that a short one is cheap.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.conv1 = nn.Conv1d(MELS, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(POSITIONS, shape.width))
        self.layers = nn.ModuleList(Layer(shape.width) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, log_mel: Tensor) -> Tensor:
        x = F.gelu(self.conv2(F.gelu(self.conv1(log_mel)))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a CTranslate2 folder of a whisper of any size, float32, not to be trained.

    Raises:
        ValueError: the folder's model is not whisper.
    """
    variables = read_ctranslate2(folder / "model.bin")
    try:
        shape = Shape.of(variables)
    except KeyError as error:
        raise ValueError(f"{folder} holds no whisper encoder: {error} is missing") from error
    names = {
        "positions": "position_encodings/encodings",
        "norm.weight": "layer_norm/gamma",
        "norm.bias": "layer_norm/beta",
        **{f"conv{i}.{part}": f"conv{i}/{part}" for i in (1, 2) for part in ("weight", "bias")},
    }
    for i in range(shape.layers):
        for ours, theirs in (
            ("project", "self_attention/linear_0"),
            ("out", "self_attention/linear_1"),
            ("widen", "ffn/linear_0"),
            ("narrow", "ffn/linear_1"),
        ):
            names |= {f"layers.{i}.{ours}.{part}": f"layer_{i}/{theirs}/{part}" for part in ("weight", "bias")}
        for ours, theirs in (("attention_norm", "self_attention"), ("feed_norm", "ffn")):
            names[f"layers.{i}.{ours}.weight"] = f"layer_{i}/{theirs}/layer_norm/gamma"
            names[f"layers.{i}.{ours}.bias"] = f"layer_{i}/{theirs}/layer_norm/beta"
    encoder = Encoder(shape)
    try:
        arrays = {ours: variables[f"encoder/{theirs}"] for ours, theirs in names.items()}
        encoder.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{folder} holds no whisper encoder: {error}") from error
    return encoder.requires_grad_(False).eval()

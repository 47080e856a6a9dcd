"""Whisper's encoder for clips of any length, and the reading of its weights from CTranslate2's or transformers' folder.

Source: Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision (arXiv:2212.04356).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

MELS = 80  # of every Whisper model but large-v3, which has 128
HEAD_WIDTH = 64  # of an attention head in every released Whisper model

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
    """Sizes in which Whisper models differ: tiny is 384 wide with 4 layers a side, base 512 wide with 6.

    Args:
        width: of the states.
        inner: of the feed-forward part of a layer.
        layers, heads: of the encoder.
        mels: bands of the log-mel.
        positions: at most, 50 a second.
    """

    width: int
    inner: int
    layers: int
    heads: int
    mels: int
    positions: int

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], heads: int | None = None) -> Shape:
        """Of the encoder's weights, by this module's names; heads as every released whisper has them unless told."""
        positions, width = weights["positions"].shape
        layers = {name.split(".")[1] for name in weights if name.startswith("layers.")}
        inner, mels = len(weights["layers.0.widen.weight"]), weights["conv1.weight"].shape[1]
        return cls(width, inner, len(layers), heads or width // HEAD_WIDTH, mels, positions)


class Layer(nn.Module):
    """A pre-norm transformer layer; the projections of query, key and value are one matrix, as CTranslate2 has them."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, width] → the same shape."""

        def heads(part: Tensor) -> Tensor:
            return part.reshape(x.shape[0], -1, self.heads, x.shape[2] // self.heads).transpose(1, 2)

        query, key, value = (heads(part) for part in self.project(self.attention_norm(x)).chunk(3, -1))
        weights = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(x.shape))
        return x + self.narrow(F.gelu(self.widen(self.feed_norm(x))))


class Encoder(nn.Module):
    """log_mel FP32 [B, mels, frames], 100 frames a second → states FP32 [B, ceil(frames / 2), width].

    Whisper itself pads every clip to 30 s; here a clip takes as many positions as it has, so that a short one is cheap.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.conv1 = nn.Conv1d(shape.mels, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(shape.positions, shape.width))
        self.layers = nn.ModuleList(Layer(shape.width, shape.inner, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, log_mel: Tensor) -> Tensor:
        x = F.gelu(self.conv2(F.gelu(self.conv1(log_mel)))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a whisper of any size, float32, not to be trained: of a CTranslate2 folder, or of transformers'.

    Raises:
        ValueError: the folder's model is not whisper.
    """
    try:
        weights, heads = _of_ctranslate2(folder) if (folder / "model.bin").is_file() else _of_transformers(folder)
        encoder = Encoder(Shape.of(weights, heads))
        encoder.load_state_dict(weights)
    except (KeyError, RuntimeError, OSError) as error:
        raise ValueError(f"{folder} holds no whisper encoder: {error}") from error
    return encoder.requires_grad_(False).eval()


def _of_ctranslate2(folder: Path) -> tuple[dict[str, Tensor], None]:
    """The encoder's weights by this module's names; that file says nothing of heads."""
    variables = read_ctranslate2(folder / "model.bin")
    layers = {int(name[1]) for key in variables if (name := re.match(r"encoder/layer_(\d+)/", key))}
    names = {
        "positions": "position_encodings/encodings",
        "norm.weight": "layer_norm/gamma",
        "norm.bias": "layer_norm/beta",
        **{f"conv{i}.{part}": f"conv{i}/{part}" for i in (1, 2) for part in ("weight", "bias")},
    }
    for i in layers:
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
    arrays = {ours: variables[f"encoder/{theirs}"] for ours, theirs in names.items()}
    if whole := {str(array.dtype) for array in arrays.values()} - {"float16", "float32"}:
        raise ValueError(
            f"{folder} holds quantised weights ({', '.join(sorted(whole))}); convert the checkpoint with quantization "
            "float16 or float32"
        )
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}, None


def _of_transformers(folder: Path) -> tuple[dict[str, Tensor], int]:
    """The encoder's weights by this module's names, and its heads."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    theirs = {
        name.partition("encoder.")[2]: value.float()
        for name, value in load_file(folder / "model.safetensors").items()
        if name.startswith(("encoder.", "model.encoder."))
    }
    weights = {"positions": theirs["embed_positions.weight"]}
    weights |= {f"norm.{part}": theirs[f"layer_norm.{part}"] for part in ("weight", "bias")}
    weights |= {name: value for name, value in theirs.items() if name.startswith("conv")}
    for i in range(config["encoder_layers"]):
        layer = {name.removeprefix(f"layers.{i}."): value for name, value in theirs.items()}
        layer.setdefault("self_attn.k_proj.bias", torch.zeros(len(layer["self_attn.q_proj.bias"])))  # keys have none
        for part in ("weight", "bias"):
            weights[f"layers.{i}.project.{part}"] = torch.cat([layer[f"self_attn.{q}_proj.{part}"] for q in "qkv"])
            for ours, name in (
                ("out", "self_attn.out_proj"),
                ("widen", "fc1"),
                ("narrow", "fc2"),
                ("attention_norm", "self_attn_layer_norm"),
                ("feed_norm", "final_layer_norm"),
            ):
                weights[f"layers.{i}.{ours}.{part}"] = layer[f"{name}.{part}"]
    return weights, config["encoder_attention_heads"]

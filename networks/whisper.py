"""Whisper's encoder for clips of any length, and the reading of whisper weights from a CTranslate2 folder.

Source: Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision (arXiv:2212.04356).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

MELS = 80
WIDTH = 384  # of tiny
HEADS = 6
LAYERS = 4
FEED = 4 * WIDTH
POSITIONS = 1500  # 30 s at 50 a second
TOKEN_POSITIONS = 448  # of the decoder

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


class Layer(nn.Module):
    """A pre-norm transformer layer; the projections of query, key and value are one matrix, as CTranslate2 has them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.feed_norm = nn.LayerNorm(WIDTH)
        self.widen = nn.Linear(WIDTH, FEED)
        self.narrow = nn.Linear(FEED, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, 384] → the same shape."""

        def heads(part: Tensor) -> Tensor:
            return part.reshape(x.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2)

        query, key, value = (heads(part) for part in self.project(self.attention_norm(x)).chunk(3, -1))
        weights = (query @ key.transpose(2, 3) * (WIDTH // HEADS) ** -0.5).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(x.shape))
        return x + self.narrow(F.gelu(self.widen(self.feed_norm(x))))


class Encoder(nn.Module):
    """log_mel [B, 80, frames], 100 frames a second → states [B, ceil(frames / 2), 384].

    Whisper itself pads every clip to 30 s; here a clip takes as many positions as it has, so that a short one is cheap.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(MELS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.zeros(POSITIONS, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, log_mel: Tensor) -> Tensor:
        x = F.gelu(self.conv2(F.gelu(self.conv1(log_mel)))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a CTranslate2 folder of whisper-tiny, float32, not to be trained.

    Raises:
        ValueError: the folder's model is not whisper-tiny.
    """
    variables = read_ctranslate2(folder / "model.bin")
    names = {
        "positions": "position_encodings/encodings",
        "norm.weight": "layer_norm/gamma",
        "norm.bias": "layer_norm/beta",
        **{f"conv{i}.{part}": f"conv{i}/{part}" for i in (1, 2) for part in ("weight", "bias")},
    }
    for i in range(LAYERS):
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
    encoder = Encoder()
    try:
        arrays = {ours: variables[f"encoder/{theirs}"] for ours, theirs in names.items()}
        encoder.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{folder} is not whisper-tiny: {error}") from error
    return encoder.requires_grad_(False).eval()


def load_transcriber(folder: Path) -> WhisperForConditionalGeneration:
    """The whole of whisper-tiny.en of a CTranslate2 folder, as transformers' model, float32.

    Raises:
        KeyError: the folder's model is not whisper-tiny.
    """
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    variables = read_ctranslate2(folder / "model.bin")
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(variables["decoder/embeddings/weight"]),
            d_model=WIDTH,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=FEED,
            decoder_ffn_dim=FEED,
            max_source_positions=POSITIONS,
            max_target_positions=TOKEN_POSITIONS,
            num_mel_bins=MELS,
        )
    ).eval()
    state: dict[str, NDArray] = {
        "model.encoder.embed_positions.weight": variables["encoder/position_encodings/encodings"],
        "model.decoder.embed_positions.weight": variables["decoder/position_encodings/encodings"],
        "model.decoder.embed_tokens.weight": variables["decoder/embeddings/weight"],
        "proj_out.weight": variables["decoder/embeddings/weight"],
    }
    for i in (1, 2):
        state |= {f"model.encoder.conv{i}.{part}": variables[f"encoder/conv{i}/{part}"] for part in ("weight", "bias")}
    for side in ("encoder", "decoder"):
        _copy_norm(state, f"model.{side}.layer_norm", variables, f"{side}/layer_norm")
        for i in range(LAYERS):
            ours, theirs = f"model.{side}.layers.{i}", f"{side}/layer_{i}"
            _copy_attention(state, f"{ours}.self_attn", variables, f"{theirs}/self_attention", "qkv")
            if side == "decoder":
                _copy_attention(state, f"{ours}.encoder_attn", variables, f"{theirs}/attention", "q", "kv")
            _copy_norm(state, f"{ours}.final_layer_norm", variables, f"{theirs}/ffn/layer_norm")
            for name, linear in (("fc1", "linear_0"), ("fc2", "linear_1")):
                _copy_linear(state, f"{ours}.{name}", variables, f"{theirs}/ffn/{linear}")
    model.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()})
    return model


def _copy_linear(state: dict[str, NDArray], ours: str, variables: dict[str, NDArray], theirs: str) -> None:
    state |= {f"{ours}.{part}": variables[f"{theirs}/{part}"] for part in ("weight", "bias")}


def _copy_norm(state: dict[str, NDArray], ours: str, variables: dict[str, NDArray], theirs: str) -> None:
    state[f"{ours}.weight"], state[f"{ours}.bias"] = variables[f"{theirs}/gamma"], variables[f"{theirs}/beta"]


def _copy_attention(
    state: dict[str, NDArray], ours: str, variables: dict[str, NDArray], theirs: str, *stacks: str
) -> None:
    """`stacks`: which of q, k and v each linear layer holds, stacked; the one after them is the output's."""
    for i, stack in enumerate(stacks):
        weights, biases = (
            np.split(variables[f"{theirs}/linear_{i}/{part}"], len(stack)) for part in ("weight", "bias")
        )
        for letter, weight, bias in zip(stack, weights, biases, strict=True):
            state[f"{ours}.{letter}_proj.weight"] = weight
            if letter != "k":  # whisper's keys have no bias; the stack holds zeros there
                state[f"{ours}.{letter}_proj.bias"] = bias
    _copy_linear(state, f"{ours}.out_proj", variables, f"{theirs}/linear_{len(stacks)}")
    _copy_norm(state, f"{ours}_layer_norm", variables, f"{theirs}/layer_norm")

"""Whisper as it was trained: speech to text, greedily; what encoders and voices are measured by.

Source: Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision (arXiv:2212.04356).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import WhisperConfig, WhisperForConditionalGeneration

from networks.whisper import HEAD_WIDTH, MELS, POSITIONS, Shape, read_ctranslate2

TOKEN_POSITIONS = 448  # of the decoder
MAX_TOKENS = TOKEN_POSITIONS // 2


class Transcriber:
    """whisper-tiny.en of a CTranslate2 folder, greedy, without timestamps."""

    def __init__(self, folder: Path) -> None:
        self.model = load_model(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        start, no_times, self.end = (
            self.tokenizer.token_to_id(f"<|{name}|>") for name in ("startoftranscript", "notimestamps", "endoftext")
        )
        self.prompt = torch.tensor([[start, no_times]])
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.never, self.never_first = config["suppress_ids"], config["suppress_ids_begin"]

    @torch.inference_mode()
    def __call__(self, log_mel: NDArray[np.float32]) -> str:
        """What is said in a clip: log_mel float32 [80, 3000], the whole 30 s that whisper was trained with."""
        states = self.model.model.encoder(torch.from_numpy(log_mel)[None])
        ids, cache, tokens = self.prompt, None, []
        while len(tokens) < MAX_TOKENS:
            out = self.model(encoder_outputs=states, decoder_input_ids=ids, past_key_values=cache, use_cache=True)
            logits, cache = out.logits[0, -1], out.past_key_values
            logits[self.never] = -torch.inf
            if not tokens:
                logits[self.never_first] = -torch.inf
            token = int(logits.argmax())
            if token == self.end:
                break
            tokens.append(token)
            ids = torch.tensor([[token]])
        return self.tokenizer.decode(tokens).strip()


def load_model(folder: Path) -> WhisperForConditionalGeneration:
    """The whole of whisper-tiny.en of a CTranslate2 folder, as transformers' model, float32.

    Raises:
        KeyError: the folder's model is not whisper-tiny.
    """
    variables = read_ctranslate2(folder / "model.bin")
    shape = Shape.of(variables)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(variables["decoder/embeddings/weight"]),
            d_model=shape.width,
            encoder_layers=shape.layers,
            decoder_layers=shape.layers,
            encoder_attention_heads=shape.width // HEAD_WIDTH,
            decoder_attention_heads=shape.width // HEAD_WIDTH,
            encoder_ffn_dim=4 * shape.width,
            decoder_ffn_dim=4 * shape.width,
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
        for i in range(shape.layers):
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

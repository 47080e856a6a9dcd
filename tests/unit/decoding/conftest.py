"""A tiny causal network with random weights, taken through the real export: fast, and wrong wherever ours would be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel

from decoding.engine import Engine
from export.recipe import Slot

WORDS = ("the", "mug", "red", "oak", "desk", "is", "of", "and")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A folder in the hub's layout: two layers, a byte-level vocabulary with a few words, a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("checkpoint")
    vocabulary = {"<|end|>": 0, **{byte: 1 + place for place, byte in enumerate(sorted(ByteLevel.alphabet()))}}
    merges = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def slot() -> Slot:
    """What a recipe would say of the tiny network."""
    return Slot(
        sources=["file:tiny"],
        sha256="0" * 64,
        licence="none",
        precision="fp32",
        tolerance={"relative": 1e-4, "top1_agreement": 0.99},
        options={"max_length": 96, "prompts": "qwen2.5"},
    )


@pytest.fixture(scope="session")
def folder(checkpoint, slot, tmp_path_factory) -> Path:
    """The tiny network, exported."""
    from export.slots import text_decoder

    out = tmp_path_factory.mktemp("decoder")
    text_decoder.build(checkpoint, slot, out)
    return out


@pytest.fixture
def engine(folder) -> Iterator[Engine]:
    """Four slots over the tiny network."""
    engine = Engine(folder, slots=4, max_queue=8, threads=1)
    yield engine
    engine.close()

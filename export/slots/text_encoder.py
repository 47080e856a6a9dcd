"""BERT-style sentence encoder (all-MiniLM-L6-v2): token ids → mean-pooled, unit-length embedding.

Source: Reimers & Gurevych 2019, Sentence-BERT; Wang et al. 2020, MiniLM.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from transformers import AutoModel

from export.recipe import Slot


class SentenceEncoder(nn.Module):
    """input_ids, attention_mask INT64 [B, L] → sentence_embedding FP32 [B, 384], unit length."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(pooled, dim=-1)


def load(checkpoint: Path, slot: Slot) -> nn.Module:
    """The network of a checkpoint folder in the hub's layout."""
    transformer = AutoModel.from_pretrained(checkpoint, local_files_only=True, attn_implementation="eager")
    return SentenceEncoder(transformer).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: random ids, each row masked to a length of its own."""
    shape = (sizes["batch"], sizes["length"])
    lengths = rng.integers(1, sizes["length"] + 1, sizes["batch"])
    lengths[0] = sizes["length"]
    mask = (np.arange(sizes["length"]) < lengths[:, None]).astype(np.int64)
    return {"input_ids": rng.integers(1000, 30000, shape) * mask, "attention_mask": mask}


def sidecars(checkpoint: Path, slot: Slot, out: Path) -> None:
    """tokenizer.json, for the reader step."""
    shutil.copy(checkpoint / "tokenizer.json", out / "tokenizer.json")

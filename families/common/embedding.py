"""Texts by an exported text encoder, for slots that are made with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from families.common.parity import session


def embed(folder: Path, texts: list[str], at_once: int = 32) -> np.ndarray:
    """FP32 [texts, width], of unit length.

    Args:
        folder: of the text encoder's export.
    """
    tokenizer, network = Tokenizer.from_file(str(folder / "tokenizer.json")), session(folder / "model.onnx")
    rows = []
    for start in range(0, len(texts), at_once):
        batch = tokenizer.encode_batch(texts[start : start + at_once])
        inputs = {
            "input_ids": np.array([each.ids for each in batch], np.int64),
            "attention_mask": np.array([each.attention_mask for each in batch], np.int64),
        }
        rows.append(network.run(["sentence_embedding"], inputs)[0])
    return np.concatenate(rows)

"""The products that a shopper's events may name: their titles by the bundle's text encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from families.common.embedding import embed
from families.common.slot import BuildError, Slot

ACCEPTS = 'a .json file: [{"id": "…", "title": "…"}, …]'


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".json"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Width of its embeddings, which is the text encoder's."""
    return {"width": "text_encoder.width"}


def build(checkpoint: Path, slot: Slot, out: Path, needed: dict[str, Path]) -> None:
    """Writes ``items.npz`` (see `stages.history.ItemIndex`).

    Raises:
        BuildError: the file is no list of products with an id and a title each.
    """
    try:
        products = json.loads(checkpoint.read_text(encoding="utf-8"))
        pairs = [(str(product["id"]), str(product["title"])) for product in products]
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise BuildError(f"{checkpoint}: {type(error).__name__}: {error}; write {ACCEPTS[2:]}") from error
    if not pairs:
        raise BuildError(f"{checkpoint}: no product; write {ACCEPTS[2:]}")
    ids, titles = map(list, zip(*pairs, strict=True))
    if len(set(ids)) < len(ids):
        raise BuildError(f"{checkpoint}: {len(ids) - len(set(ids))} ids stand there twice; write each product once")
    vectors = embed(needed["text_encoder"], titles)
    np.savez_compressed(out / "items.npz", ids=np.array(ids), titles=np.array(titles), embeddings=vectors)

"""The products that a shopper's events may name, with their embeddings: as `python -m training behavior` wrote them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from families.common.slot import Slot

ACCEPTS = "a .npz file with ids, embeddings and perhaps titles"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".npz"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Width of its embeddings."""
    with np.load(checkpoint) as index:
        return {"width": index["embeddings"].shape[1]}


def build(checkpoint: Path, slot: Slot, out: Path, needed: dict[str, Path]) -> None:
    """Copies ``items.npz``.

    Raises:
        ValueError: it lacks `ids` or `embeddings`, or they do not go together.
    """
    with np.load(checkpoint) as index:
        if missing := {"ids", "embeddings"} - set(index.files):
            raise ValueError(f"{checkpoint} lacks {', '.join(sorted(missing))}; see stages/history.py")
        ids, embeddings = index["ids"], index["embeddings"]
        if embeddings.ndim != 2 or len(embeddings) != len(ids):
            raise ValueError(f"{checkpoint}: {len(ids)} ids, but embeddings {embeddings.shape}; write one to an id")
    if len(set(ids.tolist())) < len(ids):
        raise ValueError(f"{checkpoint}: {len(ids) - len(set(ids.tolist()))} ids stand there twice; write each once")
    shutil.copy(checkpoint, out / "items.npz")

"""The products that a shopper's events may name, with their embeddings: as `python -m training behavior` wrote them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from export.recipe import Slot

WIDTH = 384


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Copies ``items.npz``.

    Raises:
        ValueError: it lacks `ids` or `embeddings`, or they do not go together.
    """
    with np.load(checkpoint) as index:
        if missing := {"ids", "embeddings"} - set(index.files):
            raise ValueError(f"{checkpoint} lacks {', '.join(sorted(missing))}; see stages/history.py")
        ids, embeddings = index["ids"], index["embeddings"]
        if embeddings.shape != (len(ids), WIDTH):
            raise ValueError(f"{checkpoint}: {len(ids)} ids, but embeddings {embeddings.shape}; send [ids, {WIDTH}]")
    shutil.copy(checkpoint, out / "items.npz")

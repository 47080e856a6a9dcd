"""The tagger's table: words and their vectors in the fused space, as `python -m training tags` wrote them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from families.common.slot import Slot

ACCEPTS = "a tags.npz of `python -m training tags`, or a folder with it"
_KEYS = {"words", "fused", "named", "image_scale", "named_scale", "text_scale", "least"}


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether it is of this family."""
    return _path(checkpoint).suffix == ".npz" and _path(checkpoint).is_file()


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Nothing but the width of the condition that it reads."""
    with np.load(_path(checkpoint)) as table:
        return {"takes": {"fusion.width": table["fused"].shape[1]}}


def _path(checkpoint: Path) -> Path:
    return checkpoint / "tags.npz" if checkpoint.is_dir() else checkpoint


def build(checkpoint: Path, slot: Slot, out: Path, needed: dict[str, Path]) -> None:
    """Copies ``tags.npz``.

    Raises:
        ValueError: it lacks an array, or its vectors are not one to a word.
    """
    path = _path(checkpoint)
    with np.load(path) as table:
        if missing := _KEYS - set(table.files):
            raise ValueError(f"{path} lacks {', '.join(sorted(missing))}; write it with `python -m training tags`")
        shapes = {name: table[name].shape for name in ("words", "fused", "named")}
        if shapes["fused"] != shapes["named"] or shapes["fused"][:1] != shapes["words"]:
            raise ValueError(f"{path}: vectors and words do not match: {shapes}")
    shutil.copy(path, out / "tags.npz")

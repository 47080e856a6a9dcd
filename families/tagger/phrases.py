"""Tags without training: words, and their embeddings by the text encoder of the same space as the fusion's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from families.common import hub
from families.common.embedding import embed
from families.common.slot import BuildError, Slot

ACCEPTS = "a .json file with words, phrase, image_scale, text_scale and least"
_SCALES = ("image_scale", "text_scale", "least")


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".json"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Nothing but the width of the condition that it reads."""
    return {"takes": {"fusion.width": "text_encoder.width"}}


def build(checkpoint: Path, slot: Slot, out: Path, needed: dict[str, Path]) -> None:
    """Writes ``tags.npz`` (see `stages.tags`).

    Args:
        checkpoint: JSON: ``words``, a list; ``phrase``, in which ``{}`` stands for a word; how much a cosine counts in
            the logit where there is a picture (``image_scale``) and where there is none (``text_scale``); the
            probability from which a word is a tag (``least``).

    Raises:
        BuildError: one of them is missing or of another kind.
    """
    said = hub.read_json(checkpoint.parent, checkpoint.name)
    words, phrase = said.get("words"), said.get("phrase", "{}")
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise BuildError(f"{checkpoint}: words is {str(words)[:60]!r}; write a list of texts")
    if "{}" not in phrase:
        raise BuildError(f"{checkpoint}: phrase {phrase!r} has no {{}} for the word")
    for name in _SCALES:
        if not isinstance(said.get(name), int | float) or said[name] < 0:
            raise BuildError(f"{checkpoint}: {name} is {said.get(name)!r}; write a number of at least 0")
    vectors = embed(needed["text_encoder"], [phrase.replace("{}", word) for word in words])
    scales = {name: np.float32(said[name]) for name in _SCALES} | {"named_scale": np.float32(0)}
    np.savez_compressed(out / "tags.npz", words=np.array(words), fused=vectors, named=vectors, **scales)

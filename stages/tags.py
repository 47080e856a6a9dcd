"""Tags: the words of a vocabulary that name what a condition is about, with probabilities.

Where there is a picture, two readings of it are added up: the fused space's (which knows the catalogue's products) and
the image encoder's own classes as words (which knows everything else). Where there is only a title, its words count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TAGS = 5

#: Rows of the condition, as `networks/fusion.py` lays them out.
FUSED, CLASSES, IMAGE = 0, 1, 3


@dataclass(frozen=True)
class TagTable:
    """What `weights/tags` holds: V words and how to score them.

    Args:
        words: the vocabulary.
        fused: float32 [V, width], each word as a unit vector of the fused space.
        named: float32 [V, width], each word as a unit vector of the class labels' space.
        image_scale: how much the cosine with the picture counts in the logit.
        named_scale: how much the product with the class row counts.
        text_scale: how much the cosine with the fused row counts where there is no picture.
        least: a tag under this probability is left out, except the best one for a picture.
    """

    words: tuple[str, ...]
    fused: NDArray[np.float32]
    named: NDArray[np.float32]
    image_scale: float
    named_scale: float
    text_scale: float
    least: float

    @classmethod
    def load(cls, path: Path) -> TagTable:
        """Reads a ``tags.npz``."""
        with np.load(path) as file:
            return cls(
                words=tuple(file["words"].tolist()),
                fused=file["fused"].astype(np.float32),
                named=file["named"].astype(np.float32),
                image_scale=float(file["image_scale"]),
                named_scale=float(file["named_scale"]),
                text_scale=float(file["text_scale"]),
                least=float(file["least"]),
            )


def probabilities(condition: NDArray[np.float32], table: TagTable) -> NDArray[np.float32]:
    """Condition [rows, width] → the probability of each word, float32 [V]."""
    image = condition[IMAGE]
    if image.any():
        logits = table.image_scale * (table.fused @ image) + table.named_scale * (table.named @ condition[CLASSES])
    else:
        fused = condition[FUSED]
        logits = table.text_scale * (table.fused @ fused) / max(float(np.linalg.norm(fused)), 1e-6)
    odds = np.exp(logits - logits.max())
    return (odds / odds.sum()).astype(np.float32)


def tags(condition: NDArray[np.float32], table: TagTable) -> tuple[list[str], NDArray[np.float32]]:
    """The best words for a condition [rows, width], best first.

    Returns:
        :data:`TAGS` words, ``""`` where there are fewer or fewer are probable enough, and their probabilities,
        float32 [5].
    """
    probability = probabilities(condition, table)
    best = np.argsort(-probability, kind="stable")[:TAGS]
    keep = probability[best] >= table.least
    # A picture always shows something; a title may well say nothing.
    keep[0] |= condition[IMAGE].any()
    words = [table.words[i] if kept else "" for i, kept in zip(best, keep, strict=True)]
    room = TAGS - len(words)  # of a vocabulary that has fewer
    scores = np.where(keep, probability[best], 0).astype(np.float32)
    return words + [""] * room, np.pad(scores, (0, room))

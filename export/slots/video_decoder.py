"""The video decoder: the image decoder led round the product, a turntable of 24 frames in one graph."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from export.recipe import Slot
from export.slots.image_decoder import Served, decoder, sample
from networks.image_decoder import Turntable

__all__ = ["load", "sample"]


def load(checkpoint: Path, slot: Slot) -> nn.Module:
    """The decoder as it is served: 24 pictures."""
    return Served(Turntable(decoder(checkpoint, slot))).eval()

"""The video decoder: what the image decoder draws, turned: 24 frames in one graph."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from families import image_decoder
from families.common.slot import Slot
from families.image_decoder import Served, decoder, memory, sample
from graph.schema import Model
from networks.video_decoder import FRAMES, Turntable, VideoDecoder

__all__ = ["facts", "load", "sample"]


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Frames of a clip, and the facts of the image decoder that draws them."""
    return {"frames": FRAMES, **image_decoder.facts(checkpoint, slot)}


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The decoder as it is served: 24 pictures.

    The options `painter`, `painter_sha256` and `variant` pin the image decoder that draws what is turned, `memory` and
    `memory_sha256` what it remembers.
    """
    painter = slot.file("painter")
    network = VideoDecoder.restored(load_file(checkpoint))
    return Served(Turntable(decoder(painter, str(slot.options["variant"])), memory(slot), network)).eval()

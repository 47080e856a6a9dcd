"""Where a photo has text: PP-OCRv4's detector, a map of probabilities (Differentiable Binarization).

Source: Liao et al. 2020, Real-time Scene Text Detection with Differentiable Binarization (arXiv:1911.08947).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from families.common import pixels
from families.common.parity import session
from families.common.slot import Slot
from families.label_classifier import compare
from graph.schema import resolve_axis


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Writes ``model.onnx``: uint8 [batch, height, width, 3] → ``text`` float32 [batch, height, width].

    Args:
        checkpoint: the network as ONNX: float32 [batch, 3, height, width] → [batch, 1, height, width], its sides
            multiples of 32.

    Raises:
        ValueError: its input or output has another shape.
    """
    model = onnx.load(checkpoint)
    pixels.check_shapes(model, checkpoint.name, [None, 3, None, None], [None, None, None, None])
    map_name = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.array(0), "first_channel"))
    pixels.take_bytes(model, "label_height", "label_width")
    node = helper.make_node("Gather", [map_name, "first_channel"], ["text"], axis=1)
    pixels.give(model, [node], [("text", TensorProto.FLOAT, ["batch", "label_height", "label_width"])])
    onnx.save(model, out / "model.onnx")


def parity(checkpoint: Path, slot: Slot, out: Path) -> list[dict]:
    """The checkpoint's own maps beside those of ``model.onnx``, for three sizes; see `label_classifier.compare`."""
    heights, widths = (resolve_axis(axis, {}) for axis in ("label_height", "label_width"))
    original = session(checkpoint)

    def want(scaled: np.ndarray) -> dict[str, np.ndarray]:
        return {"text": original.run(None, {original.get_inputs()[0].name: scaled})[0][:, 0]}

    return compare("label_detector", want, [(1, *size) for size in zip(heights, widths[::-1], strict=True)], out)

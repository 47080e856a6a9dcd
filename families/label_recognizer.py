"""What a line of text says: PP-OCRv4's recognizer, Chinese and English, and its characters.

Source: Du et al. 2022, SVTR: Scene Text Recognition with a Single Visual Model (arXiv:2205.00159). The likeliest
character of each step is taken inside the network: its 6,625 probabilities a step would be megabytes a line.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from families.common import pixels
from families.common.parity import BATCHES, session
from families.common.slot import Slot
from families.label_classifier import compare
from graph.schema import resolve_axis

HEIGHT = 48
_STEPS = ["batch", "line_steps"]


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels of the line that it reads, which may have any width."""
    return {"height": HEIGHT}


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Writes ``model.onnx`` and ``characters.json``.

    ``model.onnx``: uint8 [batch, 48, width, 3] → ``characters`` int64 (ids), ``probabilities`` float32 and ``spaces``
    float32 (the probability of a space), each [batch, width / 8]. ``characters.json``: a list by id, the first of which
    is CTC's blank, the last a space.

    Args:
        checkpoint: the network as ONNX: float32 [batch, 3, height, width] → probabilities [batch, steps, characters];
            its metadata ``character`` holds the characters without those two, a line each.

    Raises:
        ValueError: its input or output has another shape, or its characters are missing or of another number.
    """
    model = onnx.load(checkpoint)
    pixels.check_shapes(model, checkpoint.name, [None, 3, None, None], [None, None, None])
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    characters = ["", *metadata.get("character", "").splitlines(), " "]
    output = model.graph.output[0]
    count = output.type.tensor_type.shape.dim[2].dim_value
    if len(characters) != count:
        raise ValueError(
            f"{checkpoint.name}: {len(characters)} characters in its metadata, {count} in its output; "
            "take a recognizer that carries its dictionary as metadata 'character'"
        )
    pixels.take_bytes(model, HEIGHT, "line_width")
    model.graph.initializer.append(numpy_helper.from_array(np.array(count - 1), "space"))
    nodes = [
        helper.make_node("ArgMax", [output.name], ["characters"], axis=2, keepdims=0),
        helper.make_node("ReduceMax", [output.name], ["probabilities"], axes=[2], keepdims=0),
        helper.make_node("Gather", [output.name, "space"], ["spaces"], axis=2),
    ]
    kinds = (("characters", TensorProto.INT64), ("probabilities", TensorProto.FLOAT), ("spaces", TensorProto.FLOAT))
    pixels.give(model, nodes, [(name, kind, _STEPS) for name, kind in kinds])
    onnx.save(model, out / "model.onnx")
    (out / "characters.json").write_text(json.dumps(characters, ensure_ascii=False), encoding="utf-8")


def parity(checkpoint: Path, slot: Slot, out: Path) -> list[dict]:
    """The checkpoint's own steps beside those of ``model.onnx``, for batches and widths."""
    original = session(checkpoint)

    def want(scaled: np.ndarray) -> dict[str, np.ndarray]:
        given = original.run(None, {original.get_inputs()[0].name: scaled})[0]
        return {"characters": given.argmax(2), "probabilities": given.max(2), "spaces": given[..., -1]}

    least, usual, most = resolve_axis("line_width", {})
    shapes = [(batch, HEIGHT, usual) for batch in BATCHES]
    shapes += [(1, HEIGHT, width) for width in (least, most)]
    return compare("label_recognizer", want, shapes, out)

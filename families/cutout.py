"""What stands out of a photo: its opacity at 320 x 320, by U²-Net.

Source: Qin et al. 2020, U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection (arXiv:2005.09007).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from families.common.parity import BATCHES, difference
from families.common.slot import Slot

SIDE = 320
#: Of the pictures that it was trained on, in 0..255, channel by channel.
MEAN, SPREAD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of what it reads and gives."""
    return {"side": SIDE}


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Writes ``model.onnx``: the network with the normalisation inside and its finest map as the only output.

    Args:
        checkpoint: the network as ONNX: FP32 [1, 3, 320, 320] → maps FP32 [1, 1, 320, 320], the finest first.

    Raises:
        ValueError: its input or first output has another shape.
    """
    model = onnx.load(checkpoint)
    graph = model.graph
    shapes = [
        [dim.dim_value for dim in tensor.type.tensor_type.shape.dim][1:] for tensor in (graph.input[0], graph.output[0])
    ]
    if shapes != [[3, SIDE, SIDE], [1, SIDE, SIDE]]:
        raise ValueError(f"{checkpoint.name}: takes and gives {shapes}; expected [3, {SIDE}, {SIDE}] and one map of it")
    taken, finest = graph.input[0].name, graph.output[0].name
    for name, values in (("mean", MEAN), ("spread", SPREAD)):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    graph.initializer.append(numpy_helper.from_array(np.array([0, SIDE, SIDE]), "map"))
    before = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["numbers", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "spread"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], [taken], perm=[0, 3, 1, 2]),
    ]
    nodes = [*before, *graph.node, helper.make_node("Reshape", [finest, "map"], ["opacity"])]
    for field, entries in (
        (graph.node, nodes),
        (graph.input, [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])]),
        (graph.output, [helper.make_tensor_value_info("opacity", TensorProto.FLOAT, ["batch", SIDE, SIDE])]),
    ):
        del field[:]
        field.extend(entries)
    del graph.value_info[:]  # it holds a batch of one
    onnx.save(model, out / "model.onnx")


def parity(checkpoint: Path, slot: Slot, out: Path) -> list[dict]:
    """The checkpoint's own maps of pictures that it is given one by one, beside those of ``model.onnx`` by the batch.

    Returns:
        One row a batch size with ``torch_onnx``: the checkpoint is ONNX already, and stands for torch.

    Raises:
        ParityError: NaN or Inf in either.
    """
    original, built = (
        ort.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (checkpoint, out / "model.onnx")
    )
    rows: list[dict] = []
    reference: dict[str, np.ndarray] = {}
    for batch in BATCHES:
        case, rng = f"batch={batch}", np.random.default_rng(batch)
        coarse = rng.integers(0, 256, (batch, 10, 10, 3), np.uint8)
        pixels = coarse.repeat(SIDE // 10, 1).repeat(SIDE // 10, 2)
        scaled = ((pixels - MEAN) / SPREAD).astype(np.float32).transpose(0, 3, 1, 2)
        name = original.get_inputs()[0].name
        want = np.concatenate([original.run(None, {name: row[None]})[0][:, 0] for row in scaled])
        have = built.run(["opacity"], {"pixels": pixels})[0]
        rows.append({"case": case, "output": "opacity", "torch_onnx": difference(f"cutout {case}", want, have)})
        reference |= {f"{case}|pixels": pixels, f"{case}|opacity": have}
    np.savez_compressed(out / "reference.npz", **reference)
    return rows

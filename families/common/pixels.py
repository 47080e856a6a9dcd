"""Puts the normalisation of pixels into an ONNX network, so that bytes cross between steps and not floats."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def take_bytes(model: onnx.ModelProto, height: int | str, width: int | str) -> None:
    """Makes a network of floats take uint8 [batch, height, width, 3], RGB, as input ``pixels``.

    Args:
        model: its one input is float32 [batch, 3, height, width], blue first, -1 to 1; it is changed in place.
        height, width: a word is a free dim.
    """
    graph = model.graph
    taken = graph.input[0].name
    constants = {"half": np.array(127.5, np.float32), "blue_first": np.array([2, 1, 0])}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    before = [
        helper.make_node("Gather", ["pixels", "blue_first"], ["swapped"], axis=3),
        helper.make_node("Cast", ["swapped"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "half"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["centred"]),
        helper.make_node("Transpose", ["centred"], [taken], perm=[0, 3, 1, 2]),
    ]
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    _replace(graph.input, [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", height, width, 3])])
    _replace(graph.node, [*before, *graph.node])
    del graph.value_info[:]


def give(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], outputs: Sequence[tuple[str, int, Sequence[int | str]]]
) -> None:
    """Puts `nodes` behind a network and makes `outputs` (name, dtype, dims) what it gives."""
    model.graph.node.extend(nodes)
    _replace(model.graph.output, [helper.make_tensor_value_info(name, kind, dims) for name, kind, dims in outputs])


def check_shapes(model: onnx.ModelProto, name: str, inputs: Sequence[int | None], output: Sequence[int | None]) -> None:
    """Holds the dims of a network's one input and one output against what they must be; None is any.

    Raises:
        ValueError: it has others; the message has both.
    """
    given = [_dims(tensors) for tensors in (model.graph.input, model.graph.output)]
    wanted = [list(inputs), list(output)]
    for have, want in zip(given, wanted, strict=True):
        fits = len(have) == 1 and len(have[0]) == len(want)
        if not fits or any(None not in (h, w) and h != w for h, w in zip(have[0], want, strict=True)):
            raise ValueError(f"{name}: takes {given[0]} and gives {given[1]}; expected {wanted[0]} and {wanted[1]}")


def _dims(tensors: Sequence[onnx.ValueInfoProto]) -> list[list[int | None]]:
    return [[dim.dim_value or None for dim in tensor.type.tensor_type.shape.dim] for tensor in tensors]


def _replace(field: MutableSequence, values: Sequence) -> None:
    del field[:]
    field.extend(values)

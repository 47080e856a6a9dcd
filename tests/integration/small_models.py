"""Small ONNX models and their configurations, written into a temporary model repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto as T
from onnx import helper

CANARY = Path(__file__).resolve().parents[2] / "model_repository" / "models" / "canary" / "1" / "model.py"
FLOAT_IO = 'input { name: "X" data_type: TYPE_FP32 dims: -1 }\noutput { name: "Y" data_type: TYPE_FP32 dims: -1 }\n'
ONE_CPU = "instance_group { count: 1 kind: KIND_CPU }\n"


def value(name: str, kind: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """An input or output of a graph; a word in the shape is a free dim."""
    return helper.make_tensor_value_info(name, kind, list(shape))


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A model that every onnxruntime of the last years reads."""
    made = helper.make_graph(list(nodes), "small", list(inputs), list(outputs), list(constants))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def double() -> onnx.ModelProto:
    """X float [batch, n] → Y = 2X, Z = X + 2."""
    two = helper.make_tensor("two", T.FLOAT, [], [2.0])
    nodes = [helper.make_node("Mul", ["X", "two"], ["Y"]), helper.make_node("Add", ["X", "two"], ["Z"])]
    outputs = [value("Y", T.FLOAT, ["batch", "n"]), value("Z", T.FLOAT, ["batch", "n"])]
    return graph(nodes, [value("X", T.FLOAT, ["batch", "n"])], outputs, [two])


def lookup() -> onnx.ModelProto:
    """X int64 [batch, n] → Y float [batch, n], the square of X; any X but 0 to 3 is an error inside the run."""
    table = helper.make_tensor("table", T.FLOAT, [4], [0.0, 1.0, 4.0, 9.0])
    node = helper.make_node("Gather", ["table", "X"], ["Y"])
    return graph([node], [value("X", T.INT64, ["batch", "n"])], [value("Y", T.FLOAT, ["batch", "n"])], [table])


def add(
    root: Path, name: str, config: str | None, model: onnx.ModelProto | bytes, filename: str = "model.onnx"
) -> Path:
    """Writes one model of the `onnxruntime` backend; its version folder."""
    folder = root / name / "1"
    (folder / filename).parent.mkdir(parents=True)
    (folder / filename).write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    if config is not None:
        (root / name / "config.pbtxt").write_text(f'backend: "onnxruntime"\n{config}')
    return folder


def add_python(root: Path, name: str, config: str, code: str) -> None:
    """Writes one model of the python backend."""
    (root / name / "1").mkdir(parents=True)
    (root / name / "1" / "model.py").write_text(code)
    (root / name / "config.pbtxt").write_text(f'backend: "python"\n{config}')


def add_canary(root: Path) -> None:
    """Writes the canary with a configuration of its own."""
    kinds = {"INTS": "INT64", "FLOATS": "FP32", "WORDS": "STRING"}
    config = "".join(
        f'input {{ name: "{name}" data_type: TYPE_{kind} dims: -1 }}\n'
        f'output {{ name: "{name}_ECHO" data_type: TYPE_{kind} dims: -1 }}\n'
        for name, kind in kinds.items()
    )
    add_python(root, "canary", f"max_batch_size: 0\n{config}{ONE_CPU}", CANARY.read_text())

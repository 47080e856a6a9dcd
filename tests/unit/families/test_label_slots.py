"""The label slots on networks of one node: bytes instead of floats, blue first, and what is refused."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from families import label_classifier, label_detector, label_recognizer


def checkpoint(path, nodes, output, constants=(), channels=3, characters=None):
    """A network X float [batch, channels, height, width] → Y."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels, "height", "width"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)]
    graph = helper.make_graph(nodes, "small", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    if characters is not None:
        helper.set_model_props(model, {"character": "\n".join(characters)})
    onnx.save(model, path)
    return path


def detector(path, **options):
    """Its map is the first channel that it sees, which is blue."""
    first = helper.make_tensor("first", TensorProto.INT64, [1], [0])
    nodes = [helper.make_node("Gather", ["x", "first"], ["y"], axis=1)]
    return checkpoint(path, nodes, ["batch", 1, "height", "width"], [first], **options)


def recognizer(path, characters=("a", "b")):
    """Of four characters, blank and space included; a step for each column, by its blue, green and red."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["columns"], axes=[2], keepdims=0),
        helper.make_node("Transpose", ["columns"], ["steps"], perm=[0, 2, 1]),
        helper.make_node("Pad", ["steps", "pads", "low"], ["four"]),
        helper.make_node("Softmax", ["four"], ["y"], axis=2),
    ]
    pads = helper.make_tensor("pads", TensorProto.INT64, [6], [0, 0, 0, 0, 0, 1])
    low = helper.make_tensor("low", TensorProto.FLOAT, [], [-5.0])
    return checkpoint(path, nodes, ["batch", "steps", 4], [pads, low], characters=characters)


def run(folder, pixels):
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))


def test_the_detector_takes_bytes_red_first_and_gives_its_map(tmp_path):
    path = detector(tmp_path / "d.onnx")
    label_detector.build(path, None, tmp_path)
    pixels = np.zeros((1, 32, 64, 3), np.uint8)
    pixels[..., 2] = 255
    found = run(tmp_path, pixels)["text"]
    assert found.shape == (1, 32, 64) and found == pytest.approx(np.ones((1, 32, 64)))
    rows = label_detector.parity(path, None, tmp_path)
    assert len(rows) == 3 and all(row["torch_onnx"] < 1e-6 for row in rows)


def test_the_recognizer_gives_the_likeliest_of_each_step_and_its_characters(tmp_path):
    path = recognizer(tmp_path / "r.onnx")
    label_recognizer.build(path, None, tmp_path)
    assert json.loads((tmp_path / "characters.json").read_text("utf-8")) == ["", "a", "b", " "]
    pixels = np.zeros((2, 48, 8, 3), np.uint8)
    pixels[1, :, :, 0] = 255  # red, the last that it sees
    answer = run(tmp_path, pixels)
    assert (answer["characters"][1] == 2).all() and answer["characters"].dtype == np.int64
    assert (answer["probabilities"][1] > 0.7).all() and (answer["spaces"] < 0.1).all()
    assert all(row["torch_onnx"] < 1e-6 for row in label_recognizer.parity(path, None, tmp_path))


def test_a_recognizer_without_its_characters_is_refused(tmp_path):
    with pytest.raises(ValueError, match="3 characters in its metadata, 4 in its output"):
        label_recognizer.build(recognizer(tmp_path / "r.onnx", characters=("a",)), None, tmp_path)
    with pytest.raises(ValueError, match="metadata"):
        label_recognizer.build(recognizer(tmp_path / "r.onnx", characters=None), None, tmp_path)


def test_a_network_of_another_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"takes .*1.* expected \[None, 3, None, None\]"):
        label_detector.build(detector(tmp_path / "grey.onnx", channels=1), None, tmp_path)
    with pytest.raises(ValueError, match=r"expected .* and \[None, 2\]"):
        label_classifier.build(detector(tmp_path / "d.onnx"), None, tmp_path)

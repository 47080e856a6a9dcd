"""The cutout slot on a network of one convolution: its normalisation, its maps, and what it refuses."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from families import cutout


def checkpoint(path, channels=3):
    """x [1, C, 320, 320] → two maps, of which the first is a tenth of the sum over channels."""
    weight = numpy_helper.from_array(np.full((1, channels, 1, 1), 0.1, np.float32), "weight")
    nodes = [helper.make_node("Conv", ["x", "weight"], ["finest"]), helper.make_node("Relu", ["finest"], ["coarser"])]
    maps = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 320, 320]) for n in ("finest", "coarser")]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 320, 320])
    graph = helper.make_graph(nodes, "maps", [taken], maps, [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), path)
    return path


def test_bytes_are_normalised_and_the_finest_map_comes_back_for_any_batch(tmp_path):
    cutout.build(checkpoint(tmp_path / "u.onnx"), None, tmp_path)
    rows = cutout.parity(tmp_path / "u.onnx", None, tmp_path)
    assert [row["case"] for row in rows] == ["batch=1", "batch=2", "batch=5", "batch=8"]
    assert all(row["torch_onnx"] < 1e-5 for row in rows)
    with np.load(tmp_path / "reference.npz") as reference:
        pixels, opacity = reference["batch=2|pixels"], reference["batch=2|opacity"]
    by_hand = ((pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).sum(-1) / 10
    np.testing.assert_allclose(opacity, by_hand, atol=1e-4)


def test_another_shape_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"grey.onnx: takes and gives \[\[1, 320, 320\], \[1, 320, 320\]\]; expected"):
        cutout.build(checkpoint(tmp_path / "grey.onnx", channels=1), None, tmp_path)

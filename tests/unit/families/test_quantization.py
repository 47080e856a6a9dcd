"""Activations in 8 bits: the rewritten graph beside the one it was, in ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from families.common.quantization import quantize_activations

K, INNER, N = 64, 96, 200


def blocks(name, matrix):
    """A MatMulNBits of 8 bits: the weights of `matrix` [K, N] in blocks of 32 of a column."""
    k, n = matrix.shape
    parts = matrix.T.reshape(n, k // 32, 32)
    steps = np.abs(parts).max(2, keepdims=True) / 127
    weights = (
        numpy_helper.from_array((np.rint(parts / steps) + 128).astype(np.uint8), f"{name}.weight"),
        numpy_helper.from_array(steps[..., 0].reshape(-1).astype(np.float32), f"{name}.steps"),
    )
    attributes = {"K": k, "N": n, "bits": 8, "block_size": 32, "accuracy_level": 4}
    return weights, attributes


@pytest.fixture
def model(tmp_path):
    """x → norm → two products; their gated product → a third; a last norm → logits of the last position."""
    rng = np.random.default_rng(0)
    gain = rng.uniform(0.2, 8.0, K).astype(np.float32)
    nodes, weights = [], [numpy_helper.from_array(gain, "gain"), numpy_helper.from_array(np.array(-1), "last")]
    weights.append(numpy_helper.from_array(np.array([1]), "one"))

    def product(name, taken, shape):
        made, attributes = blocks(name, rng.normal(0, 0.1, shape).astype(np.float32))
        weights.extend(made)
        inputs = [taken, f"{name}.weight", f"{name}.steps"]
        nodes.append(helper.make_node("MatMulNBits", inputs, [name], name, domain="com.microsoft", **attributes))

    def norm(name, taken, its_gain):
        nodes.append(helper.make_node("SimplifiedLayerNormalization", [taken, its_gain], [name], name, epsilon=1e-5))

    norm("first", "x", "gain")
    product("gate", "first", (K, INNER))
    product("up", "first", (K, INNER))
    nodes.append(helper.make_node("Mul", ["gate", "up"], ["gated"], "gated"))
    product("down", "gated", (INNER, K))
    weights.append(numpy_helper.from_array(gain[::-1].copy(), "last_gain"))
    norm("second", "down", "last_gain")
    nodes.append(helper.make_node("Gather", ["second", "last"], ["chosen"], "choose", axis=1))
    nodes.append(helper.make_node("Unsqueeze", ["chosen", "one"], ["kept"], "keep"))
    product("logits", "kept", (K, N))
    graph = helper.make_graph(
        nodes,
        "decoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", K])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, N])],
        weights,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "model.onnx"
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(proto, path, save_as_external_data=True, location="model.onnx.data")
    return path


def session(path):
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def typical(seed, batch=1, length=16):
    """Activations of which two channels are twenty times the others."""
    x = np.random.default_rng(seed).standard_normal((batch, length, K)).astype(np.float32)
    x[..., [3, 40]] *= 20
    return x


def test_results_stay_and_products_behind_a_gate_keep_their_blocks(model):
    x = typical(1, batch=4)
    before = session(model).run(None, {"x": x})[0]
    assert quantize_activations(model, ({"x": typical(seed)} for seed in range(2, 18))) == 3
    after = session(model).run(None, {"x": x})[0]
    assert np.linalg.norm(after - before) < 0.05 * np.linalg.norm(before)
    kinds = [node.op_type for node in onnx.load(model, load_external_data=False).graph.node]
    assert kinds.count("MatMulNBits") == 1 and kinds.count("MatMulIntegerToFloat") == 4
    assert not list(model.parent.glob("calibration*"))


def test_a_row_does_not_depend_on_the_rows_beside_it(model):
    quantize_activations(model, [{"x": typical(2)}])
    many = np.concatenate([typical(1), 100 * typical(3, batch=7)])
    found = session(model)
    alone, among = (found.run(None, {"x": x})[0][0] for x in (many[:1], many))
    np.testing.assert_array_equal(alone, among)


def test_a_run_that_is_not_finite_is_refused_and_the_model_stays(model):
    before = model.read_bytes()
    with pytest.raises(ValueError, match=r"NaN or Inf in calibration.*precision fp32"):
        quantize_activations(model, [{"x": np.full((1, 2, K), np.nan, np.float32)}])
    assert model.read_bytes() == before and not list(model.parent.glob("calibration*"))

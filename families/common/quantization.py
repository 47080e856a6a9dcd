"""Matrix products of bytes by bytes: activations in 8 bits beside the weights, where the activations bear it.

onnxruntime-genai's int8 graph keeps activations in float and quantises them anew in every ``MatMulNBits``, block by
block: exact, and on a CPU without VNNI slow for more than one row. Here each such product whose input comes from a norm
or from attention becomes a product of bytes (``MatMulIntegerToFloat``); each row of an activation has a scale of its
own, so that a row's result does not depend on the rows beside it. A norm's gain takes over a part of the channels'
differences from the activations to the weights first (SmoothQuant, Xiao et al. 2022, arXiv:2211.10438), by what
calibration saw. The products that follow a gated activation keep their blocks: a few of its channels are a thousand
times the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import NodeProto, TensorProto, helper, numpy_helper

#: Norms, and which of their inputs is the gain.
GAIN = {"SimplifiedLayerNormalization": 1, "SkipSimplifiedLayerNormalization": 2}
#: What may produce an activation, behind nodes that only choose from it.
PRODUCERS = (*GAIN, "GroupQueryAttention")
CHOOSING = ("Gather", "Unsqueeze")
#: How much of the channels' differences goes to the weights: 0 none, 1 all. Measured best of 0.5 to 0.8.
STRENGTH = 0.7
#: Channels of the largest activations that the logits' product keeps apart, with scales of their own.
OUTLIERS = 32
MIDDLE = 128  # the byte that stands for zero
DATA = "model.onnx.data"


def quantize_activations(path: Path, runs: Iterable[dict[str, np.ndarray]]) -> int:
    """Rewrites an int8 graph in place.

    Args:
        path: of the model; its weights lie beside it in one file.
        runs: feeds of the model to calibrate with, typical ones; every activation of theirs is seen.

    Returns:
        Number of products rewritten.

    Raises:
        ValueError: an activation of a run is NaN or Inf.
    """
    model = onnx.load(path)
    graph = model.graph
    weights = {i.name: i for i in graph.initializer}
    products: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "MatMulNBits" and helper.get_node_attr_value(node, "bits") == 8:
            products.setdefault(node.input[0], []).append(node)
    producers = {output: node for node in graph.node for output in node.output}
    sources = {taken: source for taken in products if (source := _source(graph, taken, producers)) is not None}
    # At the norm, which has every position: the logits' product is given the last one only.
    norms = sorted({source.output[0] for source in sources.values() if source.op_type in GAIN})
    peaks = _peaks(model, norms, runs, path.with_name("calibration.onnx"))

    replaced: dict[str, list[NodeProto]] = {}
    for taken, source in sources.items():
        nodes = products[taken]
        matrices = [_matrix(node, weights) for node in nodes]
        peak = np.maximum(peaks.get(source.output[0], np.ones(len(matrices[0]), np.float32)), 1e-4)
        if source.op_type in GAIN and _readers(graph, taken) == len(nodes):
            strongest = np.maximum(np.max([np.abs(matrix).max(1) for matrix in matrices], axis=0), 1e-6)
            smooth = (peak**STRENGTH / strongest ** (1 - STRENGTH)).astype(np.float32)
            gain = weights[source.input[GAIN[source.op_type]]]
            gain.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(gain) / smooth, gain.name))
            matrices = [matrix * smooth[:, None] for matrix in matrices]
            peak = peak / smooth
        if nodes[0].output[0] in (output.name for output in graph.output):
            replaced[nodes[0].name] = _apart(graph, nodes[0], matrices[0], peak)
            continue
        for number, (node, matrix) in enumerate(zip(nodes, matrices, strict=True)):
            product = _product(graph, node.name, taken, matrix, node.output[0])
            replaced[node.name] = [*([] if number else _quantize(graph, taken, taken)), *product]
    _replace(graph, replaced)
    path.with_name(DATA).unlink()
    onnx.save(model, path, save_as_external_data=True, location=DATA)
    path.with_name(DATA).chmod(0o644)  # onnx writes it for the owner only
    return len(replaced)


def _source(graph: onnx.GraphProto, taken: str, producers: dict[str, NodeProto]) -> NodeProto | None:
    """The norm or the attention that a tensor comes from, as it is or chosen from; None for anything else."""
    node = producers.get(taken)
    while node is not None and node.op_type in CHOOSING and _readers(graph, node.input[0]) == 1:
        node = producers.get(node.input[0])
    return node if node is not None and node.op_type in PRODUCERS else None


def _readers(graph: onnx.GraphProto, name: str) -> int:
    return sum(name in node.input for node in graph.node) + sum(name == output.name for output in graph.output)


def _quantize(graph: onnx.GraphProto, name: str, taken: str) -> list[NodeProto]:
    """Nodes that turn each row of an activation into bytes: ``<name>/bytes``, to be multiplied by ``<name>/peak``."""
    constants = {
        "least": np.float32(1e-6),
        "axes": np.array([-1]),
        "step": np.float32(1 / 127),
        "zero": np.uint8(MIDDLE),
    }
    least, axes, step, zero = (f"{name}/{constant}" for constant in constants)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), f"{name}/{k}") for k, v in constants.items())
    sizes, highest, peak, shares = (f"{name}/{made}" for made in ("sizes", "highest", "peak", "shares"))
    return [
        helper.make_node("Abs", [taken], [sizes], f"{name}/abs"),
        helper.make_node("ReduceMax", [sizes, axes], [highest], f"{name}/max", keepdims=1),
        helper.make_node("Max", [highest, least], [peak], f"{name}/least"),
        helper.make_node("Div", [taken, peak], [shares], f"{name}/div"),
        helper.make_node("QuantizeLinear", [shares, step, zero], [f"{name}/bytes"], f"{name}/quantize"),
    ]


def _product(graph: onnx.GraphProto, name: str, quantized: str, matrix: np.ndarray, output: str) -> list[NodeProto]:
    """``<quantized>/bytes`` [.., K] by `matrix` FP32 [K, N], put into bytes with a step a column."""
    steps = np.maximum(np.abs(matrix).max(0), 1e-12).astype(np.float32) / 127
    names = [f"{name}/weight", f"{name}/steps"]
    stored = (np.rint(matrix / steps) + MIDDLE).astype(np.uint8)
    graph.initializer.extend(map(numpy_helper.from_array, (stored, steps), names))
    zero = f"{quantized}/zero"
    inputs = [f"{quantized}/bytes", names[0], f"{quantized}/step", names[1], zero, zero]
    return [
        helper.make_node(
            "MatMulIntegerToFloat", inputs, [f"{name}/unscaled"], f"{name}/multiply", domain="com.microsoft"
        ),
        helper.make_node("Mul", [f"{name}/unscaled", f"{quantized}/peak"], [output], f"{name}/scale"),
    ]


def _apart(graph: onnx.GraphProto, node: NodeProto, matrix: np.ndarray, peak: np.ndarray) -> list[NodeProto]:
    """The product as the sum of two: the channels of the largest activations, and the others."""
    made, sums = [], []
    order = np.argsort(-peak)
    for part, channels in (("outliers", np.sort(order[:OUTLIERS])), ("others", np.sort(order[OUTLIERS:]))):
        name = f"{node.name}/{part}"
        graph.initializer.append(numpy_helper.from_array(channels, f"{name}/channels"))
        chosen = helper.make_node("Gather", [node.input[0], f"{name}/channels"], [name], f"{name}/choose", axis=-1)
        sums.append(f"{name}/sum")
        made += [chosen, *_quantize(graph, name, name), *_product(graph, name, name, matrix[channels], sums[-1])]
    return [*made, helper.make_node("Add", sums, node.output, f"{node.name}/add")]


def _peaks(
    model: onnx.ModelProto, names: list[str], runs: Iterable[dict[str, np.ndarray]], scratch: Path
) -> dict[str, np.ndarray]:
    """The largest magnitude of each channel of each named tensor over all runs: FP32 [channels]."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    data = scratch.with_suffix(".data")
    onnx.save(probe, scratch, save_as_external_data=True, location=data.name)
    try:
        session = ort.InferenceSession(scratch, providers=["CPUExecutionProvider"])
        peaks: dict[str, np.ndarray] = {}
        for feeds in runs:
            for name, values in zip(names, session.run(names, feeds), strict=True):
                if not np.isfinite(values).all():
                    raise ValueError(f"{name} is NaN or Inf in calibration; export this checkpoint with precision fp32")
                peak = np.abs(values).reshape(-1, values.shape[-1]).max(0)
                peaks[name] = np.maximum(peaks.get(name, 0), peak)
        return peaks
    finally:
        scratch.unlink()
        data.unlink()


def _matrix(node: NodeProto, weights: dict[str, TensorProto]) -> np.ndarray:
    """The weights of a MatMulNBits of 8 bits as FP32 [K, N]."""
    k, n, block = (helper.get_node_attr_value(node, name) for name in ("K", "N", "block_size"))
    blocks = numpy_helper.to_array(weights[node.input[1]]).reshape(n, -1, block).astype(np.float32)
    steps = numpy_helper.to_array(weights[node.input[2]]).reshape(n, -1, 1)
    middle = np.array(MIDDLE, np.float32)
    if len(node.input) > 3 and node.input[3]:
        middle = numpy_helper.to_array(weights[node.input[3]]).reshape(n, -1, 1).astype(np.float32)
    return ((blocks - middle) * steps).reshape(n, -1)[:, :k].T


def _replace(graph: onnx.GraphProto, replaced: dict[str, list[NodeProto]]) -> None:
    """Puts nodes in the places of those named, and drops the weights that nothing reads any more."""
    nodes = [new for node in graph.node for new in replaced.get(node.name, [node])]
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [weight for weight in graph.initializer if weight.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)

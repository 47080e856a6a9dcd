"""torch → ONNX for single-pass networks, with the dynamic axes and names that the graph declares, and parity."""

from __future__ import annotations

import inspect
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from export.parity import Sample, cases, dynamic_axes
from families.common.parity import ParityError, difference, session
from graph.schema import Model

#: Bytes of weights that one ONNX file holds; protobuf ends at 2 GiB.
MOST_BYTES = 1_900_000_000


def export(network: nn.Module, model: Model, sample: Sample, path: Path) -> None:
    """Writes `network` as an ONNX file whose inputs, outputs and dynamic axes are the graph's.

    Weights of more than :data:`MOST_BYTES` go into a file beside it, ``<name>.data``.

    Raises:
        ValueError: the network's outputs are not as many as the graph declares.
    """
    torch.manual_seed(0)
    axes = dynamic_axes(model)
    example = sample({"batch": 2, **{axis: model.axes[axis][1] for axis in axes}}, np.random.default_rng(0))
    named = {
        axis: torch.export.Dim(axis, min=model.axes[axis][0], max=model.axes[axis][2]) for axis in ("batch", *axes)
    }
    shapes = [
        {0: named["batch"], **{i + 1: named[d] for i, d in enumerate(tensor.dims) if isinstance(d, str)}}
        for tensor in model.inputs
    ]
    parameters = inspect.signature(network.forward).parameters.values()
    variadic = any(taken.kind is taken.VAR_POSITIONAL for taken in parameters)
    outputs = [tensor.name for tensor in model.outputs]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            network.eval(),
            tuple(torch.from_numpy(example[tensor.name]) for tensor in model.inputs),
            input_names=[tensor.name for tensor in model.inputs],
            output_names=outputs,
            dynamic_shapes=[tuple(shapes)] if variadic else shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # only the exporter without dynamo gives none
    if len(program.model.graph.outputs) != len(outputs):
        raise ValueError(f"{model.name}: the network gives {len(program.model.graph.outputs)} outputs, not {outputs}")
    _forget_where(program.model)
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    program.save(path, external_data=weights > MOST_BYTES)


def _forget_where(model: ir.Model) -> None:
    """Takes out what the exporter notes of the code and its folder, so that the same network gives the same bytes."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def parity(network: nn.Module, model: Model, sample: Sample, path: Path) -> tuple[list[dict], dict[str, np.ndarray]]:
    """torch against ONNX on every case.

    Returns:
        One row a case and output (``case``, ``output``, ``torch_onnx``), and torch's inputs and outputs for the
        comparison with the server, keyed ``<case>|<tensor>``.
    """
    run = session(path)
    rows, reference = [], {}
    names = [tensor.name for tensor in model.outputs]
    for case, inputs in cases(model, sample):
        with torch.inference_mode():
            given = network(*(torch.from_numpy(inputs[tensor.name]) for tensor in model.inputs))
        wanted = [t.numpy() for t in (given if isinstance(given, tuple) else (given,))]
        try:
            given = run.run(names, inputs)
        except Exception as error:  # onnxruntime raises its own types; a frozen axis is the usual reason
            raise ParityError(f"{model.name} {case}: the exported graph refuses what torch took: {error}") from error
        for name, want, have in zip(names, wanted, given, strict=True):
            rows.append(
                {"case": case, "output": name, "torch_onnx": difference(f"{model.name} {case} {name}", want, have)}
            )
            reference[f"{case}|{name}"] = want
        reference |= {f"{case}|{name}": array for name, array in inputs.items()}
    return rows, reference

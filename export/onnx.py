"""torch → ONNX for single-pass networks, with the dynamic axes and names that the pipeline declares, and parity."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from export.pipeline import AXES, Model

BATCHES = (1, 2, 5, 8)
Sample = Callable[[dict[str, int], np.random.Generator], dict[str, np.ndarray]]


class ParityError(RuntimeError):
    """Two stages of an export give different answers; the message names slot, case, tensor and figures."""


def dynamic_axes(model: Model) -> list[str]:
    """The axes by meaning that the model's inputs have, besides the batch."""
    return sorted({d for tensor in model.inputs for d in tensor.dims if isinstance(d, str)})


def cases(model: Model, sample: Sample) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Parity inputs: every batch of :data:`BATCHES` at three sizes (least, usual, most) of each dynamic axis."""
    axes = dynamic_axes(model)
    for batch, *sizes in product(BATCHES, *(dict.fromkeys(AXES[axis]) for axis in axes)):
        by_axis = {"batch": batch, **dict(zip(axes, sizes, strict=True))}
        name = " ".join(f"{axis}={size}" for axis, size in by_axis.items())
        yield name, sample(by_axis, np.random.default_rng([batch, *sizes]))


def export(network: nn.Module, model: Model, sample: Sample, path: Path) -> None:
    """Writes `network` as one ONNX file whose inputs, outputs and dynamic axes are the pipeline's.

    Raises:
        ValueError: the network's outputs are not as many as the pipeline declares.
    """
    torch.manual_seed(0)
    axes = dynamic_axes(model)
    example = sample({"batch": 2, **{axis: AXES[axis][1] for axis in axes}}, np.random.default_rng(0))
    named = {axis: torch.export.Dim(axis, min=AXES[axis][0], max=AXES[axis][2]) for axis in ("batch", *axes)}
    shapes = [
        {0: named["batch"], **{i + 1: named[d] for i, d in enumerate(tensor.dims) if isinstance(d, str)}}
        for tensor in model.inputs
    ]
    outputs = [tensor.name for tensor in model.outputs]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            network.eval(),
            tuple(torch.from_numpy(example[tensor.name]) for tensor in model.inputs),
            input_names=[tensor.name for tensor in model.inputs],
            output_names=outputs,
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    if len(program.model.graph.outputs) != len(outputs):
        raise ValueError(f"{model.name}: the network gives {len(program.model.graph.outputs)} outputs, not {outputs}")
    program.save(path, external_data=False)


def session(path: Path, threads: int = 2) -> ort.InferenceSession:
    """A CPU session whose threads do not spin, so that it shares its cores."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def difference(where: str, want: np.ndarray, have: np.ndarray) -> float:
    """The largest absolute difference relative to the larger of one and `want`'s largest magnitude.

    Raises:
        ParityError: NaN or Inf in either, or other shapes.
    """
    if want.shape != have.shape:
        raise ParityError(f"{where}: shape {have.shape}, expected {want.shape}")
    for array in (want, have):
        if not np.isfinite(array).all():
            raise ParityError(f"{where}: {np.count_nonzero(~np.isfinite(array))} NaN or Inf values")
    return float(np.abs(want - have).max() / max(1.0, np.abs(want).max()))


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
        for name, want, have in zip(names, wanted, run.run(names, inputs), strict=True):
            rows.append(
                {"case": case, "output": name, "torch_onnx": difference(f"{model.name} {case} {name}", want, have)}
            )
            reference[f"{case}|{name}"] = want
        reference |= {f"{case}|{name}": array for name, array in inputs.items()}
    return rows, reference

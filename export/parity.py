"""Parity: the inputs to compare at, how far apart two answers are, and how far the recipe allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime as ort

from export.recipe import Slot
from graph.schema import Model

BATCHES = (1, 2, 5, 8)
Sample = Callable[[dict[str, int], np.random.Generator], dict[str, np.ndarray]]
#: Tolerances that are a least value; every other one is a most.
_AT_LEAST = ("top1_agreement",)


class ParityError(RuntimeError):
    """Two stages of an export give different answers; the message names slot, case, tensor and figures."""


def dynamic_axes(model: Model) -> list[str]:
    """The axes by meaning that the model's inputs have, besides the batch."""
    return sorted({d for tensor in model.inputs for d in tensor.dims if isinstance(d, str)})


def batches(usual: bool) -> tuple[int, ...]:
    """The batch sizes that inputs of the usual size, or of another one, are compared at.

    Eight rows of the longest inputs take longer than all the rest, and show nothing that two do not.
    """
    return BATCHES if usual else BATCHES[:2]


def cases(model: Model, sample: Sample) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Parity inputs: :func:`batches` at three sizes (least, usual, most) of each dynamic axis."""
    axes = dynamic_axes(model)
    usual = [model.axes[axis][1] for axis in axes]
    for sizes in product(*(dict.fromkeys(model.axes[axis]) for axis in axes)):
        for batch in batches(list(sizes) == usual):
            by_axis = {"batch": batch, **dict(zip(axes, sizes, strict=True))}
            name = " ".join(f"{axis}={size}" for axis, size in by_axis.items())
            given = sample(by_axis, np.random.default_rng([batch, *sizes]))
            yield name, {tensor.name: given[tensor.name] for tensor in model.inputs}


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
    want, have = want.astype(np.float64), have.astype(np.float64)  # bytes would wrap
    return float(np.abs(want - have).max() / max(1.0, np.abs(want).max()))


def check(slot: Slot, rows: list[dict], name: str) -> None:
    """Holds parity rows against the recipe's tolerance.

    Raises:
        ParityError: with the slot, the case, the metric, the figure and the limit of the first row that fails.
    """
    for row in rows:
        for metric, limit in slot.tolerance.items():
            if metric not in row:
                continue
            ok = row[metric] >= limit if metric in _AT_LEAST else row[metric] <= limit
            if not ok:
                raise ParityError(
                    f"{name} {row.get('case', '')} {row.get('output', '')}: {metric} is {row[metric]:.3g}, the recipe "
                    f"allows {limit:.3g}; a wider tolerance is a decision for the recipe"
                )

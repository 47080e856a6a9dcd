"""Parity: the inputs to compare at, and how far the recipe lets two answers be apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product

import numpy as np

from families.common.parity import ParityError, batches
from graph.schema import Model

Sample = Callable[[dict[str, int], np.random.Generator], dict[str, np.ndarray]]
#: Tolerances that are a least value; every other one is a most.
_AT_LEAST = ("top1_agreement",)


def dynamic_axes(model: Model) -> list[str]:
    """The axes by meaning that the model's inputs have, besides the batch."""
    return sorted({d for tensor in model.inputs for d in tensor.dims if isinstance(d, str)})


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


def check(tolerance: Mapping[str, float], rows: list[dict], name: str) -> None:
    """Holds parity rows against a recipe's tolerance.

    Raises:
        ParityError: with the slot, the case, the metric, the figure and the limit of the first row that fails.
    """
    for row in rows:
        for metric, limit in tolerance.items():
            if metric not in row:
                continue
            ok = row[metric] >= limit if metric in _AT_LEAST else row[metric] <= limit
            if not ok:
                raise ParityError(
                    f"{name} {row.get('case', '')} {row.get('output', '')}: {metric} is {row[metric]:.3g}, the recipe "
                    f"allows {limit:.3g}; a wider tolerance is a decision for the recipe"
                )

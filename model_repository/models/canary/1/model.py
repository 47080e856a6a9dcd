"""Gives back what it got, through Python objects, so that a fault in reading or in writing a tensor shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

DTYPES = {"INTS": np.int64, "FLOATS": np.float32, "WORDS": np.object_}


class TritonPythonModel:
    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return [pb_utils.InferenceResponse([echo(request, name) for name in DTYPES]) for request in requests]


def echo(request: Any, name: str) -> Any:
    """`name`_ECHO: the same values in an array of its own."""
    values = list(pb_utils.get_input_tensor_by_name(request, name).as_numpy())
    return pb_utils.Tensor(f"{name}_ECHO", np.array(values, dtype=DTYPES[name]))

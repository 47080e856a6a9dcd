"""What every python model adapter shares: one request's failure answers that request alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from stages.errors import TRITON_CODE, StageError

log = logging.getLogger("vitrina")

Row = TypeVar("Row")
Result = TypeVar("Result")


def triton_error(error: Exception) -> Any:
    """The ``pb_utils.TritonError`` for an exception: typed if it is a :class:`StageError`, else internal."""
    import triton_python_backend_utils as pb_utils  # exists only inside Triton's python stub

    if not isinstance(error, StageError):
        log.error("step failed", exc_info=error)
        error = StageError("internal", "-", f"{type(error).__name__}: {error}")
    return pb_utils.TritonError(error.wire(), getattr(pb_utils.TritonError, TRITON_CODE[error.code]))


def field(request: Any, name: str) -> list[bytes] | None:
    """The rows of a BYTES [rows, 1] tensor of the request; None where it is absent."""
    import triton_python_backend_utils as pb_utils

    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy().reshape(-1).tolist()


def text_rows(request: Any, first: str, *others: str) -> list[dict[str, bytes]]:
    """The rows of BYTES [rows, 1] tensors, by name; ``b""`` where one of `others` is absent."""
    there = field(request, first) or []
    columns = {first: there} | {name: field(request, name) or [b""] * len(there) for name in others}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def lists(request: Any, name: str, rows: int) -> list[list[Any]]:
    """The rows of a [rows, n] tensor; empty ones where it is absent."""
    import triton_python_backend_utils as pb_utils

    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return [[]] * rows if tensor is None else tensor.as_numpy().tolist()


def value(request: Any, name: str) -> Any:
    """The one value of a [1, 1] tensor of the request; None where it is absent."""
    import triton_python_backend_utils as pb_utils

    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy().item()


def row(request: Any, *names: str) -> list[np.ndarray]:
    """The one row of each of these tensors, which must be there."""
    import triton_python_backend_utils as pb_utils

    return [pb_utils.get_input_tensor_by_name(request, name).as_numpy()[0] for name in names]


def call(model: str, inputs: dict[str, np.ndarray], output: str) -> np.ndarray:
    """One output of another model, called from inside a step (BLS): for runs whose number no ensemble can count out.

    Raises:
        RuntimeError: the model failed; the message has its name and its error.
    """
    import triton_python_backend_utils as pb_utils

    response = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=[output],
        inputs=[pb_utils.Tensor(name, array) for name, array in inputs.items()],
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
    ).exec()
    if response.has_error():
        raise RuntimeError(f"{model}: {response.error().message()}")
    return pb_utils.get_output_tensor_by_name(response, output).as_numpy().copy()


def each_row(rows: Iterable[Row], read: Callable[[Row], Result]) -> list[Result]:
    """`read` of every row; the error of a request of several rows says which one is at fault."""
    results = []
    rows = list(rows)
    for number, row in enumerate(rows):
        try:
            results.append(read(row))
        except StageError as error:
            if len(rows) == 1:
                raise
            raise StageError(error.code, error.field, f"row {number} of {len(rows)}: {error.message}") from error
    return results


def respond(requests: Sequence[Any], answer: Callable[[Any], list[Any]]) -> list[Any]:
    """Answers each request by itself: `answer(request)` gives its output tensors, an exception its error."""
    import triton_python_backend_utils as pb_utils

    responses = []
    for request in requests:
        try:
            responses.append(pb_utils.InferenceResponse(output_tensors=answer(request)))
        except Exception as error:
            responses.append(pb_utils.InferenceResponse(output_tensors=[], error=triton_error(error)))
    return responses

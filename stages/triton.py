"""What every python model adapter shares: one request's failure answers that request alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from stages.errors import TRITON_CODE, StageError

log = logging.getLogger("vitrina")


def triton_error(error: Exception) -> Any:
    """The ``pb_utils.TritonError`` for an exception: typed if it is a :class:`StageError`, else internal."""
    import triton_python_backend_utils as pb_utils  # exists only inside Triton's python stub

    if not isinstance(error, StageError):
        log.error("step failed", exc_info=error)
        error = StageError("internal", "-", f"{type(error).__name__}: {error}")
    return pb_utils.TritonError(error.wire(), getattr(pb_utils.TritonError, TRITON_CODE[error.code]))


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

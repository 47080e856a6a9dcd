"""What every python model adapter shares: one request's failure answers that request alone."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from stages.errors import TRITON_CODE, StageError

log = logging.getLogger("vitrina")

Row = TypeVar("Row")
Result = TypeVar("Result")
#: Output → its array, or one file or text per row.
Outputs = Mapping[str, np.ndarray | Sequence[bytes]]


def triton_error(error: Exception) -> Any:
    """The ``pb_utils.TritonError`` for an exception: typed if it is a :class:`StageError`, else internal."""
    import triton_python_backend_utils as pb_utils  # exists only inside Triton's python stub

    if not isinstance(error, StageError):
        log.error("step failed", exc_info=error)
        error = StageError("internal", "-", f"{type(error).__name__}: {error}")
    return pb_utils.TritonError(error.wire(), getattr(pb_utils.TritonError, TRITON_CODE[error.code]))


def error_response(error: Exception) -> Any:
    """The response that ends a request with an error, typed as :func:`triton_error` does."""
    import triton_python_backend_utils as pb_utils

    return pb_utils.InferenceResponse(output_tensors=[], error=triton_error(error))


def tensors(outputs: Outputs, names: Iterable[str]) -> list[Any]:
    """Outputs by name as Triton's tensors."""
    import triton_python_backend_utils as pb_utils

    made = []
    for name in names:
        found = outputs[name]
        whole = found if isinstance(found, np.ndarray) else np.array(found, object).reshape(-1, 1)
        made.append(pb_utils.Tensor(name, np.ascontiguousarray(whole)))
    return made


def sizes(args: dict[str, str]) -> dict[str, tuple[int, ...]]:
    """Tensor → the dims that the model's config gives it, without the batch axis; -1 is any size.

    Args:
        args: as Triton hands them to `initialize`.
    """
    config = json.loads(args["model_config"])
    return {each["name"]: tuple(map(int, each["dims"])) for each in (*config["input"], *config["output"])}


def parameters(args: dict[str, str]) -> dict[str, str]:
    """The parameters of a model's config."""
    found = json.loads(args["model_config"]).get("parameters", {})
    return {name: each["string_value"] for name, each in found.items()}


def tensor(request: Any, name: str) -> np.ndarray:
    """A tensor of the request, which must be there."""
    found = array(request, name)
    if found is None:
        raise KeyError(f"the request has no {name}")
    return found


def array(request: Any, name: str) -> np.ndarray | None:
    """A tensor of the request; None where it is absent."""
    if isinstance(request, Taken):
        return request.inputs.get(name)
    import triton_python_backend_utils as pb_utils

    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()


def field(request: Any, name: str) -> list[bytes] | None:
    """The rows of a BYTES [rows, 1] tensor of the request; None where it is absent."""
    rows = array(request, name)
    return None if rows is None else rows.reshape(-1).tolist()


def text_rows(request: Any, first: str, *others: str) -> list[dict[str, bytes]]:
    """The rows of BYTES [rows, 1] tensors, by name; ``b""`` where one of `others` is absent."""
    there = field(request, first) or []
    columns = {first: there} | {name: field(request, name) or [b""] * len(there) for name in others}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def lists(request: Any, name: str, rows: int) -> list[list[Any]]:
    """The rows of a [rows, n] tensor; empty ones where it is absent."""
    found = array(request, name)
    return [[]] * rows if found is None else found.tolist()


def value(request: Any, name: str) -> Any:
    """The one value of a [1, 1] tensor of the request; None where it is absent."""
    found = array(request, name)
    return None if found is None else found.item()


def row(request: Any, *names: str) -> list[np.ndarray]:
    """The one row of each of these tensors, which must be there."""
    return [tensor(request, name)[0] for name in names]


def call(model: str, inputs: dict[str, np.ndarray], output: str) -> np.ndarray:
    """One output of another model, as :func:`call_for` gives several."""
    return call_for(model, inputs, (output,))[0]


def call_for(model: str, inputs: dict[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
    """Outputs of another model, called from inside a step (BLS): for runs whose number no ensemble can count out.

    Raises:
        RuntimeError: the model failed; the message has its name and its error.
    """
    import triton_python_backend_utils as pb_utils

    response = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=list(outputs),
        inputs=[pb_utils.Tensor(name, array) for name, array in inputs.items()],
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
    ).exec()
    if response.has_error():
        raise RuntimeError(f"{model}: {response.error().message()}")
    return [pb_utils.get_output_tensor_by_name(response, name).as_numpy().copy() for name in outputs]


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


def answered(answer: Callable[[Any], list[Any]], request: Any) -> Any:
    """The response to a request: its output tensors, which `answer(request)` gives, or its error."""
    import triton_python_backend_utils as pb_utils

    try:
        return pb_utils.InferenceResponse(output_tensors=answer(request))
    except Exception as error:
        return error_response(error)


class Step:
    """The adapter of a model, one row or several a request; a subclass gives `answer`, and perhaps `set_up`.

    Attributes:
        folder: of the model's version, with the files that an export put there.
        sizes, parameters: of the model's config.
    """

    folder: Path
    sizes: dict[str, tuple[int, ...]]
    parameters: dict[str, str]

    def initialize(self, args: dict[str, str]) -> None:
        """What Triton calls first."""
        self.folder = Path(args["model_repository"]) / args["model_version"]
        self.sizes, self.parameters = sizes(args), parameters(args)
        self.set_up()

    def set_up(self) -> None:
        """Loads what every request needs."""

    def answer(self, request: Any) -> Outputs:
        """What one request is answered with, at least the outputs that it asks for; an exception is its error."""
        raise NotImplementedError

    def execute(self, requests: Sequence[Any]) -> list[Any] | None:
        """What Triton calls with requests: answers each by itself."""
        return [answered(self.tensors, request) for request in requests]

    def tensors(self, request: Any) -> list[Any]:
        """The outputs that a request asks for, as Triton's tensors."""
        return tensors(self.answer(request), request.requested_output_names())


class Taken:
    """A request that was taken out of shared memory, so that however many wait hold none of it."""

    def __init__(self, request: Any) -> None:
        self.inputs = {tensor.name(): np.array(tensor.as_numpy()) for tensor in request.inputs()}
        self.sender = request.get_response_sender()
        self._wanted = request.requested_output_names()
        limit = request.timeout()  # microseconds, 0 for none
        self._ends = time.monotonic() + limit / 1e6 if limit else float("inf")

    def requested_output_names(self) -> list[str]:
        """The outputs that are asked for."""
        return self._wanted

    def in_time(self) -> None:
        """Raises :class:`StageError` where the caller waits no longer."""
        if time.monotonic() > self._ends:
            raise StageError("deadline_exceeded", "-", "the request waited longer than its timeout")


class Queued(Step):
    """A step that keeps its own queue: at most `max_queue` requests wait, and none is begun after its timeout.

    Triton bounds queues as well, but one that it bounds (24.10) lets a request that comes while the step is busy lie
    until another comes, or half a second has passed: its batcher is woken when the step begins, not when it ends.

    Of the model's parameters, `max_queue` requests wait and `workers` are answered at once.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """What Triton calls first."""
        super().initialize(args)
        workers, self._most = (int(self.parameters[name]) for name in ("workers", "max_queue"))
        self._workers = ThreadPoolExecutor(workers)
        self._waiting, self._lock = 0, threading.Lock()

    def execute(self, requests: Sequence[Any]) -> None:
        """What Triton calls with requests: takes them, or refuses them at once."""
        import triton_python_backend_utils as pb_utils

        for request in requests:
            with self._lock:
                if room := self._waiting < self._most:
                    self._waiting += 1
            if room:
                self._workers.submit(self._answer, Taken(request))
            else:
                text = f"{self._most} requests wait already; send this one again later"
                response = error_response(StageError("queue_full", "-", text))
                request.get_response_sender().send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def finalize(self) -> None:
        """What Triton calls last."""
        self._workers.shutdown()

    def _answer(self, request: Taken) -> None:
        import triton_python_backend_utils as pb_utils

        with self._lock:
            self._waiting -= 1

        def made(request: Taken) -> list[Any]:
            request.in_time()
            return self.tensors(request)

        request.sender.send(answered(made, request), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

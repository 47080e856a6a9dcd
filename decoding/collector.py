"""Whole texts for the callers of text_collector.

A batch is one request of one caller: if a row fails, all of it fails, with that row's error, and its other rows are
cancelled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from decoding.link import Link
from decoding.request import Delta
from stages.errors import StageError
from stages.triton import Outputs, error_response, tensors

POLL_S = 0.05


class Collector:
    """Asks for the rows of many batches, and cancels those of callers that have gone.

    Args:
        link: to the engine.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._batches: set[Batch] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watch_callers, name="callers", daemon=True)
        self._watch.start()

    def begin(self, request: Any) -> None:
        """Takes one of Triton's requests, which is answered later."""
        batch = Batch(request, self._link, self._forget)
        with self._lock:
            self._batches.add(batch)
        batch.begin(request)

    def close(self) -> None:
        """Stops watching; what is under way fails."""
        self._stopping.set()
        self._watch.join()
        self._link.close()

    def _forget(self, batch: Batch) -> None:
        with self._lock:
            self._batches.discard(batch)

    def _watch_callers(self) -> None:
        while not self._stopping.wait(POLL_S):
            with self._lock:
                batches = list(self._batches)
            for batch in batches:
                if batch.caller_is_gone():
                    batch.cancel()


class Batch:
    """One request of a caller: its rows, and who waits for them."""

    def __init__(self, request: Any, link: Link, on_answered: Callable[[Batch], None]) -> None:
        self._link = link
        self._on_answered = on_answered
        self._sender = request.get_response_sender()
        self._lock = threading.RLock()
        self._keys: list[int] = []
        self._rows: dict[int, Delta] = {}
        self._count = 0
        self._cancelled = False

    def begin(self, request: Any) -> None:
        """Asks for every row; the answer goes out when the last of them is there, or with the first error."""
        asked: list[tuple[int, Future[Delta]]] = []
        try:
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            for row in range(len(tensors["PROMPT"])):
                asked.append(self._link.ask({name: values[row] for name, values in tensors.items()}))
        except Exception as error:
            self._fail(error)
        self._count = len(asked)
        self._keys = [key for key, _ in asked]
        if self._cancelled:
            self.cancel()
        for row, (_, future) in enumerate(asked):
            future.add_done_callback(partial(self._take, row))

    def caller_is_gone(self) -> bool:
        """Whether the caller has cancelled; False once it is answered or its rows are cancelled."""
        with self._lock:
            return self._sender is not None and not self._cancelled and bool(self._sender.is_cancelled())

    def cancel(self) -> None:
        """Frees the places of the rows that have not ended."""
        with self._lock:
            self._cancelled = True
        for key in self._keys:
            self._link.cancel(key)

    def _take(self, row: int, done: Future[Delta]) -> None:
        """One row has ended."""
        try:
            text = done.result()
        except StageError as error:  # the link has no others
            where = f"row {row}: {error.message}" if self._count > 1 else error.message
            self._fail(StageError(error.code, error.field, where))
            return
        with self._lock:
            self._rows[row] = text
            if len(self._rows) == self._count:
                self._respond(answer([self._rows[row] for row in range(self._count)]))

    def _fail(self, error: Exception) -> None:
        """Answers with an error, if nothing was answered yet, and cancels the other rows."""
        self._respond(error_response(error))
        self.cancel()

    def _respond(self, response: Any) -> None:
        """Answers the caller, once. Triton (24.10) crashes if a sender is used after its last response."""
        import triton_python_backend_utils as pb_utils

        with self._lock:
            if self._sender is not None:
                self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                self._sender = None
                self._on_answered(self)


def answer(rows: Sequence[Delta]) -> Any:
    """The rows' texts as one response of Triton's."""
    import triton_python_backend_utils as pb_utils

    outputs: Outputs = {
        "TEXT": [row.text.encode("utf-8") for row in rows],
        "FINISH_REASON": [row.finish.encode() for row in rows],
        "PROMPT_TOKENS": np.array([[row.prompt_tokens] for row in rows], np.int32),
        "COMPLETION_TOKENS": np.array([[row.completion_tokens] for row in rows], np.int32),
    }
    return pb_utils.InferenceResponse(tensors(outputs, outputs))

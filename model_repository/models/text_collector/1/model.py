"""Whole texts from the text decoder: every row of a batch is a request of its own to the engine.

`execute` answers later, so that no batch waits for another. A batch is one request of one caller: if a row fails, all
of it fails, with that row's error, and its other rows are cancelled.
"""

import threading

import numpy as np
import triton_python_backend_utils as pb_utils

from decoding.link import Link, meeting_place
from stages.errors import StageError
from stages.triton import triton_error

POLL_S = 0.05


class TritonPythonModel:
    def initialize(self, args):
        self.link = Link(meeting_place("text_decoder"))
        self.batches = set()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.watch = threading.Thread(target=self.watch_callers, name="callers", daemon=True)
        self.watch.start()

    def execute(self, requests):
        for request in requests:
            batch = Batch(request, self.link, self.forget)
            with self.lock:
                self.batches.add(batch)
            batch.begin(request)

    def forget(self, batch):
        with self.lock:
            self.batches.discard(batch)

    def watch_callers(self):
        """Cancels the rows of callers that have gone."""
        while not self.stopping.wait(POLL_S):
            with self.lock:
                batches = list(self.batches)
            for batch in batches:
                if batch.caller_is_gone():
                    batch.cancel()

    def finalize(self):
        self.stopping.set()
        self.watch.join()
        self.link.close()


class Batch:
    """One request of a caller: its rows, and who waits for them."""

    def __init__(self, request, link, on_answered):
        self.link = link
        self.on_answered = on_answered
        self.sender = request.get_response_sender()
        self.lock = threading.RLock()
        self.keys = []
        self.rows = {}
        self.cancelled = False

    def begin(self, request):
        """Asks for every row; the answer goes out when the last of them is there, or with the first error."""
        asked = []
        try:
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            for row in range(len(tensors["PROMPT"])):
                asked.append(self.link.ask({name: values[row] for name, values in tensors.items()}))
        except Exception as error:
            self.fail(error)
        self.count = len(asked)
        self.keys = [key for key, _ in asked]
        if self.cancelled:
            self.cancel()
        for row, (_, future) in enumerate(asked):
            future.add_done_callback(lambda done, row=row: self.take(row, done))

    def take(self, row, done):
        """One row has ended."""
        error = done.exception()
        if isinstance(error, StageError) and self.count > 1:
            error = StageError(error.code, error.field, f"row {row}: {error.message}")
        if error is not None:
            self.fail(error)
            return
        with self.lock:
            self.rows[row] = done.result()
            if len(self.rows) == self.count:
                self.respond(answer([self.rows[row] for row in range(self.count)]))

    def fail(self, error):
        """Answers with an error, if nothing was answered yet, and cancels the other rows."""
        self.respond(pb_utils.InferenceResponse([], error=triton_error(error)))
        self.cancel()

    def respond(self, response):
        """Answers the caller, once. Triton (24.10) crashes if a sender is used after its last response."""
        with self.lock:
            if self.sender is not None:
                self.sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                self.sender = None
                self.on_answered(self)

    def caller_is_gone(self):
        """Whether the caller has cancelled; False once it is answered or its rows are cancelled."""
        with self.lock:
            return self.sender is not None and not self.cancelled and self.sender.is_cancelled()

    def cancel(self):
        """Frees the places of the rows that have not ended."""
        with self.lock:
            self.cancelled = True
        for key in self.keys:
            self.link.cancel(key)


def answer(rows):
    """The rows' texts as one response."""
    outputs = {
        "TEXT": np.array([[row.text.encode("utf-8")] for row in rows], np.object_),
        "FINISH_REASON": np.array([[row.finish.encode()] for row in rows], np.object_),
        "PROMPT_TOKENS": np.array([[row.prompt_tokens] for row in rows], np.int32),
        "COMPLETION_TOKENS": np.array([[row.completion_tokens] for row in rows], np.int32),
    }
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])

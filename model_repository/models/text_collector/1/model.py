"""Whole texts from the text decoder: every row of a batch becomes a request of its own to text_decoder.

`execute` answers later, so that no batch waits for another. A batch is one request of one caller: if a row fails, all
of it fails, with that row's error, and its other rows are cancelled.
"""

import re
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.errors import TRITON_CODE, StageError
from stages.triton import triton_error

OUTPUTS = ("TEXT", "FINISH_REASON", "PROMPT_TOKENS", "COMPLETION_TOKENS")
#: Rows under way at a time, each with a thread that sleeps until its text is whole; further ones wait here.
ROWS = 128
POLL_S = 0.05
WIRE = re.compile(r"vitrina/(\w+) (\S+): (.*)", re.DOTALL)


class TritonPythonModel:
    def initialize(self, args):
        self.rows = ThreadPoolExecutor(ROWS, thread_name_prefix="row")
        self.batches = set()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.watch = threading.Thread(target=self.watch_callers, name="callers", daemon=True)
        self.watch.start()

    def execute(self, requests):
        for request in requests:
            batch = Batch(request)
            with self.lock:
                self.batches.add(batch)
            threading.Thread(target=self.answer, args=(batch,), name="batch", daemon=True).start()

    def answer(self, batch):
        """Gathers one batch's rows and responds."""
        final = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        try:
            batch.sender.send(batch.gather(self.rows), flags=final)
        except Exception as error:
            batch.sender.send(pb_utils.InferenceResponse([], error=triton_error(error)), flags=final)
        finally:
            with self.lock:
                self.batches.remove(batch)

    def watch_callers(self):
        """Cancels the rows of callers that have gone."""
        while not self.stopping.wait(POLL_S):
            with self.lock:
                batches = list(self.batches)
            for batch in batches:
                if not batch.cancelled and batch.sender.is_cancelled():
                    batch.cancel()

    def finalize(self):
        self.rows.shutdown()
        self.stopping.set()
        self.watch.join()


class Batch:
    """One request of a caller: its rows, by the keys that the decoder knows them by."""

    def __init__(self, request):
        self.sender = request.get_response_sender()
        # copies: the request's memory is gone once execute has returned
        self.tensors = {tensor.name(): tensor.as_numpy().copy() for tensor in request.inputs()}
        self.keys = [uuid.uuid4().hex for _ in self.tensors["PROMPT"]]
        self.cancelled = False

    def gather(self, pool):
        """Decodes the rows side by side and joins their outputs in order."""
        futures = {pool.submit(self.decode, row): row for row in range(len(self.keys))}
        rows = {}
        for future in as_completed(futures):
            try:
                rows[futures[future]] = future.result()
            except Exception:
                self.cancel()
                raise
        joined = {name: np.concatenate([rows[row][name] for row in range(len(rows))]) for name in OUTPUTS}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in joined.items()])

    def decode(self, row):
        """One row through text_decoder: its outputs, each [1, 1]."""
        if self.cancelled:
            raise StageError("cancelled", "PROMPT", "the caller cancelled the request")
        inputs = [pb_utils.Tensor(name, values[row : row + 1]) for name, values in self.tensors.items()]
        last = None
        for response in call(inputs, OUTPUTS, {"whole": True, "key": self.keys[row]}):
            if response.has_error():
                raise typed(response.error().message(), row, len(self.keys))
            if response.output_tensors():
                last = {tensor.name(): tensor.as_numpy().copy() for tensor in response.output_tensors()}
        if last is None or not last["FINISH_REASON"].item():
            raise RuntimeError("text_decoder ended a request without a finish reason")
        if last["FINISH_REASON"].item() == b"error":
            raise typed(last["TEXT"].item().decode(), row, len(self.keys))
        return last

    def cancel(self):
        """Frees the decoder's places of the rows that are not done."""
        self.cancelled = True
        for key in self.keys:
            for _ in call([pb_utils.Tensor("PROMPT", np.array([[b"-"]], np.object_))], OUTPUTS, {"cancel": key}):
                pass


def call(inputs, outputs, parameters):
    """Responses of text_decoder to one request."""
    request = pb_utils.InferenceRequest(
        model_name="text_decoder",
        requested_output_names=list(outputs),
        inputs=inputs,
        parameters=parameters,
    )
    return request.exec(decoupled=True)


def typed(message, row, rows):
    """The decoder's error again, which row it was named where there are several."""
    if not (match := WIRE.search(message)) or match[1] not in TRITON_CODE:
        return RuntimeError(message)
    code, field, sentence = match.groups()
    return StageError(code, field, sentence if rows == 1 else f"row {row}: {sentence}")

"""Stands in for `text_decoder`: sends a few pieces, steered by the words of the prompt, which is the title.

``pieces:N`` sends N pieces, ``every:SECONDS`` waits before each, ``refuse:CODE`` fails at once,
``refuse_once:CODE:KEY`` only the first time that KEY is seen, ``break:CODE`` fails in the place of the last piece.
What became of each request is appended to the journal.
"""

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.errors import StageError
from stages.triton import triton_error

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def journal(title, what):
    with Path(os.environ["VITRINA_TEST_JOURNAL"]).open("a") as file:
        file.write(json.dumps({"model": "text_decoder", "title": title, "what": what}) + "\n")


class TritonPythonModel:
    def initialize(self, args):
        self.seen = set()

    def execute(self, requests):
        for request in requests:
            threading.Thread(target=self.stream, args=(request, request.get_response_sender())).start()

    def stream(self, request, sender):
        title = pb_utils.get_input_tensor_by_name(request, "PROMPT").as_numpy().ravel()[0].decode()
        options = dict(word.partition(":")[::2] for word in title.split())
        limit = pb_utils.get_input_tensor_by_name(request, "TIMEOUT_MS")
        journal(title, "began")
        what = "finished"
        try:
            self.pieces(request, sender, options, None if limit is None else limit.as_numpy().ravel()[0] / 1000)
        except Exception as error:
            what = getattr(error, "code", "internal")
            sender.send(pb_utils.InferenceResponse(output_tensors=[], error=triton_error(error)), flags=FINAL)
        journal(title, what)

    def pieces(self, request, sender, options, limit):
        if "refuse" in options:
            raise StageError(options["refuse"], "PROMPT", "the title asked for it")
        if "refuse_once" in options:
            code, _, key = options["refuse_once"].partition(":")
            if key not in self.seen:
                self.seen.add(key)
                raise StageError(code, "PROMPT", f"first time that {key!r} is seen")
        begun = time.monotonic()
        count = int(options.get("pieces", 3))
        for index in range(count):
            until = time.monotonic() + float(options.get("every", 0))
            while time.monotonic() < until:
                if request.is_cancelled():
                    raise StageError("cancelled", "-", "the caller went away")
                if limit is not None and time.monotonic() - begun > limit:
                    raise StageError("deadline_exceeded", "TIMEOUT_MS", f"{limit} s have passed")
                time.sleep(0.01)
            last = index == count - 1
            if last and "break" in options:
                raise StageError(options["break"], "-", "failed in the place of the last piece")
            self.send(sender, f"词{index} ", "length" if last else "", index + 1)
        sender.send(flags=FINAL)

    def send(self, sender, text, reason, done):
        sender.send(
            pb_utils.InferenceResponse(
                output_tensors=[
                    pb_utils.Tensor("TEXT", np.array([[text.encode()]], dtype=np.object_)),
                    pb_utils.Tensor("FINISH_REASON", np.array([[reason.encode()]], dtype=np.object_)),
                    pb_utils.Tensor("PROMPT_TOKENS", np.array([[7]], np.int32)),
                    pb_utils.Tensor("COMPLETION_TOKENS", np.array([[done]], np.int32)),
                ]
            )
        )

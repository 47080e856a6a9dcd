"""The answers to one streamed request, as far as editor and policy let them through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from decoding.request import Delta, Handle
from stages.errors import StageError
from stages.moderation import Watch
from stages.triton import Outputs, error_response, tensors


class Stream:
    """Sends deltas to a caller until one is refused.

    Args:
        sender: Triton's, of the request's answers.
        edit: takes a delta's text and why it has ended, and gives what may go out.
        watch: raises StageError where the text says what the policy blocks.
    """

    def __init__(self, sender: Any, handle: Handle, edit: Callable[[str, str], str], watch: Watch) -> None:
        self._sender, self._handle, self._edit, self._watch = sender, handle, edit, watch
        self._held: tuple[int, ...] = ()
        self._refused = False

    def send(self, message: Delta | StageError) -> None:
        """A delta, or the error that ends the request."""
        import triton_python_backend_utils as pb_utils

        if self._refused:
            return
        if isinstance(message, StageError):
            send_error(self._sender, message)
            return
        try:
            passing = self._watch(self._edit(message.text, message.finish), bool(message.finish))
        except Exception as error:  # whatever it is, the caller waits for an answer
            self._refused = True
            self._handle.cancel()
            send_error(self._sender, error)
            return
        self._held += message.ids
        if passing or message.finish:
            response = answer(replace(message, text=passing, ids=self._held))
            self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL * bool(message.finish))
            self._held = ()

    def gone(self) -> bool:
        """Whether nobody waits any more; after the last response the sender must not be used."""
        return self._refused or bool(self._sender.is_cancelled())


def answer(delta: Delta) -> Any:
    """One response of Triton's."""
    import triton_python_backend_utils as pb_utils

    outputs: Outputs = {
        "TEXT": [delta.text.encode("utf-8")],
        "TOKEN_IDS": np.array([delta.ids], np.int64),
        "FINISH_REASON": [delta.finish.encode()],
        "PROMPT_TOKENS": np.array([[delta.prompt_tokens]], np.int32),
        "COMPLETION_TOKENS": np.array([[delta.completion_tokens]], np.int32),
    }
    return pb_utils.InferenceResponse(tensors(outputs, outputs))


def send_error(sender: Any, error: Exception) -> None:
    """Ends a request with a typed error."""
    import triton_python_backend_utils as pb_utils

    sender.send(error_response(error), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

"""The typed errors that cross the wire, and the one form in which they are written.

A step raises :class:`StageError`; the adapter answers the request with :meth:`StageError.wire`, which the client
parses back into its own exception tree. Form: ``vitrina/<code> <FIELD>: <sentence>``.
"""

from __future__ import annotations

#: code → Triton's error code name (``pb_utils.TritonError.<NAME>``), which fixes the gRPC and HTTP status.
TRITON_CODE = {
    "invalid_input": "INVALID_ARG",  # the request is wrong; sending it again cannot help
    "too_large": "INVALID_ARG",  # the request is over a stated limit
    "blocked": "INVALID_ARG",  # the shop's policy does not let it appear; see stages/moderation.py
    "queue_full": "UNAVAILABLE",  # nothing was begun; safe to send again
    "not_ready": "UNAVAILABLE",  # this server lacks what the request needs; the message says how to get it
    "deadline_exceeded": "UNAVAILABLE",  # the time that the request allowed has passed
    "cancelled": "CANCELLED",  # the caller went away
    "internal": "INTERNAL",
}
#: What stands for a text that a step that may not fail could not read: what is said in a sound, printed on a label.
UNREADABLE = "\N{REPLACEMENT CHARACTER}"


class StageError(Exception):
    """An error that names the field at fault, the value, the limit and what to do.

    Args:
        code: one of :data:`TRITON_CODE`.
        field: the request tensor at fault, as the request names it (``"IMAGE"``).
        message: a sentence: what was wrong, with which value, what to do.
    """

    def __init__(self, code: str, field: str, message: str) -> None:
        if code not in TRITON_CODE:
            raise ValueError(f"unknown error code {code!r}; known: {', '.join(TRITON_CODE)}")
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message

    def wire(self) -> str:
        """The text that the client parses: ``vitrina/<code> <FIELD>: <sentence>``."""
        return f"vitrina/{self.code} {self.field}: {self.message}"


def invalid(field: str, message: str) -> StageError:
    """A request that is wrong in itself."""
    return StageError("invalid_input", field, message)


def too_large(field: str, message: str) -> StageError:
    """A request that is over a stated limit."""
    return StageError("too_large", field, message)

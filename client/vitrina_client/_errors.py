"""Every exception the client raises, and how an answer of the server becomes one.

VitrinaError
├── InvalidInput        the request is wrong; sending it again cannot help
│   └── TooLarge        over a stated limit
├── Blocked             the shop's policy does not let it appear
├── QueueFull           the server took no more work; nothing was begun
├── DeadlineExceeded    the time allowed has passed, noticed here or on the server
├── Cancelled           the call was given up, here or on the server
├── ConnectionFailed    no connection, or it broke
├── ClientClosed        the client object was closed before the call
├── NotReady            the server runs, but it or the model does not serve
│   └── ModelNotFound   the server has no model of that name
└── ServerError         a fault inside the server, or an answer that makes no sense

The server's own steps write their errors as ``vitrina/<code> <FIELD>: <sentence>``; an ensemble puts its name before
it. Whatever has not that form is judged by its status and by Triton's own sentences.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Literal


class VitrinaError(Exception):
    """Base of every error here.

    Attributes:
        message: what was wrong and what to do.
        model: the ensemble or model that was asked, None if none was.
        field: the request field at fault as the server names it (``"IMAGE"``), None if none is.
        safe_to_retry: nothing was begun on the server, so that sending the same again does no work twice.
    """

    safe_to_retry = False

    def __init__(self, message: str, *, model: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.model = model
        self.field = field

    def __str__(self) -> str:
        place = " ".join(part for part in (self.model, self.field) if part)
        return f"{place}: {self.message}" if place else self.message


class InvalidInput(VitrinaError):
    """The request is wrong; `field` says where."""


class TooLarge(InvalidInput):
    """A value of the request is over a stated limit."""


class Blocked(VitrinaError):
    """The shop's policy does not let the output appear; the message gives the reasons.

    Attributes:
        findings: the reasons one by one, as :class:`~vitrina_client.Finding`, where the server sent them.
    """

    def __init__(
        self, message: str, *, model: str | None = None, field: str | None = None, findings: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(message, model=model, field=field)
        self.findings = findings


class QueueFull(VitrinaError):
    """The server has no room for the request; try again later."""

    safe_to_retry = True


class DeadlineExceeded(VitrinaError):
    """The time that :class:`~vitrina_client.Timeout` allowed has passed.

    Attributes:
        where: ``"client"`` if the wait ended here, ``"server"`` if the server gave up first.
    """

    where: Literal["client", "server"] = "client"


class Cancelled(VitrinaError):
    """The call was given up: its stream or its client was closed, or the server was told to stop."""


class ConnectionFailed(VitrinaError):
    """No connection could be made (`safe_to_retry`), or it broke while the answer was awaited."""


class ClientClosed(VitrinaError):
    """The client was closed before this call."""


class NotReady(VitrinaError):
    """The server runs, but it or the model does not serve yet, or no longer."""


class ModelNotFound(NotReady):
    """The server has no model of that name: it is no Vitrina, or its bundle's recipe leaves out what that needs."""


class ServerError(VitrinaError):
    """A fault inside the server, or an answer without what was asked for."""


class NotOffered(InvalidInput):
    """The server does not make what was asked for: the recipe of its bundle leaves out what that needs."""


#: Of Triton's core: an output that the model does not have.
_NOT_MADE = re.compile(r"unexpected inference output '(?P<output>\w+)' for model")
_WIRE = re.compile(r"vitrina/(?P<code>[a-z_]+) (?P<field>\S+): (?P<sentence>.*)", re.DOTALL)

_BY_CODE: dict[str, type[VitrinaError]] = {
    "invalid_input": InvalidInput,
    "too_large": TooLarge,
    "blocked": Blocked,
    "queue_full": QueueFull,
    "not_ready": NotReady,
    "deadline_exceeded": DeadlineExceeded,
    "cancelled": Cancelled,
    "internal": ServerError,
}

#: Sentences of Triton's core → error; they come with a status that says less (or with none, inside a stream).
_BY_SENTENCE: tuple[tuple[str, type[VitrinaError]], ...] = (
    ("Exceeds maximum queue size", QueueFull),
    ("Request timeout expired", DeadlineExceeded),
    ("Request for unknown model", ModelNotFound),
    ("unexpected inference input", InvalidInput),
    ("is not ready", NotReady),
    ("has no available versions", NotReady),
    ("Server is stopping", NotReady),
)

_BY_STATUS: dict[str, type[VitrinaError]] = {
    "INVALID_ARGUMENT": InvalidInput,
    "NOT_FOUND": ModelNotFound,
    "UNAVAILABLE": NotReady,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": Cancelled,
    "RESOURCE_EXHAUSTED": TooLarge,
}

_BY_HTTP_STATUS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def from_server(message: str, status: str | int | None, model: str | None) -> VitrinaError:
    """The error for what the server answered.

    Args:
        message: the server's sentence, in any wrapping.
        status: gRPC's code name (``"UNAVAILABLE"``), an HTTP status, or None where a stream carries no status.
        model: the model that was asked.
    """
    if isinstance(status, int):
        status = _BY_HTTP_STATUS.get(status)
    error = recognised(message, model)
    if error is None:
        kind = _BY_STATUS.get(status or "", ServerError)
        error = kind(message or f"the server answered {status} without a reason", model=model)
        _noticed_there(error)
    return error


def recognised(message: str, model: str | None) -> VitrinaError | None:
    """The error for a sentence that only the server says, None for any other."""
    error = _typed(message, model) or _by_sentence(message, model)
    _noticed_there(error)
    return error


def _noticed_there(error: VitrinaError | None) -> None:
    if isinstance(error, DeadlineExceeded):
        error.where = "server"


def _typed(message: str, model: str | None) -> VitrinaError | None:
    match = _WIRE.search(message)
    if match is None:
        return None
    field = None if match["field"] == "-" else match["field"]
    kind = _BY_CODE.get(match["code"])
    if kind is None:  # a newer server; keep all it said
        return ServerError(match[0], model=model, field=field)
    return kind(match["sentence"], model=model, field=field)


def _by_sentence(message: str, model: str | None) -> VitrinaError | None:
    if not_made := _NOT_MADE.search(message):
        output = not_made["output"]
        said = f"the server's bundle does not make {output}: its recipe leaves out what that needs"
        return NotOffered(said, model=model, field=output)
    for sentence, kind in _BY_SENTENCE:
        if sentence in message:
            return kind(message, model=model)
    return None


def unless_task_cancelled(model: str | None) -> None:
    """For an await that ended in CancelledError: raises :class:`Cancelled` if the call was closed, not the task."""
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        raise Cancelled("the call was given up", model=model)


def not_connected(address: str, reason: str, model: str | None) -> ConnectionFailed:
    """The error for a connection that could not be made: nothing was sent."""
    error = ConnectionFailed(f"cannot connect to {address}: {reason}; is the server up?", model=model)
    error.safe_to_retry = True
    return error


def disconnected(address: str, reason: str, model: str | None) -> ConnectionFailed:
    """The error for a connection that broke after the request may have been sent."""
    return ConnectionFailed(f"the connection to {address} broke: {reason}", model=model)

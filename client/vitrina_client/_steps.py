"""What flows are made of: the effects that a transport carries out, and the steps that they yield."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol, TypeVar

from vitrina_client import _answers as answers
from vitrina_client import _requests as core
from vitrina_client._errors import Cancelled, InvalidInput, NotOffered, VitrinaError
from vitrina_client._timeout import Deadline, Timeout
from vitrina_client._types import Array, Media, Piece, Product, Tag

BACKOFF = 0.1  # seconds before the first retry; doubled each time
BACKOFF_MOST = 2.0

T = TypeVar("T")


class Handle(Protocol):
    """An open stream of one request's answers."""

    def receive(self, deadline: Deadline) -> Any:
        """The next answer (or an awaitable of it), None after the last."""

    def cancel(self) -> None:
        """Ends it, and the work behind it on the server; never waits. Does nothing once it has ended."""


class Transport(Protocol):
    """What a flow may ask for; every method gives its answer, or an awaitable of it."""

    def infer(self, request: core.Request, deadline: Deadline) -> Any:
        """One request, one answer: a mapping of arrays."""

    def open(self, request: core.Request, deadline: Deadline) -> Any:
        """A :class:`Handle`, every answer of which must have come by `deadline`."""

    def ask(self, what: str, deadline: Deadline) -> Any:
        """The server's word on ``live``, ``ready``, ``metadata``, ``index`` or the model ``content``, as a dict."""

    def read(self, path: str | os.PathLike[str]) -> Any:
        """The bytes of a file."""

    def sleep(self, seconds: float) -> Any:
        """None, so many seconds later."""


Effect = Callable[[Transport], Any]
Flow = Generator[Effect, Any, T]
Stream = Generator[Effect | Piece, Any, None]


@dataclass(frozen=True)
class CallPolicy:
    """How patient one call is."""

    timeout: Timeout
    retries: int


class StreamState:
    """What a stream knows beside its pieces; its flow and whoever closes it share it, perhaps in two threads."""

    handle: Handle | None = None
    tags: tuple[Tag, ...] | None = None
    closed = False

    def close(self) -> None:
        """Ends the stream; whoever awaits its next piece gets :class:`Cancelled`."""
        self.closed = True
        if self.handle is not None:
            self.handle.cancel()


def read_media(product: Product) -> Flow[dict[str, bytes]]:
    """Everything that the product has beside its title, read."""
    media = core.events(product)
    for name, given in core.files(product).items():
        data = given if isinstance(given, bytes) else (yield from _read(name, given))
        media[name] = core.check_size(name, data)
    return media


def read_sounds(**given: Media | None) -> Flow[dict[str, bytes]]:
    """Sounds by the server's tensor, read; what is None is left out."""
    media = {}
    for name, sound in given.items():
        if sound is not None:
            heard = Product(audio=sound)
            core.check_product(heard)
            media[name] = (yield from read_media(heard))["AUDIO"]
    return media


def _read(name: str, path: str | os.PathLike[str]) -> Flow[bytes]:
    try:
        data: bytes = yield lambda transport: transport.read(path)
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInput(f"cannot read {os.fspath(path)!r}: {reason}", field=name) from error
    return data


def send(policy: CallPolicy, deadline: Deadline, request: core.Request) -> Flow[Mapping[str, Array]]:
    def attempt() -> Flow[Mapping[str, Array]]:
        timed = request.within(deadline.left(request.model))
        answer = yield lambda transport: transport.infer(timed, deadline)
        return answers.check_rows(answer, request)

    return (yield from retry(policy, deadline, attempt))


def send_as_offered(
    policy: CallPolicy, deadline: Deadline, request: core.Request
) -> Flow[tuple[core.Request, Mapping[str, Array]]]:
    """Sends the request without the transcript or label text that the server's bundle does not make.

    Returns:
        The request as it was answered, and its answer.
    """
    spare = {name for each in core.DERIVED for name in core.OUTPUTS[each]}
    while True:
        try:
            return request, (yield from send(policy, deadline, request))
        except NotOffered as error:
            if error.field not in spare:
                raise
            request = replace(request, outputs=tuple(name for name in request.outputs if name != error.field))


def open_stream(
    state: StreamState, deadline: Deadline, first: Deadline, request: core.Request
) -> Flow[Mapping[str, Array] | None]:
    """Opens the stream and gives its first answer, which is where a full queue shows."""
    timed = request.within(deadline.left(request.model))
    state.handle = yield lambda transport: transport.open(timed, deadline)
    if state.closed:
        raise Cancelled("the stream was closed", model=request.model)
    answer: Mapping[str, Array] | None = yield receive(state, first)
    return answer


def receive(state: StreamState, deadline: Deadline) -> Effect:
    handle = state.handle
    assert handle is not None
    return lambda transport: handle.receive(deadline)


def ask(deadline: Deadline, what: str) -> Flow[Any]:
    return (yield lambda transport: transport.ask(what, deadline))


def retry(policy: CallPolicy, deadline: Deadline, attempt: Callable[[], Flow[T]]) -> Flow[T]:
    """`attempt`, again after an error that left nothing behind, as often and as long as the policy allows."""
    for number in count():
        try:
            return (yield from attempt())
        except VitrinaError as error:
            # Full jitter's upper half: callers that were refused together do not come back together.
            pause = min(BACKOFF_MOST, BACKOFF * 2**number) * random.uniform(0.5, 1)
            if not error.safe_to_retry or number >= policy.retries or not deadline.allows(pause):
                raise
        yield _sleep(pause)
    raise AssertionError("count() ended")


def _sleep(seconds: float) -> Effect:
    return lambda transport: transport.sleep(seconds)

"""What each call does, step by step, written once for both clients.

A flow is a generator. It yields an effect (a function of the transport) and is sent that effect's answer, or has its
error thrown in; what it returns is the call's result. A streaming flow also yields :class:`Piece`. `Vitrina` drives
flows with plain calls, `AsyncVitrina` awaits each effect; neither knows what a flow does.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitrina_client import _requests as core
from vitrina_client._errors import Blocked, Cancelled, InvalidInput, ServerError, VitrinaError
from vitrina_client._timeout import Deadline, Timeout
from vitrina_client._types import (
    Array,
    Aspect,
    AudioFormat,
    Background,
    Captions,
    ImageFormat,
    LabelText,
    Listing,
    Media,
    ModelStatus,
    Moderation,
    Piece,
    Post,
    Product,
    Recommendation,
    Speech,
    Status,
    StudioShot,
    StudioVideo,
    Style,
    Tag,
    TextOptions,
    Variants,
    Want,
)

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
        """The server's word on ``live``, ``ready``, ``metadata`` or ``index``, as a dict."""

    def read(self, path: str | os.PathLike[str]) -> Any:
        """The bytes of a file."""

    def sleep(self, seconds: float) -> Any:
        """None, so many seconds later."""


Effect = Callable[[Transport], Any]
Flow = Generator[Effect, Any, T]
Stream = Generator[Effect | Piece, Any, None]


@dataclass(frozen=True)
class Policy:
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


# ----------------------------------------------------------------------------------------------------------- flows


def generate(
    policy: Policy, product: Product, want: Collection[Want], condition: Array | None, options: TextOptions
) -> Flow[Listing]:
    """One request for all but pictures and clips, which are drawn from the condition that it gives."""
    deadline = Deadline("total", policy.timeout.total)
    core.check_product(product)
    core.wanted(want)
    drawn = [each for each in core.DRAWN if each in want]
    rest: set[Want] = set(want) - set(drawn)
    made = Listing()
    if condition is None:
        media = yield from _media(product)
        request = core.content(product, media, rest | {"condition", "moderation"} if drawn else rest, options)
        made = core.listing((yield from _send(policy, deadline, request)), request)
        condition = made.condition
        if drawn:
            _refuse_blocked(made, request)
    elif rest:
        request = core.from_condition(product, condition, rest, options)
        made = core.listing((yield from _send(policy, deadline, request)), request)
    for each in drawn:
        assert condition is not None  # it was asked for above
        tune = (yield from _sounds(MUSIC=options.get("music"))) if each == "video" else {}
        request = core.draw(each, condition, options, tune.get("MUSIC"))
        file = core.drawn((yield from _send(policy, deadline, request)), request)
        made = replace(made, image=file) if each == "image" else replace(made, video=file)
    if not {"text", "moderation"} & set(want):
        made = replace(made, moderation=None)
    return made if "condition" in want else replace(made, condition=None)


def encode(policy: Policy, product: Product) -> Flow[Listing]:
    """Condition, embedding, transcript and label text of a product that the policy lets through."""
    deadline = Deadline("total", policy.timeout.total)
    media = yield from _media(product)
    request = core.content(product, media, {"condition", "embedding", "moderation", *core.derived(media)})
    made = core.listing((yield from _send(policy, deadline, request)), request)
    _refuse_blocked(made, request)
    return made


def variants(policy: Policy, product: Product, count: int, options: TextOptions) -> Flow[Variants]:
    """Encoded once; twice as many texts as asked for are written side by side, and those about it that differ kept."""
    deadline = Deadline("total", policy.timeout.total)
    if not isinstance(count, int) or not 1 <= count <= core.MAX_ROWS:
        raise InvalidInput(f"{count!r}: expected 1 to {core.MAX_ROWS}", field="count")
    core.check_product(product)
    options, first = core.varied(options)
    encoded = yield from encode(policy, product)
    options = core.told(options, encoded)
    assert encoded.condition is not None and encoded.embedding is not None  # they were asked for
    found: dict[str, Listing] = {}
    blocked: Blocked | None = None
    seeds = [(first + number) % 2**63 for number in range(2 * count)]
    for start in range(0, len(seeds), core.MAX_ROWS):
        request = core.variants(product, encoded.condition, seeds[start : start + core.MAX_ROWS], options)
        answer = yield from _send(policy, deadline, request)
        for number in range(request.rows):
            try:
                made = core.listing(core.row(answer, number), request)
            except Blocked as error:
                blocked = error
            else:
                if made.text:
                    found.setdefault(made.text, made)
    if not found:
        raise blocked or ServerError("no text was left of what was written", model="generate")
    listings = list(found.values())
    vectors = yield from embed(policy, [Product(text) for text in found])
    chosen, diversity = core.most_diverse(vectors, encoded.embedding, count)
    return Variants(tuple(listings[each] for each in chosen), diversity, len(seeds))


def check(policy: Policy, product: Product) -> Flow[Moderation]:
    """One request."""
    made = yield from generate(policy, product, {"moderation"}, None, {})
    assert made.moderation is not None  # it was asked for above
    return made.moderation


def embed(policy: Policy, products: Sequence[Product]) -> Flow[NDArray[np.float32]]:
    """Requests of up to 8 rows, products of other kinds of media apart; rows come back in the order given."""
    deadline = Deadline("total", policy.timeout.total)
    for product in products:
        core.check_product(product)
    made = np.empty((len(products), core.CONDITION_SHAPE[1]), np.float32)
    by_kind: dict[tuple[str, ...], list[int]] = {}
    for place, product in enumerate(products):
        by_kind.setdefault(core.kinds(product), []).append(place)
    for places in by_kind.values():
        for start in range(0, len(places), core.MAX_ROWS):
            batch = places[start : start + core.MAX_ROWS]
            rows = [products[place] for place in batch]
            media = []
            for product in rows:
                media.append((yield from _media(product)))
            try:
                answer = yield from _send(policy, deadline, core.embeddings(rows, media))
            except InvalidInput as error:
                if len(products) > 1:
                    error.add_note(f"in the request with products {', '.join(map(str, batch))} (counted from 0)")
                raise
            made[batch] = answer["EMBEDDING"]
    return made


def stream(
    policy: Policy, state: StreamState, product: Product, condition: Array | None, options: TextOptions
) -> Stream:
    """Tags from the product (or from its condition), the prompt from them, then the decoder's stream."""
    deadline = Deadline("total", policy.timeout.total)
    first = min(deadline, Deadline("first_token", policy.timeout.first_token), key=lambda each: each.end)
    core.check_product(product)
    if condition is None:
        media = yield from _media(product)
        request = core.content(product, media, {"tags", "moderation", *core.derived(media)}, options)
    else:
        request = core.tags_of(condition)
    answer = yield from _send(policy, first, request)
    if condition is None:
        found = core.listing(answer, request)
        _refuse_blocked(found, request)
        options = core.told(options, found)
    state.tags = core.tags(answer)
    answer = yield from _send(policy, first, core.prompt(product, answer, options))
    request = core.decode(answer, options)
    ended = False
    try:
        said = yield from _retried(policy, first, lambda: _open(state, deadline, first, request))
        while said is not None:
            piece = core.piece(core.checked(said, request))
            if piece.finish_reason is not None:
                # Read to its end before the last piece is handed on, the stream needs no cancelling (which Triton
                # bears badly at that very moment: server#7368, #8034) and its connection serves again.
                ended = (yield _receive(state, deadline)) is None
                yield piece
                return
            yield piece
            said = yield _receive(state, deadline)
        raise ServerError("the stream ended before the text did", model=request.model)
    finally:
        if state.handle is not None and not ended:
            state.handle.cancel()


def read_label(policy: Policy, image: Media) -> Flow[LabelText]:
    """One request."""
    deadline = Deadline("total", policy.timeout.total)
    core.check_product(Product(image=image))
    data = (yield from _media(Product(image=image))).get("IMAGE")
    if data is None:
        raise InvalidInput("there is no photo; give its path or its bytes", field="IMAGE")
    answer = yield from _send(policy, deadline, core.read_label(data))
    return core.label_text(answer["LABEL_TEXT"])


def recommend(
    policy: Policy, events: Sequence[Mapping[str, str | float]], count: int | None
) -> Flow[tuple[Recommendation, ...]]:
    """One request."""
    deadline = Deadline("total", policy.timeout.total)
    return core.recommended((yield from _send(policy, deadline, core.recommend(events, count))))


def speak(
    policy: Policy,
    script: str,
    voice: str | None,
    language: str | None,
    speed: float | None,
    audio_format: AudioFormat,
) -> Flow[Speech]:
    """One request."""
    deadline = Deadline("total", policy.timeout.total)
    answer = yield from _send(policy, deadline, core.speak(script, voice, language, speed, audio_format))
    return core.spoken(answer, audio_format)


def studio(
    policy: Policy,
    image: Media,
    background: Background,
    aspect: Aspect,
    size: int | None,
    image_format: ImageFormat,
    style: Style,
) -> Flow[StudioShot]:
    """One request."""
    deadline = Deadline("total", policy.timeout.total)
    core.check_product(Product(image=image))
    data = (yield from _media(Product(image=image)))["IMAGE"]
    request = core.studio(data, background, aspect, size, image_format, style)
    return core.shot((yield from _send(policy, deadline, request)), image_format)


def studio_video(
    policy: Policy,
    image: Media,
    background: Background,
    aspect: Aspect,
    size: int | None,
    style: Style,
    music: Media | None,
) -> Flow[StudioVideo]:
    """One request."""
    deadline = Deadline("total", policy.timeout.total)
    core.check_product(Product(image=image))
    media = yield from _media(Product(image=image))
    media |= yield from _sounds(MUSIC=music)
    request = core.studio_video(media, background, aspect, size, style)
    return core.filmed((yield from _send(policy, deadline, request)))


def post(
    policy: Policy,
    given: Product,
    caption: str,
    music: Media | None,
    logo_sound: Media | None,
    captions: Captions,
    background: Background,
    aspect: Aspect,
) -> Flow[Post]:
    """One request of a product's photo, clip and voice."""
    deadline = Deadline("total", policy.timeout.total)
    core.check_product(given)
    media = yield from _media(given)
    media |= yield from _sounds(MUSIC=music, LOGO_SOUND=logo_sound)
    request = core.post(media, caption, captions, background, aspect)
    return core.posted((yield from _send(policy, deadline, request)))


def status(policy: Policy) -> Flow[Status]:
    """Four questions."""
    deadline = Deadline("total", policy.timeout.total)
    said: dict[str, Any] = {}
    for what in ("live", "ready", "metadata", "index"):
        said[what] = yield from _retried(policy, deadline, lambda what=what: _ask(deadline, what))  # type: ignore[misc]
    models = tuple(
        ModelStatus(model["name"], model.get("version", ""), model.get("state", ""), model.get("reason", ""))
        for model in said["index"].get("models", ())
    )
    metadata = said["metadata"]
    live, ready = (bool(said[what].get(what)) for what in ("live", "ready"))
    return Status(live, ready, metadata.get("name", ""), metadata.get("version", ""), models)


# ----------------------------------------------------------------------------------------------------------- steps


def _refuse_blocked(made: Listing, request: core.Request) -> None:
    if made.moderation is not None and made.moderation.action == "block":
        raise core.blocked(made.moderation, request.model)


def _media(product: Product) -> Flow[dict[str, bytes]]:
    """Everything that the product has beside its title, read."""
    media = core.events(product)
    for name, given in core.files(product).items():
        data = given if isinstance(given, bytes) else (yield from _read(name, given))
        media[name] = core.check_size(name, data)
    return media


def _sounds(**given: Media | None) -> Flow[dict[str, bytes]]:
    """Sounds by the server's tensor, read; what is None is left out."""
    media = {}
    for name, sound in given.items():
        if sound is not None:
            heard = Product(audio=sound)
            core.check_product(heard)
            media[name] = (yield from _media(heard))["AUDIO"]
    return media


def _read(name: str, path: str | os.PathLike[str]) -> Flow[bytes]:
    try:
        data: bytes = yield lambda transport: transport.read(path)
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInput(f"cannot read {os.fspath(path)!r}: {reason}", field=name) from error
    return data


def _send(policy: Policy, deadline: Deadline, request: core.Request) -> Flow[Mapping[str, Array]]:
    def attempt() -> Flow[Mapping[str, Array]]:
        timed = request.within(deadline.left(request.model))
        answer = yield lambda transport: transport.infer(timed, deadline)
        return core.checked(answer, request)

    return (yield from _retried(policy, deadline, attempt))


def _open(
    state: StreamState, deadline: Deadline, first: Deadline, request: core.Request
) -> Flow[Mapping[str, Array] | None]:
    """Opens the stream and gives its first answer, which is where a full queue shows."""
    timed = request.within(deadline.left(request.model))
    state.handle = yield lambda transport: transport.open(timed, deadline)
    if state.closed:
        raise Cancelled("the stream was closed", model=request.model)
    answer: Mapping[str, Array] | None = yield _receive(state, first)
    return answer


def _receive(state: StreamState, deadline: Deadline) -> Effect:
    handle = state.handle
    assert handle is not None
    return lambda transport: handle.receive(deadline)


def _ask(deadline: Deadline, what: str) -> Flow[Any]:
    return (yield lambda transport: transport.ask(what, deadline))


def _retried(policy: Policy, deadline: Deadline, attempt: Callable[[], Flow[T]]) -> Flow[T]:
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

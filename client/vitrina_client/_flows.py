"""What each call does, step by step, written once for both clients.

A flow is a generator. It yields an effect (a function of the transport) and is sent that effect's answer, or has its
error thrown in; what it returns is the call's result. A streaming flow also yields :class:`Piece`. `Vitrina` drives
flows with plain calls, `AsyncVitrina` awaits each effect; neither knows what a flow does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrina_client import _answers as answers
from vitrina_client import _requests as core
from vitrina_client import _steps as steps
from vitrina_client._answers import ModelStatus, Status
from vitrina_client._errors import Blocked, InvalidInput, ServerError
from vitrina_client._options import TextOptions
from vitrina_client._steps import CallPolicy, Flow, Stream, StreamState
from vitrina_client._timeout import Deadline
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
    Moderation,
    Post,
    Product,
    Recommendation,
    Speech,
    StudioShot,
    StudioVideo,
    Style,
    Variants,
    Want,
)


def generate(
    policy: CallPolicy, product: Product, want: Collection[Want], condition: Array | None, options: TextOptions
) -> Flow[Listing]:
    """One request for all but pictures and clips, which are drawn from the condition that it gives."""
    deadline = Deadline("total", policy.timeout.total)
    core.check_product(product)
    core.wanted(want)
    drawn = [each for each in core.DRAWN if each in want]
    rest: set[Want] = set(want) - set(drawn)
    made = Listing()
    if condition is None:
        media = yield from steps.read_media(product)
        request = core.content(product, media, rest | {"condition", "moderation"} if drawn else rest, options)
        made = answers.listing((yield from steps.send(policy, deadline, request)), request)
        condition = made.condition
        if drawn:
            _refuse_blocked(made, request)
    elif rest:
        request = core.from_condition(product, condition, rest, options)
        made = answers.listing((yield from steps.send(policy, deadline, request)), request)
    for each in drawn:
        assert condition is not None  # it was asked for above
        tune = (yield from steps.read_sounds(MUSIC=options.get("music"))) if each == "video" else {}
        request = core.draw(each, condition, options, tune.get("MUSIC"))
        file = answers.parse_drawing((yield from steps.send(policy, deadline, request)), request)
        made = replace(made, image=file) if each == "image" else replace(made, video=file)
    if not {*core.WRITTEN, "moderation"} & set(want):
        made = replace(made, moderation=None)
    return made if "condition" in want else replace(made, condition=None)


def encode(policy: CallPolicy, product: Product) -> Flow[Listing]:
    """Condition, embedding, transcript and label text of a product that the policy lets through."""
    deadline = Deadline("total", policy.timeout.total)
    media = yield from steps.read_media(product)
    request = core.content(product, media, {"condition", "embedding", "moderation", *core.derived(media)})
    request, answer = yield from steps.send_as_offered(policy, deadline, request)
    made = answers.listing(answer, request)
    _refuse_blocked(made, request)
    return made


def variants(policy: CallPolicy, product: Product, count: int, options: TextOptions) -> Flow[Variants]:
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
        answer = yield from steps.send(policy, deadline, request)
        for number in range(request.rows):
            try:
                made = answers.listing(answers.row(answer, number), request)
            except Blocked as error:
                blocked = error
            else:
                if made.text:
                    found.setdefault(made.text, made)
    if not found:
        raise blocked or ServerError("no text was left of what was written", model="generate")
    listings = list(found.values())
    vectors = yield from embed(policy, [Product(text) for text in found])
    chosen, diversity = answers.most_diverse(vectors, encoded.embedding, count)
    return Variants(tuple(listings[each] for each in chosen), diversity, len(seeds))


def check(policy: CallPolicy, product: Product) -> Flow[Moderation]:
    """One request."""
    made = yield from generate(policy, product, {"moderation"}, None, {})
    assert made.moderation is not None  # it was asked for above
    return made.moderation


def embed(policy: CallPolicy, products: Sequence[Product]) -> Flow[NDArray[np.float32]]:
    """Requests of up to 8 rows, products of other kinds of media apart; rows come back in the order given."""
    deadline = Deadline("total", policy.timeout.total)
    for product in products:
        core.check_product(product)
    if not products:
        return np.empty((0, (yield from _width(policy, deadline))), np.float32)
    made: list[Array] = [np.empty(0)] * len(products)
    by_kind: dict[tuple[str, ...], list[int]] = {}
    for place, product in enumerate(products):
        by_kind.setdefault(core.kinds(product), []).append(place)
    for places in by_kind.values():
        for start in range(0, len(places), core.MAX_ROWS):
            batch = places[start : start + core.MAX_ROWS]
            rows = [products[place] for place in batch]
            media = []
            for product in rows:
                media.append((yield from steps.read_media(product)))
            try:
                answer = yield from steps.send(policy, deadline, core.embeddings(rows, media))
            except InvalidInput as error:
                if len(products) > 1:
                    error.add_note(f"in the request with products {', '.join(map(str, batch))} (counted from 0)")
                raise
            for place, row in zip(batch, answer["EMBEDDING"], strict=True):
                made[place] = row
    return np.stack(made)


def _width(policy: CallPolicy, deadline: Deadline) -> Flow[int]:
    """Of the server's embeddings."""
    said = yield from steps.retry(policy, deadline, lambda: steps.ask(deadline, "content"))
    return next(int(output["shape"][-1]) for output in said["outputs"] if output["name"] == "EMBEDDING")


def stream(
    policy: CallPolicy, state: StreamState, product: Product, condition: Array | None, options: TextOptions
) -> Stream:
    """Tags from the product (or from its condition), the prompt from them, then the decoder's stream."""
    deadline = Deadline("total", policy.timeout.total)
    first = min(deadline, Deadline("first_token", policy.timeout.first_token), key=lambda each: each.end)
    core.check_product(product)
    if condition is None:
        media = yield from steps.read_media(product)
        request = core.content(product, media, {"tags", "moderation", *core.derived(media)}, options)
    else:
        request = core.tags_of(condition)
    request, answer = yield from steps.send_as_offered(policy, first, request)
    if condition is None:
        found = answers.listing(answer, request)
        _refuse_blocked(found, request)
        options = core.told(options, found)
    state.tags = answers.tags(answer)
    answer = yield from steps.send(policy, first, core.prompt(product, answer, options))
    request = core.decode(answer, options)
    ended = False
    try:
        said = yield from steps.retry(policy, first, lambda: steps.open_stream(state, deadline, first, request))
        while said is not None:
            piece = answers.piece(answers.check_rows(said, request))
            if piece.finish_reason is not None:
                # Read to its end before the last piece is handed on, the stream needs no cancelling (which Triton
                # bears badly at that very moment: server#7368, #8034) and its connection serves again.
                ended = (yield steps.receive(state, deadline)) is None
                yield piece
                return
            yield piece
            said = yield steps.receive(state, deadline)
        raise ServerError("the stream ended before the text did", model=request.model)
    finally:
        if state.handle is not None and not ended:
            state.handle.cancel()


def read_label(policy: CallPolicy, image: Media) -> Flow[LabelText]:
    """One request."""
    deadline = Deadline("total", policy.timeout.total)
    core.check_product(Product(image=image))
    data = (yield from steps.read_media(Product(image=image))).get("IMAGE")
    if data is None:
        raise InvalidInput("there is no photo; give its path or its bytes", field="IMAGE")
    answer = yield from steps.send(policy, deadline, core.read_label(data))
    return answers.label_text(answer["LABEL_TEXT"])


def recommend(
    policy: CallPolicy, events: Sequence[Mapping[str, str | float]], count: int | None
) -> Flow[tuple[Recommendation, ...]]:
    """One request."""
    deadline = Deadline("total", policy.timeout.total)
    return answers.parse_recommendations((yield from steps.send(policy, deadline, core.recommend(events, count))))


def speak(
    policy: CallPolicy,
    script: str,
    voice: str | None,
    language: str | None,
    speed: float | None,
    audio_format: AudioFormat,
) -> Flow[Speech]:
    """One request."""
    deadline = Deadline("total", policy.timeout.total)
    answer = yield from steps.send(policy, deadline, core.speak(script, voice, language, speed, audio_format))
    return answers.parse_speech(answer, audio_format)


def studio(
    policy: CallPolicy,
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
    data = (yield from steps.read_media(Product(image=image)))["IMAGE"]
    request = core.studio(data, background, aspect, size, image_format, style)
    return answers.parse_studio_shot((yield from steps.send(policy, deadline, request)), image_format)


def studio_video(
    policy: CallPolicy,
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
    media = yield from steps.read_media(Product(image=image))
    media |= yield from steps.read_sounds(MUSIC=music)
    request = core.studio_video(media, background, aspect, size, style)
    return answers.parse_studio_video((yield from steps.send(policy, deadline, request)))


def post(
    policy: CallPolicy,
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
    media = yield from steps.read_media(given)
    media |= yield from steps.read_sounds(MUSIC=music, LOGO_SOUND=logo_sound)
    request = core.post(media, caption, captions, background, aspect)
    return answers.parse_post((yield from steps.send(policy, deadline, request)))


def status(policy: CallPolicy) -> Flow[Status]:
    """Four questions."""
    deadline = Deadline("total", policy.timeout.total)
    said: dict[str, Any] = {}
    for what in ("live", "ready", "metadata", "index"):
        said[what] = yield from steps.retry(policy, deadline, lambda what=what: steps.ask(deadline, what))  # type: ignore[misc]
    models = tuple(
        ModelStatus(model["name"], model.get("version", ""), model.get("state", ""), model.get("reason", ""))
        for model in said["index"].get("models", ())
    )
    metadata = said["metadata"]
    live, ready = (bool(said[what].get(what)) for what in ("live", "ready"))
    return Status(live, ready, metadata.get("name", ""), metadata.get("version", ""), models)


def _refuse_blocked(made: Listing, request: core.Request) -> None:
    if made.moderation is not None and made.moderation.action == "block":
        raise answers.blocked(made.moderation, request.model)

"""Requests and answers as plain arrays, with no connection: what is asked of which model, and what came back.

Pure functions. Every transport carries the same :class:`Request` and gives back the same mapping of arrays.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vitrina_client._errors import Blocked, InvalidInput, ServerError, TooLarge
from vitrina_client._types import (
    WANTS,
    Array,
    Aspect,
    AudioFormat,
    Background,
    Captions,
    Edit,
    Finding,
    ImageFormat,
    LabelLine,
    LabelText,
    Listing,
    Moderation,
    Piece,
    Post,
    Product,
    Recommendation,
    Sampling,
    Speech,
    StudioShot,
    StudioVideo,
    Style,
    Tag,
    TextOptions,
    Want,
)

MAX_ROWS = 8  # the ensembles' max_batch_size
VARIED_TEMPERATURE = 0.5  # of variants, where the options say nothing
RELEVANCE = 0.35  # weight of being about the product, the rest being unlike what is chosen already
CONDITION_SHAPE = (36, 384)
MAX_MESSAGE = 2**31 - 2**20  # bytes; protobuf and Triton's gRPC end at 2 GiB, with room for the other fields

#: The sampling that ``prompter`` fills in as suits the task, where the request leaves it open.
TASK_SAMPLING = ("MAX_TOKENS", "TEMPERATURE", "TOP_P", "REPETITION_PENALTY")
TEXT_OUTPUTS = ("TEXT", "FINISH_REASON", "PROMPT_TOKENS", "COMPLETION_TOKENS")
OUTPUTS: dict[Want, tuple[str, ...]] = {
    "text": (*TEXT_OUTPUTS, "EDITS", "TEXT_MODERATION"),
    "tags": ("TAGS", "TAG_SCORES"),
    "keywords": ("KEYWORDS",),
    "embedding": ("EMBEDDING",),
    "condition": ("CONDITION",),
    "weights": ("FUSION_WEIGHTS",),
    "moderation": ("MODERATION",),
    "transcript": ("TRANSCRIPT", "TRANSCRIPT_LANGUAGE"),
    "label_text": ("LABEL_TEXT",),
}
#: What a step makes of a medium: output → the medium's tensor, and what the errors call it.
DERIVED: dict[Want, tuple[str, str]] = {"transcript": ("AUDIO", "sound"), "label_text": ("IMAGE", "photo")}
#: What is drawn from a condition: the ensemble that draws it, and its output.
DRAWN: dict[Want, tuple[str, str]] = {"image": ("generate_image", "IMAGE"), "video": ("generate_video", "VIDEO")}
#: What a product may have beside its title: the server's tensor → the modality in an ensemble's name, in its order.
MODALITIES = {"IMAGE": "image", "VIDEO": "video", "AUDIO": "audio", "EVENTS": "behavior"}
#: Tensor → what was read of it.
Media = Mapping[str, bytes]
_OPTIONS = TextOptions.__annotations__.keys()


@dataclass(frozen=True, eq=False)
class Request:
    """One inference.

    Args:
        model: ensemble or model.
        inputs: name → array with the batch axis; BYTES are object arrays of `bytes`.
        outputs: names asked for, and no others.
        timed: the model takes TIMEOUT_MS.
    """

    model: str
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    timed: bool = False

    @property
    def rows(self) -> int:
        """Size of the batch axis."""
        return int(next(iter(self.inputs.values())).shape[0])

    def within(self, seconds: float | None) -> Request:
        """The same, with the server told that it has so many seconds."""
        if not self.timed or seconds is None:
            return self
        milliseconds = np.clip(seconds * 1000, 1, np.iinfo(np.int32).max)
        limits = np.full((self.rows, 1), milliseconds, np.int32)
        return replace(self, inputs={**self.inputs, "TIMEOUT_MS": limits})


# -------------------------------------------------------------------------------------------------- what is asked


def content(product: Product, media: Media, want: Collection[Want], options: TextOptions | None = None) -> Request:
    """From a product to everything in `want`: the ``content…`` ensemble of the media it has.

    Raises:
        InvalidInput: a transcript or a label text is asked for of a product without a sound or a photo, or given of one
            with.
    """
    for name, (medium, called) in DERIVED.items():
        if name in want and medium not in media:
            raise InvalidInput(f"the product has no {called} to read {name} from", field=medium)
        if medium in media and options and options.get(name) is not None:
            raise InvalidInput(f"is read from the product's {called}; leave one of both out", field=name.upper())
    fields: dict[str, Array] = {}
    if "text" in want:
        fields = _text_fields(product, options)
    elif {"moderation", "keywords"} & set(want):
        fields = _told(product, options)
    return _encode([product], [media], wanted(want), fields)


def embeddings(products: Sequence[Product], media: Sequence[Media]) -> Request:
    """From up to 8 products that all have the same kinds of media to their embeddings."""
    return _encode(products, media, OUTPUTS["embedding"], {})


def from_condition(product: Product, condition: Array, want: Collection[Want], options: TextOptions) -> Request:
    """From a condition to text and tags, nothing encoded again: ``generate``."""
    outputs = wanted(want)
    if beyond := sorted(set(want) - {"text", "tags", "keywords"}):
        made = "text, tags, keywords, image, video"
        raise InvalidInput(f"{', '.join(beyond)} cannot be made from a condition; ask for {made}", field="want")
    inputs = {"CONDITION": _condition(condition), "TITLE": _texts("TITLE", [product.title])}
    fields = _text_fields(product, options) if "text" in want else {}
    if "keywords" in want and not fields:
        fields = _told(product, options)
    return Request("generate", inputs | fields, outputs, timed="text" in want)


def variants(product: Product, condition: Array, seeds: Sequence[int], options: TextOptions) -> Request:
    """From a condition to a text for each seed: ``generate``, a row a seed."""
    one = from_condition(product, condition, {"text"}, options)
    inputs = {name: np.repeat(array, len(seeds), axis=0) for name, array in one.inputs.items()}
    inputs["SEED"] = np.array([[_integer("SEED", seed, np.int64)] for seed in seeds], np.int64)
    return replace(one, inputs=inputs)


def row(answer: Mapping[str, Array], number: int) -> Mapping[str, Array]:
    """One row of an answer, as the answer to a request of one row."""
    return {name: array[number : number + 1] for name, array in answer.items()}


def most_diverse(vectors: NDArray[np.float32], product: NDArray[np.float32], count: int) -> tuple[list[int], float]:
    """Rows that are near the product and far from each other (maximal marginal relevance, Carbonell & Goldstein 1998).

    Args:
        vectors: float32 [N, 384] of texts, unit length; `product` float32 [384], likewise.
        count: of rows, at most.

    Returns:
        The rows, the nearest to the product first, and the mean distance (1 - cosine) between two of them.
    """
    likeness, relevance = vectors @ vectors.T, vectors @ product
    chosen = [int(relevance.argmax())]
    while len(chosen) < min(count, len(vectors)):
        worth = RELEVANCE * relevance - (1 - RELEVANCE) * likeness[:, chosen].max(1)
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
    pairs = 1 - likeness[np.ix_(chosen, chosen)][np.triu_indices(len(chosen), 1)]
    return chosen, float(pairs.mean()) if len(pairs) else 0.0


def draw(what: Want, condition: Array, options: TextOptions, music: bytes | None = None) -> Request:
    """From a condition to a picture or a clip."""
    model, output = DRAWN[what]
    inputs: dict[str, Array] = {"CONDITION": _condition(condition)}
    if (seed := options.get("image_seed")) is not None:
        inputs["IMAGE_SEED"] = np.array([[_integer("IMAGE_SEED", seed, np.int64)]], np.int64)
    if what == "image" and (kind := options.get("image_format")) is not None:
        inputs["IMAGE_FORMAT"] = _texts("IMAGE_FORMAT", [kind])
    if what == "video" and music is not None:
        inputs["MUSIC"] = _rows([music])
    return Request(model, inputs, (output,))


def drawn(answer: Mapping[str, Array], request: Request) -> bytes:
    """The file that a request of :func:`draw` gave."""
    return bytes(answer[request.outputs[0]].ravel()[0])


def read_label(image: bytes) -> Request:
    """From a photo to what is printed in it: ``read_label``."""
    return Request("read_label", {"IMAGE": _rows([image])}, OUTPUTS["label_text"])


def label_text(tensor: Array) -> LabelText:
    """What is printed in one photo."""
    label = json.loads(_text(tensor))
    if label["failed"]:
        raise ServerError("the label could not be read; the server's log says why", model="label_reader")
    lines = (LabelLine(each["text"], tuple(map(tuple, each["box"])), each["confidence"]) for each in label["lines"])
    return LabelText(tuple(lines), label["omitted"])


def recommend(events: Sequence[Mapping[str, str | float]], count: int | None) -> Request:
    """From what a shopper did to what may come next: ``recommend``."""
    inputs = {"EVENTS": _rows([_events(events)])}
    if count is not None:
        inputs["COUNT"] = np.array([[_integer("COUNT", count, np.int32)]], np.int32)
    return Request("recommend", inputs, ("ITEMS", "TITLES", "SCORES"))


def recommended(answer: Mapping[str, Array]) -> tuple[Recommendation, ...]:
    """The answer to a request of :func:`recommend`."""
    columns = (answer[name].ravel() for name in ("ITEMS", "TITLES", "SCORES"))
    return tuple(
        Recommendation(item.decode(), title.decode(), float(score)) for item, title, score in zip(*columns, strict=True)
    )


def speak(
    script: str, voice: str | None, language: str | None, speed: float | None, audio_format: AudioFormat
) -> Request:
    """From a script to speech: ``speak``."""
    inputs = {"SCRIPT": _texts("SCRIPT", [script]), "AUDIO_FORMAT": _texts("AUDIO_FORMAT", [audio_format])}
    inputs |= {
        name: _texts(name, [text]) for name, text in (("VOICE", voice), ("LANGUAGE", language)) if text is not None
    }
    if speed is not None:
        inputs["SPEED"] = np.array([[_number("SPEED", speed)]], np.float32)
    return Request("speak", inputs, ("AUDIO", "SECONDS"), timed=True)


def spoken(answer: Mapping[str, Array], audio_format: AudioFormat) -> Speech:
    """The answer to a request of :func:`speak`."""
    return Speech(bytes(answer["AUDIO"].ravel()[0]), f"audio/{audio_format}", float(answer["SECONDS"].ravel()[0]))


def studio(
    image: bytes, background: Background, aspect: Aspect, size: int | None, image_format: ImageFormat, style: Style
) -> Request:
    """From a photo to its studio shot: ``studio``."""
    chosen = {"BACKGROUND": background, "ASPECT": aspect, "IMAGE_FORMAT": image_format, "STYLE": style}
    inputs = {"IMAGE": _rows([image])} | {name: _texts(name, [value]) for name, value in chosen.items()}
    if size is not None:
        inputs["SIZE"] = np.array([[_integer("SIZE", size, np.int32)]], np.int32)
    return Request("studio", inputs, ("STUDIO_IMAGE", "SUBJECT"))


def shot(answer: Mapping[str, Array], image_format: ImageFormat) -> StudioShot:
    """The answer to a request of :func:`studio`."""
    image, subject = (answer[name].ravel()[0] for name in ("STUDIO_IMAGE", "SUBJECT"))
    return StudioShot(bytes(image), f"image/{image_format}", float(subject))


def studio_video(media: Media, background: Background, aspect: Aspect, size: int | None, style: Style) -> Request:
    """From a photo, and perhaps a tune, to its studio shot as a clip: ``studio_video``."""
    inputs = dict(studio(media["IMAGE"], background, aspect, size, "jpeg", style).inputs)
    del inputs["IMAGE_FORMAT"]
    if "MUSIC" in media:
        inputs["MUSIC"] = _rows([media["MUSIC"]])
    return Request("studio_video", inputs, ("STUDIO_VIDEO", "SUBJECT"))


def filmed(answer: Mapping[str, Array]) -> StudioVideo:
    """The answer to a request of :func:`studio_video`."""
    video, subject = (answer[name].ravel()[0] for name in ("STUDIO_VIDEO", "SUBJECT"))
    return StudioVideo(bytes(video), float(subject))


def post(media: Media, caption: str, captions: Captions, background: Background, aspect: Aspect) -> Request:
    """From a photo, a clip or both, the copy and perhaps its voice to one post: ``post``."""
    told = {"CAPTION": caption, "CAPTIONS": captions, "BACKGROUND": background, "ASPECT": aspect}
    inputs = {name: _texts(name, [value]) for name, value in told.items()}
    inputs |= {name: _rows([data]) for name, data in media.items()}
    return Request("post", inputs, ("POST", "SECONDS"))


def posted(answer: Mapping[str, Array]) -> Post:
    """The answer to a request of :func:`post`."""
    return Post(bytes(answer["POST"].ravel()[0]), float(answer["SECONDS"].ravel()[0]))


def tags_of(condition: Array) -> Request:
    """From a condition to its tags: ``tagger``."""
    return Request("tagger", {"CONDITION": _condition(condition)}, OUTPUTS["tags"])


def prompt(product: Product, tags: Mapping[str, Array], options: TextOptions) -> Request:
    """From title, tags with their scores and the text options to the decoder's prompt and sampling: ``prompter``.

    And to REQUEST, by which the decoder holds each sentence of a stream to the facts.
    """
    for option in ("max_characters", "banned_words"):
        if options.get(option) is not None:
            raise InvalidInput("a stream is not cut to a channel's limits; use generate", field=option.upper())
    sampling = _sampling_fields(options.get("sampling", Sampling()))
    inputs = {"TITLE": _texts("TITLE", [product.title]), **{name: tags[name] for name in OUTPUTS["tags"]}}
    inputs |= {name: array for name, array in sampling.items() if name in TASK_SAMPLING}
    return Request("prompter", inputs | _prompt_fields(product, options), ("PROMPT", "REQUEST", *TASK_SAMPLING))


def decode(prompt: Mapping[str, Array], options: TextOptions) -> Request:
    """From what ``prompter`` gave to a stream of text: ``text_decoder``.

    The decoder itself, not the ``text_stream`` ensemble: inside an ensemble a running step of Triton is never told
    that its caller has gone (triton-inference-server/server#6739), so closing a stream would leave it decoding.
    """
    sampling = _sampling_fields(options.get("sampling", Sampling()))
    return Request("text_decoder", {**sampling, **prompt}, TEXT_OUTPUTS, timed=True)


def derived(media: Media) -> set[Want]:
    """What is asked for beside a condition, so that a text written from it has what sound and photo say in words."""
    return {name for name, (medium, _) in DERIVED.items() if medium in media}


def told(options: TextOptions, found: Listing) -> TextOptions:
    """The options with the transcript and the label text that were found."""
    more: TextOptions = {}
    if found.transcript:
        more["transcript"] = found.transcript
    if found.label_text is not None and found.label_text.lines:
        more["label_text"] = found.label_text
    return {**options, **more}


def wanted(want: Collection[Want]) -> tuple[str, ...]:
    """The outputs to ask for."""
    if isinstance(want, str) or not want or not set(want) <= set(WANTS):
        raise InvalidInput(f"{want!r}: expected a set of some of {', '.join(WANTS)}", field="want")
    return tuple(name for each in OUTPUTS if each in want for name in OUTPUTS[each])


def check_options(options: Mapping[str, object]) -> TextOptions:
    """The keywords of a call as options; an unknown one is a TypeError, as for any function."""
    if unknown := sorted(options.keys() - _OPTIONS):
        raise TypeError(f"unexpected keyword {unknown[0]!r}; known: {', '.join(_OPTIONS)}")
    return cast(TextOptions, options)


def check_product(product: Product) -> None:
    """Refuses what cannot be sent at all; everything else is the server's to judge."""
    if not isinstance(product, Product):
        raise InvalidInput(f"expected a Product, got {type(product).__name__}", field="product")
    for name, media in files(product).items():
        if not isinstance(media, str | os.PathLike | bytes):
            raise InvalidInput(f"expected a path or bytes, got {type(media).__name__}", field=name)


def files(product: Product) -> dict[str, Any]:
    """Tensor → the path or the bytes that the product has for it."""
    every = {"IMAGE": product.image, "VIDEO": product.video, "AUDIO": product.audio}
    return {name: media for name, media in every.items() if media is not None}


def events(product: Product) -> dict[str, bytes]:
    """EVENTS as JSON, where the product has any.

    Raises:
        InvalidInput: they cannot be written as JSON.
    """
    return {} if product.events is None else {"EVENTS": _events(product.events)}


def _events(given: Sequence[Mapping[str, str | float]]) -> bytes:
    try:
        return json.dumps([dict(event) for event in given], allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"cannot be written as JSON: {error}", field="EVENTS") from error


def kinds(product: Product) -> tuple[str, ...]:
    """The tensors that a product fills beside its title; products of the same kinds share a request."""
    return (*files(product), *(["EVENTS"] if product.events is not None else []))


def check_size(name: str, media: bytes) -> bytes:
    """Refuses media that no message can carry."""
    if len(media) > MAX_MESSAGE:
        raise TooLarge(f"{len(media):,} bytes; a message holds at most {MAX_MESSAGE:,}", field=name)
    return media


# ------------------------------------------------------------------------------------------------- what came back


def listing(answer: Mapping[str, Array], request: Request) -> Listing:
    """The answer to a request of one row."""
    values: dict[str, Any] = {}
    for output in ("MODERATION", "TEXT_MODERATION"):
        if output in request.outputs:
            values["moderation"] = moderation(answer[output])
    if "TEXT" in request.outputs:
        part = piece(answer)
        if part.finish_reason == "blocked":
            raise blocked(values["moderation"], request.model)
        values |= {"text": part.text, "finish_reason": part.finish_reason}
        values["edits"] = tuple(Edit(**edit) for edit in json.loads(_text(answer["EDITS"])))
        values |= {"prompt_tokens": part.prompt_tokens, "completion_tokens": part.completion_tokens}
    if "TAGS" in request.outputs:
        values["tags"] = tags(answer)
    if "TRANSCRIPT" in request.outputs:
        values["transcript"] = _text(answer["TRANSCRIPT"])
        values["transcript_language"] = _text(answer["TRANSCRIPT_LANGUAGE"])
    if "LABEL_TEXT" in request.outputs:
        values["label_text"] = label_text(answer["LABEL_TEXT"])
    if "KEYWORDS" in request.outputs:
        values["keywords"] = tuple(word.decode() for word in answer["KEYWORDS"].ravel() if word)
    if "EMBEDDING" in request.outputs:
        values["embedding"] = np.array(answer["EMBEDDING"][0], np.float32)
    if "CONDITION" in request.outputs:
        values["condition"] = np.array(answer["CONDITION"][0], np.float32)
    if "FUSION_WEIGHTS" in request.outputs:
        shares = (float(share) for share in answer["FUSION_WEIGHTS"][0])
        values["weights"] = dict(zip(("text", *MODALITIES.values()), shares, strict=True))
    return Listing(**values)


def moderation(tensor: Array) -> Moderation:
    """What the policy said of one row."""
    said = json.loads(_text(tensor))
    return Moderation(said["action"], tuple(Finding(**finding) for finding in said["findings"]))


def blocked(said: Moderation, model: str) -> Blocked:
    """The error for what may not appear."""
    blocking = tuple(finding for finding in said.findings if finding.action == "block")
    reasons = "; ".join(f"{each.field} by {each.by}: {each.evidence} ({each.category})" for each in blocking)
    return Blocked(f"the shop's policy blocks it: {reasons}", model=model, field=blocking[0].field, findings=blocking)


def piece(answer: Mapping[str, Array]) -> Piece:
    """One answer of the text decoder."""
    return Piece(
        text=_text(answer["TEXT"]),
        finish_reason=_text(answer["FINISH_REASON"]) or None,
        prompt_tokens=int(answer["PROMPT_TOKENS"].ravel()[0]),
        completion_tokens=int(answer["COMPLETION_TOKENS"].ravel()[0]),
    )


def tags(answer: Mapping[str, Array]) -> tuple[Tag, ...]:
    """The tags of one row, without padding."""
    pairs = zip(answer["TAGS"].ravel(), answer["TAG_SCORES"].ravel(), strict=True)
    return tuple(Tag(name.decode(), float(score)) for name, score in pairs if name)


def checked(answer: Mapping[str, Array], request: Request) -> Mapping[str, Array]:
    """The answer, once it holds every output for every row: Triton does not notice a step that answers fewer."""
    for name in request.outputs:
        if name not in answer:
            raise ServerError(f"the answer lacks {name}", model=request.model, field=name)
        if (rows := len(answer[name])) != request.rows:
            raise ServerError(f"{rows} rows answered of {request.rows}", model=request.model, field=name)
    return answer


# ---------------------------------------------------------------------------------------------------------- fields


def _encode(
    products: Sequence[Product], media: Sequence[Media], outputs: tuple[str, ...], fields: dict[str, Array]
) -> Request:
    if any(each.keys() != media[0].keys() for each in media):
        raise ValueError("one request takes products that all have the same kinds of media")
    inputs: dict[str, Array] = {"TITLE": _texts("TITLE", [product.title for product in products])}
    present = [name for name in MODALITIES if name in media[0]]
    inputs |= {name: _rows([each[name] for each in media]) for name in present}
    model = "_".join(["content", *(MODALITIES[name] for name in present)])
    return Request(model, inputs | fields, outputs, timed="TEXT" in outputs)


def varied(options: TextOptions) -> tuple[TextOptions, int]:
    """The options with a sampling that varies where they leave it open, and the first seed."""
    sampling = options.get("sampling", Sampling())
    seed = sampling.seed if sampling.seed is not None else secrets.randbits(32)
    temperature = VARIED_TEMPERATURE if sampling.temperature is None else sampling.temperature
    chosen = replace(sampling, temperature=temperature, seed=None)
    return cast(TextOptions, {**options, "sampling": chosen}), seed


def _text_fields(product: Product, options: TextOptions | None) -> dict[str, Array]:
    options = options or {}
    sampling = _sampling_fields(options.get("sampling", Sampling()))
    return _prompt_fields(product, options) | sampling | _edit_fields(options)


def _edit_fields(options: TextOptions) -> dict[str, Array]:
    fields: dict[str, Array] = {}
    if (most := options.get("max_characters")) is not None:
        fields["MAX_CHARACTERS"] = np.array([[_integer("MAX_CHARACTERS", most, np.int32)]], np.int32)
    if words := options.get("banned_words"):
        fields["BANNED_WORDS"] = _texts("BANNED_WORDS", [words] if isinstance(words, str) else words).reshape(1, -1)
    return fields


def _prompt_fields(product: Product, options: TextOptions) -> dict[str, Array]:
    texts = ("task", "language", "tone", "question", "transcript")
    fields: dict[str, object] = {key.upper(): options.get(key) for key in texts}
    for name, value in (("HISTORY", options.get("history")), ("ATTRIBUTES", product.attributes)):
        if value:
            fields[name] = _json(name, list(value) if name == "HISTORY" else dict(cast("Mapping[str, str]", value)))
    if (label := options.get("label_text")) is not None:
        if not isinstance(label, LabelText):
            raise InvalidInput(f"expected a LabelText, got {type(label).__name__}", field="LABEL_TEXT")
        lines = [line._asdict() for line in label.lines]
        fields["LABEL_TEXT"] = _json("LABEL_TEXT", {"lines": lines, "omitted": label.omitted, "failed": False})
    return {name: _texts(name, [value]) for name, value in fields.items() if value is not None}


def _told(product: Product, options: TextOptions | None) -> dict[str, Array]:
    """What is said of the product beside its title."""
    every = _prompt_fields(product, options or {})
    return {name: every[name] for name in ("ATTRIBUTES", "TRANSCRIPT", "LABEL_TEXT") if name in every}


def _sampling_fields(sampling: Sampling) -> dict[str, Array]:
    if not isinstance(sampling, Sampling):
        raise InvalidInput(f"expected a Sampling, got {type(sampling).__name__}", field="sampling")
    integers: dict[str, type[np.signedinteger[Any]]] = {"MAX_TOKENS": np.int32, "TOP_K": np.int32, "SEED": np.int64}
    numbers = ("TEMPERATURE", "TOP_P", "REPETITION_PENALTY")
    fields: dict[str, Array] = {}
    for name, dtype in integers.items():
        if (value := getattr(sampling, name.lower())) is not None:
            fields[name] = np.array([[_integer(name, value, dtype)]], dtype)
    for name in numbers:
        if (value := getattr(sampling, name.lower())) is not None:
            fields[name] = np.array([[_number(name, value)]], np.float32)
    if sampling.stop:
        stops = [sampling.stop] if isinstance(sampling.stop, str) else list(sampling.stop)
        fields["STOP"] = _texts("STOP", stops).reshape(1, -1)
    return fields


def _texts(name: str, values: Sequence[object]) -> Array:
    return _rows([_utf8(name, value) for value in values])


def _rows(values: Sequence[bytes]) -> Array:
    """BYTES [N, 1]."""
    rows = np.empty((len(values), 1), np.object_)
    rows[:, 0] = values
    return rows


def _utf8(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise InvalidInput(f"expected text, got {type(value).__name__} {value!r:.40}", field=name)
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"not valid Unicode: {error}", field=name) from error


def _json(name: str, value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"cannot be written as JSON: {error}", field=name) from error


def _integer(name: str, value: object, dtype: type[np.signedinteger[Any]]) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidInput(f"expected a whole number, got {type(value).__name__} {value!r:.40}", field=name)
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise InvalidInput(f"{value} does not fit {dtype.__name__}", field=name)
    return int(value)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise InvalidInput(f"expected a number, got {type(value).__name__} {value!r:.40}", field=name)
    return float(value)


def _condition(condition: Array) -> NDArray[np.float32]:
    try:
        array = np.asarray(condition, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"expected float32 {list(CONDITION_SHAPE)}: {error}", field="CONDITION") from error
    if array.shape != CONDITION_SHAPE:
        raise InvalidInput(f"expected float32 {list(CONDITION_SHAPE)}, got {list(array.shape)}", field="CONDITION")
    return array[None]


def _text(array: Array) -> str:
    return str(array.ravel()[0].decode())

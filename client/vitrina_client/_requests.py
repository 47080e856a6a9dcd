"""Requests and answers as plain arrays, with no connection: what is asked of which model.

Pure functions. Every transport carries the same :class:`Request` and gives back the same mapping of arrays.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import numpy as np

from vitrina_client import _fields as tensors
from vitrina_client._errors import InvalidInput, TooLarge
from vitrina_client._options import TASK_SAMPLING, Sampling, TextOptions
from vitrina_client._types import (
    Array,
    Aspect,
    AudioFormat,
    Background,
    Captions,
    ImageFormat,
    Listing,
    Product,
    Style,
    Want,
)

MAX_ROWS = 8  # the ensembles' max_batch_size


VARIED_TEMPERATURE = 0.5  # of variants, where the options say nothing


MAX_MESSAGE = 2**31 - 2**20  # bytes; protobuf and Triton's gRPC end at 2 GiB, with room for the other fields


TEXT_OUTPUTS = ("TEXT", "FINISH_REASON", "PROMPT_TOKENS", "COMPLETION_TOKENS")
#: Wants for which a text is written.
WRITTEN: frozenset[Want] = frozenset({"text", "listing"})


WANTS: tuple[Want, ...] = get_args(Want)
OUTPUTS: dict[Want, tuple[str, ...]] = {
    "text": (*TEXT_OUTPUTS, "EDITS", "EVIDENCE", "CONFLICTS", "TEXT_MODERATION"),
    "listing": (*TEXT_OUTPUTS, "EDITS", "EVIDENCE", "CONFLICTS", "TEXT_MODERATION", "LISTING"),
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
    if not WRITTEN.isdisjoint(want):
        fields = tensors.encode_text(product, options)
    elif {"moderation", "keywords"} & set(want):
        fields = tensors.encode_facts(product, options)
    return _encode([product], [media], wanted(want), fields)


def embeddings(products: Sequence[Product], media: Sequence[Media]) -> Request:
    """From up to 8 products that all have the same kinds of media to their embeddings."""
    return _encode(products, media, OUTPUTS["embedding"], {})


def from_condition(product: Product, condition: Array, want: Collection[Want], options: TextOptions) -> Request:
    """From a condition to text and tags, nothing encoded again: ``generate``."""
    outputs = wanted(want)
    if beyond := sorted(set(want) - {*WRITTEN, "tags", "keywords"}):
        made = "text, listing, tags, keywords, image, video"
        raise InvalidInput(f"{', '.join(beyond)} cannot be made from a condition; ask for {made}", field="want")
    inputs = {"CONDITION": tensors.condition(condition), "TITLE": tensors.texts("TITLE", [product.title])}
    written = not WRITTEN.isdisjoint(want)
    fields = tensors.encode_text(product, options) if written else {}
    if "keywords" in want and not fields:
        fields = tensors.encode_facts(product, options)
    return Request("generate", inputs | fields, outputs, timed=written)


def variants(product: Product, condition: Array, seeds: Sequence[int], options: TextOptions) -> Request:
    """From a condition to a text for each seed: ``generate``, a row a seed."""
    one = from_condition(product, condition, {"text"}, options)
    inputs = {name: np.repeat(array, len(seeds), axis=0) for name, array in one.inputs.items()}
    inputs["SEED"] = np.concatenate([tensors.encode("SEED", seed) for seed in seeds])
    return replace(one, inputs=inputs)


def draw(what: Want, condition: Array, options: TextOptions, music: bytes | None = None) -> Request:
    """From a condition to a picture or a clip."""
    model, output = DRAWN[what]
    inputs: dict[str, Array] = {"CONDITION": tensors.condition(condition)}
    if (seed := options.get("image_seed")) is not None:
        inputs["IMAGE_SEED"] = tensors.encode("IMAGE_SEED", seed)
    if what == "image" and (kind := options.get("image_format")) is not None:
        inputs["IMAGE_FORMAT"] = tensors.encode("IMAGE_FORMAT", kind)
    if what == "video" and music is not None:
        inputs["MUSIC"] = tensors.rows([music])
    return Request(model, inputs, (output,))


def read_label(image: bytes) -> Request:
    """From a photo to what is printed in it: ``read_label``."""
    return Request("read_label", {"IMAGE": tensors.rows([image])}, OUTPUTS["label_text"])


def recommend(events: Sequence[Mapping[str, str | float]], count: int | None) -> Request:
    """From what a shopper did to what may come next: ``recommend``."""
    inputs = {"EVENTS": tensors.rows([tensors.events_json(events)])}
    if count is not None:
        inputs["COUNT"] = tensors.encode("COUNT", count)
    return Request("recommend", inputs, ("ITEMS", "TITLES", "SCORES"))


def speak(
    script: str, voice: str | None, language: str | None, speed: float | None, audio_format: AudioFormat
) -> Request:
    """From a script to speech: ``speak``."""
    given = {"AUDIO_FORMAT": audio_format, "VOICE": voice, "LANGUAGE": language, "SPEED": speed}
    inputs = {"SCRIPT": tensors.texts("SCRIPT", [script])}
    inputs |= {name: tensors.encode(name, value) for name, value in given.items() if value is not None}
    return Request("speak", inputs, ("AUDIO", "SECONDS"), timed=True)


def studio(
    image: bytes, background: Background, aspect: Aspect, size: int | None, image_format: ImageFormat, style: Style
) -> Request:
    """From a photo to its studio shot: ``studio``."""
    chosen = {"BACKGROUND": background, "ASPECT": aspect, "IMAGE_FORMAT": image_format, "STYLE": style, "SIZE": size}
    inputs = {"IMAGE": tensors.rows([image])}
    inputs |= {name: tensors.encode(name, value) for name, value in chosen.items() if value is not None}
    return Request("studio", inputs, ("STUDIO_IMAGE", "SUBJECT"))


def studio_video(media: Media, background: Background, aspect: Aspect, size: int | None, style: Style) -> Request:
    """From a photo, and perhaps a tune, to its studio shot as a clip: ``studio_video``."""
    inputs = dict(studio(media["IMAGE"], background, aspect, size, "jpeg", style).inputs)
    del inputs["IMAGE_FORMAT"]
    if "MUSIC" in media:
        inputs["MUSIC"] = tensors.rows([media["MUSIC"]])
    return Request("studio_video", inputs, ("STUDIO_VIDEO", "SUBJECT"))


def post(media: Media, caption: str, captions: Captions, background: Background, aspect: Aspect) -> Request:
    """From a photo, a clip or both, the copy and perhaps its voice to one post: ``post``."""
    told = {"CAPTION": caption, "CAPTIONS": captions, "BACKGROUND": background, "ASPECT": aspect}
    inputs = {name: tensors.texts(name, [value]) for name, value in told.items()}
    inputs |= {name: tensors.rows([data]) for name, data in media.items()}
    return Request("post", inputs, ("POST", "SECONDS"))


def tags_of(condition: Array) -> Request:
    """From a condition to its tags: ``tagger``."""
    return Request("tagger", {"CONDITION": tensors.condition(condition)}, OUTPUTS["tags"])


def prompt(product: Product, tags: Mapping[str, Array], options: TextOptions) -> Request:
    """From title, tags with their scores and the text options to the decoder's prompt and sampling: ``prompter``.

    And to REQUEST, by which the decoder holds each sentence of a stream to the facts.
    """
    for option in ("max_characters", "banned_words"):
        if options.get(option) is not None:
            raise InvalidInput("a stream is not cut to a channel's limits; use generate", field=option.upper())
    sampling = tensors.encode_sampling(options.get("sampling", Sampling()))
    inputs = {"TITLE": tensors.texts("TITLE", [product.title]), **{name: tags[name] for name in OUTPUTS["tags"]}}
    inputs |= {name: array for name, array in sampling.items() if name in TASK_SAMPLING}
    return Request("prompter", inputs | tensors.encode_prompt(product, options), ("PROMPT", "REQUEST", *TASK_SAMPLING))


def decode(prompt: Mapping[str, Array], options: TextOptions) -> Request:
    """From what ``prompter`` gave to a stream of text: ``text_decoder``.

    The decoder itself, not the ``text_stream`` ensemble: inside an ensemble a running step of Triton is never told
    that its caller has gone (triton-inference-server/server#6739), so closing a stream would leave it decoding.
    """
    sampling = tensors.encode_sampling(options.get("sampling", Sampling()))
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
    return tuple(dict.fromkeys(name for each in OUTPUTS if each in want for name in OUTPUTS[each]))


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
    return {} if product.events is None else {"EVENTS": tensors.events_json(product.events)}


def kinds(product: Product) -> tuple[str, ...]:
    """The tensors that a product fills beside its title; products of the same kinds share a request."""
    return (*files(product), *(["EVENTS"] if product.events is not None else []))


def check_size(name: str, media: bytes) -> bytes:
    """Refuses media that no message can carry."""
    if len(media) > MAX_MESSAGE:
        raise TooLarge(f"{len(media):,} bytes; a message holds at most {MAX_MESSAGE:,}", field=name)
    return media


def _encode(
    products: Sequence[Product], media: Sequence[Media], outputs: tuple[str, ...], fields: dict[str, Array]
) -> Request:
    if any(each.keys() != media[0].keys() for each in media):
        raise ValueError("one request takes products that all have the same kinds of media")
    inputs: dict[str, Array] = {"TITLE": tensors.texts("TITLE", [product.title for product in products])}
    present = [name for name in MODALITIES if name in media[0]]
    inputs |= {name: tensors.rows([each[name] for each in media]) for name in present}
    model = "_".join(["content", *(MODALITIES[name] for name in present)])
    return Request(model, inputs | fields, outputs, timed="TEXT" in outputs)


def varied(options: TextOptions) -> tuple[TextOptions, int]:
    """The options with a sampling that varies where they leave it open, and the first seed."""
    sampling = options.get("sampling", Sampling())
    seed = sampling.seed if sampling.seed is not None else secrets.randbits(32)
    temperature = VARIED_TEMPERATURE if sampling.temperature is None else sampling.temperature
    chosen = replace(sampling, temperature=temperature, seed=None)
    return cast(TextOptions, {**options, "sampling": chosen}), seed

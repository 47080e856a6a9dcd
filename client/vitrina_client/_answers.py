"""What a server answered, as the results that a caller gets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrina_client._errors import Blocked, ServerError
from vitrina_client._listing import StructuredListing
from vitrina_client._requests import MODALITIES, Request
from vitrina_client._types import (
    Array,
    AudioFormat,
    Conflict,
    Edit,
    Evidence,
    Fact,
    Finding,
    ImageFormat,
    LabelLine,
    LabelText,
    Listing,
    Moderation,
    Piece,
    Post,
    Recommendation,
    Sentence,
    Speech,
    StudioShot,
    StudioVideo,
    Tag,
)


@dataclass(frozen=True)
class ModelStatus:
    """One model of the server: `state` is ``READY``, ``LOADING``, ``UNAVAILABLE``… with its `reason`."""

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True)
class Status:
    """What a server says of itself."""

    live: bool
    ready: bool
    server: str
    version: str
    models: tuple[ModelStatus, ...]


RELEVANCE = 0.35  # weight of being about the product, the rest being unlike what is chosen already


def row(answer: Mapping[str, Array], number: int) -> Mapping[str, Array]:
    """One row of an answer, as the answer to a request of one row."""
    return {name: array[number : number + 1] for name, array in answer.items()}


def most_diverse(vectors: NDArray[np.float32], product: NDArray[np.float32], count: int) -> tuple[list[int], float]:
    """Rows that are near the product and far from each other (maximal marginal relevance, Carbonell & Goldstein 1998).

    Args:
        vectors: float32 [N, width] of texts, unit length; `product` float32 [width], likewise.
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


def parse_drawing(answer: Mapping[str, Array], request: Request) -> bytes:
    """The file that a request of :func:`draw` gave."""
    return bytes(answer[request.outputs[0]].ravel()[0])


def label_text(tensor: Array) -> LabelText:
    """What is printed in one photo."""
    label = json.loads(_text(tensor))
    if label["failed"]:
        raise ServerError("the label could not be read; the server's log says why", model="label_reader")
    lines = (LabelLine(each["text"], tuple(map(tuple, each["box"])), each["confidence"]) for each in label["lines"])
    return LabelText(tuple(lines), label["omitted"])


def parse_recommendations(answer: Mapping[str, Array]) -> tuple[Recommendation, ...]:
    """The answer to a request of :func:`recommend`."""
    columns = (answer[name].ravel() for name in ("ITEMS", "TITLES", "SCORES"))
    return tuple(
        Recommendation(item.decode(), title.decode(), float(score)) for item, title, score in zip(*columns, strict=True)
    )


def parse_speech(answer: Mapping[str, Array], audio_format: AudioFormat) -> Speech:
    """The answer to a request of :func:`speak`."""
    return Speech(bytes(answer["AUDIO"].ravel()[0]), f"audio/{audio_format}", float(answer["SECONDS"].ravel()[0]))


def parse_studio_shot(answer: Mapping[str, Array], image_format: ImageFormat) -> StudioShot:
    """The answer to a request of :func:`studio`."""
    image, subject = (answer[name].ravel()[0] for name in ("STUDIO_IMAGE", "SUBJECT"))
    return StudioShot(bytes(image), f"image/{image_format}", float(subject))


def parse_studio_video(answer: Mapping[str, Array]) -> StudioVideo:
    """The answer to a request of :func:`studio_video`."""
    video, subject = (answer[name].ravel()[0] for name in ("STUDIO_VIDEO", "SUBJECT"))
    return StudioVideo(bytes(video), float(subject))


def parse_post(answer: Mapping[str, Array]) -> Post:
    """The answer to a request of :func:`post`."""
    return Post(bytes(answer["POST"].ravel()[0]), float(answer["SECONDS"].ravel()[0]))


def listing(answer: Mapping[str, Array], request: Request) -> Listing:
    """The answer to a request of one row."""
    if "TEXT" in request.outputs and _text(answer["FINISH_REASON"]) == "blocked":
        raise blocked(moderation(answer["TEXT_MODERATION"]), request.model)
    values = {name.lower(): _READ.get(name, _plain)(answer[name]) for name in request.outputs}
    values.pop("tag_scores", None)
    if "tags" in values:
        values["tags"] = tags(answer)
    if "fusion_weights" in values:
        values["weights"] = values.pop("fusion_weights")
    if "text_moderation" in values:  # with what was said before the text was written
        values["moderation"] = values.pop("text_moderation")
    return Listing(**values)


def _plain(tensor: Array) -> Any:
    """A text, a number, or float32 without the batch axis."""
    if tensor.dtype.kind in "OS":
        return _text(tensor)
    return tensor.item() if tensor.size == 1 else np.array(tensor[0], np.float32)


def _weights(tensor: Array) -> dict[str, float]:
    return dict(zip(("text", *MODALITIES.values()), map(float, tensor[0]), strict=True))


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


def check_rows(answer: Mapping[str, Array], request: Request) -> Mapping[str, Array]:
    """The answer, once it holds every output for every row: Triton does not notice a step that answers fewer."""
    for name in request.outputs:
        if name not in answer:
            raise ServerError(f"the answer lacks {name}", model=request.model, field=name)
        if (rows := len(answer[name])) != request.rows:
            raise ServerError(f"{rows} rows answered of {request.rows}", model=request.model, field=name)
    return answer


#: Outputs that are more than :func:`_plain` values, and what reads them.
_READ: dict[str, Callable[[Array], Any]] = {
    "CONFLICTS": lambda tensor: tuple(
        Conflict(each["kind"], tuple(each["facts"]), tuple(each["texts"])) for each in json.loads(_text(tensor))
    ),
    "EDITS": lambda tensor: tuple(Edit(**edit) for edit in json.loads(_text(tensor))),
    "EVIDENCE": lambda tensor: _evidence(json.loads(_text(tensor))),
    "FUSION_WEIGHTS": _weights,
    "KEYWORDS": lambda tensor: tuple(word.decode() for word in tensor.ravel() if word),
    "LABEL_TEXT": label_text,
    "LISTING": lambda tensor: StructuredListing.loads(_text(tensor)),
    "MODERATION": moderation,
    "TEXT_MODERATION": moderation,
}


def _evidence(said: Any) -> Evidence:
    sentences = (Sentence(each["text"], tuple(each["facts"])) for each in said["sentences"])
    return Evidence(tuple(Fact(**fact) for fact in said["facts"]), tuple(sentences))


def _text(array: Array) -> str:
    return str(array.ravel()[0].decode())

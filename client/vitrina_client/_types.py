"""What goes in and what comes out: plain values, no connection."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from vitrina_client._listing import StructuredListing

#: Arrays that travel: bytes as numpy objects, numbers as their dtype, the batch axis first.
Array = NDArray[Any]
Want = Literal[
    "text",
    "listing",
    "tags",
    "keywords",
    "embedding",
    "condition",
    "weights",
    "moderation",
    "transcript",
    "label_text",
    "image",
    "video",
]
Output = Literal["text", "image", "video", "studio", "studio_video", "speech", "post"]
#: A file's path, or what it holds.
Media = str | os.PathLike[str] | bytes
AudioFormat = Literal["wav", "ogg"]
Background = Literal["white", "shadow", "studio", "transparent", "photo"]
Aspect = Literal["1:1", "4:5", "9:16", "16:9"]
#: How a post shows its copy: on the pictures, or as a track of text that a player shows or not.
Captions = Literal["burnt", "track"]
ImageFormat = Literal["jpeg", "png", "webp"]
Style = Literal["natural", "vivid", "soft", "warm", "cool", "mono"]


@dataclass(frozen=True)
class Product:
    """What a shop knows of a product.

    Args:
        title: may be empty where there is anything else.
        image: path of a picture file, or its bytes (JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP, TIFF); None for none.
        attributes: name → value, both text (``{"colour": "red"}``); they go into the prompt.
        video: path or bytes of a clip (MP4, MOV, WebM).
        audio: path or bytes of a sound or a spoken note (WAV, FLAC, OGG, MP3, M4A), at most 30 s; what is said in it,
            in English or Chinese, goes into the prompt.
        events: what the shopper did before, to whom it shall be of interest: a list of
            ``{"item": id, "event": "view" | "click" | "favourite" | "cart" | "buy", "age_s": seconds}``.
    """

    title: str = ""
    image: Media | None = field(default=None, repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)
    video: Media | None = field(default=None, repr=False)
    audio: Media | None = field(default=None, repr=False)
    events: Sequence[Mapping[str, str | float]] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        shown = [f"title={self.title!r}"]
        for name in ("image", "video", "audio"):
            media = getattr(self, name)
            if media is not None or name == "image":
                shown.append(f"{name}=<{len(media)} bytes>" if isinstance(media, bytes) else f"{name}={media!r}")
        shown.append(f"attributes={dict(self.attributes)!r}")
        if self.events is not None:
            shown.append(f"events=<{len(self.events)}>")
        return f"Product({', '.join(shown)})"


class Message(TypedDict):
    """One turn of the chat that task ``"reply"`` answers."""

    role: Literal["customer", "shop"]
    text: str


class Brand(TypedDict, total=False):
    """A shop's voice: how it writes, words that it likes, and words that no copy has; none of it is a fact."""

    style: str
    words: Sequence[str]
    never: Sequence[str]


class LabelLine(NamedTuple):
    """One printed line.

    Attributes:
        box: four corners, x and y in the photo's own pixels (upright by its EXIF orientation), clockwise from the
            text's own top left.
        confidence: 0 to 1; what is under 0.8 is no fact for the copy.
    """

    text: str
    box: tuple[tuple[int, int], ...]
    confidence: float


@dataclass(frozen=True)
class LabelText:
    """What is printed on a product, read off its photo.

    Attributes:
        lines: in reading order.
        omitted: how many lines were found and not read, because there were more than 200.
    """

    lines: tuple[LabelLine, ...] = ()
    omitted: int = 0

    def __str__(self) -> str:
        """The lines, one below the other."""
        return "\n".join(line.text for line in self.lines)


class Tag(NamedTuple):
    """A word for what the product is, with its score (higher is nearer)."""

    name: str
    score: float


class Edit(NamedTuple):
    """What the server changed in a text before it gave it: `after` stands where `before` stood.

    `kind` is ``unfinished`` (max_tokens cut a sentence off), ``repetition``, ``price`` or ``figure`` (one that no fact
    has, or that is another attribute's), ``safety`` (a statement on it in other words than the facts'), ``claim`` (any
    other that no fact supports), ``invented`` (words of the prompt's examples, talk of the data), ``banned``,
    ``length``, ``format`` (marks of a format), or ``stated``: facts put in, `before` empty. `why` has the words at
    fault.
    """

    kind: str
    before: str
    after: str
    why: str = ""


class Fact(NamedTuple):
    """What is known of a product.

    Attributes:
        number: from 1.
        source: ``title``, ``attribute``, ``label`` (printed on the product), ``transcript`` (said of it), ``photo`` (a
            tag), ``question`` or ``chat``.
        name: an attribute's, or who speaks in a chat; empty for others.
        text: as it was given.
        confidence: 0 to 1; below 1 for a tag.
    """

    number: int
    source: str
    name: str
    text: str
    confidence: float


class Sentence(NamedTuple):
    """A sentence of a copy, and the numbers of the facts that it rests on; none where it claims nothing."""

    text: str
    facts: tuple[int, ...]


class Conflict(NamedTuple):
    """Two facts that cannot both be true: a shop should look which of them is.

    Attributes:
        kind: ``material``, ``colour``, ``origin``, or what a figure measures (``mass``).
        facts: their numbers in :class:`Evidence`.
        texts: what each says.
    """

    kind: str
    facts: tuple[int, int]
    texts: tuple[str, str]


class Evidence(NamedTuple):
    """The facts of a copy, and what each of its sentences rests on."""

    facts: tuple[Fact, ...]
    sentences: tuple[Sentence, ...]


class Finding(NamedTuple):
    """One reason why the shop's policy flags or blocks something.

    Attributes:
        category: as the policy file names it (``weapons``).
        action: ``flag`` or ``block``.
        field: where it was found: ``TITLE``, ``ATTRIBUTES``, ``IMAGE``, ``VIDEO``, ``TRANSCRIPT`` (what is said in the
            sound), ``LABEL`` (what is printed on it), ``TEXT`` (what was written), ``SCRIPT`` or ``CAPTION``.
        by: ``words``, ``likeness`` (a sentence reads like the policy's examples) or ``class`` (what the picture shows).
        evidence: the word; the sentence ≈ an example; the class.
        score: 1 for a word, else about 0 to 1.
    """

    category: str
    action: Literal["flag", "block"]
    field: str
    by: str
    evidence: str
    score: float


@dataclass(frozen=True)
class Moderation:
    """What the shop's policy says: ``allow``, ``flag`` (somebody should look) or ``block``, and why."""

    action: Literal["allow", "flag", "block"]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class Listing:
    """What was made of a product; what was not asked for is None.

    Attributes:
        text: the copy, edited; empty if none of it may be shown.
        edits: what was changed in the copy, and why.
        evidence: the facts that are known, and those that each sentence of the copy rests on.
        conflicts: facts that cannot both be true.
        listing: the structured listing of the product, the copy among it.
        finish_reason: ``eos`` (it came to its end), ``length`` (max_tokens) or ``stop`` (a stop text).
        prompt_tokens, completion_tokens: counts of the text decoder.
        tags: best first, at most 5.
        keywords: words that the product is searched by, at most 20: of title, attributes, what is said, what is printed
            on it in large letters and what the photo surely shows, without stop words.
        embedding: float32 [width], unit length, for search.
        condition: float32 [rows, width], what decoders take; pass it back as ``condition=`` to write more from it.
        weights: modality → how much it counted, together one; 0 for what was not given.
        moderation: what the policy says of all that was given, and of the copy where that was asked for; what it blocks
            is raised as :class:`Blocked` instead of given.
        transcript: what is said in the product's sound, as whisper heard it; empty where nobody speaks.
        transcript_language: the ISO 639-1 code of its language (``"en"``, ``"zh"``); empty where nobody speaks.
        label_text: what is printed on the product in its photo.
        image: file of a generated picture, a PNG unless ``image_format`` says otherwise; it says so in its metadata.
        video: MP4 of a generated turn round the product; it says so in its metadata.
    """

    text: str | None = None
    edits: tuple[Edit, ...] | None = None
    evidence: Evidence | None = None
    conflicts: tuple[Conflict, ...] | None = None
    listing: StructuredListing | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tags: tuple[Tag, ...] | None = None
    keywords: tuple[str, ...] | None = None
    embedding: NDArray[np.float32] | None = field(default=None, repr=False)
    condition: NDArray[np.float32] | None = field(default=None, repr=False)
    weights: Mapping[str, float] | None = None
    moderation: Moderation | None = None
    transcript: str | None = None
    transcript_language: str | None = None
    label_text: LabelText | None = None
    image: bytes | None = field(default=None, repr=False)
    video: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Variants:
    """Texts of one product that differ.

    Attributes:
        listings: as :meth:`~vitrina_client.Vitrina.generate` gives them, the one nearest to the product first; fewer
            than asked for where no more differed.
        diversity: mean distance (1 - cosine of their embeddings) between two of them; 0 where there is one.
        written: how many were written to choose from.
    """

    listings: tuple[Listing, ...]
    diversity: float
    written: int


@dataclass(frozen=True)
class Speech:
    """A script, spoken.

    Attributes:
        audio: WAV (16 bits, one channel) or OGG (Vorbis); it says in its metadata that it is generated.
        mime: ``audio/wav`` or ``audio/ogg``.
        seconds: how long it lasts.
    """

    audio: bytes = field(repr=False)
    mime: str
    seconds: float


@dataclass(frozen=True)
class StudioShot:
    """A product cut out of its photo, before another ground.

    Attributes:
        image: the picture's file; it says in its metadata that an algorithm worked on it.
        mime: ``image/jpeg``, ``image/png`` or ``image/webp``.
        subject: share of the photo that the product covers; 0 where nothing stood out, or where it went on beyond the
            photo's edges: the photo is then shown whole.
    """

    image: bytes = field(repr=False)
    mime: str
    subject: float


@dataclass(frozen=True)
class StudioVideo:
    """A product cut out of its photo, before another ground, swinging to and fro.

    Attributes:
        video: MP4 (H.264) of four seconds, to be shown in a loop; it says in its metadata that it was made of a photo.
        subject: as of :class:`StudioShot`; where it is 0 the whole photo comes nearer and goes back.
    """

    video: bytes = field(repr=False)
    subject: float


@dataclass(frozen=True)
class Post:
    """One post of a product.

    Attributes:
        video: MP4 (H.264, AAC where anything is heard) of the photo, its studio shot and the captions; it says in its
            metadata that parts are generated.
        seconds: how long it lasts.
    """

    video: bytes = field(repr=False)
    seconds: float


class Recommendation(NamedTuple):
    """A product of the server's item index that a shopper is likely to turn to next; higher scores are likelier."""

    item: str
    title: str
    score: float


@dataclass(frozen=True, eq=False)
class Result:
    """One output of a product, as ``iter_results`` gives it.

    Attributes:
        output: ``text``, ``image``, ``video``, ``studio``, ``studio_video``, ``speech`` or ``post``.
        value: a :class:`Listing` (text, with all that is said of it), bytes (image: PNG, video: MP4), a
            :class:`StudioShot`, :class:`StudioVideo`, :class:`Speech` or :class:`Post`; None where it failed.
        error: a :class:`VitrinaError`, why it could not be made; None where it was.
        seconds: from the call until it was there.
    """

    output: Output
    value: Listing | StudioShot | StudioVideo | Speech | Post | bytes | None = field(repr=False)
    error: Exception | None
    seconds: float


@dataclass(frozen=True)
class Piece:
    """A piece of streamed text; the last one has a `finish_reason`.

    Attributes:
        text: what came since the piece before.
        finish_reason: None until the last piece, then ``eos``, ``length`` or ``stop``.
        prompt_tokens, completion_tokens: counts so far.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int


OUTPUTS: tuple[Output, ...] = get_args(Output)

"""Every call that a client has, once: its arguments, what they mean, and the flow that answers it.

`_client` makes a plain and an awaited method of each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from vitrina_client import _flows as flows
from vitrina_client._answers import Status
from vitrina_client._options import TextOptions
from vitrina_client._requests import check_options
from vitrina_client._steps import CallPolicy, Flow
from vitrina_client._timeout import Timeout
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

#: What a product's listing holds unless more is asked for.
DEFAULT_WANT: Collection[Want] = frozenset({"text", "tags"})


class Client(Protocol):
    """What a call takes of the client that it is a method of."""

    def policy(self, timeout: Timeout | None) -> CallPolicy:
        """How patient the call is, where it brings a limit of its own or none."""


def generate(
    client: Client,
    product: Product,
    *,
    want: Collection[Want] = DEFAULT_WANT,
    condition: Array | None = None,
    timeout: Timeout | None = None,
    **options: Unpack[TextOptions],
) -> Flow[Listing]:
    """What is in `want`, made of a product: one request, and one more for each of a picture and a clip.

    Args:
        want: any of ``text``, ``listing`` (structured, the text among it), ``tags``, ``keywords``, ``embedding``,
            ``condition``, ``weights``, ``moderation``, ``transcript`` (of a product with a sound), ``label_text`` (of
            one with a photo), ``image`` and ``video``; the server computes nothing else.
        condition: float32 [rows, width] of an earlier listing: all but embedding and weights are made from
            it, nothing is sent or encoded again.
        options: ``task``, ``language``, ``tone``, ``question``, ``history``, ``sampling``, ``image_seed``; see
            `TextOptions`.

    Given up early (KeyboardInterrupt), the request is left alone: what runs inside an ensemble goes on, at most
    until its TIMEOUT_MS. Use :meth:`stream` where that matters; closing it stops the decoder.
    """
    return flows.generate(client.policy(timeout), product, want, condition, check_options(options))


def embed(
    client: Client, product: Product | Sequence[Product], *, timeout: Timeout | None = None
) -> Flow[NDArray[np.float32]]:
    """float32 [width] of a product, or [N, width] of several (up to 8 a request), of unit length."""
    rows = yield from flows.embed(client.policy(timeout), [product] if isinstance(product, Product) else list(product))
    return rows[0] if isinstance(product, Product) else rows


def variants(
    client: Client,
    product: Product,
    count: int = 4,
    *,
    timeout: Timeout | None = None,
    **options: Unpack[TextOptions],
) -> Flow[Variants]:
    """Texts of a product that differ: ad creatives to choose from, or to test against each other.

    for listing in vitrina.variants(Product(title="Enamel mug", image="mug.jpg"), 4).listings:
        print(listing.text)

    Args:
        count: 1 to 8.
        options: as for :meth:`generate`; task ``ad`` and temperature 0.5 if left out. With a seed in `sampling` the
            same variants come again.
    """
    options = check_options({"task": "ad", **options})
    return flows.variants(client.policy(timeout), product, count, options)


def check(client: Client, product: Product, *, timeout: Timeout | None = None) -> Flow[Moderation]:
    """What the shop's policy says of a product's title (or any text in its place) and photo, with reasons.

    Words, likeness to the policy's examples (English) and what the photo shows; the policy is a file of the server.
    """
    return flows.check(client.policy(timeout), product)


def read_label(client: Client, image: Media, *, timeout: Timeout | None = None) -> Flow[LabelText]:
    """What is printed on the product of a photo, Chinese and English, line by line.

    print(vitrina.read_label("mug.jpg"))

    Args:
        image: path of a picture file, or its bytes (JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP, TIFF). Labels may be
            turned, upside down or in perspective; of more than 200 lines the largest are read.
    """
    return flows.read_label(client.policy(timeout), image)


def recommend(
    client: Client,
    events: Sequence[Mapping[str, str | float]],
    *,
    count: int | None = None,
    timeout: Timeout | None = None,
) -> Flow[tuple[Recommendation, ...]]:
    """Products of the server's item index that a shopper is likely to turn to next, likeliest first.

    Args:
        events: what the shopper did, as :class:`Product` takes it; one at least. The product of the latest event
            is left out, others that were seen may come again.
        count: 1 to 100; 10 if left out.
    """
    return flows.recommend(client.policy(timeout), events, count)


def speak(
    client: Client,
    script: str,
    *,
    voice: str | None = None,
    language: str | None = None,
    speed: float | None = None,
    audio_format: AudioFormat = "wav",
    timeout: Timeout | None = None,
) -> Flow[Speech]:
    """A script read aloud, in English or Chinese.

    Args:
        script: at most 2,000 characters; numbers, sizes and prices are read as words. A Chinese one may hold
            English words.
        voice: one of the server's voices by name (docs/speech.md); the language's first if left out.
        language: an ISO 639-1 code; if left out, ``zh`` where the script holds a Chinese character, else ``en``.
        speed: 0.5 to 2 times the voice's own.
        audio_format: ``"wav"`` or ``"ogg"``.

    Raises :class:`InvalidInput` for a voice or a language that the server does not have, and for a script with
    letters that the voice does not read. The English voice draws noise of its own: the same script sounds alike,
    but is not the same bytes.
    """
    return flows.speak(client.policy(timeout), script, voice, language, speed, audio_format)


def studio(
    client: Client,
    image: Media,
    *,
    background: Background = "white",
    aspect: Aspect = "1:1",
    size: int | None = None,
    image_format: ImageFormat = "jpeg",
    style: Style = "natural",
    timeout: Timeout | None = None,
) -> Flow[StudioShot]:
    """The product of a photo, cut out, in even light, before another ground. Nothing of it is invented.

    Args:
        image: path of a picture file, or its bytes (JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP, TIFF).
        background: ``white``; ``shadow``, white with a shadow; ``studio``, light grey with a shadow; or
            ``transparent``, which jpeg cannot hold. ``photo`` keeps the photo as it is, for a poster or a print of
            which nothing shall be cut out.
        aspect: width to height.
        size: pixels of the longer side, 256 to 2048; 1200 if left out.
        image_format: of the file that comes back.
        style: of the product: ``natural``, ``vivid``, ``soft``, ``warm``, ``cool`` or ``mono``.
    """
    return flows.studio(client.policy(timeout), image, background, aspect, size, image_format, style)


def studio_video(
    client: Client,
    image: Media,
    *,
    background: Background = "white",
    aspect: Aspect = "1:1",
    size: int | None = None,
    style: Style = "natural",
    music: Media | None = None,
    timeout: Timeout | None = None,
) -> Flow[StudioVideo]:
    """The studio shot as a clip: the photo's own product swings to and fro. Four seconds, to be shown in a loop.

    Its depth is guessed from its outline, which does for the 20 degrees to either side that it swings; what the
    photo does not show does not come into sight.

    Args:
        image: as for :meth:`studio`.
        background: ``white``, ``shadow``, ``studio`` or ``photo``.
        aspect, style: as for :meth:`studio`.
        size: pixels of the longer side, 256 to 1080; 720 if left out.
        music: path or bytes of a tune that is heard with it, at most 30 s.
    """
    return flows.studio_video(client.policy(timeout), image, background, aspect, size, style, music)


def post(
    client: Client,
    image: Media | None,
    caption: str,
    *,
    video: Media | None = None,
    audio: Media | None = None,
    music: Media | None = None,
    logo_sound: Media | None = None,
    captions: Captions = "burnt",
    background: Background = "studio",
    aspect: Aspect = "9:16",
    timeout: Timeout | None = None,
) -> Flow[Post]:
    """One post: the photo, the clip's best moments, the product alone, the copy as captions and its voice.

    Args:
        image: path of a picture file, or its bytes (JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP, TIFF); None where a clip
            will do.
        video: path or bytes of a clip (MP4, MOV, WebM): up to three moments of it are shown, sharp, unlike each
            other and steadied, without its own sound. Without a photo its best frame is cut out.
        caption: the copy, at most 1,000 characters, Latin, Chinese and pictographs.
        audio: path or bytes of its voice (``speak(caption).audio``), at most 30 s; the captions keep its time.
            Without one the post lasts 6 to 20 s.
        music: path or bytes of a tune, at most 30 s; it is repeated, gives way to the voice and fades out. You
            must hold the rights to it.
        logo_sound: path or bytes of the shop's own sound, at most 6 s, heard once at the end.
        captions: ``burnt`` into the pictures, or ``track``, text that a player shows or not.
        background: of the product alone, at the end; with ``photo`` nothing is cut out.
        aspect: width to height.
    """
    given = Product(image=image, video=video, audio=audio)
    return flows.post(client.policy(timeout), given, caption, music, logo_sound, captions, background, aspect)


def status(client: Client, *, timeout: Timeout | None = None) -> Flow[Status]:
    """What the server says of itself and its models."""
    return flows.status(client.policy(timeout))

"""One post of a product: its photo, its clip's best moments, its studio shot, the copy as captions and its voice.

The photo comes first, over a blurred enlargement of itself; it gives way to the clip, and that to the product alone.
Captions stand on a dark band, so that they can be read on any picture, and each stays as long as its share of the text
takes to be said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from stages import captions
from stages.audio import read_voice
from stages.captions import Card, sentences
from stages.errors import too_large
from stages.footage import EXCERPTS, best_moments
from stages.marked import COMPOSED, film_file
from stages.motion import zoomed
from stages.soundtrack import LOGO_AFTER, RATE, heard_together, mixed
from stages.spoken import level
from stages.studio import ASPECTS, BACKGROUNDS, FRAMES_A_SECOND, Order, Shot, arranged, refuse_transparent
from stages.text import choice, clean, decode_utf8

#: Aspect → width and height in pixels, the shorter one 720.
SIZES = {
    name: (720 * width // min(width, height), 720 * height // min(width, height))
    for name, (width, height) in ASPECTS.items()
}
SECONDS = (6.0, 20.0)  # of a post without a voice; with one it lasts as long as the voice, which may take 30 s
CHARACTERS_A_SECOND = 15.0  # that a reader takes in
LEAD_OUT = 0.8  # seconds after the last word
MAX_CAPTION = 1_000  # characters
CROSSFADE = 0.6  # seconds
PHOTO_SHARE, PHOTO_MOST = 0.35, 4.0  # of the post, in seconds, for the photo
CLIP_SHARE, EXCERPT_MOST = 0.45, 2.5  # of the post for the clip; seconds of each of its moments
FREE = 0.2  # of the height, below the product, for the captions
AHEAD = 4  # frames that wait for the encoder
#: How the copy is shown: on the pictures, or as a track of text that a player shows or not.
CAPTIONS = ("burnt", "track")
LOGO_SECONDS = 6.0  # of a logo's sound at most


@dataclass(frozen=True)
class Brief:
    """What the post says, checked.

    Args:
        sentences: of the copy, in order; none for a post without words.
        aspect: one of :data:`stages.studio.ASPECTS`, width to height.
        captions: one of :data:`CAPTIONS`.
        background: one of :data:`stages.studio.BACKGROUNDS`, of the product alone.
    """

    sentences: tuple[str, ...]
    aspect: str = "9:16"
    captions: str = "burnt"
    background: str = "studio"


def read_brief(
    caption: bytes | None,
    aspect: bytes | None = None,
    captions: bytes | None = None,
    background: bytes | None = None,
) -> Brief:
    """The request's fields.

    Raises:
        StageError: on ``CAPTION``, ``ASPECT``, ``CAPTIONS`` or ``BACKGROUND``.
    """
    ground = choice("BACKGROUND", background, BACKGROUNDS, "studio")
    refuse_transparent(ground)
    name = choice("ASPECT", aspect, tuple(ASPECTS), "9:16")
    shown = choice("CAPTIONS", captions, CAPTIONS)
    text = clean(decode_utf8(caption or b"", "CAPTION", 4 * MAX_CAPTION))
    if len(text) > MAX_CAPTION:
        raise too_large("CAPTION", f"{len(text):,} characters, the limit is {MAX_CAPTION:,}; shorten the text")
    return Brief(sentences(text), name, shown, ground)


@dataclass(frozen=True)
class Scene:
    """What is seen from a second on: `draw` of 0 to 1, the share of its time that has passed."""

    begins: float
    draw: Callable[[float], Image.Image]


def compose(
    photo: np.ndarray,
    opacity: np.ndarray,
    brief: Brief,
    voice: bytes | None = None,
    clip: bytes | None = None,
    is_frame: bool = False,
    music: bytes | None = None,
    logo: bytes | None = None,
) -> tuple[bytes, float]:
    """The post.

    Args:
        photo: uint8 [H, W, 3].
        opacity: float32 [320, 320], what the cutout network says of it.
        voice: a sound file that `stages.audio` reads, at most 30 s; None for a silent post.
        clip: a film that `stages.video` reads, any length; its own sound is left out.
        is_frame: the photo is a frame of the clip, and not shown beside it.
        music: a sound file likewise; it begins again as often as the post lasts, and gives way to voice and logo.
        logo: a sound file of at most 6 s, heard once at the end, after the voice.

    Returns:
        An MP4 (H.264, AAC where anything is heard, index first) that says how it was made, and its seconds.

    Raises:
        StageError: on field ``AUDIO``, ``MUSIC``, ``LOGO_SOUND`` or ``VIDEO``.
    """
    samples = None if voice is None else read_voice(voice, RATE)
    tune = None if music is None else read_voice(music, RATE, field="MUSIC")
    sign = None if logo is None else _logo(logo)
    letters = sum(map(len, brief.sentences))
    if samples is None:
        seconds = float(np.clip(letters / CHARACTERS_A_SECOND, *SECONDS))
    else:
        after = LEAD_OUT if sign is None else max(LEAD_OUT, 2 * LOGO_AFTER + len(sign) / RATE)
        seconds = max(SECONDS[0], len(samples) / RATE + after)
    size = SIZES[brief.aspect]
    burnt = brief.sentences and brief.captions == "burnt"
    shot = arranged(photo, opacity, Order(brief.background, brief.aspect), size, FREE if burnt else 0)
    scenes, at = [], 0.0
    if not is_frame:
        scenes.append(_still(0, _framed(Image.fromarray(photo), size)))
        at = min(PHOTO_SHARE * seconds, PHOTO_MOST)
    if clip is not None:
        each = min(EXCERPT_MOST, CLIP_SHARE * seconds / EXCERPTS)
        for excerpt in best_moments(clip, each + CROSSFADE, FRAMES_A_SECOND):
            scenes.append(_moving(at, excerpt.frames, size))
            at += max(CROSSFADE, len(excerpt.frames) / FRAMES_A_SECOND - CROSSFADE)
    if shot.share or not scenes:  # else nothing was cut out: the studio shot would be the photo again
        scenes.append(_swinging(at, shot, seconds))
    spoken = seconds if samples is None else len(samples) / RATE
    said = captions.timed(brief.sentences, size, spoken)
    frames = _frames(scenes, [captions.card(caption, size) for caption in said] if burnt else [], seconds)
    length = round(seconds * RATE)
    heard = heard_together(samples, sign, length)
    heard = heard if tune is None else mixed(heard, tune, length)
    sound = None if heard is None else (heard, RATE)
    track = [] if burnt else [("\n".join(caption.lines), caption.begins, caption.ends) for caption in said]
    comment = f"composed of a photo and generated parts; DigitalSourceType {COMPOSED}"
    return film_file(frames, size, FRAMES_A_SECOND, 20, comment, sound, track), seconds


def _logo(data: bytes) -> np.ndarray:
    """A logo's sound, as loud as a voice: float32 [samples]."""
    sound = read_voice(data, RATE, field="LOGO_SOUND")
    if len(sound) > LOGO_SECONDS * RATE:
        took = len(sound) / RATE
        raise too_large("LOGO_SOUND", f"{took:.1f} s, the limit is {LOGO_SECONDS:.0f} s; send a shorter one")
    return level(sound, RATE)


# ----------------------------------------------------------------------------------------------------------- pictures


def _framed(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole photo over a blurred enlargement of itself."""
    ground = ImageOps.fit(photo, size).filter(ImageFilter.GaussianBlur(max(size) / 40))
    ground = Image.blend(ground, Image.new("RGB", size), 0.35)
    _paste(photo, ground)
    return ground


def _still(begins: float, picture: Image.Image) -> Scene:
    return Scene(begins, partial(zoomed, picture))


def _swinging(begins: float, shot: Shot, ends: float) -> Scene:
    return Scene(begins, lambda progress: shot.frame(round(progress * (ends - begins) * FRAMES_A_SECOND)))


def _moving(begins: float, frames: list[Image.Image], size: tuple[int, int]) -> Scene:
    """Frames over a blurred enlargement of the first of them."""
    ground = _framed(frames[0], size)

    def draw(progress: float) -> Image.Image:
        shown = ground.copy()
        _paste(frames[min(len(frames) - 1, int(progress * len(frames)))], shown, Image.Resampling.BILINEAR)
        return shown

    return Scene(begins, draw)


def _paste(picture: Image.Image, ground: Image.Image, how: Image.Resampling = Image.Resampling.LANCZOS) -> None:
    """The whole picture in the middle of the ground, as large as fits."""
    contain = min(ground.width / picture.width, ground.height / picture.height)
    inner = picture.resize([max(1, round(length * contain)) for length in picture.size], how)
    ground.paste(inner, ((ground.width - inner.width) // 2, (ground.height - inner.height) // 2))


# --------------------------------------------------------------------------------------------------------------- film


def _frames(scenes: list[Scene], cards: list[Card], seconds: float) -> Iterator[Image.Image]:
    """The post's frames in their order, made on two threads a few frames ahead of whoever takes them."""
    with ThreadPoolExecutor(2) as pool:
        ahead: deque[Future[Image.Image]] = deque()
        for number in range(round(seconds * FRAMES_A_SECOND)):
            ahead.append(pool.submit(_frame, scenes, cards, number / FRAMES_A_SECOND, seconds))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _frame(scenes: list[Scene], cards: list[Card], at: float, seconds: float) -> Image.Image:
    """What is seen at a time: the scene that has begun, fading in over the one before, and the card of that time."""
    shown: Image.Image | None = None
    for place, scene in enumerate(scenes):
        last = place + 1 == len(scenes)
        ends = seconds if last else scenes[place + 1].begins + CROSSFADE
        if scene.begins <= at and (at < ends or last):
            near = scene.draw((at - scene.begins) / max(ends - scene.begins, 1e-6))
            shown = near if shown is None else Image.blend(shown, near, min(1.0, (at - scene.begins) / CROSSFADE))
    assert shown is not None  # the last scene lasts to the end
    card = next((card for card in cards if at < card.ends), None)
    if card is not None:
        shown.paste(card.picture, card.place, card.picture)
    return shown

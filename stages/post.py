"""One post of a product: its photo, its clip's best moments, its studio shot, the copy as captions and its voice.

The photo comes first, over a blurred enlargement of itself; it gives way to the clip, and that to the product alone.
Captions stand on a dark band, so that they can be read on any picture, and each stays as long as its share of the text
takes to be said.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import noto_cjk_sans_otc
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from stages.audio import read_voice
from stages.errors import invalid, too_large
from stages.footage import EXCERPTS, best_moments
from stages.marked import COMPOSED, film_file
from stages.spoken import PEAK, level
from stages.studio import ASPECTS, Order, composed
from stages.text import clean, decode_utf8

#: Aspect → width and height in pixels, the shorter one 720.
SIZES = {name: tuple(720 * side // min(sides) for side in sides) for name, sides in ASPECTS.items()}
FRAMES_A_SECOND = 24
SECONDS = (6.0, 20.0)  # of a post without a voice; with one it lasts as long as the voice, which may take 30 s
MUSIC_DB, DUCKED_DB = -6.0, -18.0  # of music beside a voice: between its words, and under them
DUCKING_S = 0.25  # in which music gives way
CHARACTERS_A_SECOND = 15.0  # that a reader takes in
LEAD_OUT = 0.8  # seconds after the last word
MAX_CAPTION = 1_000  # characters
CROSSFADE = 0.6  # seconds
PHOTO_SHARE, PHOTO_MOST = 0.35, 4.0  # of the post, in seconds, for the photo
CLIP_SHARE, EXCERPT_MOST = 0.45, 2.5  # of the post for the clip; seconds of each of its moments
ZOOM = 0.07  # how much a picture grows while it is shown
FREE = 0.2  # of the height, below the product, for the captions
LINES = 3  # of a caption at most
BAND = (0, 0, 0, 168)  # white on it has a contrast of 7 or more over white
AHEAD = 4  # frames that wait for the encoder
AUDIO_RATE = 48_000  # samples a second
SIMPLIFIED_CHINESE = 2  # of the fonts in the collection: Latin letters are the same in all
Box = tuple[int, int, int, int]  # left, top, right, bottom
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
#: A letter of a script that has no spaces, or a word with the space behind it.
_UNSPACED = r"\u2E80-\u9FFF\uF900-\uFAFF\uFF00-\uFFEF"
_PART = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+\s*|\s+")
_NO_GLYPH = re.compile(r"[\U0001F000-\U0001FAFF\u2600-\u27BF\uFE0F\u200D\u20E3]+")


@dataclass(frozen=True)
class Brief:
    """What the post says, checked.

    Args:
        captions: the sentences, in order; none for a post without words.
        aspect: one of :data:`stages.studio.ASPECTS`, width to height.
    """

    captions: tuple[str, ...]
    aspect: str = "9:16"


def read_brief(caption: bytes | None, aspect: bytes | None = None) -> Brief:
    """The request's fields.

    Raises:
        StageError: on ``CAPTION`` or ``ASPECT``.
    """
    name = "9:16" if aspect is None else aspect.decode("utf-8", "replace")
    if name not in ASPECTS:
        raise invalid("ASPECT", f"{name[:40]!r} is unknown; send one of {', '.join(ASPECTS)}")
    text = clean(decode_utf8(caption or b"", "CAPTION", 4 * MAX_CAPTION))
    if len(text) > MAX_CAPTION:
        raise too_large("CAPTION", f"{len(text):,} characters, the limit is {MAX_CAPTION:,}; shorten the text")
    plain = " ".join(_NO_GLYPH.sub(" ", text).split())  # the font has no pictographs
    return Brief(tuple(part.strip() for part in _SENTENCE.split(plain) if part.strip()), name)


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
) -> tuple[bytes, float]:
    """The post.

    Args:
        photo: uint8 [H, W, 3].
        opacity: float32 [320, 320], what the cutout network says of it.
        clip: a film that `stages.video` reads, any length; its own sound is left out.
        music: a sound file likewise; it begins again as often as the post lasts, and gives way to the voice.
        is_frame: the photo is a frame of the clip, and not shown beside it.
        voice: a sound file that `stages.audio` reads, at most 30 s; None for a silent post.

    Returns:
        An MP4 (H.264, AAC where there is a voice, index first) that says how it was made, and its seconds.

    Raises:
        StageError: on field ``AUDIO``, ``MUSIC`` or ``VIDEO``.
    """
    samples = None if voice is None else read_voice(voice, AUDIO_RATE)
    tune = None if music is None else read_voice(music, AUDIO_RATE, field="MUSIC")
    letters = sum(map(len, brief.captions))
    if samples is None:
        seconds = float(np.clip(letters / CHARACTERS_A_SECOND, *SECONDS))
    else:
        seconds = max(SECONDS[0], len(samples) / AUDIO_RATE + LEAD_OUT)
    size = SIZES[brief.aspect]
    shot, share = composed(photo, opacity, Order("studio", brief.aspect, max(size)), FREE if brief.captions else 0)
    scenes, at = [], 0.0
    if not is_frame:
        scenes.append(_still(0, _framed(Image.fromarray(photo), size)))
        at = min(PHOTO_SHARE * seconds, PHOTO_MOST)
    if clip is not None:
        each = min(EXCERPT_MOST, CLIP_SHARE * seconds / EXCERPTS)
        for excerpt in best_moments(clip, each + CROSSFADE, FRAMES_A_SECOND):
            scenes.append(_moving(at, excerpt.frames, size))
            at += max(CROSSFADE, len(excerpt.frames) / FRAMES_A_SECOND - CROSSFADE)
    if share or not scenes:  # else nothing was cut out: the studio shot would be the photo again
        scenes.append(_still(at, shot))
    spoken = seconds - LEAD_OUT if samples is not None else seconds
    cards = _timed([_card(text, size) for text in _fitting(brief.captions, size)], spoken)
    frames = _frames(scenes, cards, seconds)
    length = round(seconds * AUDIO_RATE)
    said = None if samples is None else np.pad(samples, (0, max(0, length - len(samples))))
    heard = said if tune is None else mixed(said, tune, length)
    sound = None if heard is None else (heard, AUDIO_RATE)
    comment = f"composed of a photo and generated parts; DigitalSourceType {COMPOSED}"
    return film_file(frames, size, FRAMES_A_SECOND, 20, comment, sound), seconds


def mixed(voice: np.ndarray | None, music: np.ndarray, length: int) -> np.ndarray:
    """Music for the whole post, under the voice where there is one, fading out at its end: float32 [length]."""
    tune = level(music, AUDIO_RATE)
    fade = min(len(tune) // 4, round(0.1 * AUDIO_RATE))
    if fade:  # so that it does not click where it begins again
        tune = tune.copy()
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        tune[:fade] *= ramp
        tune[-fade:] *= ramp[::-1]
    tune = np.resize(tune, length)
    end = min(length, AUDIO_RATE)
    tune[-end:] *= np.linspace(1, 0, end, dtype=np.float32)
    if voice is None:
        return tune
    width = round(DUCKING_S * AUDIO_RATE)
    speaking = uniform_filter1d(maximum_filter1d(np.abs(voice), 2 * width) > 0.02, width, output=np.float32)
    gain = 10 ** ((MUSIC_DB + (DUCKED_DB - MUSIC_DB) * speaking) / 20)
    both = voice[:length] + tune * gain
    return (both / max(1.0, float(np.abs(both).max()) / PEAK)).astype(np.float32)


# ----------------------------------------------------------------------------------------------------------- pictures


def _framed(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole photo over a blurred enlargement of itself."""
    cover = max(size[0] / photo.width, size[1] / photo.height)
    wide = photo.resize([max(side, round(length * cover)) for side, length in zip(size, photo.size, strict=True)])
    left, top = ((length - side) // 2 for length, side in zip(wide.size, size, strict=True))
    ground = wide.crop((left, top, left + size[0], top + size[1])).filter(ImageFilter.GaussianBlur(max(size) / 40))
    ground = Image.blend(ground, Image.new("RGB", size), 0.35)
    _paste(photo, ground)
    return ground


def _still(begins: float, picture: Image.Image) -> Scene:
    return Scene(begins, partial(_zoomed, picture))


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


def _zoomed(picture: Image.Image, progress: float) -> Image.Image:
    """The picture at `progress` 0 to 1 of the time that it is shown, slowly coming nearer."""
    margin = ZOOM * progress / 2 / (1 + ZOOM * progress)
    width, height = picture.size
    window = (margin * width, margin * height, (1 - margin) * width, (1 - margin) * height)
    return picture.resize(picture.size, Image.Resampling.BILINEAR, box=window)


# ----------------------------------------------------------------------------------------------------------- captions


@cache
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(noto_cjk_sans_otc.FONT_PATH), pixels, index=SIMPLIFIED_CHINESE)


def _lines(text: str, size: tuple[int, int]) -> list[str]:
    """The text broken to the picture's width: between words, or between letters where a word is too long."""
    font, most = _font(_letter(size)), 0.82 * size[0]
    lines, line = [], ""
    for part in _PART.findall(text):
        for piece in [part] if font.getlength(part.rstrip()) <= most else part:
            if line and font.getlength((line + piece).rstrip()) > most:
                lines.append(line.rstrip())
                line = ""
            line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def _fitting(captions: tuple[str, ...], size: tuple[int, int]) -> list[list[str]]:
    """Captions as lines, a long sentence as several captions of much the same length."""
    cards = []
    for caption in captions:
        lines = _lines(caption, size)
        count = -(-len(lines) // LINES)
        each = -(-len(lines) // count)
        cards += [lines[i : i + each] for i in range(0, len(lines), each)]
    return cards


def _letter(size: tuple[int, int]) -> int:
    return round(min(size) * 0.052)


def _card(lines: list[str], size: tuple[int, int]) -> tuple[Image.Image, int]:
    """The lines on their band, as a picture of the post's size, and the number of their letters."""
    letter = _letter(size)
    font, height, pad = _font(letter), round(letter * 1.4), round(letter * 0.7)
    width = max(font.getlength(line) for line in lines)
    card = Image.new("RGBA", size)
    draw = ImageDraw.Draw(card)
    bottom = size[1] - round(size[1] * 0.07)
    top = bottom - height * len(lines) - 2 * pad
    left = (size[0] - width) / 2 - pad
    draw.rounded_rectangle((left, top, size[0] - left, bottom), radius=pad, fill=BAND)
    for number, line in enumerate(lines):
        centre = size[0] / 2, top + pad + height * (number + 0.5)
        draw.text(centre, line, "white", font, anchor="mm")
    return card, sum(map(len, lines))


def _timed(cards: list[tuple[Image.Image, int]], seconds: float) -> list[tuple[Image.Image, Box, float]]:
    """What is seen of each card, its place, and the second at which it goes."""
    total, passed, timed = sum(letters for _, letters in cards), 0, []
    for card, letters in cards:
        passed += letters
        place = card.getbbox()
        timed.append((card.crop(place), place, seconds * passed / total))
    return timed


# --------------------------------------------------------------------------------------------------------------- film


def _frames(scenes: list[Scene], cards: list[tuple[Image.Image, Box, float]], seconds: float) -> Iterator[Image.Image]:
    """The post's frames in their order, made on two threads a few frames ahead of whoever takes them."""
    with ThreadPoolExecutor(2) as pool:
        ahead: deque[Future[Image.Image]] = deque()
        for number in range(round(seconds * FRAMES_A_SECOND)):
            ahead.append(pool.submit(_frame, scenes, cards, number / FRAMES_A_SECOND, seconds))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _frame(scenes: list[Scene], cards: list[tuple[Image.Image, Box, float]], at: float, seconds: float) -> Image.Image:
    """What is seen at a time: the scene that has begun, fading in over the one before, and the card of that time."""
    shown = None
    for place, scene in enumerate(scenes):
        last = place + 1 == len(scenes)
        ends = seconds if last else scenes[place + 1].begins + CROSSFADE
        if scene.begins <= at and (at < ends or last):
            near = scene.draw((at - scene.begins) / max(ends - scene.begins, 1e-6))
            shown = near if shown is None else Image.blend(shown, near, min(1.0, (at - scene.begins) / CROSSFADE))
    card = next(((band, place) for band, place, ends in cards if at < ends), None)
    if card is not None:
        band, place = card
        shown.paste(band, place, band)
    return shown

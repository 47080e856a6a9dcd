"""A shop's clip as footage: its best moments, upright, without dead frames, steadied.

Best is what is sharp, well lit, and unlike the moments taken already. Dead are frames that repeat the one before and
plain ones; what is shaken is moved back by the shifts from frame to frame (phase correlation), smoothed over time.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL import Image
from scipy.ndimage import gaussian_filter1d, laplace
from skimage.registration import phase_cross_correlation

from stages.video import Listing, Moment, check_frame_size, choose, frame_times, look_through, opened, small, upright

LOOK_PX = 112  # a side of the squares that moments are chosen by
LONGEST_PX = 960  # of a frame: three excerpts of two seconds are 220 MB
EXCERPTS = 3  # at most
#: Pixels that are decoded for one excerpt at most: two seconds of 1080p behind a key frame two seconds before.
MAX_EXCERPT_PIXELS = 300_000_000
DEAD = 0.4  # mean difference in levels of 255, below which a frame repeats the one before
CUT = 20.0  # mean difference in levels from which a frame may begin another take
PLAIN = 2.0  # standard deviation of a frame that shows nothing
SMALL_PX = 160  # longer side of what motion is measured on
SMOOTH_S = 0.5  # over which the camera's way is smoothed
MARGIN = 0.06  # of a frame's sides, cut off where it is steadied
STILL_PX = 0.5  # what is shaken less is left as it is


@dataclass(frozen=True)
class Excerpt:
    """A moment of the clip.

    Attributes:
        begins: seconds from the clip's beginning.
        frames: pictures of one size, `rate` a second.
    """

    begins: float
    frames: list[Image.Image]


def best_moments(data: bytes, seconds: float, rate: int, count: int = EXCERPTS) -> list[Excerpt]:
    """At most `count` excerpts of a clip, in its order, none longer than `seconds` nor across a cut.

    Args:
        data: a file that `stages.video` reads.
        rate: frames a second that come out, whatever the clip's own.

    Raises:
        StageError: on field ``VIDEO``.
    """
    with opened(data) as (container, stream, kind):
        listing = frame_times(container, stream, kind)
        unit = float(stream.time_base or 1)
        chosen = _chosen(look_through(container, stream, kind, listing, LOOK_PX), seconds / unit, count)
        found = [_excerpt(container, stream, listing, moment.time, seconds, rate) for moment in chosen]
    return [excerpt for excerpt in found if excerpt is not None]


def best_frame(data: bytes, side: int) -> tuple[Image.Image, np.ndarray]:
    """The clip's best frame, upright, and those of :func:`stages.video.read_video`: uint8 [8, side, side, 3].

    Raises:
        StageError: on field ``VIDEO``.
    """
    with opened(data) as (container, stream, kind):
        listing = frame_times(container, stream, kind)
        moments = look_through(container, stream, kind, listing, side)
        (moment,) = _chosen(moments, 0, 1)
        key = listing.keys[max(0, bisect_right(listing.keys, moment.time) - 1)]
        frames = [frame for _, frame in _decoded(container, stream, key, moment.time, moment.time)]
    return Image.fromarray(frames[-1]), choose(moments)


def _chosen(moments: list[Moment], apart: float, count: int) -> list[Moment]:
    """The best moments, in the order of time, `apart` from each other in the stream's unit."""
    telling = [moment for moment in moments if moment.pixels.std((0, 1)).max() > PLAIN] or moments
    grey = np.stack([moment.pixels.mean(2) for moment in telling])
    sharp = np.log1p(np.array([laplace(each).var() for each in grey]))
    lit = np.clip((grey > 8).mean((1, 2)) + (grey < 247).mean((1, 2)) - 1, 0.2, 1)
    worth = lit * sharp / max(sharp.max(), 1e-6)
    looked_at = np.stack([small(moment.pixels) for moment in telling]).mean(3) / 64
    times = np.array([moment.time for moment in telling])
    taken: list[int] = []
    for _ in range(count):
        free = np.array([all(abs(time - times[other]) >= apart for other in taken) for time in times])
        if not free.any():
            break
        new = np.min([np.abs(looked_at - looked_at[other]).mean((1, 2)) for other in taken], 0) if taken else 0
        taken.append(int(np.where(free, worth + np.minimum(new, 1), -1).argmax()))
    return [telling[place] for place in sorted(taken)]


def _excerpt(
    container: InputContainer, stream: VideoStream, listing: Listing, middle: int, seconds: float, rate: int
) -> Excerpt | None:
    """What lies around a moment; None if nothing of it can be decoded."""
    unit = float(stream.time_base or 1)
    first, last = listing.times[0], listing.times[-1]
    begin = max(first, min(middle - seconds / 2 / unit, last - seconds / unit))
    key = listing.keys[max(0, bisect_right(listing.keys, begin) - 1)]
    most = max(2, MAX_EXCERPT_PIXELS // max(1, stream.codec_context.width * stream.codec_context.height))
    if bisect_right(listing.times, begin + seconds / unit) - bisect_right(listing.times, key) > most:
        begin = key  # too far behind its key frame
    span = list(_decoded(container, stream, key, begin, begin + seconds / unit, most))
    times, live = _take(_live(span), middle)
    if not live:
        return None
    step = np.median(np.diff([time for time, _ in span])) * unit if len(span) > 1 else 0.0
    step = step if step > 0 else 1 / rate  # a clip may say that all its frames are of one time
    length = min(seconds, step * len(live))
    rows = np.minimum((np.arange(max(1, round(length * rate))) / rate / step + 0.01).astype(int), len(live) - 1)
    place = {row: number for number, row in enumerate(dict.fromkeys(rows))}
    steadied = steady([live[row] for row in place], 1 / step)
    return Excerpt((times[0] - first) * unit, [steadied[place[row]] for row in rows])


def _decoded(
    container: InputContainer, stream: VideoStream, key: int, begin: float, end: float, most: int = 10**6
) -> Iterator[tuple[int, np.ndarray]]:
    """Times and upright frames from `begin` to `end`, decoding `most` frames from a key frame on."""
    container.seek(key, stream=stream, backward=True)
    with contextlib.suppress(av.error.FFmpegError):  # a damaged stretch; what lies before it is there
        for number, frame in enumerate(container.decode(stream), 1):
            time = frame.pts if frame.pts is not None else frame.dts
            if time is not None and time >= begin:
                check_frame_size(frame.width, frame.height)
                yield time, np.ascontiguousarray(upright(frame, stream, LONGEST_PX, enlarge=False))
            if number >= most or (time is not None and time >= end):
                return


def _live(span: list[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray, float]]:
    """The frames that show something new, with their times and how unlike the one before they are."""
    before = None
    for time, pixels in span:
        small = pixels[::8, ::8].astype(np.float32)
        if small.std((0, 1)).max() <= PLAIN:
            continue
        change = 0.0 if before is None else float(np.abs(small - before).mean())
        if before is None or change > DEAD:
            before = small
            yield time, pixels, change


def _take(live: Iterable[tuple[int, np.ndarray, float]], middle: int) -> tuple[list[int], list[np.ndarray]]:
    """Times and frames of the take that `middle` lies in: from one cut to the next."""
    takes: list[list[tuple[int, np.ndarray]]] = [[]]
    chosen = 0
    usual: list[float] = []
    for time, pixels, change in live:
        if usual and change > max(CUT, 4 * float(np.median(usual))):
            takes.append([])
            usual.clear()
        elif change:
            usual.append(change)
        takes[-1].append((time, pixels))
        if time <= middle:
            chosen = len(takes) - 1
    return [time for time, _ in takes[chosen]], [pixels for _, pixels in takes[chosen]]


def steady(frames: list[np.ndarray], rate: float) -> list[Image.Image]:
    """The frames of a camera that holds still or moves smoothly.

    Args:
        frames: uint8 [H, W, 3] each, of one size; `rate` a second.

    Returns:
        Pictures of the same size, enlarged by :data:`MARGIN` where the camera was shaken.
    """
    pictures = [Image.fromarray(frame) for frame in frames]
    if len(frames) < 3:
        return pictures
    way = np.cumsum(_shifts(pictures), 0)
    wander = gaussian_filter1d(way, max(1.0, SMOOTH_S * rate), axis=0, mode="nearest") - way
    if np.abs(wander).max() < STILL_PX:
        return pictures
    width, height = pictures[0].size
    margin = MARGIN * np.array([width, height])
    boxes = (margin + np.clip(shift, -margin, margin) for shift in wander)
    return [
        picture.resize(
            picture.size,
            Image.Resampling.BILINEAR,
            box=(left, top, left + width * (1 - 2 * MARGIN), top + height * (1 - 2 * MARGIN)),
        )
        for picture, (left, top) in zip(pictures, boxes, strict=True)
    ]


def _shifts(pictures: list[Image.Image]) -> np.ndarray:
    """By how many pixels each frame must be moved to lie over the one before: float [frames, 2], right and down."""
    scale = SMALL_PX / max(pictures[0].size)
    width, height = (max(8, round(side * scale)) for side in pictures[0].size)
    size = width, height
    window = np.outer(np.hanning(size[1]), np.hanning(size[0]))
    spectra = []
    for picture in pictures:
        grey = np.asarray(picture.convert("L").resize(size, Image.Resampling.BOX), np.float64)
        spectra.append(np.fft.fft2((grey - grey.mean()) * window))
    shifts = [np.zeros(2)]
    for before, after in pairwise(spectra):
        shift, _, _ = phase_cross_correlation(before, after, space="fourier", upsample_factor=8, normalization=None)
        shifts.append(np.zeros(2) if np.abs(shift).max() > max(size) / 4 else shift[::-1] / scale)
    return np.array(shifts)

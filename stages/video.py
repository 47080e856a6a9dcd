"""Read a product clip: file bytes in, the few RGB frames that the video encoder wants out.

A long clip is never decoded whole. Its packets are listed first, which decodes nothing and gives every frame's own
time; then the reader seeks to moments spread over the clip and decodes the frames there, key frames where it can.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL import Image

from stages.errors import StageError, invalid, too_large
from stages.image import in_square

FRAMES = 8  # that are given
PARTS = 14  # a side, that a frame is compared in

MAX_VIDEO_BYTES = 64 * 2**20
MAX_PIXELS = 4096 * 2304  # of a frame
MAX_PACKETS = 108_000  # an hour at 30 frames a second
#: Of the whole clip these many moments are looked at, and the frames among them chosen.
MOMENTS = 24
#: What is decoded at most, in frames and in pixels: the latter are what decoding costs.
MAX_DECODED, MAX_DECODED_PIXELS = 240, 300_000_000

ACCEPTED = "send MP4 (or MOV) or WebM"

_OTHER_MAGICS = {
    b"\xff\xd8\xff": "a JPEG file",
    b"\x89PNG": "a PNG file",
    b"GIF8": "a GIF file",
    b"RIFF": "a RIFF file (WebP, WAV or AVI)",
    b"OggS": "an Ogg file",
    b"ID3": "an MP3 file",
    b"fLaC": "a FLAC file",
    b"%PDF": "a PDF file",
    b"FLV": "an FLV file",
}
_SEGMENT = b"\x18\x53\x80\x67"  # Matroska's element that holds all the rest (RFC 9559, 5.1)
_PICTURES = {"avif", "avis", "heic", "heix", "mif1", "crx "}  # ISO media files of a still


def no_frames(side: int) -> np.ndarray:
    """What stands for the frames of a clip that is not there: Triton sends no tensor without elements."""
    return np.zeros((1, side, side, 3), np.uint8)


def read_video(data: bytes, side: int) -> np.ndarray:
    """Chooses frames of a clip, sets them upright and fits them into the encoder's square.

    The frames are the ends of equal parts of the clip, where a part's length is half its time and half how much the
    picture changes in it: a cut or a turn gets its frames, a long still does not take them all. Plain frames (a fade
    from black) are passed over. A clip of fewer frames gives some of them twice. Beside a frame that is not square lie
    margins in the mean colour of its border.

    Args:
        data: a whole MP4, MOV, WebM or Matroska file within the limits of this module.
        side: pixels of the square.

    Returns:
        uint8 [8, side, side, 3], RGB, in the order of time.

    Raises:
        StageError: on field ``VIDEO``, ``too_large`` or ``invalid_input``.
    """
    with opened(data) as (container, stream, kind):
        return choose(look_through(container, stream, kind, frame_times(container, stream, kind), side))


@contextmanager
def opened(data: bytes) -> Iterator[tuple[InputContainer, VideoStream, str]]:
    """A clip's container, its video track ready to be decoded, and its kind; what FFmpeg raises becomes typed.

    Raises:
        StageError: on field ``VIDEO``, ``too_large`` or ``invalid_input``.
    """
    kind = check_file(data)
    try:
        with av.open(BytesIO(data), "r", format="mp4" if kind == "MP4" else "matroska") as container:
            yield container, _stream(container, kind), kind
    except StageError:
        raise
    except Exception as error:
        # FFmpeg raises many types on a broken file, most of them subclasses of OSError or ValueError.
        raise broken(kind, " ".join(str(error).split()) or type(error).__name__) from error


def check_file(data: bytes) -> str:
    """The container of a clip: ``"MP4"`` or ``"WebM"``, told by its first bytes, whole as far as these tell.

    Raises:
        StageError: on field ``VIDEO``, ``too_large`` or ``invalid_input``.
    """
    if not data:
        raise invalid("VIDEO", f"is empty (0 bytes); {ACCEPTED}, or leave the field out")
    if len(data) > MAX_VIDEO_BYTES:
        raise too_large("VIDEO", f"{len(data):,} bytes, the limit is {MAX_VIDEO_BYTES:,} bytes; shorten the clip")
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        brand = data[8:12].decode("latin-1")
        if data[4:8] == b"ftyp" and brand in _PICTURES:
            raise invalid("VIDEO", f"is a picture of brand {brand!r}; {ACCEPTED}")
        _check_boxes(data)
        return "MP4"
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        _check_segment(data)
        return "WebM"
    for magic, name in _OTHER_MAGICS.items():
        if data.startswith(magic):
            raise invalid("VIDEO", f"is {name}; {ACCEPTED}")
    raise invalid("VIDEO", f"is no video: {len(data):,} bytes that begin with {data[:8].hex(' ')}; {ACCEPTED}")


def broken(kind: str, cause: str) -> StageError:
    """The error for a file of an accepted container that cannot be read."""
    return invalid("VIDEO", f"is a broken {kind} file: {cause}; save it again")


def _check_boxes(data: bytes) -> None:
    """Refuses an ISO media file (ISO/IEC 14496-12, 4.2) that is shorter than its boxes say, or lacks its index."""
    at = 0
    kinds: set[bytes] = set()
    while at + 8 <= len(data) and len(kinds) <= MAX_PACKETS:
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size == 0:
            size = len(data) - at
        if size < head:
            break
        if kind in (b"moov", b"mdat", b"moof") and at + size > len(data):
            raise broken("MP4", f"it says {at + size:,} bytes and holds {len(data):,}")
        kinds.add(kind)
        at += size
    if b"moov" not in kinds:
        raise broken("MP4", "it ends before its index (moov)")


def _check_segment(data: bytes) -> None:
    """Refuses a Matroska file that is shorter than it says; FFmpeg would take what there is for all."""
    at = data.find(_SEGMENT, 0, 4096)
    if at < 0 or at + 12 > len(data):
        raise broken("WebM", "it ends before its tracks begin")
    first = data[at + 4]
    width = 9 - first.bit_length()  # an EBML number's length is told by its leading zeros
    size = int.from_bytes(data[at + 4 : at + 4 + width], "big") - (1 << 7 * width)
    unknown = (1 << 7 * width) - 1  # as live recordings say
    end = at + 4 + width + size
    if 0 < width < 9 and size != unknown and end > len(data):
        raise broken("WebM", f"it says {end:,} bytes and holds {len(data):,}")


def _stream(container: InputContainer, kind: str) -> VideoStream:
    """The first video track that is not a cover picture, ready to be decoded.

    Raises:
        StageError: none, over the size limit, or of a codec that is not built in.
    """
    for stream in container.streams.video:
        if stream.disposition & av.stream.Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise invalid("VIDEO", f"is a {kind} file of a codec that cannot be decoded; save it as H.264 or VP9")
        check_frame_size(stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.thread_count = 1
        return stream
    others = ", ".join(sorted({s.type for s in container.streams})) or "none"
    raise invalid("VIDEO", f"holds no video track (tracks: {others}); {ACCEPTED} with pictures")


def check_frame_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise too_large(
            "VIDEO",
            f"{width:,} x {height:,} pixels, the limit is {MAX_PIXELS:,} pixels a frame; save the clip smaller",
        )


@dataclass
class Moment:
    """A frame of the clip: its time in the stream's unit and its square uint8 [side, side, 3]."""

    time: int
    pixels: np.ndarray


@dataclass
class Listing:
    """The times of all frames and of the key frames, in order, in the stream's unit."""

    times: list[int]
    keys: list[int]


def frame_times(container: InputContainer, stream: VideoStream, kind: str) -> Listing:
    """Reads the clip's packets without decoding them.

    Raises:
        StageError: no frames, or too many.
    """
    times, keys, count, cause = [], [], 0, ""
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            count += 1
            if count > MAX_PACKETS:
                raise too_large("VIDEO", f"holds more than {MAX_PACKETS:,} frames; shorten the clip")
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.is_corrupt or time is None or packet.is_discard:
                continue
            times.append(time)
            if packet.is_keyframe:
                keys.append(time)
    except av.error.FFmpegError as error:
        cause = f" ({error.strerror})"
    if not times:
        raise invalid("VIDEO", f"is a {kind} file whose video track holds 0 frames{cause}; save it again")
    return Listing(sorted(times), sorted(keys) or [min(times)])


def look_through(
    container: InputContainer, stream: VideoStream, kind: str, listing: Listing, side: int
) -> list[Moment]:  # fmt: skip
    """At most `MOMENTS` frames spread over the clip, in the order of time; decodes within the limits above.

    Args:
        side: pixels of a frame's square.

    Raises:
        StageError: nothing could be decoded.
    """
    pixels = max(1, stream.codec_context.width * stream.codec_context.height)
    budget = int(min(MAX_DECODED, max(MOMENTS, MAX_DECODED_PIXELS // pixels)))
    if len(listing.times) <= budget:
        rows = np.unique(np.linspace(0, len(listing.times) - 1, MOMENTS).round().astype(int))
        wanted = [listing.times[row] for row in rows]
        found = _decode(container, stream, listing.times[0], wanted, budget, side)
    else:
        found = _seek(container, stream, listing, budget, side)
    if not found:
        raise broken(kind, f"none of its {len(listing.times):,} frames can be decoded")
    return found


def _seek(container: InputContainer, stream: VideoStream, listing: Listing, budget: int, side: int) -> list[Moment]:
    """Frames at evenly spread times, each decoded from the key frame before it if that is near, else the key frame."""
    each = budget // MOMENTS
    plan: dict[int, list[int]] = {}  # key frame → the frames to take after it
    for time in np.linspace(listing.times[0], listing.times[-1], MOMENTS):
        key = listing.keys[max(0, bisect_right(listing.keys, time) - 1)]
        first = bisect_right(listing.times, key) - 1
        there = max(first, bisect_right(listing.times, time) - 1)
        # The further moments after one key frame share what each may decode.
        most = first + (len(plan.get(key, ())) + 1) * each - 1
        chosen = listing.times[min(there, most)] if there - first < each or key in plan else key
        plan.setdefault(key, []).append(chosen)
    found: dict[int, Moment] = {}
    for key, wanted in plan.items():
        for moment in _decode(container, stream, key, wanted, each * len(wanted), side):
            found[moment.time] = moment
    return [found[time] for time in sorted(found)]


def _decode(
    container: InputContainer, stream: VideoStream, start: int, wanted: list[int], most: int, side: int
) -> list[Moment]:  # fmt: skip
    """The frames of the times `wanted`, from the key frame at `start` on, decoding `most` frames at most."""
    container.seek(start, stream=stream, backward=True)
    left, found = sorted(set(wanted)), []
    try:
        for number, frame in enumerate(container.decode(stream), 1):
            time = frame.pts if frame.pts is not None else frame.dts
            if left and time is not None and time >= left[0]:
                check_frame_size(frame.width, frame.height)
                found.append(Moment(time, square(frame, stream, side)))
                left = [t for t in left if t > time]
            if not left or number >= most:
                break
    except av.error.FFmpegError:
        pass  # a damaged stretch; what lies before it and elsewhere still shows the product
    return found


def upright(frame: av.VideoFrame, stream: VideoStream, longest: int, enlarge: bool) -> np.ndarray:
    """A frame upright, its pixels square, its longer side `longest` or what it has: uint8 [H, W, 3]."""
    width, height = frame.width * _pixel_aspect(stream), frame.height
    scale = longest / max(width, height)
    scale = scale if enlarge else min(1.0, scale)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
    turns = round(frame.rotation / 90) % 4  # counterclockwise, as numpy turns
    return np.rot90(pixels, turns)


def square(frame: av.VideoFrame, stream: VideoStream, side: int) -> np.ndarray:
    """A frame upright, its pixels square, within the encoder's square: [side, side, 3]."""
    return in_square(upright(frame, stream, side, enlarge=True), side)


def _pixel_aspect(stream: VideoStream) -> float:
    """A pixel's width over its height; 1 where the clip says nothing or nonsense."""
    aspect = stream.sample_aspect_ratio
    return float(aspect) if aspect and 0.1 < aspect < 10 else 1.0


def choose(moments: list[Moment]) -> np.ndarray:
    """`FRAMES` of the moments, evenly along time and change of content: uint8 [8, side, side, 3]."""
    telling = [moment for moment in moments if moment.pixels.std((0, 1)).max() > 2] or moments
    looked_at = np.stack([small(moment.pixels) for moment in telling])
    time = np.array([moment.time for moment in telling], np.float64)
    way = _share(np.diff(time)) + _share(np.abs(np.diff(looked_at, axis=0)).mean((1, 2, 3)))
    path = np.concatenate([[0], np.cumsum(way)])
    if len(telling) <= FRAMES:
        rows = np.linspace(0, len(telling) - 1, FRAMES).round().astype(int).tolist()
    else:
        rows = _nearest(path, np.linspace(0, path[-1], FRAMES))
    return np.stack([telling[row].pixels for row in rows])


def small(pixels: np.ndarray) -> np.ndarray:
    """Means of a square of pixels in 14 x 14 parts: float [14, 14, 3]."""
    side = len(pixels)
    if side % PARTS:
        return np.asarray(Image.fromarray(pixels).resize((PARTS, PARTS), Image.Resampling.BOX), np.float64)
    return pixels.reshape(PARTS, side // PARTS, PARTS, side // PARTS, 3).mean((1, 3))


def _share(steps: np.ndarray) -> np.ndarray:
    """Steps that sum to one; all zero where nothing moves."""
    return steps / max(steps.sum(), 1e-9)


def _nearest(path: np.ndarray, wanted: np.ndarray) -> list[int]:
    """For each wanted place the nearest row of a rising path, none twice, in order."""
    rows: list[int] = []
    for number, place in enumerate(wanted):
        first = rows[-1] + 1 if rows else 0
        last = len(path) - (len(wanted) - number)  # as many rows stay as are still wanted
        rows.append(first + int(np.abs(path[first : last + 1] - place).argmin()))
    return rows

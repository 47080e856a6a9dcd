"""Clips in: what a shop sends comes out as eight upright frames, everything else as a typed error, in bounded work."""

from __future__ import annotations

import time
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import video
from stages.errors import StageError
from stages.video import FRAMES

SIDE_PX = 112  # of the square; any other would do


def read_video(data: bytes) -> np.ndarray:
    """Frames of the clip in squares of :data:`SIDE_PX`."""
    return video.read_video(data, SIDE_PX)


RED, GREEN, BLUE, WHITE = (220, 30, 40), (20, 180, 60), (30, 60, 200), (255, 255, 255)


def quarters(width: int = 128, height: int = 128) -> np.ndarray:
    """Red, green, blue and white quarters, so that every turn shows."""
    frame = np.full((height, width, 3), WHITE, np.uint8)
    frame[: height // 2, : width // 2] = RED
    frame[: height // 2, width // 2 :] = GREEN
    frame[height // 2 :, : width // 2] = BLUE
    return frame


def grey(level: int, side: int = 96) -> np.ndarray:
    """A frame told by its level, with a line so that it is not plain."""
    frame = np.full((side, side, 3), level, np.uint8)
    frame[: side // 8] = 0
    return frame


def clip(
    frames: list[np.ndarray],
    format: str = "mp4",
    codec: str = "libx264",
    times: list[int] | None = None,
    gop: int = 12,
    rotation: int | None = None,
    aspect: Fraction | None = None,
    audio: bool = False,
) -> bytes:
    """A file of the frames, one each tenth of a second or at `times` in milliseconds."""
    file = BytesIO()
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if codec == "libx264":
            stream.options = {"crf": "8", "preset": "ultrafast"}
        sound = container.add_stream("aac" if format == "mp4" else "libopus", rate=48000) if audio else None
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (times[number] if times else number * 100), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 48000
            container.mux(sound.encode(silence))
            container.mux(sound.encode())
    return file.getvalue()


def levels(frames: np.ndarray) -> list[int]:
    return frames[:, SIDE_PX // 2, SIDE_PX // 2, 0].astype(int).tolist()


def refusal(data: bytes) -> StageError:
    with pytest.raises(StageError) as caught:
        read_video(data)
    assert caught.value.field == "VIDEO"
    return caught.value


def assert_quarters(frames: np.ndarray, colours: tuple = (RED, GREEN, BLUE, WHITE)) -> None:
    a, b = SIDE_PX // 4, 3 * SIDE_PX // 4
    for frame in frames:
        for seen, meant in zip((frame[a, a], frame[a, b], frame[b, a], frame[b, b]), colours, strict=True):
            assert np.abs(seen.astype(int) - meant).max() <= 25, (seen, meant)


@pytest.mark.parametrize(
    ("format", "codec"), [("mp4", "libx264"), ("mp4", "mpeg4"), ("webm", "libvpx"), ("webm", "libvpx-vp9")]
)
def test_frames_come_out_as_they_were_put_in(format, codec):
    frames = read_video(clip([quarters()] * 20, format, codec))
    assert frames.shape == (FRAMES, SIDE_PX, SIDE_PX, 3)
    assert frames.dtype == np.uint8
    assert_quarters(frames)


def test_an_even_change_is_sampled_evenly_from_first_to_last():
    shown = levels(read_video(clip([grey(30 + 3 * i) for i in range(60)])))
    assert shown == sorted(shown)
    assert np.abs(np.diff(shown) - 3 * 59 / 7).max() <= 9
    assert shown[0] <= 33
    assert shown[-1] >= 30 + 3 * 58 - 3


def test_a_long_still_does_not_take_the_frames_from_what_moves():
    still, moving = [grey(40)] * 80, [grey(40 + 10 * i) for i in range(20)]
    shown = levels(read_video(clip(still + moving)))
    assert sum(level > 50 for level in shown) >= 4


def test_a_fade_from_black_is_passed_over():
    black = np.zeros((96, 96, 3), np.uint8)
    assert min(levels(read_video(clip([black] * 10 + [grey(100 + i) for i in range(30)])))) > 90
    assert read_video(clip([black] * 10)).max() < 20  # unless there is nothing else


@pytest.mark.parametrize("count", [1, 2, 5, 8, 9])
def test_a_short_clip_gives_frames_twice(count):
    shown = levels(read_video(clip([grey(40 + 20 * i) for i in range(count)])))
    assert len(shown) == FRAMES
    assert shown == sorted(shown)
    assert len({round(level / 20) for level in shown}) == min(count, FRAMES)


def test_frames_of_uneven_times_are_placed_by_their_time():
    # A minute of one still, then ten frames in a second: by number the still would hardly be seen.
    times = [0, 20_000, 40_000, *range(60_000, 61_000, 100)]
    shown = levels(read_video(clip([grey(40)] * 3 + [grey(200)] * 10, times=times)))
    assert sum(level < 100 for level in shown) == 3


@pytest.mark.parametrize(
    ("rotation", "colours"),
    [(90, (GREEN, WHITE, RED, BLUE)), (-90, (BLUE, RED, WHITE, GREEN)), (180, (WHITE, BLUE, GREEN, RED))],
)
def test_a_turned_recording_is_set_upright(rotation, colours):
    assert_quarters(read_video(clip([quarters()] * 3, rotation=rotation)), colours)


def test_what_is_not_square_gets_margins_of_its_border():
    frames = read_video(clip([np.full((64, 128, 3), (200, 100, 50), np.uint8)] * 3))
    assert np.abs(frames.astype(int) - (200, 100, 50)).max() <= 8
    tall = read_video(clip([quarters(64, 128)] * 3))
    assert np.abs(tall[0, SIDE_PX // 4, SIDE_PX // 2 - 14] - np.array(RED)).max() <= 25


def test_pixels_that_are_not_square_are_stretched():
    frames = read_video(clip([quarters(64, 128)] * 3, aspect=Fraction(2, 1)))
    assert_quarters(frames)
    assert np.abs(frames[0, SIDE_PX // 4, 4].astype(int) - RED).max() <= 25  # no margin


def test_sound_beside_the_pictures_is_no_matter():
    assert_quarters(read_video(clip([quarters()] * 10, audio=True)))


class Counted:
    """Counts the frames that the reader fits into its square, and those that it decodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded = 0
        decode = video._decode

        def counted(container, stream, start, wanted, most, side):
            found = decode(container, stream, start, wanted, most, side)
            self.decoded += most
            return found

        monkeypatch.setattr(video, "_decode", counted)


@pytest.mark.parametrize("gop", [10, 48, 250, 3000])
def test_a_clip_of_minutes_is_not_decoded_whole(gop, monkeypatch):
    count = Counted(monkeypatch)
    data = clip([grey(30 + i // 15) for i in range(3000)], gop=gop)
    frames = read_video(data)
    assert count.decoded <= video.MAX_DECODED
    shown = levels(frames)
    assert shown == sorted(shown)
    if gop <= 250:
        assert shown[-1] - shown[0] > 150
        assert len(set(shown)) == FRAMES


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "invalid_input", "empty"),
        (b"no video at all", "invalid_input", "is no video"),
        (b"\xff\xd8\xff\xe0 photo", "invalid_input", "a JPEG file"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "invalid_input", "a picture of brand"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "invalid_input", "moov"),
        (b"\x1a\x45\xdf\xa3" + bytes(60), "invalid_input", "broken WebM"),
    ],
)
def test_what_is_no_clip_is_refused_and_named(data, code, words):
    error = refusal(data)
    assert error.code == code
    assert words in error.message


def test_a_file_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(video, "MAX_VIDEO_BYTES", 1000)
    assert refusal(bytes(1001)).code == "too_large"


def test_frames_over_the_limit_are_refused(monkeypatch):
    data = clip([quarters()] * 3)
    monkeypatch.setattr(video, "MAX_PIXELS", 128 * 127)
    error = refusal(data)
    assert error.code == "too_large"
    assert "128 x 128" in error.message


def test_too_many_frames_are_refused(monkeypatch):
    data = clip([quarters()] * 30)
    monkeypatch.setattr(video, "MAX_PACKETS", 20)
    assert refusal(data).code == "too_large"


@pytest.mark.parametrize(("format", "codec"), [("mp4", "libx264"), ("webm", "libvpx")])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_refused(format, codec, share):
    rng = np.random.default_rng(0)
    whole = clip([rng.integers(0, 255, (96, 96, 3), np.uint8) for _ in range(12)], format, codec)
    assert refusal(whole[: int(share * len(whole))]).code == "invalid_input"


def test_a_file_of_sound_only_is_refused():
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 48000
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    assert "no video track (tracks: audio)" in refusal(file.getvalue()).message


def test_a_track_without_frames_is_refused():
    data = clip([quarters()] * 3)
    at = data.index(b"stsz")
    # The sample table says that there are no samples, in every of its boxes.
    data = data[: at + 12] + bytes(4) + data[at + 16 :]
    assert refusal(data).code == "invalid_input"


def test_a_damaged_stretch_does_not_hide_the_rest():
    rng = np.random.default_rng(0)
    data = bytearray(clip([quarters()] * 100, gop=10))
    at = data.index(b"mdat") + len(data) // 4
    data[at : at + 400] = rng.bytes(400)
    try:
        frames = read_video(bytes(data))
    except StageError as error:
        assert error.code == "invalid_input"
    else:
        assert frames.shape == (FRAMES, SIDE_PX, SIDE_PX, 3)


@pytest.fixture(scope="module")
def small() -> bytes:
    return clip([quarters(64, 64)] * 12)


@settings(max_examples=40)
@given(spots=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=12))
def test_whatever_the_bytes_the_answer_is_frames_or_a_typed_error(small, spots):
    data = bytearray(small)
    for share, value in spots:
        data[int(share * len(data))] = value
    started = time.monotonic()
    try:
        assert read_video(bytes(data)).shape == (FRAMES, SIDE_PX, SIDE_PX, 3)
    except StageError as error:
        assert error.field == "VIDEO"
    assert time.monotonic() - started < 10

"""Noise from seeds; pictures and clips that open elsewhere, show what was drawn, and say that they are generated."""

from io import BytesIO

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from stages.drawn import CLIP_PX, FORMATS, PICTURE_PX, SOURCE, mp4, noise, picture
from stages.errors import StageError

SHAPE = (3, 64, 64)


def colours(count: int) -> np.ndarray:
    """Frames of one colour each."""
    hues = np.linspace(0, 255, count).astype(np.uint8)
    return np.stack([np.full((64, 64, 3), (h, 255 - h, 60), np.uint8) for h in hues])


def test_a_seed_gives_the_same_noise_and_another_one_other_noise():
    assert (noise(3, SHAPE) == noise(3, SHAPE)).all()
    assert (noise(3, SHAPE) != noise(4, SHAPE)).any()
    assert (noise(None, SHAPE) != noise(None, SHAPE)).any()
    assert noise(0, SHAPE).shape == SHAPE and noise(0, SHAPE).dtype == np.float32
    assert abs(noise(1, SHAPE).mean()) < 0.05 and abs(noise(1, SHAPE).std() - 1) < 0.05


def test_a_seed_below_zero_is_refused():
    with pytest.raises(StageError) as caught:
        noise(-1, SHAPE)
    assert (caught.value.code, caught.value.field) == ("invalid_input", "IMAGE_SEED")


def test_a_png_shows_the_picture_and_says_it_is_generated():
    drawn = colours(3)[1]
    with Image.open(BytesIO(picture(drawn))) as opened:
        assert (opened.format, opened.size) == ("PNG", (PICTURE_PX, PICTURE_PX))
        assert SOURCE in opened.info["XML:com.adobe.xmp"]
        assert np.abs(np.asarray(opened).astype(int) - drawn[0, 0]).max() <= 1


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_opens_and_says_it_is_generated(file_format):
    drawn = colours(3)[1]
    data = picture(drawn, file_format.encode())
    with Image.open(BytesIO(data)) as opened:
        assert (opened.format, opened.size) == (file_format.upper(), (PICTURE_PX, PICTURE_PX))
        assert np.abs(np.asarray(opened.convert("RGB")).astype(int) - drawn[0, 0]).mean() < 4
    assert SOURCE.encode() in data


def test_an_unknown_format_is_refused():
    with pytest.raises(StageError, match="'gif' is unknown; send png, jpeg or webp") as caught:
        picture(colours(1)[0], b"gif")
    assert caught.value.field == "IMAGE_FORMAT"


def test_a_tune_is_heard_with_a_clip():
    sound = BytesIO()
    tone = 0.3 * np.sin(np.arange(16_000) * 0.2)
    soundfile.write(sound, tone.astype(np.float32), 16_000, format="WAV")
    with av.open(BytesIO(mp4(colours(24), sound.getvalue()))) as container:
        assert {stream.codec_context.name for stream in container.streams} == {"h264", "aac"}
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1)[0]
        rate = container.streams.audio[0].rate
    assert len(heard) / rate == pytest.approx(4, abs=0.1)  # again and again, to its end
    assert np.abs(heard[rate // 2 : 5 * rate // 2]).mean() > 0.02 > np.abs(heard[-rate // 50 :]).mean()
    with pytest.raises(StageError) as caught:
        mp4(colours(24), b"no sound")
    assert caught.value.field == "MUSIC"


def test_an_mp4_plays_two_turns_in_order_and_says_it_is_generated():
    drawn = colours(24)
    data = mp4(drawn)
    assert data.index(b"moov") < data.index(b"mdat"), "the index must come first, so that it plays while it loads"
    with av.open(BytesIO(data)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", CLIP_PX, CLIP_PX)
        assert stream.average_rate == 12
        assert SOURCE in container.metadata["comment"]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 48
    red = [frame[..., 0].mean() for frame in frames]
    np.testing.assert_allclose(red, np.tile(drawn[:, 0, 0, 0], 2), atol=8)

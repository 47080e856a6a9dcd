"""Posts as a player sees them: their tracks, their time, their captions."""

from io import BytesIO

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages import captions, post
from stages.errors import StageError
from stages.post import Brief, compose, read_brief
from stages.studio import ASPECTS
from tests.unit.stages.test_footage import filmed, pan, scene
from tests.unit.stages.test_studio import photo
from tests.unit.stages.test_video import clip


def voice(seconds, rate=22_050, channels=1):
    """A tone as WAV."""
    tone = 0.3 * np.sin(np.arange(round(seconds * rate)) * 0.1)
    file = BytesIO()
    soundfile.write(file, np.repeat(tone[:, None], channels, 1).astype(np.float32), rate, format="WAV")
    return file.getvalue()


def played(data):
    """The streams by kind, and every frame as RGB."""
    with av.open(BytesIO(data)) as file:
        kinds = {
            stream.type: (stream.codec_context.name, float(stream.duration * stream.time_base))
            for stream in file.streams
        }
        return kinds, [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def similar(a, b):
    return np.abs(a.astype(int) - b.astype(int)).mean()


@pytest.mark.parametrize("aspect", ASPECTS)
def test_every_aspect_has_its_size_and_a_silent_post_no_sound(aspect):
    pixels, opacity, _ = photo()
    data, seconds = compose(pixels, opacity, Brief(("A red mug.",), aspect))
    kinds, frames = played(data)
    assert kinds == {"video": ("h264", pytest.approx(seconds, abs=0.05))} and seconds == 6
    assert frames[0].shape[:2][::-1] == post.SIZES[aspect]
    assert data.index(b"moov") < data.index(b"mdat")  # a player may begin before it has all
    assert b"compositeWithTrainedAlgorithmicMedia" in data


def test_a_post_lasts_as_long_as_its_voice_and_both_tracks_are_there():
    pixels, opacity, _ = photo()
    data, seconds = compose(pixels, opacity, Brief(("A red mug.", "It is red."), "1:1"), voice(7.3, channels=2))
    kinds, _ = played(data)
    assert seconds == pytest.approx(7.3 + post.LEAD_OUT, abs=0.01)
    assert kinds["video"] == ("h264", pytest.approx(seconds, abs=0.05))
    assert kinds["audio"] == ("aac", pytest.approx(seconds, abs=0.1))


def test_the_photo_comes_first_then_the_product_alone():
    pixels, opacity, _ = photo()
    _, frames = played(compose(pixels, opacity, Brief((), "16:9"))[0])
    whole = np.asarray(Image.fromarray(pixels).resize((1080, 720)))
    assert similar(frames[0][:, 100:1180], whole) < 12
    corner = frames[-1][:60, :60].astype(int)
    assert corner.min() > 200 and np.ptp(corner, axis=2).max() < 8  # the studio's light grey
    assert frames[-1][360, 640, 0] > 2 * frames[-1][360, 640, 2]  # the red product


def test_nothing_is_cut_out_where_the_photo_shall_keep_its_ground():
    pixels, opacity, _ = photo()
    endings = [played(compose(pixels, opacity, Brief((), "1:1", background=b))[0])[1][-1] for b in ("photo", "white")]
    mottled = [np.ptp(ending[300:420, 10:40].astype(int), axis=(0, 1)).max() for ending in endings]
    assert mottled[0] > 20 and mottled[1] < 8


def test_the_clip_s_moments_come_between_and_alone_they_come_first():
    pixels, opacity, _ = photo()
    film = clip(filmed(scene("rocket-poster.jpg"), pan(60)))
    _, frames = played(compose(pixels, opacity, Brief((), "16:9"), clip=film)[0])
    blue = [frame[..., 2].mean() > 1.3 * frame[..., 0].mean() for frame in frames]  # the rocket's sky
    seen = np.flatnonzero(blue)
    assert not blue[0] and not blue[-1] and 1.5 < len(seen) / post.FRAMES_A_SECOND < 3.6
    assert seen[-1] - seen[0] == len(seen) - 1
    _, frames = played(compose(pixels, opacity, Brief((), "9:16"), clip=film, is_frame=True)[0])
    assert frames[0][..., 2].mean() > 1.3 * frames[0][..., 0].mean()
    assert frames[-1][:60, :60].min() > 200
    with pytest.raises(StageError) as caught:
        compose(pixels, opacity, Brief(()), clip=b"no film")
    assert caught.value.field == "VIDEO"


def loud(samples):
    """Root mean square of each quarter of a second."""
    return np.sqrt((samples[: len(samples) // 12_000 * 12_000].reshape(-1, 12_000) ** 2).mean(1))


def heard(data):
    with av.open(BytesIO(data)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def test_music_lasts_as_long_as_the_post_and_gives_way_to_the_voice():
    pixels, opacity, _ = photo()
    data, seconds = compose(pixels, opacity, Brief(("A red mug.",), "1:1"), music=voice(2.0))
    alone = loud(heard(data))
    assert len(alone) == pytest.approx(4 * seconds, abs=1) and alone[:-5].min() > 0.3 * alone.max()
    assert alone[-1] < 0.3 * alone.max()  # faded out
    rate = post.RATE
    said = np.zeros(8 * rate, np.float32)
    said[3 * rate : 5 * rate] = np.random.default_rng(0).normal(0, 0.2, 2 * rate)
    tune = np.sin(np.arange(3 * rate) * 0.05).astype(np.float32) * 0.5
    both = post.mixed(said, tune, len(said))
    under = loud(both - said)
    assert under[14:18].max() < 0.35 * under[2:8].min()
    assert np.abs(both).max() <= 1 and len(both) == len(said)
    with pytest.raises(StageError, match="is no sound") as caught:
        compose(pixels, opacity, Brief(()), music=b"no tune")
    assert caught.value.field == "MUSIC"


def test_each_caption_is_shown_in_turn_for_its_share_of_the_time():
    pixels, opacity, _ = photo()
    brief = Brief(("Short.", "This one is a good deal longer than the first."), "1:1")
    _, frames = played(compose(pixels, opacity, brief)[0])
    without = played(compose(pixels, opacity, Brief((), "1:1"))[0])[1]
    letters = [len(caption) for caption in brief.sentences]
    change = round(len(frames) * letters[0] / sum(letters))
    band = slice(560, 690)
    shown = [similar(frame[band], bare[band]) > 5 for frame, bare in zip(frames, without, strict=True)]
    assert all(shown[2:-2])
    changed = [np.abs(frames[at][650].astype(int) - without[at][650]).max(1) > 15 for at in (change - 3, change + 3)]
    assert 0.1 * 720 < np.count_nonzero(changed[0]) < 0.5 * np.count_nonzero(changed[1])


def test_a_brief_is_read():
    brief = read_brief("A red mug 🎉! Costs 9.50 €.  真好看！买吧。".encode(), b"4:5", b"track")
    assert brief == Brief(("A red mug 🎉!", "Costs 9.50 €.", "真好看！", "买吧。"), "4:5", "track")
    assert read_brief(None) == Brief((), "9:16", "burnt")


def test_a_track_of_captions_is_told_in_time_and_leaves_the_pictures_alone():
    pixels, opacity, _ = photo()
    brief = Brief(("A {red} mug.", "杯子 🎉 \\N it is red, and a good deal longer than the first."), "1:1", "track")
    data, _ = compose(pixels, opacity, brief, voice(7.0))
    bare = played(compose(pixels, opacity, Brief((), "1:1"), voice(7.0))[0])[1]
    kinds, frames = played(data)
    assert kinds["subtitle"][0] == "mov_text" and kinds["audio"][0] == "aac"
    assert np.median([similar(a, b) for a, b in zip(frames[::20], bare[::20], strict=True)]) < 0.5
    with av.open(BytesIO(data)) as file:
        track = file.streams.subtitles[0]
        said = [
            (
                bytes(packet)[2:].decode(),
                float(packet.pts * packet.time_base),
                float(packet.duration * packet.time_base),
            )
            for packet in file.demux(track)
            if packet.size > 2
        ]
    assert said[0][0] == "A {red} mug." and said[1][0].replace("\n", " ").startswith("杯子 🎉 \\N it is red")
    assert said[0][1] == 0 and said[1][1] == pytest.approx(said[0][2], abs=0.01)
    assert said[-1][1] + said[-1][2] == pytest.approx(7.0, abs=0.05)


def test_a_logo_is_heard_at_the_end_after_the_voice():
    pixels, opacity, _ = photo()
    data, seconds = compose(pixels, opacity, Brief((), "1:1"), voice(6.0), logo=voice(2.0))
    assert seconds == pytest.approx(6.0 + 2 * post.LOGO_AFTER + 2.0, abs=0.01)
    with av.open(BytesIO(data)) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    loud = [float(np.abs(sound[round(at * 48_000) :][:4_800]).max()) for at in (5.5, 6.1, 7.0, seconds - 0.12)]
    assert loud[0] > 0.1 and loud[2] > 0.1 and loud[1] < 0.02 and loud[3] < 0.02
    alone = compose(pixels, opacity, Brief((), "1:1"), logo=voice(1.0))
    assert played(alone[0])[0]["audio"][0] == "aac" and alone[1] == 6
    with pytest.raises(StageError, match=r"7\.0 s, the limit is 6 s") as caught:
        compose(pixels, opacity, Brief(()), logo=voice(7.0))
    assert (caught.value.code, caught.value.field) == ("too_large", "LOGO_SOUND")


@pytest.mark.parametrize(
    ("caption", "aspect", "code", "field", "says"),
    [
        (b"x" * 1001, None, "too_large", "CAPTION", "1,001 characters, the limit is 1,000"),
        (b"x" * 9999, None, "too_large", "CAPTION", "9,999 bytes"),
        (b"\xff", None, "invalid_input", "CAPTION", "is not UTF-8"),
        (b"x", b"3:2", "invalid_input", "ASPECT", "'3:2' is unknown; send 1:1, 4:5, 9:16 or 16:9"),
    ],
)
def test_a_bad_brief_names_field_value_and_limit(caption, aspect, code, field, says):
    with pytest.raises(StageError, match="'karaoke' is unknown; send burnt or track") as caught:
        read_brief(b"x", None, b"karaoke")
    assert caught.value.field == "CAPTIONS"
    with pytest.raises(StageError, match="a film knows no transparency") as caught:
        read_brief(b"x", None, None, b"transparent")
    assert caught.value.field == "BACKGROUND"
    with pytest.raises(StageError) as caught:
        read_brief(caption, aspect)
    assert (caught.value.code, caught.value.field) == (code, field) and says in caught.value.message


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [(b"", "invalid_input", "empty"), (b"no sound", "invalid_input", ""), (voice(31), "too_large", "31.0 s")],
)
def test_a_bad_voice_is_a_typed_error(data, code, says):
    pixels, opacity, _ = photo()
    with pytest.raises(StageError) as caught:
        compose(pixels, opacity, Brief(()), data)
    assert (caught.value.code, caught.value.field) == (code, "AUDIO") and says in caught.value.message


@settings(max_examples=30)
@given(st.text(max_size=300))
def test_any_text_becomes_captions_that_can_be_drawn(text):
    brief = read_brief(text.encode("utf-8", "ignore"))
    for caption in captions.timed(brief.sentences, (720, 720), 5):
        assert caption.lines and captions.card(caption, (720, 720)).picture.width > 0

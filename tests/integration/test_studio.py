"""Studio shots through the served graph: real photos, both protocols, typed errors."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image
from vitrina_client import AsyncVitrina, InvalidInput, TooLarge, Vitrina, _command

from tests.unit.stages.test_footage import filmed, pan, scene
from tests.unit.stages.test_video import clip

CUP = Path(__file__).parent.parent.parent / "samples" / "espresso-cup.jpg"


def film_without_index():
    data = clip(filmed(scene("espresso-cup.jpg"), pan(3)))
    return data[: data.index(b"moov") - 4] if data.index(b"moov") > data.index(b"mdat") else data[:40]


@pytest.fixture(params=["grpc", "http"])
def vitrina(request, server):
    with Vitrina(f"{request.param}://{getattr(server, f'{request.param}_url')}") as client:
        yield client


def pixels(data):
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


@pytest.mark.parametrize("background", ["white", "shadow"])
def test_the_cup_stands_on_white_and_its_table_is_gone(vitrina, background):
    shot = vitrina.studio(CUP, background=background)
    made = pixels(shot.image)
    assert shot.mime == "image/jpeg" and made.shape == (1200, 1200, 3) and 0.4 < shot.subject < 0.55
    assert (made[:100] > 250).all() and (made[:, :60] > 250).all()
    dark_red = (made[..., 0] > 90) & (made[..., 0] > 2 * made[..., 2])
    assert dark_red[400:1000].mean() > 0.3  # the cup and its saucer


def test_every_field_reaches_the_picture(vitrina):
    shot = vitrina.studio(
        CUP.read_bytes(), background="transparent", aspect="4:5", size=500, image_format="webp", style="mono"
    )
    picture = Image.open(BytesIO(shot.image))
    assert (shot.mime, picture.format, picture.mode, picture.size) == ("image/webp", "WEBP", "RGBA", (400, 500))
    seen = np.asarray(picture).astype(int)
    assert np.ptp(seen[seen[..., 3] > 250][:, :3], axis=1).max() <= 24  # mono, but for the file's own losses


def test_the_clip_shows_the_cup_swinging(vitrina):
    clip = vitrina.studio_video(CUP, background="shadow", aspect="4:5", size=500, style="mono")
    with av.open(BytesIO(clip.video)) as file:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
        assert file.streams.video[0].average_rate == 24 and len(frames) == 96
    assert frames[0].shape == (500, 400, 3) and 0.4 < clip.subject < 0.55
    assert (frames[24][:20] > 245).all() and np.ptp(frames[24], axis=2).max() <= 24  # mono, on white
    assert np.abs(frames[24] - frames[0]).mean() > 3 > np.abs(frames[48] - frames[0]).mean()


def test_the_clip_has_the_tune_it_is_given(vitrina):
    tone = BytesIO()
    soundfile.write(tone, (0.2 * np.sin(np.arange(22_050) * 0.1)).astype(np.float32), 22_050, format="WAV")
    clip = vitrina.studio_video(CUP, size=256, music=tone.getvalue())
    with av.open(BytesIO(clip.video)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264", "aac"]


@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"music": b"no sound"}, "MUSIC", "is no sound"),
        ({"background": "transparent"}, "BACKGROUND", "a film knows no transparency"),
        ({"size": 1_081}, "SIZE", "the 1,080 pixels"),
        ({"size": 200}, "SIZE", "200 is outside"),
        ({"style": "loud"}, "STYLE", "'loud' is unknown"),
    ],
)
def test_what_no_clip_can_be_is_refused(vitrina, asked, field, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        vitrina.studio_video(CUP, **asked)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("asked", "kind", "field", "says"),
    [
        ({"image": b"no picture"}, InvalidInput, "IMAGE", "is no picture"),
        ({"image": CUP.read_bytes()[:5000]}, InvalidInput, "IMAGE", "broken JPEG"),
        ({"image": b"\xff\xd8\xff" + bytes(33 * 2**20)}, TooLarge, "IMAGE", "the limit is 33,554,432 bytes"),
        ({"image": CUP, "background": "pink"}, InvalidInput, "BACKGROUND", "'pink' is unknown"),
        ({"image": CUP, "aspect": "2:3"}, InvalidInput, "ASPECT", "'2:3' is unknown"),
        ({"image": CUP, "size": 5000}, InvalidInput, "SIZE", "5000 is outside 256 to 2,048"),
        ({"image": CUP, "background": "transparent"}, InvalidInput, "IMAGE_FORMAT", "jpeg knows no transparency"),
        ({"image": "no.jpg"}, InvalidInput, "IMAGE", "cannot read 'no.jpg'"),
    ],
)
def test_a_fault_is_typed_and_harms_nobody_beside_it(vitrina, asked, kind, field, says):
    with ThreadPoolExecutor(2) as pool:
        fine = pool.submit(vitrina.studio, CUP, size=256)
        with pytest.raises(kind, match=says) as caught:
            vitrina.studio(**asked)
        assert caught.value.field == field
        assert fine.result().subject > 0.4


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_it_can_be_awaited(server, protocol):
    async with AsyncVitrina(f"{protocol}://{getattr(server, f'{protocol}_url')}") as client:
        assert Image.open(BytesIO((await client.studio(CUP, size=300)).image)).size == (300, 300)
        clip = await client.studio_video(CUP, size=256)
        assert b"ftyp" in clip.video[:12] and clip.subject > 0.4


def test_the_command_writes_the_file(server, tmp_path, capsys):
    out = tmp_path / "new" / "cup.png"
    arguments = ["studio", "--image", str(CUP), "--out", str(out), "--background", "studio", "--aspect", "16:9"]
    assert _command.main([*arguments, "--url", server.grpc_url]) == 0
    assert Image.open(out).size == (1200, 675)
    assert "the product covered 4" in capsys.readouterr().err
    clip = out.with_suffix(".mp4")
    arguments[4] = str(clip)
    assert _command.main([*arguments, "--size", "320", "--url", server.grpc_url]) == 0
    with av.open(str(clip)) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (320, 180)
    assert "the product covered 4" in capsys.readouterr().err


def test_a_post_has_pictures_captions_and_the_voice_it_is_given(vitrina):
    tone = BytesIO()
    soundfile.write(tone, (0.2 * np.sin(np.arange(7 * 22_050) * 0.1)).astype(np.float32), 22_050, format="WAV")
    made = vitrina.post(CUP, "An espresso cup. It is red.", audio=tone.getvalue(), aspect="1:1")
    with av.open(BytesIO(made.video)) as file:
        assert {stream.codec_context.name for stream in file.streams} == {"h264", "aac"}
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert made.seconds == pytest.approx(7.8, abs=0.05) and len(frames) == pytest.approx(24 * made.seconds, abs=1)
    assert frames[-1][:40, :40].min() > 200  # the studio


def test_captions_may_be_a_track_and_a_logo_ends_the_post(vitrina):
    tone = BytesIO()
    soundfile.write(tone, (0.2 * np.sin(np.arange(22_050) * 0.1)).astype(np.float32), 22_050, format="WAV")
    made = vitrina.post(CUP, "An espresso cup 🎉.", logo_sound=tone.getvalue(), captions="track", aspect="1:1")
    with av.open(BytesIO(made.video)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264", "aac", "mov_text"]
        said = [bytes(packet)[2:].decode() for packet in file.demux(subtitles=0) if packet.size]
        file.seek(0)
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert said == ["An espresso cup 🎉."]
    assert np.abs(sound[: 4 * 48_000]).max() < 0.01 < 0.1 < np.abs(sound[5 * 48_000 :]).max()


def test_a_tune_alone_is_heard_to_the_end_of_the_post(vitrina):
    tone = BytesIO()
    soundfile.write(tone, (0.2 * np.sin(np.arange(22_050) * 0.1)).astype(np.float32), 22_050, format="WAV")
    made = vitrina.post(CUP, "An espresso cup.", music=tone.getvalue(), aspect="1:1")
    with av.open(BytesIO(made.video)) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert len(sound) / 48_000 == pytest.approx(made.seconds, abs=0.1)
    assert np.abs(sound[4 * 48_000 : 5 * 48_000]).max() > 0.05


def test_a_post_of_a_clip_alone_begins_with_it_and_ends_with_its_product(vitrina):
    film = clip(filmed(scene("espresso-cup.jpg"), pan(40, shake=2)))
    made = vitrina.post(None, "An espresso cup.", video=film, aspect="16:9")
    with av.open(BytesIO(made.video)) as file:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    assert [len(frames), made.seconds] == [144, 6]
    moving = np.abs(frames[12] - frames[24]).mean()
    assert moving > 2 and np.abs(frames[0] - frames[12]).mean() > 2
    with pytest.raises(InvalidInput, match="neither a photo nor a clip") as caught:
        vitrina.post(None, "An espresso cup.")
    assert caught.value.field == "IMAGE"


@pytest.mark.parametrize(
    ("asked", "kind", "field", "says"),
    [
        ({"music": b"no tune"}, InvalidInput, "MUSIC", "is no sound"),
        ({"logo_sound": b"no tune"}, InvalidInput, "LOGO_SOUND", "is no sound"),
        ({"background": "transparent"}, InvalidInput, "BACKGROUND", "a film knows no transparency"),
        ({"captions": "karaoke"}, InvalidInput, "CAPTIONS", "'karaoke' is unknown"),
        ({"video": b"no film"}, InvalidInput, "VIDEO", "is no video"),
        ({"image": None, "video": film_without_index()}, InvalidInput, "VIDEO", "before its index"),
        ({"caption": "x" * 1001}, TooLarge, "CAPTION", "the limit is 1,000"),
        ({"audio": b"no sound"}, InvalidInput, "AUDIO", "is no sound"),
        ({"aspect": "3:2"}, InvalidInput, "ASPECT", "'3:2' is unknown"),
        ({"image": b""}, InvalidInput, "IMAGE", "is empty"),
    ],
)
def test_a_post_that_cannot_be_made_is_typed(vitrina, asked, kind, field, says):
    with pytest.raises(kind, match=says) as caught:
        vitrina.post(**({"image": CUP, "caption": "A cup."} | asked))
    assert caught.value.field == field


def test_the_command_writes_a_silent_post(server, tmp_path, capsys):
    out = tmp_path / "cup.mp4"
    arguments = ["post", "--image", str(CUP), "--text", "A cup.", "--out", str(out), "--silent", "--aspect", "1:1"]
    assert _command.main([*arguments, "--url", server.grpc_url]) == 0
    with av.open(str(out)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264"]
    assert "(6.0 s)" in capsys.readouterr().err

"""Sounds in: every kind that a shop sends comes out right, everything else as a typed error; whisper's spectrogram."""

from __future__ import annotations

import struct
from io import BytesIO

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from stages import audio
from stages.audio import BUCKETS, HOP, RATE, log_mel, read_audio
from stages.errors import StageError


def tone(seconds: float = 1.0, rate: int = RATE, hertz: float = 440.0, channels: int = 1) -> np.ndarray:
    """float32 [frames, channels], half of full scale."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave[:, None].astype(np.float32), (1, channels))


def encode(samples: np.ndarray, rate: int = RATE, format: str = "WAV", subtype: str | None = None) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


def refusal(data: bytes) -> StageError:
    with pytest.raises(StageError) as caught:
        read_audio(data)
    assert caught.value.field == "AUDIO"
    return caught.value


def pitch(samples: np.ndarray) -> float:
    """Hertz of the loudest frequency."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


def m4a(samples: np.ndarray, rate: int = 44_100, film: bool = False) -> bytes:
    """AAC in MP4, as phones record it; with pictures if it is a film."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        track = container.add_stream("aac", rate=rate, layout="stereo" if samples.shape[1] == 2 else "mono")
        pictures = container.add_stream("libx264", rate=10) if film else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
            container.mux(pictures.encode(av.VideoFrame(64, 64, "yuv420p")))
            container.mux(pictures.encode())
        if samples.size:
            layout = track.layout.name
            whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
            whole.sample_rate = rate
            container.mux(track.encode(whole))
            container.mux(track.encode())
    return file.getvalue()


RIGHT = {
    "m4a": m4a(tone(rate=44_100)),
    "m4a stereo 48 kHz": m4a(tone(rate=48_000, channels=2), 48_000),
    "the sound of a film": m4a(tone(rate=44_100), film=True),
    "wav": encode(tone()),
    "wav 24 bit": encode(tone(), subtype="PCM_24"),
    "wav 8 bit": encode(tone(), subtype="PCM_U8"),
    "wav float": encode(tone(), subtype="FLOAT"),
    "wav float beyond full scale": encode(tone() * 8, subtype="FLOAT"),
    "wav a-law": encode(tone(), subtype="ALAW"),
    "wav stereo 44.1 kHz": encode(tone(rate=44_100, channels=2), 44_100),
    "wav 8 kHz": encode(tone(rate=8_000), 8_000),
    "wav of an odd rate": encode(tone(rate=22_051), 22_051),
    "flac": encode(tone(rate=48_000), 48_000, "FLAC"),
    "ogg vorbis": encode(tone(rate=44_100), 44_100, "OGG", "VORBIS"),
    "ogg opus": encode(tone(rate=48_000), 48_000, "OGG", "OPUS"),
    "mp3": encode(tone(rate=44_100), 44_100, "MP3"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    samples = read_audio(RIGHT[name])
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 0.9 * RATE < len(samples) < 1.15 * RATE
    assert np.abs(samples).max() <= 1.1
    assert abs(pitch(samples) - 440) < 3


def test_silence_at_both_ends_is_cut_off_but_for_a_margin() -> None:
    quiet = np.zeros((RATE, 1), np.float32)
    samples = read_audio(encode(np.concatenate([quiet, tone(), quiet])))
    assert abs(len(samples) / RATE - 1.2) < 0.03


def test_thirty_seconds_are_read_and_more_are_not() -> None:
    assert len(read_audio(encode(tone(30.0)))) == 30 * RATE
    error = refusal(encode(tone(31.0)))
    assert error.code == "too_large"
    assert "31.0 s" in error.message
    assert "30 s" in error.message


def test_a_wav_from_a_pipe_does_not_know_its_size() -> None:
    data = bytearray(encode(tone()))
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert abs(pitch(read_audio(bytes(data))) - 440) < 3


def spliced() -> bytes:
    """An M4A that begins in mono and goes on in stereo, as a damaged packet may make it."""
    file, parts = BytesIO(), [m4a(tone(rate=44_100)), m4a(tone(rate=44_100, channels=2))]
    with av.open(file, "w", format="mp4") as container:
        track, number = None, 0
        for part in parts:
            with av.open(BytesIO(part)) as source:
                track = track or container.add_stream_from_template(source.streams.audio[0])
                for packet in list(source.demux(audio=0))[:20]:
                    packet.stream, packet.pts, packet.dts = track, number * 1024, number * 1024
                    number += 1
                    container.mux(packet)
    return file.getvalue()


def silent_film() -> bytes:
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        container.mux(pictures.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(pictures.encode())
    return file.getvalue()


def nan_wav() -> bytes:
    samples = tone()
    samples[100, 0] = np.nan
    return encode(samples, subtype="FLOAT")


def header_only(rate: int = RATE, channels: int = 1) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    payload = b"\0" * (2 * channels * 4000)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", len(body)) + body


WRONG = {
    "empty": (b"", "invalid_input", "is empty"),
    "text": (b"hello, this is no sound", "invalid_input", "is no sound: 23 bytes"),
    "png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "invalid_input", "a PNG file"),
    "m4a broken": (b"\0\0\0\x20ftypM4A " + b"\0" * 100, "invalid_input", "broken M4A"),
    "m4a truncated": (RIGHT["m4a"][: len(RIGHT["m4a"]) // 2], "invalid_input", "broken M4A"),
    "m4a of changing channels": (spliced(), "invalid_input", "changes to 2 channels of 44,100 Hz"),
    "m4a too long": (m4a(tone(31, 44_100)), "too_large", "the limit is 30 s"),
    "a film without sound": (silent_film(), "invalid_input", "without a sound track (tracks: video)"),
    "webm": (b"\x1aE\xdf\xa3" + b"\0" * 100, "invalid_input", "WebM"),
    "aiff": (encode(tone(), format="AIFF"), "invalid_input", "an AIFF file"),
    "wav truncated": (RIGHT["wav"][:-9000], "invalid_input", "claims 32,000 bytes of samples but holds 23,000"),
    "wav without samples": (RIGHT["wav"][:40], "invalid_input", "holds no samples"),
    "flac truncated": (RIGHT["flac"][: len(RIGHT["flac"]) // 2], "invalid_input", "broken FLAC"),
    "flac broken": (b"fLaC" + b"\x17" * 500, "invalid_input", "broken FLAC"),
    "ogg broken": (b"OggS" + b"\x17" * 500, "invalid_input", "broken OGG"),
    "mp3 broken": (b"ID3" + b"\x17" * 500, "invalid_input", "broken MP3"),
    "nan": (nan_wav(), "invalid_input", "1 samples that are NaN or infinite, the first at frame 100"),
    "silent": (encode(np.zeros((RATE, 1), np.float32)), "invalid_input", "is silent"),
    "a click": (encode(tone(0.02)), "invalid_input", "lasts 20 ms"),
    "no frames": (encode(tone(0.0)), "invalid_input", "lasts 0 ms"),
    "nine channels": (encode(tone(0.2, channels=9)), "too_large", "9 channels, the limit is 8"),
    "low rate": (header_only(1_000), "invalid_input", "1,000 Hz"),
    "high rate": (header_only(400_000), "invalid_input", "400,000 Hz"),
    "large": (RIGHT["wav"] + b"\0" * audio.MAX_AUDIO_BYTES, "too_large", "the limit is 16,777,216 bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    data, code, words = WRONG[name]
    error = refusal(data)
    assert error.code == code
    assert words in error.message


@settings(max_examples=150)
@given(st.sampled_from(sorted(RIGHT)), st.data())
def test_any_damage_is_read_or_refused(name: str, data: st.DataObject) -> None:
    damaged = bytearray(RIGHT[name])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=20)):
        damaged[at] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        samples = read_audio(bytes(damaged))
    except StageError as error:
        assert error.field == "AUDIO"
    else:
        assert np.isfinite(samples).all()
        assert len(samples) <= audio.MAX_SECONDS * RATE


@pytest.mark.parametrize("seconds", [0.3, 1.99, 2.0, 2.01, 7.0, 30.0])
def test_the_spectrogram_is_whispers(seconds: float) -> None:
    rng = np.random.default_rng(0)
    samples = (tone(seconds)[:, 0] * rng.uniform(0, 1) + 0.01 * rng.standard_normal(round(seconds * RATE))).astype("f4")
    mel = log_mel(samples, 80)
    assert mel.dtype == np.float32
    assert mel.shape[1] in BUCKETS
    assert mel.shape[1] * HOP >= len(samples)
    padded = np.pad(samples, (0, mel.shape[1] * HOP - len(samples)))
    theirs = WhisperFeatureExtractor(feature_size=80)(padded, sampling_rate=RATE, padding=False, return_tensors="np")
    np.testing.assert_allclose(mel, theirs["input_features"][0], atol=1e-4)


def test_frames_are_the_least_that_hold_the_clip() -> None:
    assert [log_mel(tone(s)[:, 0], 80).shape[1] for s in (0.1, 2.0, 2.1, 6.5, 30.0)] == [200, 200, 300, 800, 3000]
    with pytest.raises(ValueError, match=r"30\.10 s of samples"):
        log_mel(tone(30.1)[:, 0], 80)

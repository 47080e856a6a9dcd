"""Speech as a caller gets it: at one loudness, in the format asked for, marked as generated."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import soundfile

from stages.spoken import LOUDNESS, PEAK, encode, level, loudness

RATE = 22_050


def tone(seconds: float, hertz: float = 997, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_a_full_scale_tone_has_the_loudness_that_the_standard_says(rate):
    assert loudness(tone(3, rate=rate), rate) == pytest.approx(-3.01, abs=0.1)  # EBU Tech 3341 allows as much


def test_pauses_do_not_count():
    spoken = tone(3)
    paused = np.concatenate([spoken, np.zeros(6 * RATE, np.float32), spoken])
    assert loudness(paused, RATE) == pytest.approx(loudness(spoken, RATE), abs=0.3)


@pytest.mark.parametrize("gain", [0.003, 0.1, 1.0])
def test_every_level_becomes_one(gain):
    assert loudness(level(tone(2) * gain, RATE), RATE) == pytest.approx(LOUDNESS, abs=0.05)


def test_peaks_are_turned_down_and_nothing_else():
    samples = tone(4) * 0.05
    samples[2 * RATE : 2 * RATE + 40] *= 20
    levelled = level(samples, RATE)
    assert np.abs(levelled).max() == pytest.approx(PEAK, abs=0.02) and np.abs(levelled).max() <= PEAK + 1e-6
    gain = levelled[samples != 0] / samples[samples != 0]
    assert (np.abs(gain - gain[0]) > 1e-3).mean() < 0.01, "20 ms of 4 s"
    assert np.abs(np.diff(gain)).max() < 0.05 * gain[0], "no step in the gain"


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(RATE, np.float32), tone(0.005)])
def test_silence_and_the_shortest_sound_are_no_fault(samples):
    assert np.isfinite(level(samples, RATE)).all()


@pytest.mark.parametrize(("audio_format", "coding"), [("wav", "PCM_16"), ("ogg", "VORBIS")])
def test_files_hold_every_sample_and_say_that_they_are_generated(audio_format, coding):
    samples = tone(200) * 0.5  # long enough to overflow libvorbis' stack in one piece
    with soundfile.SoundFile(BytesIO(encode(samples, RATE, audio_format))) as file:
        assert (file.format, file.subtype) == (audio_format.upper(), coding)
        assert (file.samplerate, file.channels, file.frames) == (RATE, 1, len(samples))
        assert "trainedAlgorithmicMedia" in file.comment
        assert np.abs(file.read(dtype="float32") - samples).max() < 0.05

"""What is said in sounds: a voice's own words, and nothing where nobody speaks."""

from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from export import recipe
from export.sources import fetch
from networks.whisper import MELS
from stages.audio import RATE, log_mel, read_audio
from stages.transcript import Transcriber, once

SAID = {
    "Red leather handbag with a brass buckle.": 0.0,
    "This lamp is forty centimeters high, and its shade is made of linen.": 0.2,
}


@pytest.fixture(scope="module")
def transcribe():
    slot = recipe.load("offline").slot("transcriber")
    return Transcriber(fetch(slot.sources, slot.sha256), threads=2)


@pytest.fixture(scope="module")
def voice(bundle):
    """The recipe's voice: text → float32 samples of 16 kHz."""
    from benchmarks.speech import Voice, resampled

    speak = Voice("joe", False, 1)
    return lambda text: resampled(speak(text), speak.speaker.rate)


def wrong(said: str, heard: str) -> float:
    normalise = EnglishTextNormalizer({})
    return jiwer.wer(normalise(said), normalise(heard))


def test_the_words_are_written_down_alone_and_together(transcribe, voice):
    frames = 500
    sounds = [log_mel(voice(said), MELS) for said in SAID]
    alone = [transcribe(sound[None])[0].text for sound in sounds]
    for (said, allowed), heard in zip(SAID.items(), alone, strict=True):
        assert wrong(said, heard) <= allowed, heard
    padded = [np.pad(s, ((0, 0), (0, frames - s.shape[1])), constant_values=s.max() - 2) for s in sounds]
    found = transcribe(np.stack([*padded, np.zeros((80, frames), np.float32)]))
    assert [each.language for each in found] == ["en", "en", ""]
    together = [each.text for each in found]
    assert together[2] == ""
    for one, other in zip(alone, together, strict=False):
        assert wrong(one, other) < 0.2


def test_a_short_sound_is_not_said_twice(transcribe, voice):
    (heard,) = transcribe(log_mel(voice("Replica of a watch."), MELS)[None])
    assert 0 < len(heard.text.split()) < 7


def test_a_chinese_note_is_written_in_simplified_characters_and_told(transcribe):
    recording = Path(__file__).parents[3] / "benchmarks" / "data" / "hearing" / "zh-16.opus"
    (heard,) = transcribe(log_mel(read_audio(recording.read_bytes()), MELS)[None])
    assert heard.language == "zh"
    assert "笔记本电脑" in heard.text and "保修" in heard.text, heard.text


def test_another_language_is_told_and_where_it_is_not_known_nothing_is_written(transcribe):
    recordings = Path(__file__).parents[3] / "benchmarks" / "data" / "hearing"
    (french,), (unknown,) = (
        transcribe(log_mel(read_audio((recordings / f"{name}.opus").read_bytes()), MELS)[None])
        for name in ("fr-01", "hi-01")
    )
    assert french.language == "fr" and "Belgique" in french.text
    assert unknown == ("", "")


@pytest.mark.parametrize("kind", ["silence", "noise", "tone", "tune", "click"])
def test_where_nobody_speaks_nothing_is_heard(transcribe, kind):
    time = np.arange(3 * RATE) / RATE
    notes = np.array([440.0, 554.0, 660.0])[(time * 4).astype(int) % 3]
    sounds = {
        "silence": 0 * time,
        "noise": np.random.default_rng(0).normal(0, 0.05, len(time)),
        "tone": 0.3 * np.sin(2 * np.pi * 300 * time),
        "tune": 0.2 * np.sin(2 * np.pi * notes * time),
        "click": np.where(time < 0.06, 0.5 * np.exp(-time * 100) * np.sin(2 * np.pi * 900 * time), 0)[: RATE // 10],
    }
    assert transcribe(log_mel(sounds[kind].astype(np.float32), MELS)[None]) == [("", "")]


def test_no_sound_at_all_is_not_listened_to(transcribe):
    assert transcribe(np.zeros((2, 80, 200), np.float32)) == [("", "")] * 2


def test_a_text_that_goes_in_circles_is_said_once():
    assert once("Replica of a watch. " * 12) == "Replica of a watch."
    assert once("It is a lamp " + "with a linen shade " * 20) == "It is a lamp with a linen shade"
    assert once("这是一盏台灯，" + "谢谢观看，" * 20) == "这是一盏台灯，谢谢观看"
    assert once("这款台灯高四十二厘米，灯罩是亚麻做的。") == "这款台灯高四十二厘米，灯罩是亚麻做的。"


@given(st.text(max_size=300))
def test_once_only_shortens(text):
    assert "".join(text.split()).startswith("".join(once(text).split()))

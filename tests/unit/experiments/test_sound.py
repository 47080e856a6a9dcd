"""Jingles, their analysis, and the sound decoder's training on a few of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import jingles, sound
from experiments.jingles import MOODS, SHADE, jingle, note
from experiments.sound import Data, analyse, losses
from experiments.sound_decoder import FLOOR, FRAMES, LOWEST, OSCILLATORS, RATE, SAMPLES, SoundDecoder
from experiments.sound_evaluation import MoodClassifier, cleanliness, distance, generate, rebuilt
from training.common.weights import restore, save

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data():
    """Two moods, each with a condition of its own."""
    rng = np.random.default_rng(0)
    conditions = rng.standard_normal((2, 2, 384)).astype(np.float32)
    conditions /= np.linalg.norm(conditions, axis=-1, keepdims=True)
    audio = np.stack([jingle(m, "red", np.random.default_rng(n)) for m in ("bold", "dreamy") for n in range(3)])
    loudness = np.stack([analyse(a) for a in audio]).astype(np.float16)
    return Data(audio.astype(np.float16), loudness, np.repeat([0, 1], 3), torch.from_numpy(conditions))


@pytest.mark.parametrize("mood", MOODS)
def test_a_jingle_is_whole_loud_and_ends_in_silence(mood):
    one, again, other = (jingle(mood, "blue", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (SAMPLES,) and one.dtype == np.float32
    assert np.abs(one).max() == pytest.approx(0.9, abs=1e-3)
    assert np.abs(one[-20:]).max() < 0.01
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("instrument", ["piano", "organ", "bell", "glass", "pluck"])
def test_an_instrument_is_in_tune(instrument):
    tone = note(instrument, 69, 1.0, 1.0, np.random.default_rng(0))
    size = 1 << 17
    power = np.abs(np.fft.rfft(tone * np.hanning(len(tone)), size))
    peak = np.argmax(power) * RATE / size
    multiple = round(peak / 440)
    assert multiple >= 1
    assert 1200 * abs(np.log2(peak / multiple / 440)) < 6  # cents


def test_every_category_and_colour_has_a_sound():
    assert set(jingles.MOOD_OF.values()) <= set(MOODS)
    assert set(SHADE) == set(jingles.COLOURS)


def test_analysis_finds_a_tone_and_the_oscillators_play_it_back():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SAMPLES) / RATE).astype(np.float32)
    loudness = analyse(tone)
    assert loudness.shape == (OSCILLATORS, FRAMES) and loudness.min() >= FLOOR
    middle = loudness[:, FRAMES // 2]
    assert middle.argmax() == 69 - LOWEST
    assert middle.max() == pytest.approx(np.log(0.5), abs=0.02)
    assert np.abs(rebuilt(tone[None])[0, 8000:32000]).max() == pytest.approx(0.5, abs=0.1)


def test_it_learns_and_resumes(data, tmp_path):
    plan = replace(sound.PLAN, steps=30, warm_up=3, checkpoint_every=10)
    said = []

    def stop(step, terms):
        said.append((step, float(terms.split()[1])))
        if step == 25 and len(said) == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sound.train(data, tmp_path / "run.pt", stop, plan)
    trained = sound.train(data, tmp_path / "run.pt", stop, plan)
    assert [step for step, _ in said] == [*range(1, 26), *range(21, 31)]
    assert said[-1][1] < 0.6 * said[0][1]
    assert not (tmp_path / "run.pt").exists()
    save(trained.decoder, tmp_path / "model.safetensors", {})
    back = restore(SoundDecoder(), tmp_path / "model.safetensors")
    a, b = (generate(d, data.conditions[:, 0], 0) for d in (trained.decoder, back))
    assert np.abs(a - b).max() < 0.05


def test_all_parts_learn(data):
    torch.manual_seed(0)
    objective = sound.Objective()
    sum(losses(data)(objective, np.random.default_rng(0), torch.device("cpu")).values()).backward()
    assert all(p.grad is not None and p.grad.any() and p.grad.isfinite().all() for p in objective.parameters())


def test_measures_tell_tones_from_noise_and_moods_apart(data):
    audio = data.audio.astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(audio.shape).astype(np.float32)
    assert cleanliness(audio)["flatness"] < 0.2 < cleanliness(noise)["flatness"]
    assert distance(audio, audio) == 0 < distance(audio, noise)
    moods = np.array([6, 6, 6, 1, 1, 1])
    assert MoodClassifier(audio, moods).accuracy(audio, moods) == 1

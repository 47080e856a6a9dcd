"""Training of the audio encoder's head on a small made-up set: it learns, it resumes, what it writes comes back."""

import numpy as np
import pytest
import torch

from networks.audio_encoder import TOKENS, WIDTH
from training.audio import head as audio
from training.audio import speech
from training.audio.speech import HELD_OUT_VOICES, NAME_VOICES, Clip, Spoken, spoken, words_of
from training.catalogue.products import Product
from training.common.weights import save

pytestmark = pytest.mark.usefixtures("one_thread")
MEANINGS = [f"{color} {thing}" for color in ("red", "blue") for thing in ("chair", "lamp", "boat", "cup")]


def embed(texts: list[str]) -> np.ndarray:
    """Each word a fixed direction, a text their sum."""

    def word(text: str) -> np.ndarray:
        return np.random.default_rng(list(text.encode())).standard_normal(WIDTH)

    rows = np.stack([sum(word(w) for w in text.split()) for text in texts])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def clips():
    """Each word is a stretch of states of its own; takes differ a little, some clips are longer."""
    rng = np.random.default_rng(0)
    sound = {w: rng.standard_normal((20, 384)) for w in ("red", "blue", "chair", "lamp", "boat", "cup")}
    said, states = [], []
    for meaning in MEANINGS:
        for take in range(6):
            rest = np.zeros((10 if take < 5 else 30, 384))
            heard = np.concatenate([*(sound[w] for w in meaning.split()), rest])
            states.append((heard + 0.1 * rng.standard_normal(heard.shape)).astype(np.float16))
            said.append(Clip(meaning, meaning, NAME_VOICES[take], take))
    return Spoken(said, states)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(audio, "STEPS", 40)
    monkeypatch.setattr(audio, "WARM_UP", 5)
    monkeypatch.setattr(audio, "BATCH", 16)


@pytest.mark.slow
def test_clips_find_what_they_mean_after_a_few_steps(clips, tmp_path):
    data = audio.Data.of(clips, embed)
    steps = []
    head = audio.train(data, tmp_path / "run.pt", lambda step, terms: steps.append((step, terms)))
    assert [step for step, _ in steps] == list(range(1, 41))
    assert "clip→meaning" in steps[0][1]
    embedding, tokens = audio.hear(head, clips)
    assert tokens.shape == (len(clips.clips), TOKENS, WIDTH)
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(len(clips.clips)))
    nearest = (embedding @ torch.from_numpy(embed(MEANINGS)).T).argmax(1)
    assert np.mean([MEANINGS[n] == clip.means for n, clip in zip(nearest, clips.clips, strict=True)]) > 0.8


def test_a_stopped_run_goes_on(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "STEPS", 6)
    monkeypatch.setattr(audio, "CHECKPOINT_EVERY", 2)
    data = audio.Data.of(clips, embed)
    whole = audio.train(data, tmp_path / "whole.pt", lambda *_: None)

    def stop(step, _):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audio.train(data, tmp_path / "run.pt", stop)
    steps = []
    resumed = audio.train(data, tmp_path / "run.pt", lambda step, _: steps.append(step))
    assert steps == [5, 6]
    # Dropout's draws differ after a stop.
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0.02, rtol=0.1)
    assert not (tmp_path / "run.pt").exists()


def test_weights_come_back_in_half_precision(clips, tmp_path):
    torch.manual_seed(0)
    head = audio.Head(384).eval()
    save(head, tmp_path / "model.safetensors", {"steps": "0"})
    assert (tmp_path / "model.safetensors").stat().st_size < 10e6
    for a, b in zip(
        audio.hear(audio.load(tmp_path / "model.safetensors"), clips), audio.hear(head, clips), strict=True
    ):
        torch.testing.assert_close(a, b, atol=5e-3, rtol=0)


def test_a_batch_has_one_length_and_its_own_clips(clips):
    data = audio.Data.of(clips, embed)
    states, numbers = data.draw(np.random.default_rng(0))
    assert states.shape[0] == len(numbers)
    assert {len(clips.states[i]) for i in numbers.tolist()} == {states.shape[1]}
    torch.testing.assert_close(data.spoken.sum(1), torch.ones(len(clips.clips)))


def product(name: str, held_out: bool) -> Product:
    return Product(name, "0" * 12, "", name, None, "", None, [], "", "", "", "", None, held_out)


def test_held_out_names_and_voices_are_kept_out():
    products = [product("Chair", False), product("chair", True), product("Toy train", True)]
    kept_out = speech.held_out_names(products)
    assert kept_out == {"Toy train"}
    trained = [c for c in speech.name_clips(products) if audio.is_trained_on(c, kept_out)]
    assert {c.means for c in trained} == {"Chair", "chair"}
    assert not {c.voice for c in trained} & HELD_OUT_VOICES
    phrases = speech.phrase_clips(products)
    assert not any(c.means.lower() == "toy train" for c in phrases)
    assert not {c.voice for c in phrases} & HELD_OUT_VOICES


def test_names_are_said_as_people_say_them():
    assert spoken("TV 16:9") == "TV 16 by 9"
    assert spoken("Concept Sedan 02 Sport") == "Concept Sedan 2 Sport"
    assert words_of("A plate, glass and cutlery") == ["plate", "glass", "cutlery"]


def test_the_same_clip_has_the_same_chance():
    clip = Clip("chair", "chair", "espeak any", 0)
    assert clip.rng().random() == Clip("chair", "chair", "espeak any", 0).rng().random()
    assert clip.rng().random() != Clip("chair", "chair", "espeak any", 1).rng().random()

"""Training of the video encoder on made-up features: it learns, resumes, comes back; clips keep their promises."""

import time

import numpy as np
import pytest
import torch

from networks.video_encoder import CHANNELS, VideoEncoder
from training.catalogue.products import Product
from training.common.embeddings import name_targets, recall
from training.common.weights import save
from training.video import clips
from training.video import encoder as video
from training.video.clips import BEYOND, HELD_OUT_ARC, TRAINED, film, turn

pytestmark = pytest.mark.usefixtures("one_thread")
PRODUCTS, CLIPS, TITLES = 16, 3, 3


def unit(rng, *shape):
    x = rng.standard_normal(shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def data():
    """Each product has features of its own, which its clips vary a little; every two products share a name."""
    rng = np.random.default_rng(0)
    names, name_of = unit(rng, PRODUCTS // 2, 384), np.arange(PRODUCTS) // 2
    own = rng.standard_normal((PRODUCTS, 1, 1, CHANNELS, 1))
    seen = own + 0.2 * rng.standard_normal((PRODUCTS, CLIPS, 8, CHANNELS, 16))
    titles = torch.from_numpy(names[name_of][:, None] + 0.02 * rng.standard_normal((PRODUCTS, TITLES, 384))).float()
    return video.Data(
        seen.astype(np.float16),
        torch.nn.functional.normalize(titles, dim=-1),
        torch.from_numpy(names),
        torch.from_numpy(name_of),
        torch.from_numpy(names[name_of]),
    )


def found(network, data):
    with torch.inference_mode():
        clip, _ = network.mix(torch.from_numpy(data.features[:, 0]).float())
    return recall(clip, data.names, torch.nn.functional.one_hot(data.name_of, len(data.names)).bool())["@1"]


@pytest.mark.slow
def test_clips_find_their_names_after_a_few_steps(data, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "STEPS", 30)
    monkeypatch.setattr(video, "WARM_UP", 5)
    torch.manual_seed(0)
    network = VideoEncoder()
    spatial = {name: value.clone() for name, value in network.spatial.state_dict().items()}
    assert found(network.eval(), data) < 0.5
    said = []
    trained = video.train(network, data, tmp_path / "run.pt", lambda step, terms: said.append((step, terms)))
    assert [step for step, _ in said] == list(range(1, 31))
    assert "clip→name" in said[0][1]
    assert found(trained, data) > 0.9
    assert all((value == spatial[name]).all() for name, value in trained.spatial.state_dict().items())


def test_every_part_above_the_spatial_one_learns(data):
    torch.manual_seed(0)
    network = VideoEncoder()
    mixer = video.Mixer(network)
    for block in network.motion:
        torch.nn.init.normal_(block.widen.weight, std=0.05)
    terms = video.losses(mixer, data, name_targets(data.names), np.random.default_rng(0), torch.device("cpu"))
    assert all(term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    assert not [name for name, p in mixer.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(p.grad is None for p in network.spatial.parameters())


def test_a_run_past_its_time_goes_on_later(data, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "STEPS", 6)
    torch.manual_seed(0)
    network = VideoEncoder()
    steps = []

    def slice_of(deadline):
        return video.train(network, data, tmp_path / "run.pt", lambda step, _: steps.append(step), deadline)

    for done in ([1], [1, 2]):
        with pytest.raises(TimeoutError, match="run: stopped after"):
            slice_of(time.monotonic() - 1)
        assert steps == done
    slice_of(float("inf"))
    assert steps == [1, 2, 3, 4, 5, 6]
    assert not (tmp_path / "run.pt").exists()


def test_a_batch_takes_some_frames_in_order_or_backwards(data):
    lengths = set()
    for step in range(20):
        _, seen, title = data.draw(np.random.default_rng(step))
        assert seen.shape[2:] == (CHANNELS, 16)
        assert title.shape == (PRODUCTS, 384)
        lengths.add(seen.shape[1])
    assert min(lengths) >= video.LEAST_FRAMES
    assert max(lengths) == 8


def test_weights_come_back_and_tell_their_run(tmp_path):
    torch.manual_seed(0)
    network = VideoEncoder().eval()
    path = tmp_path / "model.safetensors"
    assert not video.is_written(path, "video-1")
    save(network, path, {"run": "video-1"})
    assert video.is_written(path, "video-1")
    assert not video.is_written(path, "video-2")
    assert path.stat().st_size < 10e6
    seen = torch.randn(2, 8, CHANNELS, 16)
    with torch.inference_mode():
        for want, have in zip(network.mix(seen), video.load(path).mix(seen), strict=True):
            torch.testing.assert_close(have, want, atol=5e-3, rtol=0)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_trained_on_never_shows_the_held_out_arc(seed):
    assert not set(turn("trained", False, np.random.default_rng(seed))) & set(HELD_OUT_ARC)
    assert set(turn("arc", False, np.random.default_rng(seed))) == set(HELD_OUT_ARC)
    steps = np.diff(turn("motion", False, np.random.default_rng(seed))) % 24
    assert set(steps) in ({3}, {21})


@pytest.fixture
def turntable():
    """A dark square that is opaque in the middle of white."""
    frames = np.full((8, 96, 96, 4), 255, np.uint8)
    frames[..., 3] = 0
    frames[:, 32:64, 32:64] = (40, 60, 80, 255)
    return frames


@pytest.mark.parametrize("seed", range(12))
def test_a_clip_keeps_the_product_whatever_the_ground(turntable, seed):
    frames = film(turntable, TRAINED, np.random.default_rng(seed))
    assert frames.shape == (8, 112, 112, 3)
    assert np.array_equal(frames, film(turntable, TRAINED, np.random.default_rng(seed)))
    again = film(turntable, BEYOND, np.random.default_rng(seed))
    assert again.shape == frames.shape
    assert frames.std() > 5


def test_clips_of_a_product_are_of_the_kinds_that_were_promised(turntable, monkeypatch):
    monkeypatch.setattr(clips, "read_rgba", lambda product: np.concatenate([turntable] * 3))
    known, other = (
        Product("a", f"{number:012x}", "L", "A", None, "C", None, [], "Ann", "CC0", "a.obj", "a.png", None, held)
        for number, held in ((1, False), (2, True))
    )
    assert clips.kinds(known) == ["trained"] * 8 + ["arc"] * 2 + ["motion"] * 2
    made = clips.clips(known)
    assert [clip.kind for clip in made] == clips.kinds(known)
    assert not any(set(clip.shown) & set(HELD_OUT_ARC) for clip in made if clip.kind == "trained")
    assert clips.kinds(other) == ["trained"] * 4

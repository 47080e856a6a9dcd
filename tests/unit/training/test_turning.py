"""Training of the video decoder on a small made-up catalogue: what is drawn fits together, and it learns to turn."""

import math

import numpy as np
import pytest
import torch

from networks.image_decoder import SIZE
from networks.video_decoder import FRAMES, VideoDecoder, square
from training import loop, steps, turning

pytestmark = pytest.mark.usefixtures("one_thread")
PRODUCTS, VIEWS = 3, 2


def frame(azimuth: float, colour: tuple[int, int, int], scale: float = 1.0, shift: int = 0) -> np.ndarray:
    """A flat board that stands across the view at 0 degrees, uint8 [S, S, 4]: narrow from its side."""
    picture = np.full((SIZE, SIZE, 4), 255, np.uint8)
    picture[..., 3] = 0
    half, tall = max(2, round(20 * scale * abs(math.cos(azimuth)))), round(14 * scale)
    box = slice(32 - tall, 32 + tall), slice(32 - half + shift, 32 + half + shift)
    picture[box] = (*colour, 255)
    return picture


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    step = 2 * math.pi / FRAMES
    azimuths = rng.uniform(-3, 3, (PRODUCTS, VIEWS)).astype(np.float32)
    frames = np.stack([[frame(i * step, c) for i in range(FRAMES)] for c in colours])
    shots = np.stack([[frame(a, c, 0.6, 8) for a in row] for row, c in zip(azimuths, colours, strict=True)])
    opacity = torch.from_numpy(frames[..., 3]).float().flatten(0, 1).unsqueeze(1) / 255
    shares = (square(opacity)[1] / 2).reshape(PRODUCTS, FRAMES).numpy()
    fused = torch.nn.functional.normalize(torch.randn(PRODUCTS, 4, 384), dim=-1)
    return turning.Data(frames, shots, azimuths, shares, fused)


def test_a_shot_is_brought_to_the_size_and_place_of_its_turntable(data):
    sample = data.draw(np.random.default_rng(1), 40)
    assert sample.target.shape == (40 * turning.TURNS, 4, SIZE, SIZE) and sample.turns.shape == (40, turning.TURNS)
    centre, side = square(sample.framed[:, 3:])
    assert centre.abs().max() < 0.15
    assert ((side / 2 / sample.share) - 1).abs().max() < 0.25
    # Where the turn is small, the target is what was given, but for the blur.
    near = (sample.turns[:, 0].sin().abs() < 0.1) & (sample.turns[:, 0].cos() > 0)
    assert near.any()
    first = sample.target.reshape(40, turning.TURNS, 4, SIZE, SIZE)[:, 0]
    assert (first[near] - sample.framed[near]).abs().mean() < 0.06


def test_colours_are_cut_out_with_the_opacity(data):
    sample = data.draw(np.random.default_rng(2), 20)
    assert (sample.framed[:, :3].amax(1, keepdim=True) <= sample.framed[:, 3:] + 0.02).all()
    assert (sample.target[:, :3] <= sample.target[:, 3:] * 1.11).all()


@pytest.mark.slow
def test_it_learns_and_comes_back_from_its_file(data, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "WARM_UP", 2)
    monkeypatch.setattr(turning, "BATCH", 4)
    monkeypatch.setattr(turning, "STEPS", 16)
    said = []
    decoder = turning.train(data, tmp_path / "run.pt", lambda _, terms: said.append(terms))
    losses = [float(terms.split("sharp ")[1].split()[0]) for terms in said]
    assert len(losses) == 16 and np.mean(losses[-5:]) < np.mean(losses[:5])
    steps.save(decoder, tmp_path / "w.safetensors", {})
    back = steps.restore(VideoDecoder(), tmp_path / "w.safetensors")
    sample = data.draw(np.random.default_rng(0), 2)
    with torch.inference_mode():
        want, have = (d(sample.close, sample.fused, sample.turns) for d in (decoder, back))
    torch.testing.assert_close(have, want, atol=1e-2, rtol=0)

"""Training of the video decoder on a small made-up catalogue: what is drawn fits together, and it learns to turn."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from scipy.spatial import ConvexHull

from networks.image_decoder import SIZE
from networks.video_decoder import DEPTHS, FRAMES, Solids, VideoDecoder, square
from training.catalogue import solids
from training.common import loop, weights
from training.decoders import turning

pytestmark = pytest.mark.usefixtures("one_thread")
PRODUCTS, VIEWS = 3, 4
HALF = np.array([0.55, 0.4, 0.15])  # of a board: across, down, towards
STEP = 2 * math.pi / FRAMES


def corners(azimuth: float, elevation: float, nearness: float) -> np.ndarray:
    """The board's eight corners [8, 2] as a camera sees them, y down."""
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    points = signs * HALF
    sin, cos = math.sin(azimuth), math.cos(azimuth)
    across, towards = points[:, 0] * cos - points[:, 2] * sin, points[:, 0] * sin + points[:, 2] * cos
    sin, cos = math.sin(elevation), math.cos(elevation)
    down, depth = points[:, 1] * cos + towards * sin, towards * cos - points[:, 1] * sin
    return np.stack([across, down], 1) / (1 - depth * nearness)[:, None]


def picture(seen: np.ndarray, colour: tuple[int, int, int], scale: float, shift: float) -> np.ndarray:
    """The board, uint8 [S, S, 4], `scale` times as large and `shift` to the right."""
    image = Image.new("RGBA", (4 * SIZE, 4 * SIZE), (255, 255, 255, 0))
    places = ((seen * scale + [shift, 0] + 1) / 2 * 4 * SIZE)[ConvexHull(seen).vertices]
    ImageDraw.Draw(image).polygon([tuple(place) for place in places], fill=(*colour, 255))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))


def board() -> np.ndarray:
    """Which places of the cube it fills, bool [z, y, x]."""
    line = np.linspace(-1, 1, solids.PLACES)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    return (abs(x) <= HALF[0]) & (abs(y) <= HALF[1]) & (abs(z) <= HALF[2])


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    frames, shots, azimuths, made = [], [], [], []
    for colour in colours:
        angles = np.concatenate([np.arange(FRAMES) * STEP, rng.uniform(-3, 3, VIEWS)])
        elevations = np.concatenate([np.full(FRAMES, math.radians(15)), rng.uniform(0.1, 0.6, VIEWS)])
        nearness = np.concatenate([np.full(FRAMES, 0.27), rng.uniform(0.2, 0.4, VIEWS)])
        seen = [corners(*camera) for camera in zip(angles, elevations, nearness, strict=True)]
        frames.append([picture(each, colour, 1, 0) for each in seen[:FRAMES]])
        shots.append([picture(each, colour, 0.6, 0.2) for each in seen[FRAMES:]])
        azimuths.append(angles)
        boxes = [(*each.min(0), *each.max(0)) for each in seen]
        boxes = np.array([(left, right, top, bottom) for left, top, right, bottom in boxes], np.float32)
        made.append(solids.Solid(board(), boxes, nearness.astype(np.float32), elevations.astype(np.float32)))
    fused = torch.nn.functional.normalize(torch.randn(PRODUCTS, 4, 384), dim=-1)
    memory = Solids(PRODUCTS)
    memory.keys.copy_(fused[:, 0])
    memory.packed.copy_(torch.from_numpy(solids.packed(made[0])))
    return turning.Data(np.array(frames), np.array(shots), np.array(azimuths, np.float32), made, fused, memory)


def test_a_picture_is_brought_to_its_turntables_window_and_fills_its_lines_of_sight(data):
    sample = data.draw(np.random.default_rng(1), 40)
    assert sample.target.shape == (40 * turning.TURNS, 4, SIZE, SIZE) and sample.turns.shape == (40, turning.TURNS)
    shadow = sample.filled.amax(2)
    apart = (shadow - sample.framed[:, 3:]).abs().mean((1, 2, 3))
    assert apart.max() < 0.08 < 0.15 < shadow.mean()
    # Where the turn is small, the target is what was given, but for the camera's height and the blur.
    near = (sample.turns[:, 0].sin().abs() < 0.1) & (sample.turns[:, 0].cos() > 0)
    near &= (sample.taken.elevation[:, 0] - math.radians(15)).abs() < 0.1
    assert near.any()
    first = sample.target.reshape(40, turning.TURNS, 4, SIZE, SIZE)[:, 0]
    assert (first[near] - sample.framed[near]).abs().mean() < 0.06


def test_how_it_was_taken_is_what_brings_it_there(data):
    sample = data.draw(np.random.default_rng(3), 40)
    centre, side = square(sample.framed[:, 3:])
    torch.testing.assert_close(side / 2, sample.taken.share, atol=0.06, rtol=0.1)
    torch.testing.assert_close(-2 * centre / side, sample.taken.axis, atol=0.08, rtol=0)
    stacked = sample.taken.stacked()
    assert stacked.shape == (40, 6) and stacked.isfinite().all()
    torch.testing.assert_close(sample.taken.only(slice(3, 5)).elevation, sample.taken.elevation[3:5])


def test_the_true_solid_is_seen_as_the_target(data):
    """The volume that it is to learn, through its own camera: the silhouette of the frame it is to draw."""
    sample = data.draw(np.random.default_rng(4), 12)
    colour = torch.ones(12, 3, *sample.filled.shape[2:])
    with torch.inference_mode():
        coarse, _ = VideoDecoder(0).frames((sample.filled - 0.5) * 40, colour, sample.taken, sample.turns)
    apart = (coarse[:, 3] - sample.target[:, 3]).abs().mean((1, 2))
    assert apart.max() < 0.06


def test_what_is_recalled_is_turned_and_mirrored_as_the_picture(data):
    sample = data.draw(np.random.default_rng(6), 24)
    assert sample.recalled.shape == (24, DEPTHS, SIZE, SIZE)
    assert sample.recalled.min() >= 0 and sample.recalled.max() <= 1
    filled = sample.filled[:, 0]
    common = torch.minimum(filled, sample.recalled).sum((1, 2, 3)) / filled.sum((1, 2, 3))
    assert common.median() > 0.7


def test_colours_are_cut_out_with_the_opacity(data):
    sample = data.draw(np.random.default_rng(2), 20)
    assert (sample.framed[:, :3].amax(1, keepdim=True) <= sample.framed[:, 3:] + 0.02).all()
    assert (sample.target[:, :3] <= sample.target[:, 3:] * 1.11).all()


@pytest.mark.slow
def test_it_learns_and_comes_back_from_its_file(data, tmp_path, monkeypatch):
    monkeypatch.setattr(turning, "run_loop", partial(loop.train, warm_up=2))
    said = []
    start = {"lift.stem.weight": torch.zeros(1), "lift.middle.1.norms.0.weight": torch.full((128,), 1.5)}
    plan = turning.Plan(16, batch=4, turned=2)
    decoder = turning.train(data, tmp_path / "run.pt", lambda _, terms: said.append(terms), start, plan)
    losses = [float(terms.split("filled ")[1].split()[0]) for terms in said]
    assert len(losses) == 16 and np.mean(losses[-5:]) < np.mean(losses[:5])
    assert decoder.lift.middle[1].norms[0].weight.mean() > 1.3  # what fits is where it began
    weights.save(decoder, tmp_path / "w.safetensors", {})
    back = VideoDecoder.restored(load_file(tmp_path / "w.safetensors"))
    # Rounded as in the file: a surface's edge may otherwise fall on the next pixel.
    decoder.load_state_dict({name: value.half().float() for name, value in decoder.state_dict().items()})
    sample = data.draw(np.random.default_rng(0), 2)
    with torch.inference_mode():
        want, have = (d(sample.close, sample.fused, sample.turns) for d in (decoder, back))
    torch.testing.assert_close(have, want, atol=0, rtol=0)


@pytest.mark.slow
def test_sharpening_is_learned_without_touching_the_rest(data, tmp_path, monkeypatch):
    monkeypatch.setattr(turning, "run_loop", partial(loop.train, warm_up=2))
    monkeypatch.setattr(turning, "SHARPER", turning.Plan(8, batch=6, turned=4))
    torch.manual_seed(1)
    begun = VideoDecoder(len(data.frames))
    begun.solids = data.memory
    torch.nn.init.normal_(begun.lift.columns.weight, std=0.02)
    said = []
    start = {name: value.clone() for name, value in begun.state_dict().items()}
    decoder = turning.sharpen(data, tmp_path / "run.pt", lambda _, terms: said.append(terms), start)
    assert len(said) == 8 and all("generator" in terms and "discriminator" in terms for terms in said)
    changed = {name for name, value in decoder.state_dict().items() if not torch.equal(value, start[name])}
    assert changed == {name for name in start if name.startswith("sharpen.")}
    errors = [float(terms.split("error ")[1].split()[0]) for terms in said]
    assert np.mean(errors[-3:]) < 2 * np.mean(errors[:3])
    again = turning.sharpen(data, tmp_path / "run.pt", lambda _, terms: said.append(terms), start)
    assert len(said) == 8  # it was done
    assert torch.equal(again.sharpen.out.weight, decoder.sharpen.out.weight)

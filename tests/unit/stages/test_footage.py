"""A clip's best moments: sharp, alive, within a take, steady, whatever the clip is like."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter1d

from stages import footage, video
from stages.errors import StageError
from stages.footage import best_frame, best_moments, steady
from stages.video import read_video
from tests.unit.stages.test_video import clip

SAMPLES = Path(__file__).parents[3] / "samples"
WIDTH, HEIGHT = 320, 180


def scene(name, blur=0.0):
    """A photo, large enough to move a frame about in."""
    picture = Image.open(SAMPLES / name).convert("RGB").resize((480, 320))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)))


def filmed(pixels, places):
    """Frames of a photo seen at places (left, top)."""
    return [np.ascontiguousarray(pixels[y : y + HEIGHT, x : x + WIDTH]) for x, y in np.round(places).astype(int)]


def pan(count, begin=10.0, shake=0.0, seed=0):
    way = np.stack([begin + np.arange(count) * 0.8, np.full(count, 60.0)], 1)
    return np.clip(way + np.random.default_rng(seed).normal(0, shake, way.shape), 0, 130)


def moved(frames):
    return [np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).mean() for a, b in pairwise(frames)]


CUP, ROCKET = "espresso-cup.jpg", "rocket-poster.jpg"
BLACK = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)]


def test_a_shaken_camera_is_steadied_and_a_smooth_one_left_alone():
    shaken = filmed(scene(CUP), pan(60, shake=3))
    before = footage._shifts([Image.fromarray(frame) for frame in shaken])
    after = footage._shifts(steady(shaken, 24))
    jitter = [np.abs(np.diff(shifts[1:], axis=0)).mean() for shifts in (before, after)]
    assert jitter[0] > 3 and jitter[1] < jitter[0] / 5
    still = filmed(scene(CUP), np.full((30, 2), 50.0))
    assert all(
        np.array_equal(frame, made) for frame, made in zip(still, map(np.asarray, steady(still, 24)), strict=True)
    )
    drift = np.abs(gaussian_filter1d(after.cumsum(0)[:, 0], 6)[-1] - after.cumsum(0)[0, 0])
    assert drift > 20  # the pan itself is kept


def test_dead_frames_are_out():
    frozen = filmed(scene(CUP), pan(1)) * 20
    film = BLACK * 10 + filmed(scene(CUP), pan(20)) + frozen + filmed(scene(CUP), pan(20, begin=26)) + BLACK * 10
    (excerpt,) = best_moments(clip(film), 5.0, 10, count=1)
    assert 12 <= len(excerpt.frames) <= 42
    assert min(moved(excerpt.frames)) > footage.DEAD and np.asarray(excerpt.frames[0]).mean() > 20


def test_the_sharp_take_is_chosen_and_no_excerpt_crosses_a_cut():
    film = filmed(scene(ROCKET, blur=5), pan(30)) + filmed(scene(CUP), pan(30)) + filmed(scene(ROCKET, blur=5), pan(30))
    (excerpt,) = best_moments(clip(film), 2.0, 10, count=1)
    red = [np.asarray(frame)[..., 0].mean() / np.asarray(frame)[..., 2].mean() for frame in excerpt.frames]
    assert min(red) > 1.5  # the cup's table throughout, never the rocket's sky
    assert excerpt.begins + 0.1 >= 3.0 and len(excerpt.frames) >= 10
    frame, seen = best_frame(clip(film), 112)
    assert np.asarray(frame)[..., 0].mean() > 100
    np.testing.assert_array_equal(seen, read_video(clip(film), 112))


def test_moments_differ_are_in_order_and_apart():
    film = filmed(scene(CUP), pan(40)) + filmed(scene(ROCKET), pan(40)) + filmed(scene(CUP, blur=1), pan(40))
    found = best_moments(clip(film), 1.5, 24)
    assert len(found) == 3
    assert all(later.begins - earlier.begins >= 1.0 for earlier, later in pairwise(found))
    assert {frame.size for excerpt in found for frame in excerpt.frames} == {(WIDTH, HEIGHT)}
    colours = [np.asarray(excerpt.frames[0]).mean((0, 1)) for excerpt in found]
    assert max(np.abs(a - b).max() for a, b in pairwise(colours)) > 40  # the cup's and the rocket's


@pytest.mark.parametrize(
    ("film", "options"),
    [
        (filmed(scene(CUP), pan(1)), {}),
        (filmed(scene(CUP), pan(2)), {}),
        (BLACK * 12, {}),
        (filmed(scene(CUP), pan(12)), {"times": [0, 10, 20, 900, 910, 920, 3000, 3300, 3310, 3320, 6000, 6005]}),
        (filmed(scene(CUP), pan(30)), {"rotation": 90}),
        (filmed(scene(CUP), pan(30)), {"format": "webm", "codec": "libvpx-vp9"}),
        (filmed(scene(CUP), pan(400)), {"gop": 400}),
    ],
)
def test_clips_of_every_kind_give_something_or_nothing_but_no_fault(film, options):
    data = clip(film, **options)
    found = best_moments(data, 2.0, 24)
    assert all(1 <= len(excerpt.frames) <= 48 for excerpt in found)
    size = (HEIGHT, WIDTH) if options.get("rotation") else (WIDTH, HEIGHT)
    assert {frame.size for excerpt in found for frame in excerpt.frames} <= {size}
    assert bool(found) == bool(film[0].any())
    assert best_frame(data, 112)[0].size == size


def test_a_long_clip_costs_no_more_than_its_excerpts(monkeypatch):
    decoded = []
    upright = footage.upright
    monkeypatch.setattr(footage, "upright", lambda *given, **named: decoded.append(1) or upright(*given, **named))
    monkeypatch.setattr(video, "MAX_DECODED", 48)
    found = best_moments(clip(filmed(scene(CUP), pan(3000) % 130), gop=30), 2.0, 24)
    assert len(found) == 3 and len(decoded) <= 3 * 22


def test_a_damaged_clip_is_refused_or_gives_what_is_whole():
    data = clip(filmed(scene(CUP), pan(60)))
    with pytest.raises(StageError) as caught:
        best_moments(data[: len(data) // 2], 2.0, 24)
    assert (caught.value.code, caught.value.field) == ("invalid_input", "VIDEO")
    broken = bytearray(data)
    broken[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    for excerpt in best_moments(bytes(broken), 2.0, 24):
        assert excerpt.frames


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_bytes_changed_anywhere_are_a_typed_error_or_footage(seed, count):
    rng = np.random.default_rng(seed)
    data = bytearray(CLIP)
    for place in rng.integers(0, len(data), count):
        data[place] = rng.integers(256)
    try:
        best_moments(bytes(data), 1.0, 24)
    except StageError as error:
        assert error.field == "VIDEO"


CLIP = clip(filmed(scene(CUP), pan(20)))

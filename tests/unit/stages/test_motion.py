"""Still pictures that move: reliefs whose true shape is known, and turns whose outcome is."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from stages import motion
from stages.motion import DEPTH, PERIOD, SWING, Swing, relief, turned, zoomed


def disc(side=200, share=0.8, colour=(200, 40, 30)):
    """A disc in the middle of a square, mode RGBA."""
    picture = Image.new("RGBA", (side, side))
    edge = (1 - share) / 2 * side
    ImageDraw.Draw(picture).ellipse((edge, edge, side - edge, side - edge), fill=(*colour, 255))
    return picture


def test_a_disc_s_relief_is_a_flattened_ball():
    shape = relief(disc().getchannel("A"))
    assert shape.shape == (motion.CELLS, motion.CELLS) and shape.dtype == np.float32
    middle = shape.shape[0] // 2
    assert shape[middle, middle] == pytest.approx(DEPTH * 80 / math.sqrt(2), rel=0.05)
    assert shape[0, 0] == 0 and (np.diff(shape[middle, : middle - 3]) >= 0).all()
    assert np.abs(shape - shape[:, ::-1]).max() < 1e-3 * shape.max()


def test_a_bar_s_relief_is_lower_than_a_disc_s_of_its_length():
    bar = Image.new("L", (200, 200))
    ImageDraw.Draw(bar).rectangle((90, 10, 110, 190), fill=255)
    assert relief(bar).max() < relief(disc(share=0.9).getchannel("A")).max() / 4


def test_a_turn_by_nothing_changes_nothing():
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (150, 90, 4), np.uint8), "RGBA").convert("RGBa")
    flat = np.zeros((64, 38), np.float32)
    same = np.asarray(turned(picture, flat, 0.0)).astype(int) - np.asarray(picture)
    assert np.abs(same).max() <= 1


def test_the_middle_goes_further_than_the_edge_and_to_the_other_side_when_turned_back():
    picture = disc()
    shape = relief(picture.getchannel("A"))
    ImageDraw.Draw(picture).ellipse((94, 94, 106, 106), fill=(255, 255, 255, 255))

    def places(angle):
        pixels = np.asarray(turned(picture.convert("RGBa"), shape, angle).convert("RGBA")).astype(int)
        white, seen = pixels[..., 1] > 128, pixels[..., 3] > 128
        return np.nonzero(white)[1].mean(), np.nonzero(seen)[1].min(), np.nonzero(seen)[1].max()

    rest, right, left = places(0.0), places(SWING), places(-SWING)
    out = DEPTH * 80 / math.sqrt(2) * math.sin(SWING)
    assert right[0] - rest[0] == pytest.approx(out, rel=0.25)
    assert left[0] - rest[0] == pytest.approx(-out, rel=0.25)
    narrower = math.cos(SWING) * (rest[2] - rest[1])
    for turn in (right, left):
        assert turn[2] - turn[1] == pytest.approx(narrower, rel=0.03)
    assert rest[1] - right[1] < 3 < rest[2] - right[2]  # what goes away from the eye grows smaller


def test_a_swing_is_even_and_comes_back():
    swing = Swing(disc(), (60, 50), Image.new("RGB", (320, 300), "white"))
    frames = [np.asarray(swing.frame(number)).astype(int) for number in range(PERIOD + 1)]
    assert all(frame.shape == (300, 320, 3) for frame in frames)
    assert (frames[0] == frames[PERIOD]).all() and (frames[0] == frames[PERIOD // 2]).all()
    assert np.abs(frames[PERIOD // 4] - frames[0]).mean() > 1
    steps = [np.abs(b - a).mean() for a, b in pairwise(frames)]
    assert max(steps) < 3 * np.mean(steps)  # it never jumps
    red = [(frame[..., 0] - frame[..., 1] > 60).sum() for frame in frames]
    assert min(red) > 0.85 * max(red)


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 255), st.integers(0, PERIOD))
def test_any_size_and_opacity_swings(width, height, opacity, number):
    product = Image.new("RGBA", (width, height), (10, 200, 30, opacity))
    frame = Swing(product, (5, 5), Image.new("RGB", (100, 100), "white")).frame(number)
    assert frame.size == (100, 100) and frame.mode == "RGB"
    assert frame.getpixel((99, 99)) == (255, 255, 255)


def test_a_photo_comes_nearer():
    picture = Image.new("RGB", (100, 80), "black")
    ImageDraw.Draw(picture).rectangle((25, 20, 74, 59), fill="white")
    areas = [(np.asarray(zoomed(picture, progress)) > 127).mean() for progress in (0.0, 0.5, 1.0)]
    assert areas[0] == pytest.approx(0.25, abs=0.01) and areas[0] < areas[1] < areas[2]
    assert areas[2] == pytest.approx(0.25 * (1 + motion.ZOOM) ** 2, rel=0.06)

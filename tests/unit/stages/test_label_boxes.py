"""Boxes of text: where they lie, how they grow, which way they run, in which order they are read."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from stages.label_boxes import (
    Box,
    View,
    along,
    boxes,
    closer,
    reading_order,
    smallest_rectangle,
    upside_down,
)


def box(x, y, width, height, degrees=0.0):
    """A box whose middle is at x, y and whose text runs so many degrees clockwise from level."""
    angle = np.deg2rad(degrees)
    right, down = (
        np.array([np.cos(angle), np.sin(angle)]) * width / 2,
        np.array([-np.sin(angle), np.cos(angle)]) * height / 2,
    )
    corners = np.array([-right - down, right - down, right + down, -right + down]) + np.array([x, y])
    return Box(corners.astype(np.float32), 1.0)


def probability(width, height, *polygons):
    """A detector's map with these polygons in it."""
    picture = Image.new("L", (width, height))
    for polygon in polygons:
        ImageDraw.Draw(picture).polygon([tuple(point) for point in polygon], fill=255)
    return np.asarray(picture, np.float32) / 255


@pytest.mark.parametrize("degrees", [0, 17, 45, 80, 90])
def test_the_smallest_rectangle_round_a_rectangle_is_itself(degrees):
    corners = box(50, 40, 60, 12, degrees).corners
    found = smallest_rectangle(np.concatenate([corners, corners.mean(0, keepdims=True)]))
    assert np.abs(found[:, None] - corners[None]).sum(-1).min(1) == pytest.approx(np.zeros(4), abs=1e-3)
    sides = sorted((np.linalg.norm(found[1] - found[0]), np.linalg.norm(found[3] - found[0])))
    assert sides == pytest.approx([12, 60], abs=1e-3)


def test_a_region_grows_to_the_height_of_its_text_and_to_the_photo():
    (found,) = boxes(probability(320, 160, box(160, 80, 200, 20).corners), (640, 320))
    # 201 x 21 pixels of the map, grown by 1.6 times area over perimeter on every side, twice as large in the photo.
    grown = 201 * 21 * 1.6 / (2 * (201 + 21))
    assert found.width == pytest.approx(2 * (201 + 2 * grown), abs=4)
    assert found.height == pytest.approx(2 * (21 + 2 * grown), abs=4)
    assert found.corners.mean(0) == pytest.approx([320, 160], abs=2) and found.score == pytest.approx(1)


def test_specks_and_doubtful_regions_are_no_text():
    speck = probability(64, 64, [(3, 3), (4, 3), (4, 4), (3, 4)])
    doubtful = 0.5 * probability(64, 64, box(32, 32, 40, 10).corners)
    assert boxes(speck, (64, 64)) == boxes(doubtful, (64, 64)) == boxes(np.zeros((64, 64), np.float32), (64, 64)) == []


@pytest.mark.parametrize("degrees", [0, 30, -40, 90])
def test_text_runs_along_the_long_side_to_the_right(degrees):
    turned = [box(0, 0, 90, 12, degrees + half).turned(quarters) for half in (0, 180) for quarters in (0, 1)]
    for found in along(turned):
        assert found.width == pytest.approx(90, abs=1e-3)
        assert np.rad2deg(found.angle) == pytest.approx(degrees, abs=0.1)


def test_a_short_word_goes_with_the_long_lines():
    found = along([box(0, 0, 90, 12, 90), box(0, 40, 10, 12, 0)])
    assert np.rad2deg(found[1].angle) == pytest.approx(90, abs=0.1)


def test_lines_of_one_direction_vote_and_a_sure_one_goes_by_itself():
    lines = [box(0, 0, 200, 12), box(0, 20, 200, 12), box(0, 40, 20, 12), box(0, 60, 100, 12)]
    assert upside_down(lines, np.array([0.7, 0.8, 0.2, 0.01], np.float32)) == [True, True, True, False]
    aslant = box(0, 0, 100, 12, 60)
    assert upside_down([*lines[:2], aslant], np.array([0.8, 0.8, 0.3], np.float32)) == [True, True, False]


@pytest.mark.parametrize("degrees", [0, 25, 180])
def test_rows_from_top_to_bottom_each_from_left_to_right(degrees):
    places = [(-100, -40), (100, -38), (-60, 0), (0, 40), (120, 41)]
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lines = [box(*(turn @ place), 80, 20, degrees) for place in places]
    for shuffled in ([4, 2, 0, 3, 1], [1, 0, 2, 4, 3]):
        order = reading_order([lines[number] for number in shuffled])
        assert [shuffled[place] for place in order] == [0, 1, 2, 3, 4]
    assert reading_order([]) == []


def test_lines_of_another_direction_come_last():
    assert reading_order([box(0, -50, 40, 10, 90), box(0, 0, 200, 20), box(0, 40, 200, 20)]) == [1, 2, 0]


def test_a_tilted_label_is_set_level_and_its_boxes_find_their_way_back():
    photo = Image.new("RGB", (400, 300), (200, 200, 200))
    lines = [box(200, 140, 180, 20, 30), box(190, 170, 160, 20, 30)]
    for line in lines:
        ImageDraw.Draw(photo).polygon([tuple(point) for point in line.corners], fill=(0, 0, 0))
    view = closer(photo, lines, 736)
    dark = np.asarray(view.picture.convert("L")) < 60
    (found, _) = sorted(boxes(dark.astype(np.float32), view.picture.size), key=lambda box: -box.width)
    assert abs(np.rad2deg(found.angle)) % 180 == pytest.approx(0, abs=1)
    assert view.in_photo(found).corners.mean(0) == pytest.approx([200, 140], abs=1.5)
    assert abs(np.rad2deg(along([view.in_photo(found)])[0].angle)) == pytest.approx(30, abs=1)


def test_a_small_label_is_looked_at_from_nearer_and_a_large_one_is_not():
    photo = Image.new("RGB", (2_000, 2_000))
    far = closer(photo, [box(500, 400, 300, 30), box(500, 450, 300, 30)], 736)
    assert far.picture.width < 600 and far.in_photo(box(0, 0, 2, 2)).corners.mean(0) == pytest.approx(far.origin)
    assert closer(photo, [box(1_000, 100, 1_800, 90), box(1_000, 1_900, 1_800, 90)], 736) is None
    assert closer(Image.new("RGB", (700, 700)), [box(300, 300, 200, 20)], 736) is None  # no more pixels to be had
    assert closer(photo, [], 736) is None
    assert View.whole(photo).in_photo(box(5, 6, 2, 2)).corners.mean(0) == pytest.approx([5, 6])

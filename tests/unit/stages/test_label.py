"""The label reader around networks that answer by rule: what they are shown, what becomes of what they say."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from stages import label
from stages.label import LabelReader, Levels, decode, for_detector, line_image, line_width
from stages.label_boxes import Box
from stages.label_text import MAX_LINES

CHARACTERS = ["", "a", "b", "茶", " "]


def box(left, top, width, height):
    corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    return Box(np.array(corners, np.float32), 1.0)


def reader(detect, directions=(1.0, 0.0), ids=(1, 0, 2), sure=0.9):
    """Networks that find text by `detect` and read every line as "ab"; `shown` are the recognizer's batches."""

    def recognize(lines):
        shown.append(lines.shape)
        row = np.tile(np.array(ids), (len(lines), 1))
        return row, np.full(row.shape, sure, np.float32), np.zeros(row.shape, np.float32)

    shown = []
    return LabelReader(
        detect, lambda lines: np.tile(np.float32(directions), (len(lines), 1)), recognize, CHARACTERS, (48, 192), 48
    ), shown


def dark(view):
    """A detector that takes dark pixels for text."""
    return (view.max(-1) < 100).astype(np.float32)


def photo(*lines, size=(640, 480)):
    picture = Image.new("RGB", size, (255, 255, 255))
    for left, top, right, bottom in lines:
        ImageDraw.Draw(picture).rectangle((left, top, right, bottom), fill=(0, 0, 0))
    return picture


def test_a_photo_without_text_costs_the_detector_alone():
    read, shown = reader(dark)
    assert read(photo()).lines == () and not shown


def test_lines_come_in_order_with_boxes_in_the_files_own_pixels():
    read, _ = reader(dark)
    label = read(photo((100, 300, 300, 320), (60, 100, 500, 140)), scale=2.0)
    assert [line.text for line in label.lines] == ["ab", "ab"] and label.lines[0].confidence == pytest.approx(0.9)
    (left, top), (right, _), (_, bottom), _ = label.lines[0].box
    assert left < 120 and right > 1_000 and top < 200 and bottom > 280  # twice the photo's, and grown


def test_a_line_upside_down_begins_at_its_own_top_left():
    read, _ = reader(dark, directions=(0.0, 1.0))
    (line,) = read(photo((60, 100, 500, 140))).lines
    assert line.box[0][0] > line.box[1][0] and line.box[0][1] > line.box[3][1]


def test_what_is_read_with_little_confidence_or_empty_is_left_out():
    assert reader(dark, sure=0.4)[0](photo((60, 100, 500, 140))).lines == ()
    assert reader(dark, ids=(0, 0, 0))[0](photo((60, 100, 500, 140))).lines == ()


def test_two_thousand_lines_are_cut_to_the_largest_and_say_so():
    # 40 columns of 50 bars; the first column's are higher.
    bars = [(18 * x, 14 * y, 18 * x + 11, 14 * y + (9 if x == 0 else 6)) for x in range(40) for y in range(50)]
    read, shown = reader(dark)
    found = read(photo(*bars, size=(736, 736)))
    assert len(found.lines) == MAX_LINES and found.omitted == 2_000 - MAX_LINES
    assert sum(line.box[0][0] < 10 for line in found.lines) == 50
    assert sum(rows for rows, *_ in shown) == MAX_LINES and max(rows for rows, *_ in shown) <= label.ROWS


def test_lines_of_about_one_width_share_a_run():
    read, shown = reader(dark)
    read(photo(*((20, 20 + 40 * n, 60 + 60 * n, 40 + 40 * n) for n in range(9))))
    widths = [shape[2] for shape in shown]
    assert [shape[0] for shape in shown] == [8, 1] and widths == sorted(widths)
    assert all(width % label.WIDTH_STEP == 0 for width in widths)


@pytest.mark.parametrize("size", [(1, 1), (3, 5_000), (5_000, 3), (736, 736), (4_000, 3_000)])
def test_the_detector_sees_sides_that_it_takes(size):
    view = for_detector(Image.new("RGB", size))
    assert all(side % 32 == 0 and 32 <= side <= label.DETECTOR_PX for side in view.shape[:2]) and view.dtype == np.uint8


def test_a_line_is_cut_out_upright_and_grey_stands_beside_it():
    picture = photo((100, 200, 300, 240))
    line = line_image(Levels(picture), box(100, 200, 200, 40), 48, 320)
    assert line.shape == (48, 320, 3) and (line[4:-4, 4:230] < 10).all() and (line[:, 240:] == label.GREY).all()
    turned = Box(np.roll(box(100, 200, 200, 40).corners, -1, 0), 1.0)  # its text runs down
    assert line_image(Levels(picture), turned, 48, 320).shape == (48, 320, 3)


def test_a_large_line_is_made_smaller_without_moire():
    stripes = Image.fromarray(np.tile(np.uint8([[0, 255]]), (960, 960))[..., None].repeat(3, -1))
    line = line_image(Levels(stripes), box(0, 0, 1_920, 960), 48, 96)
    assert np.ptp(line[4:-4, 4:-4]) < 40 and abs(int(line[20, 40, 0]) - 127) < 20


def test_the_longest_line_is_squeezed():
    assert (
        line_width(box(0, 0, 100_000, 10), 48) == label.MAX_WIDTH
        and line_width(box(0, 0, 0.5, 10), 48) == label.WIDTH_STEP
    )


def test_the_best_path_without_blanks_and_repeats():
    ids = np.array([1, 1, 0, 1, 2, 2, 0])
    text, confidence = decode(ids, np.array([0.8, 0, 0, 1, 0.6, 0, 0], np.float32), np.zeros(7, np.float32), CHARACTERS)
    assert text == "aab" and confidence == pytest.approx(0.8)
    assert decode(np.zeros(4, int), np.ones(4, np.float32), np.zeros(4, np.float32), CHARACTERS) == ("", 0.0)


def test_a_space_that_is_only_likely_is_taken_between_latin_letters_not_chinese_ones():
    spaces = np.array([0, 0.05, 0], np.float32)
    assert decode(np.array([1, 0, 2]), np.ones(3, np.float32), spaces, CHARACTERS)[0] == "a b"
    assert decode(np.array([3, 0, 2]), np.ones(3, np.float32), spaces, CHARACTERS)[0] == "茶b"
    assert decode(np.array([1, 4, 2]), np.ones(3, np.float32), spaces, CHARACTERS)[0] == "a b"

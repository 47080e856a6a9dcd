"""HEIC photos: one picture or a grid, turned, mirrored and cropped as they say; broken ones are typed errors."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages import heif
from stages.errors import StageError
from stages.image import read_photo
from tests.heic import box, cropped, heic, mirrored, turned
from tests.unit.stages.test_image import SIDE_PX, assert_quarters, quarters, read_image, refusal, swapped_profile


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("tile", [None, 64, 128])
def test_a_picture_or_a_grid_comes_out_as_it_was_put_in(tile, inside):
    assert_quarters(read_image(heic(quarters(), tile=tile, inside=inside)), 4)


def test_a_grids_last_tiles_reach_beyond_the_picture():
    photo = read_photo(heic(quarters(300, 200), tile=128), 4000)
    assert photo.size == (300, 200)
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(quarters(300, 200))).mean() < 2


@pytest.mark.parametrize("tile", [None, 128])
@pytest.mark.parametrize(("quarter", "back"), [(1, 270), (2, 180), (3, 90)])
def test_it_is_turned_as_it_says(quarter, back, tile):
    stored = quarters().rotate(back, expand=True)  # `rotate` turns against the clock too
    assert_quarters(read_image(heic(stored, tile, (turned(quarter),))), 4)


@pytest.mark.parametrize(("axis", "back"), [(0, Image.Transpose.FLIP_TOP_BOTTOM), (1, Image.Transpose.FLIP_LEFT_RIGHT)])
def test_it_is_mirrored_as_it_says(axis, back):
    assert_quarters(read_image(heic(quarters().transpose(back), shown=(mirrored(axis),))), 4)


def test_what_is_done_to_it_is_done_in_its_order():
    framed = Image.new("RGB", (400, 360), "black")
    framed.paste(quarters().rotate(-90), (48, 20))  # 8 to the right of the middle
    data = heic(framed, shown=(cropped(320, 320, aside=8), turned(1)))
    assert_quarters(read_image(data), 4)


def test_its_profile_is_applied():
    swapped = Image.merge("RGB", quarters().split()[::-1])
    assert_quarters(read_image(heic(swapped, tile=64, profile=swapped_profile())), 5)


def test_a_photo_of_a_phones_size_is_read():
    photo = read_photo(heic(quarters(2016, 1512), tile=512, shown=(turned(3),)), 1000)
    assert photo.size == (750, 1000)


def patched(data: bytes, find: bytes, at: int, value: bytes) -> bytes:
    place = data.index(find) + len(find) + at
    return data[:place] + value + data[place + len(value) :]


GRID, WHOLE = heic(quarters(), tile=128), heic(quarters())


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(20), "invalid_input", "broken HEIC file"),
        (b"\0\0\0\x14ftypheic" + bytes(8), "invalid_input", "no index of its pictures"),
        (WHOLE[:-200], "invalid_input", "ends 200 bytes after the file"),
        (WHOLE[: len(WHOLE) // 3], "invalid_input", "broken HEIC"),
        (heic(quarters(), claimed=(20_000, 20_000)), "too_large", "20,000 x 20,000 pixels"),
        (heic(quarters(), claimed=(0, 9)), "invalid_input", "0 x 9"),
        (patched(GRID, b"dimg", 2, struct.pack(">H", 8)), "invalid_input", "a grid of 3 x 3 has 8 tiles"),
        (patched(WHOLE, b"infe", 8, b"av01"), "invalid_input", "codec 'av01', not HEVC"),
        (patched(WHOLE, b"mdat", 0, bytes(600)), "invalid_input", "broken HEIC"),
        (WHOLE.replace(b"hvcC", b"free"), "invalid_input", "no parameters"),
        (WHOLE.replace(b"iloc", b"free"), "invalid_input", "its index has no box iloc"),
        (heic(quarters(), shown=(cropped(900, 10),)), "invalid_input", "lies outside it"),
        (heic(quarters(), shown=(box(b"clap", bytes(32)),)), "invalid_input", "broken HEIC"),
    ],
)
def test_what_is_broken_or_too_large_is_refused(data, code, says):
    error = refusal(data)
    assert error.code == code and says in error.message


def test_a_frame_larger_than_it_says_is_not_decoded(monkeypatch):
    """The codec's own size counts too, whatever the index says."""
    data = heic(quarters(), claimed=(100, 100))
    monkeypatch.setitem(heif.MAX_PIXELS, "HEIC", 50_000)
    assert refusal(data).code == "invalid_input"


@settings(max_examples=60)
@given(
    grid=st.booleans(),
    spots=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=10),
    length=st.floats(0.2, 1),
)
def test_any_damage_is_read_or_refused(grid, spots, length):
    data = bytearray(GRID if grid else WHOLE)
    for share, value in spots:
        data[int(share * len(data))] = value
    try:
        assert read_image(bytes(data[: int(length * len(data))])).shape == (SIDE_PX, SIDE_PX, 3)
    except StageError as error:
        assert error.field == "IMAGE"

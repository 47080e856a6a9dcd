"""Turntables: one camera for all frames, the random views' angles without rendering, words for what is seen."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from training.catalogue import build, turntables
from training.catalogue.appearance import COLOURS, MATERIALS, chinese, colour_of, main_colours, material_of
from training.catalogue.products import Product, read_index
from training.catalogue.render import load_model
from training.catalogue.views import random_views

#: A red cube with a blue slab on its +z side.
OBJ = """mtllib thing.mtl
v -1 -1 -1
v 1 -1 -1
v 1 1 -1
v -1 1 -1
v -1 -1 1
v 1 -1 1
v 1 1 1
v -1 1 1
usemtl red
f 1 4 3 2
f 1 2 6 5
f 2 3 7 6
f 3 4 8 7
f 4 1 5 8
usemtl blue_wood
f 5 6 7 8
"""
MTL = "newmtl red\nKd 0.8 0.05 0.05\nd 1\nnewmtl blue_wood\nKd 0.05 0.1 0.8\nd 1\n"


@pytest.fixture
def product(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "libraries" / "Lib"
    folder.mkdir(parents=True)
    (folder / "thing.mtl").write_text(MTL)
    (folder / "thing.obj").write_text(OBJ)
    Image.new("RGBA", (8, 8)).save(folder / "thing.png")
    return Product(
        id="Lib#thing", key="0123456789ab", library="Lib", name="Thing", name_zh=None, category="Things",
        category_zh=None, tags=[], creator="Ann", licence="CC0-1.0", model="thing.obj", icon="thing.png",
        rotation=None, held_out=False,
    )  # fmt: skip


@pytest.fixture
def built(product, tmp_path):
    (outcome,) = build.build([product], tmp_path / "libraries", 1)
    assert outcome.problem is None
    return product


@pytest.mark.slow
def test_a_product_turns_under_one_camera(built):
    frames, mask = turntables.read(built), turntables.read_mask(built)
    assert frames.shape == (24, 96, 96, 3)
    assert frames.dtype == np.uint8
    assert mask.shape == (24, 96, 96)
    assert (frames[:, 0, 0] >= 250).all()  # white
    red, _, blue = frames[0][mask[0]].mean(0)
    assert blue > red  # frame 0 is frontal
    red, _, blue = frames[12][mask[12]].mean(0)
    assert red > 3 * blue  # and frame 12 is the back
    # A cube looks the same every quarter turn but for its colours: as large, in the same place.
    assert (mask[3] ^ mask[9]).mean() < 0.01
    wide = np.flatnonzero(mask.any((0, 1)))
    assert 0.85 < (wide[-1] - wide[0] + 1) / 96 < 0.95


@pytest.mark.slow
def test_angles_are_those_that_the_pictures_were_taken_from(built, tmp_path):
    model = load_model(tmp_path / "libraries" / "Lib" / "thing.obj")
    angles = turntables.view_angles(built)
    views = random_views(built, model)
    assert angles.shape == (12, 2)
    assert angles.dtype == np.float32
    np.testing.assert_allclose(angles, [(v.azimuth, v.elevation) for v in views], rtol=1e-6)
    assert turntables.elevation(built) == pytest.approx(np.deg2rad(15))


@pytest.mark.slow
def test_the_index_tells_the_looks_and_an_older_one_still_loads(built):
    path = build.finish([build.Built(built, None)], [])
    (product,) = read_index()
    assert (product.colour, product.colour_zh) == ("red", "红色")
    content = json.loads(path.read_text())
    for entry in content["products"]:
        del entry["colour"], entry["material"]
    path.write_text(json.dumps(content))
    assert read_index() == [dataclasses.replace(product, colour=None, material=None)]


def test_what_is_not_rendered_says_the_command(product):
    for read in (turntables.read, turntables.view_angles):
        with pytest.raises(FileNotFoundError, match="python -m training catalogue"):
            read(product)


@pytest.mark.parametrize(
    ("colour", "word"),
    [
        ((0.95, 0.95, 0.95), "white"), ((0.8, 0.8, 0.8), "white"), ((0.05, 0.05, 0.05), "black"),
        ((0.5, 0.5, 0.5), "grey"),
        ((0.8, 0.1, 0.1), "red"), ((0.1, 0.25, 0.75), "blue"), ((0.2, 0.6, 0.2), "green"),
        ((0.45, 0.28, 0.14), "brown"), ((0.88, 0.8, 0.66), "beige"), ((0.95, 0.85, 0.15), "yellow"),
    ],
)  # fmt: skip
def test_plain_colours_have_their_word(colour, word):
    opacity = np.full(50, 0.8, np.float32)
    base = np.array(colour, np.float32) * opacity[:, None]
    assert colour_of(main_colours(base, opacity)) == word


def test_nothing_seen_has_no_colour_and_many_colours_have_their_word():
    assert colour_of(main_colours(np.zeros((4, 3), np.float32), np.zeros(4, np.float32))) is None
    many = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]] * 0.8
    many = np.concatenate([many, [[0.9, 0.9, 0.1], [0.5, 0.2, 0.6]] * 2]).astype(np.float32)
    assert colour_of(main_colours(many, np.ones(len(many), np.float32))) == "multicoloured"


@pytest.mark.parametrize(
    ("words", "shown", "word"),
    [
        ("Chair", {"blackMetal": 0.2, "seat": 0.1}, "metal"),
        ("Chair", {"madera_2": 0.5}, "wooden"),
        ("Glass", {"1": 1.0}, "glass"),
        ("Chair", {"1": 1.0}, None),
        ("Leather sofa", {"wood": 1.0}, "leather"),
        ("Ironing board", {"x": 1.0}, None),
        ("Chair", {}, None),
    ],
)
def test_materials_are_read_from_names(words, shown, word):
    assert material_of(words, shown) == word


def test_every_word_has_its_chinese():
    assert all(chinese(word) for word in (*COLOURS, *MATERIALS, "multicoloured"))
    assert chinese(None) is None

"""The catalogue: reading the libraries' index, the fixed split, pinned downloads, rendering."""

import hashlib
import json
import sys

import numpy as np
import pytest
from PIL import Image

from training.catalogue.products import is_held_out, read_library_folder, read_properties
from training.catalogue.render import BrokenModel, load_model, random_view, render
from training.common import files

ENGLISH = """# comment
id#1=Lib#sofa
name#1=Sofa
tags#1=Blend Swap, Seat
category#1=Living room
icon#1=/lib/sofa.png
model#1=/lib/sofa/sofa.obj
modelRotation#1=0 0 1 0 1 0 -1 0 0
doorOrWindow#1=false
creator#1=Ann
id#2=Lib#door
name#2=Garage door
category#2=Doors and windows
icon#2=/lib/door.png
model#2=/lib/door/door.obj
doorOrWindow#2=true
"""


def test_properties_unescape_and_skip_comments():
    assert read_properties("# a=b\nname#1=\\u6c99\\u53d1\nx = y=z\n") == {"name#1": "沙发", "x": "y=z"}


def test_a_library_gives_products_and_says_what_it_skipped(tmp_path):
    (tmp_path / "PluginFurnitureCatalog.properties").write_text(ENGLISH)
    (tmp_path / "PluginFurnitureCatalog_zh_CN.properties").write_text("name#1=\\u6c99\\u53d1\ncategory#1=Living room\n")
    (product,), skipped = read_library_folder(tmp_path, "BlendSwap-CC-BY")
    assert (product.name, product.name_zh, product.category_zh) == ("Sofa", "沙发", None)
    assert (product.tags, product.creator, product.licence) == (["Seat"], "Ann", "CC-BY-3.0")
    assert product.rotation == [0, 0, 1, 0, 1, 0, -1, 0, 0]
    assert product.model == "lib/sofa/sofa.obj"
    assert [s["name"] for s in skipped] == ["Garage door"]


def test_the_split_is_fixed_and_near_its_share():
    held_out = [is_held_out(f"Lib#{i}") for i in range(4000)]
    assert 0.13 < np.mean(held_out) < 0.17
    assert [is_held_out(f"Scopia#{name}") for name in ("sofa", "lamp", "bathroom3")] == [False, False, False]


def test_a_download_with_another_hash_is_refused_and_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path))
    command = [sys.executable, "-c", "open('file.bin', 'wb').write(b'other')"]
    with pytest.raises(files.FetchError, match=hashlib.sha256(b"other").hexdigest()):
        files.fetch("file.bin", "0" * 64, command)


def test_a_failed_download_leaves_no_file_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path))
    command = [sys.executable, "-c", "import sys; open('file.bin', 'w').write('half'); sys.exit('no route to host')"]
    with pytest.raises(files.FetchError, match="no route to host"):
        files.fetch("file.bin", "0" * 64, command)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


CUBE = """mtllib cube.mtl
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
f 5 6 7 8
f 1 2 6 5
f 2 3 7 6
f 3 4 8 7
f 4 1 5 8
"""


@pytest.fixture
def cube(tmp_path):
    (tmp_path / "cube.mtl").write_text("newmtl red\nKd 0.9 0.05 0.05\nKs 0 0 0\nd 1\n")
    (tmp_path / "cube.obj").write_text(CUBE)
    return load_model(tmp_path / "cube.obj")


@pytest.mark.parametrize("seed", range(4))
def test_a_red_cube_is_red_within_its_mask_and_the_same_twice(cube, seed):
    view = random_view(np.random.default_rng(seed), cube, frontal=True)
    picture, mask = render(cube, view, 48)
    again, _ = render(cube, view, 48)
    assert (picture == again).all()
    assert picture.shape == (48, 48, 3)
    assert 0.15 < mask.mean() < 0.95
    red, green, blue = picture[mask].mean(0)
    assert red > 1.8 * max(green, blue)


def test_the_product_spans_the_share_of_the_frame_that_was_asked(cube):
    view = random_view(np.random.default_rng(0), cube, frontal=True)
    _, mask = render(cube, view, 96)
    spans = [np.flatnonzero(mask.any(axis)).ptp() + 1 for axis in (0, 1)]
    assert max(spans) / 96 == pytest.approx(view.fill, abs=0.05)


def test_glass_lets_the_ground_through(tmp_path):
    (tmp_path / "cube.mtl").write_text("newmtl red\nKd 0.9 0.05 0.05\nKs 0 0 0\nd 0.2\n")
    (tmp_path / "cube.obj").write_text(CUBE)
    glass = load_model(tmp_path / "cube.obj")
    view = random_view(np.random.default_rng(0), glass, frontal=True)
    picture, mask = render(glass, view, 48)
    red, green, _ = picture[mask].mean(0)
    assert green > 0.6 * red  # two thin red sheets before a light ground


def test_a_model_without_triangles_is_broken(tmp_path):
    (tmp_path / "dots.obj").write_text("v 0 0 0\nv 1 1 1\n")
    with pytest.raises(BrokenModel, match=r"dots\.obj"):
        load_model(tmp_path / "dots.obj")


def test_altered_pictures_keep_their_size_and_repeat():
    from training.encoders.features import alter
    from training.encoders.served import SIDE

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8))
    one, two = (alter(picture, np.random.default_rng(3)) for _ in range(2))
    assert one.size == (SIDE, SIDE)
    assert np.array_equal(one, two)


@pytest.mark.parametrize("size", [(300, 300), (451, 300), (120, 500), (160, 160)])
def test_pictures_reach_the_encoder_as_they_are_served(size):
    from io import BytesIO

    from skimage import data

    from stages.image import read_image
    from training.encoders.served import fit

    picture = Image.fromarray(data.chelsea()).resize(size)
    file = BytesIO()
    picture.save(file, "PNG")
    difference = np.abs(fit(picture).astype(int) - read_image(file.getvalue(), len(fit(picture))))
    assert difference.mean() < 1.0


def test_the_committed_split_is_the_one_in_force():
    split = json.loads((files.DATA / "split.json").read_text())
    assert (len(split["held_out"]), len(split["trained"])) == (103, 629)
    assert all(is_held_out(identifier) for identifier in split["held_out"])
    assert not any(is_held_out(identifier) for identifier in split["trained"])

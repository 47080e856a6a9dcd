"""Solids: what a model fills, from its surfaces, and where cameras frame it."""

import numpy as np
import pytest
import trimesh

from training.catalogue import render, solids, turntables
from training.catalogue.solids import PLACES, enclosed

MIDDLE = PLACES // 2


def cube(half: int) -> np.ndarray:
    """The surface of a cube in the middle of a larger one."""
    surface = np.zeros((PLACES,) * 3, bool)
    surface[MIDDLE - half : MIDDLE + half, MIDDLE - half : MIDDLE + half, MIDDLE - half : MIDDLE + half] = True
    inner = slice(MIDDLE - half + 1, MIDDLE + half - 1)
    surface[inner, inner, inner] = False
    return surface


def test_what_a_surface_encloses_is_filled():
    assert enclosed(cube(10)).sum() == 20**3
    assert not enclosed(np.zeros((PLACES,) * 3, bool)).any()


def test_a_bowl_stays_empty():
    bowl = cube(10)
    bowl[:, : MIDDLE - 9] = False  # y points down: its lid
    filled = enclosed(bowl)
    assert not filled[MIDDLE, MIDDLE, MIDDLE] and filled[MIDDLE, MIDDLE + 9, MIDDLE]


@pytest.fixture
def table(tmp_path) -> render.Model:
    """A top on one leg, which stands aside: 2 wide, 1 deep, 1 high."""
    top = trimesh.creation.box((2, 0.2, 1), trimesh.transformations.translation_matrix((0, 0.4, 0)))
    leg = trimesh.creation.box((0.2, 0.8, 0.2), trimesh.transformations.translation_matrix((0.8, -0.1, 0)))
    path = tmp_path / "table.obj"
    trimesh.util.concatenate([top, leg]).export(path)
    return render.load_model(path)


def test_a_table_is_filled_where_it_is_and_framed_as_its_cameras_do(table, monkeypatch):
    views = turntables.frame_views(table)
    monkeypatch.setattr(solids, "random_views", lambda product, model: views[:12])
    solid = solids.solid(None, table)
    assert solid.boxes.shape == (36, 4) and solid.nearness.shape == (36,) and solid.elevations.shape == (36,)
    places = np.argwhere(solid.filled) / (PLACES - 1) * 2 - 1
    (_, top, left), (_, bottom, right) = places.min(0), places.max(0)
    assert right - left == pytest.approx(2 * (bottom - top), rel=0.1)
    under = solid.filled[MIDDLE, MIDDLE + 6]  # a row of places below the top
    legs = np.flatnonzero(under) / (PLACES - 1) * 2 - 1
    assert len(legs) and legs.min() > 0.3 * right
    # The widest frame spans the share that the turntable leaves it.
    wide = solid.boxes[:24, 1] - solid.boxes[:24, 0]
    assert wide.max() == pytest.approx(2 * turntables.FILL, rel=0.05)
    assert np.abs(solid.boxes[0]).max() <= 1
    near = 1 / (turntables.DISTANCE * solid.nearness[0])
    assert 0 < near < 1.5


def test_a_solid_comes_back_from_its_file(table, monkeypatch, tmp_path):
    monkeypatch.setattr(solids, "random_views", lambda product, model: turntables.frame_views(model)[:12])
    monkeypatch.setattr(solids, "path", lambda product: tmp_path / "solids" / "a.npz")
    with pytest.raises(FileNotFoundError, match="python -m training catalogue"):
        solids.read(None)
    solids.write(None, table)
    back, made = solids.read(None), solids.solid(None, table)
    assert (back.filled == made.filled).all() and (back.boxes == made.boxes).all()
    assert [path.name for path in (tmp_path / "solids").iterdir()] == ["a.npz"]

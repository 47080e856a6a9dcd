"""Which room may import which: data flows one way."""

from graphlib import CycleError, TopologicalSorter

import pytest

from tests import rooms
from tests.rooms import MAY_IMPORT, REPOSITORY, imports, levels, modules


def test_every_room_is_in_the_table():
    rooms = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} | {"client", "model_repository", "samples"}
    assert rooms - {"tests"} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room):
    files = list((REPOSITORY / room).rglob("*.py"))
    assert files
    wrong = {
        f"{path.relative_to(REPOSITORY)} imports {other}"
        for path in files
        for other in imports(path) & MAY_IMPORT.keys() - MAY_IMPORT[room] - {room}
    }
    assert not wrong


def test_no_circles():
    assert sum(map(len, levels())) == len(MAY_IMPORT)


@pytest.mark.parametrize("depth", [2, None], ids=["packages", "modules"])
@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_circles_within_a_room(room, depth):
    TopologicalSorter(modules(room, depth)).prepare()


def test_an_import_within_a_function_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "REPOSITORY", tmp_path)
    for name, text in (("one/a", "from graph.two import b"), ("two/b", "def late():\n    import graph.one.a")):
        path = tmp_path / "graph" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert modules("graph") == {"graph.one.a": {"graph.two.b"}, "graph.two.b": {"graph.one.a"}}
    for depth in (2, None):
        with pytest.raises(CycleError):
            TopologicalSorter(modules("graph", depth)).prepare()

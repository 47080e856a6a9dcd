"""Which room may import which: data flows one way."""

import pytest

from tests.rooms import MAY_IMPORT, REPOSITORY, imports, levels


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

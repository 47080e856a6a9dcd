"""Which room may import which: data flows one way."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
#: Room → the others that it may import. `benchmarks` measure everything, and `tests` may do the same.
MAY_IMPORT: dict[str, set[str]] = {
    "graph": set(),
    "networks": set(),
    "stages": set(),
    "server": set(),
    "client": set(),
    "decoding": {"stages"},
    "export": {"graph", "networks", "stages"},
    "training": {"networks", "stages", "export"},
    "model_repository": {"stages", "decoding"},
    "samples": {"client", "server"},
    "benchmarks": {"client", "server", "stages", "networks", "graph", "export", "training"},
}


def imports(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
    return {"client" if name == "vitrina_client" else name for name in found}


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
    done: set[str] = set()
    while rest := MAY_IMPORT.keys() - done:
        free = {room for room in rest if MAY_IMPORT[room] <= done}
        assert free, f"{sorted(rest)} import each other"
        done |= free

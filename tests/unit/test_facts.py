"""No fact of a network stands anywhere but with its checkpoint: nothing else names a size that a checkpoint has."""

import re
from pathlib import Path

import pytest

from graph.assembly import load

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("graph", "stages", "decoding", "model_repository", "client", "server", "samples", "benchmarks", "export")
#: Where each kind of checkpoint is read, which may know what that kind is like.
FAMILIES = REPOSITORY / "export" / "slots"
#: Sizes that code has for reasons of its own.
ORDINARY = {1, 9, 24, 48, 64, 80, 128, 192, 256, 320, 1000, 3000}
OF_OUR_OWN = {
    "benchmarks/outputs.py": {1280},  # pixels of a clip
    "stages/drawn.py": {384},  # the same
    "stages/footage.py": {112},  # pixels that a clip's moments are judged by
    "server/backends/onnxruntime/ort_config.py": {224},  # how a shape is written, in a docstring
}


def sizes() -> set[int]:
    """Every number among the facts that says something by itself."""
    every = {value for said in load().facts.values() for value in said.values() if isinstance(value, int)}
    return every - ORDINARY


def test_there_are_sizes_to_look_for():
    assert {384, 224, 112, 81, 33, 36} <= sizes()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_no_size_of_a_checkpoint(room):
    found = {}
    pattern = re.compile(rf"(?<![\w.])({'|'.join(map(str, sizes()))})(?![\w.])")
    for path in (REPOSITORY / room).rglob("*.py"):
        name = str(path.relative_to(REPOSITORY))
        if path.is_relative_to(FAMILIES):
            continue
        numbers = {int(number) for number in pattern.findall(path.read_text(encoding="utf-8"))}
        if strange := numbers - OF_OUR_OWN.get(name, set()):
            found[name] = strange
    assert not found, "these are facts of a checkpoint: take them from the config or the metadata"

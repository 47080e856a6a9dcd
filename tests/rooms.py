"""Which room may import which: data flows one way. `python -m tests.rooms` draws docs/rooms.svg."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
#: Room → the others that it may import. `benchmarks` measure everything, and `tests` may do the same.
MAY_IMPORT: dict[str, set[str]] = {
    "graph": set(),
    "networks": set(),
    "stages": set(),
    "server": set(),
    "client": set(),
    "decoding": {"stages"},
    "families": {"graph", "networks", "stages"},
    "export": {"families", "graph"},
    "training": {"networks", "stages", "families", "export"},
    "experiments": {"families", "graph", "networks", "stages", "training"},
    "model_repository": {"stages", "decoding"},
    "samples": {"client", "server"},
    "benchmarks": {"client", "server", "stages", "networks", "graph", "families", "export", "training"},
}


def imported(path: Path) -> Iterator[str]:
    """All that a file imports, wherever in it: ``from a import b`` is ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: line {node.lineno} imports by dots; say from where"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    found = {name.split(".")[0] for name in imported(path)}
    return {"client" if name == "vitrina_client" else name for name in found}


def modules(room: str, depth: int | None = None) -> dict[str, set[str]]:
    """A room's modules → those of the same room that each imports; of longer names only the first `depth` parts."""
    place = REPOSITORY / "client" if room == "client" else REPOSITORY
    files = {path.relative_to(place).with_suffix(""): path for path in (REPOSITORY / room).rglob("*.py")}
    names = {".".join(path.parts).removesuffix(".__init__"): file for path, file in files.items()}

    def cut(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    graph: dict[str, set[str]] = {}
    for name, file in names.items():
        whole = (each if each in names else each.rpartition(".")[0] for each in imported(file))
        graph.setdefault(cut(name), set()).update({cut(each) for each in whole if each in names} - {cut(name)})
    return graph


def levels() -> list[list[str]]:
    """The rooms by how much they stand on, those that import nothing first.

    Raises:
        ValueError: some import each other.
    """
    rest, found = dict(MAY_IMPORT), []
    while rest:
        free = [room for room, others in rest.items() if not others & rest.keys()]
        if not free:
            raise ValueError(f"{sorted(rest)} import each other")
        found.append(free)
        rest = {room: others for room, others in rest.items() if room not in free}
    return found


def draw(target: Path) -> None:
    """Draws the rooms in levels, an arrow from each to what it really imports."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "rooms"  # the same graph gives the same bytes
    from matplotlib import pyplot

    places = {
        room: ((number + 0.5) / len(level), height)
        for height, level in enumerate(levels())
        for number, room in enumerate(level)
    }
    figure, axes = pyplot.subplots(figsize=(11, 7))
    for room, (x, y) in places.items():
        files = (REPOSITORY / room).rglob("*.py")
        for other in sorted({name for path in files for name in imports(path)} & MAY_IMPORT.keys() - {room}):
            arrow = {"arrowstyle": "->", "color": "0.55", "shrinkA": 22, "shrinkB": 22}
            axes.annotate("", places[other], (x, y), arrowprops=arrow)
        box = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3fa", "edgecolor": "#45648c"}
        axes.text(x, y, room, ha="center", va="center", bbox=box, fontsize=10)
    axes.set(xlim=(0, 1), ylim=(-0.6, len(levels()) - 0.4), title="A room imports those that its arrows point to")
    axes.axis("off")
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(REPOSITORY / "docs" / "rooms.svg")

"""Which room may import which: data flows one way. `python -m tests.rooms` draws docs/rooms.svg."""

from __future__ import annotations

import ast
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
    "export": {"graph", "networks", "stages"},
    "training": {"networks", "stages", "export"},
    "experiments": {"export", "graph", "networks", "stages", "training"},
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

"""How figures are told: as tables of a card, and in `docs/fidelity.json` by the command that measured them."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from training.common.files import DATA, REPOSITORY

#: What the cards say that training ran on.
MACHINE = f"{platform.machine()}, one CPU thread, no GPU"
PATH = REPOSITORY / "docs" / "fidelity.json"


def template(card: str) -> str:
    """What a card says around its figures."""
    return (DATA / f"{card}.md").read_text(encoding="utf-8")


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def record(prefix: str, figures: dict[str, float | int | str], path: Path = PATH) -> Path:
    """Puts figures in as ``<prefix>.<name>``, in place of all that began with this prefix; numbers to four digits."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept = {key: value for key, value in kept.items() if not key.startswith(f"{prefix}.")}
    kept |= {f"{prefix}.{name}": round(v, 4) if isinstance(v, float) else v for name, v in figures.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False) + "\n")
    return path

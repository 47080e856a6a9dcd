"""`docs/fidelity.json`: the figures of every decoder, each written by the command that measured it."""

from __future__ import annotations

import json
import platform
from pathlib import Path

#: What the cards say that training ran on.
MACHINE = f"{platform.machine()}, one CPU thread, no GPU"
PATH = Path(__file__).resolve().parent.parent / "docs" / "fidelity.json"


def record(prefix: str, figures: dict[str, float | int | str], path: Path = PATH) -> Path:
    """Puts figures in as ``<prefix>.<name>``, in place of all that began with this prefix; numbers to four digits."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept = {key: value for key, value in kept.items() if not key.startswith(f"{prefix}.")}
    kept |= {f"{prefix}.{name}": round(v, 4) if isinstance(v, float) else v for name, v in figures.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False) + "\n")
    return path

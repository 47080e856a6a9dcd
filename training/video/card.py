"""Writes what was measured of the video encoder: `metrics.json` and the card beside its weights."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from networks import video_encoder as shape
from training.catalogue.products import DEB, Product
from training.catalogue.turntables import STEP_DEGREES
from training.common.figures import template
from training.video import clips
from training.video import encoder as video

_SETTINGS = ("SEED", "STEPS", "BATCH", "LEARNING_RATE", "WEIGHT_DECAY", "DISTIL", "LEAST_FRAMES")
BACKWARDS = "cosine to the same clip backwards"
OWN, PEER = "video encoder", "image encoder and fusion, mean over the frames"


def write(folder: Path, results: dict[str, Any], training: dict[str, Any], products: list[Product]) -> Path:
    """`metrics.json` and `README.md` in `folder`; `training` is told as it is (steps, seconds, device…)."""
    settings = {name.lower().replace("_", " "): getattr(video, name) for name in _SETTINGS}
    content = {"settings": settings, "training": training, "results": results}
    (folder / "metrics.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    path = folder / "README.md"
    path.write_text(template("video_card").format(**_fields(results, training, settings, products)))
    return path


def _fields(
    results: dict[str, Any], training: dict[str, Any], settings: dict[str, Any], products: list[Product]
) -> dict[str, Any]:
    held_out = sum(p.held_out for p in products)
    arc = [number * STEP_DEGREES for number in clips.HELD_OUT_ARC]
    return {
        "deb": DEB,
        "products": len(products),
        "held_out": held_out,
        "trained": len(products) - held_out,
        "clips": clips.KINDS["trained"][0],
        "arc": f"{arc[0]} to {arc[-1]} degrees",
        "parameters": f"{training['parameters'] / 1e6:.1f} M",
        "side": shape.SIDE,
        "hardware": f"{platform.machine()}, {training['device']}, one thread",
        "training": "\n".join(f"- {name}: {value}" for name, value in {**settings, **training}.items()),
        "table": _table(results),
        "verdict": _verdict(results),
        "backwards": f"{min(found[BACKWARDS] for found in results.values()):.4f} or more",
    }


def _pair(found: dict[str, float]) -> str:
    return f"{found['@1']:.3f} / {found['@5']:.3f}"


def _table(results: dict[str, Any]) -> str:
    ways = [way for way, found in next(iter(results.values())).items() if isinstance(found, dict)]
    heads = [f"{name} ({r['queries']} → {r['candidates']})" for name, r in results.items()]
    rows = [f"| recall @1 / @5 | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    rows += [f"| {way} | {' | '.join(_pair(r[way]) for r in results.values())} |" for way in ways]
    return "\n".join(rows)


def _verdict(results: dict[str, Any]) -> str:
    """A sentence a set: whether the video encoder beats the peer at rank one."""
    lines = []
    for name, found in results.items():
        own, peer = found[OWN]["@1"], found[PEER]["@1"]
        says = "beats" if own > peer else "equals" if own == peer else "**does not beat**"
        lines.append(f"- On {name} it {says} the mean over the frames of the image encoder's: {own:.3f}, {peer:.3f}.")
    return "\n".join(lines)

"""What a recipe's checkpoints say of themselves: the facts that the graph is made from."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from export import slots, sources
from export.errors import BuildError
from export.progress import Reporter
from export.recipe import Recipe, Slot
from graph.assembly import FACTS, MODEL_REPOSITORY
from graph.schema import Facts, number


def gather(recipe: Recipe, *repositories: Path, anew: bool = False) -> dict[str, dict[str, Any]]:
    """The facts of every slot that a recipe fills.

    Those that a model repository's facts were read from are known; other checkpoints are fetched for it.

    Args:
        repositories: where facts may stand already, beside those of this repository.
        anew: read every checkpoint, because what reads them has changed.

    Raises:
        SourceError: a checkpoint could not be had.
        BuildError: a checkpoint is none that its slot takes, or one does not fit another.
    """
    known = [] if anew else [_read(root / FACTS) for root in (*repositories, MODEL_REPOSITORY)]
    found = {}
    for name, slot in recipe.filled.items():
        found[name] = next((each[name] for each in known if each.get(name, {}).get("id") == slot.id), None)
        if found[name] is None:
            found[name] = _ask(name, slot)
    check(found)
    return found


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}


def _ask(name: str, slot: Slot) -> dict[str, Any]:
    """The facts of one checkpoint, which is fetched unless its slot has none in any family."""
    if not slots.has_facts(name):
        return {}
    checkpoint = sources.fetch(slot.sources, slot.sha256, Reporter())
    return of(slots.family(name, checkpoint, slot), checkpoint, slot)


def of(module: ModuleType, checkpoint: Path, slot: Slot) -> dict[str, Any]:
    """What a family reads off a checkpoint, and the checkpoint's id."""
    return {"id": slot.id, **module.facts(checkpoint, slot)} if hasattr(module, "facts") else {}


def check(facts: Facts) -> None:
    """Whether each slot finds beside it what its checkpoint takes.

    Raises:
        BuildError: a line for each that does not.
    """
    lines = []
    for name, said in facts.items():
        for where, wanted in said.get("takes", {}).items():
            other, _, fact = where.partition(".")
            if other not in facts:
                continue
            have = facts[other].get(fact)
            have, want = ((number(each, facts) if "." in str(each) else each) for each in (have, wanted))
            if have != want:
                lines.append(
                    f"{name} takes {fact} {want} of {other}, whose checkpoint says {have}; take checkpoints that go "
                    f"together, or train {name} on this {other} (--to-train, then python -m training)"
                )
    if lines:
        raise BuildError("\n".join(lines))

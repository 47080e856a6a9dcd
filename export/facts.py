"""What a recipe's checkpoints say of themselves: the facts that the graph is made from."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import families
from export import sources
from export.progress import Reporter
from export.recipe import Recipe, Slot
from families.common.slot import BuildError
from graph.assembly import FACTS, MODEL_REPOSITORY, assemble
from graph.schema import Facts, Graph, resolve_size


def make_graph(recipe: Recipe, *, anew: bool = False, to_train: bool = False) -> Graph:
    """The graph of a recipe's checkpoints; see :func:`gather`.

    Raises:
        BuildError: and where checkpoints do not go together, or one lacks a fact.
    """
    try:
        return assemble(gather(recipe, anew=anew, to_train=to_train))
    except (KeyError, ValueError) as error:
        raise BuildError(f"{recipe.name}: {error.args[0]}") from error


def gather(recipe: Recipe, *, anew: bool = False, to_train: bool = False) -> dict[str, dict[str, Any]]:
    """The facts of every slot that a recipe fills.

    Facts that this repository holds for the same checkpoint and options are reused; other checkpoints are fetched.

    Args:
        anew: read every checkpoint, because what reads them has changed.
        to_train: let encoders pass that the trained slots do not fit yet.

    Raises:
        SourceError: a checkpoint could not be had.
        BuildError: a checkpoint is none that its slot takes, or one does not fit another.
    """
    known = {} if anew else _read_known(MODEL_REPOSITORY / FACTS)
    found = {}
    for name, slot in recipe.filled.items():
        is_known = known.get(name, {}).get("id") == slot.id
        found[name] = known[name] if is_known else _fetch(name, slot)
    if not to_train:
        check(found)
    return found


def _read_known(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}


def _fetch(name: str, slot: Slot) -> dict[str, Any]:
    """The facts of one checkpoint, which is fetched unless its slot has none in any family."""
    if not families.has_facts(name):
        return {}
    checkpoint = sources.fetch(slot.sources, slot.sha256, Reporter())
    try:
        return read(families.choose(name, checkpoint, slot), checkpoint, slot)
    except families.UNREADABLE as error:  # a configuration that lacks, or misspells, what its kind says
        raise BuildError(f"{name}: {checkpoint} says nothing that can be read: {error!r}; fetch it again") from error


def read(module: ModuleType, checkpoint: Path, slot: Slot) -> dict[str, Any]:
    """What a family reads off a checkpoint, and the checkpoint's id."""
    return {"id": slot.id, **module.facts(checkpoint, slot)} if hasattr(module, "facts") else {}


def check(facts: Facts) -> None:
    """Checks that the slots have the sizes and spaces that each other's checkpoints need.

    Raises:
        BuildError: a line for each that does not.
    """
    lines = []
    for name, said in facts.items():
        for where, wanted in said.get("takes", {}).items():
            other, _, fact = where.partition(".")
            if other not in facts:
                continue
            have: Any = facts[other].get(fact)
            have, want = ((resolve_size(each, facts) if "." in str(each) else each) for each in (have, wanted))
            if have != want:
                lines.append(
                    f"{name} needs {other}.{fact} = {want}, but the checkpoint of {other} has {have}; use matching "
                    f"checkpoints, or train {name} on this {other} (--to-train, then python -m training)"
                )
    if lines:
        raise BuildError("\n".join(lines))

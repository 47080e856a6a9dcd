"""docs/tensors.md: every tensor that a caller sends or gets, in one table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graph.modalities import MODALITIES
from graph.schema import Graph, Tensor

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tensors.md"
FULLEST = "_".join(["content", *(modality.name for modality in MODALITIES)])


def render(graph: Graph) -> str:
    """The page.

    Raises:
        ValueError: a tensor of an ensemble says nothing of what it means, or of what is taken where it is left out.
    """
    every = sum(ensemble.name.startswith("content") for ensemble in graph.ensembles)
    lines = [
        "# What goes in, what comes out",
        "",
        "Every tensor of the ensembles by name; `python -m export configs` writes this page from `graph/tensors.py`.",
        f"The first axis, left out here, is the batch. `content…` are {every}: `content`, and with any of `_image`,",
        "`_video`, `_audio` and `_behavior` behind it in this order, each of which adds its input. Ask only for the",
        "outputs you want: no step runs for the others.",
        "",
    ]
    for title, side in (("In", "inputs"), ("Out", "outputs")):
        lines += [f"## {title}", "", "| name | type | of | meaning |" + (" left out |" if side == "inputs" else "")]
        lines.append("|---|---|---|---|" + ("---|" if side == "inputs" else ""))
        for name, (tensor, owners) in _tensors(graph, side).items():
            if not tensor.meaning or (tensor.optional and not tensor.left_out):
                raise ValueError(f"{name}: say in graph/tensors.py what it means, and what is taken without it")
            dims = ", ".join("n" if isinstance(dim, str) else str(dim) for dim in tensor.dims)
            cells = [f"`{name}`", f"{tensor.dtype} [{dims}]", ", ".join(owners), tensor.meaning]
            cells += [tensor.left_out] if side == "inputs" else []
            lines.append("| " + " | ".join(cells).replace("| |", "|  |") + " |")
        lines.append("")
    return "\n".join(lines)


def _tensors(graph: Graph, side: str) -> dict[str, tuple[Tensor, list[str]]]:
    """Name → the tensor and the ensembles that have it, those of content as one."""
    found: dict[str, tuple[Tensor, list[str]]] = {}
    for owner, tensor in _owned(graph, side):
        _, owners = found.setdefault(tensor.name, (tensor, []))
        if owner not in owners:
            owners.append(owner)
    return found


def _owned(graph: Graph, side: str) -> Iterator[tuple[str, Tensor]]:
    """Each ensemble's tensors, those of the content with every modality first."""
    for ensemble in sorted(graph.ensembles, key=lambda each: each.name != FULLEST):
        owner = "content…" if ensemble.name.startswith("content") else ensemble.name
        for tensor in getattr(ensemble, side):
            yield owner, tensor

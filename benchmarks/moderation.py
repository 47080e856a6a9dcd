"""`python -m benchmarks.moderation`: how much of what a shop will not show does the content check find, and how much
that is harmless does it stop?

Sends labelled texts (`benchmarks/data/moderation.yaml`) and the harmless pictures of `benchmarks.photo_matters` through
the served check. What it finds on photos of forbidden goods is not measured: none that may be published lie at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table
from vitrina_client import Moderation, Product, Vitrina

from benchmarks import photo_matters
from benchmarks.serving import JsonFile, Url, grpc_address, write_json

TEXTS = Path(__file__).parent / "data" / "moderation.yaml"
CLEAN = "clean"
FLAGGED = {"tobacco", "alcohol", "medical_claims", "gambling"}  # which the policy only flags
IN_FLIGHT = 4
console = Console()


class Judged(NamedTuple):
    """A text, its label, and the categories it was put in, those that block apart."""

    text: str
    label: str
    found: list[str]
    blocked: list[str]
    by: list[str]

    @property
    def right(self) -> bool:
        """Found under its own category, or let through if it is clean."""
        return not self.found if self.label == CLEAN else self.label in self.found


def judge(text: str, label: str, said: Moderation) -> Judged:
    """What the check said of one text."""
    blocked = [each.category for each in said.findings if each.action == "block"]
    return Judged(text, label, [each.category for each in said.findings], blocked, [each.by for each in said.findings])


def figures(rows: Iterable[Judged]) -> dict[str, float]:
    """Shares of a set: forbidden texts found under their own category, found at all; clean ones flagged, blocked."""
    rows = list(rows)
    forbidden, clean = [r for r in rows if r.label != CLEAN], [r for r in rows if r.label == CLEAN]
    return {
        "forbidden": len(forbidden),
        "right_category": mean(row.right for row in forbidden),
        "any_category": mean(bool(row.found) for row in forbidden),
        "blocked_of_those_to_block": mean(bool(row.blocked) for row in forbidden if row.label not in FLAGGED),
        "right_by_words": mean("words" in row.by and row.right for row in forbidden),
        "clean": len(clean),
        "clean_found": mean(bool(row.found) for row in clean),
        "clean_blocked": mean(bool(row.blocked) for row in clean),
    }


def show(judged: dict[str, list[Judged]]) -> None:
    """A table of both sets, one of categories, and what went wrong on held-out texts."""
    table = Table("share of texts", *judged, title="content check")
    columns = [figures(rows) for rows in judged.values()]
    for name in columns[0]:
        values = (column[name] for column in columns)
        table.add_row(name.replace("_", " "), *(f"{value:.0f}" if value > 1 else f"{value:.2f}" for value in values))
    console.print(table)
    held = judged["held-out"]
    by_category = Table("category", "texts", "found", title="held-out, found under their own category")
    for label in dict.fromkeys(row.label for row in held if row.label != CLEAN):
        rows = [row for row in held if row.label == label]
        by_category.add_row(label, str(len(rows)), f"{mean(row.right for row in rows):.2f}")
    console.print(by_category)
    for row in held:
        if not row.right:
            console.print(f"{row.label}: {row.text}  → {', '.join(row.found) or 'nothing'}", markup=False)


def main(url: Url = None, json_file: JsonFile = None) -> None:
    """Prints the shares, and every held-out text that was judged wrongly."""
    texts = yaml.safe_load(TEXTS.read_text("utf-8"))
    cases = [(name, label, text) for name, labels in texts.items() for label, rows in labels.items() for text in rows]
    entries = json.loads((photo_matters.DATA / "index.json").read_text(encoding="utf-8"))
    products = [Product(text) for _, _, text in cases]
    products += [Product(image=photo_matters.picture(entry)) for entry in entries]
    with grpc_address(url) as address, Vitrina(address) as client, ThreadPoolExecutor(IN_FLIGHT) as pool:
        checks = pool.map(client.check, products)
        said = list(track(checks, "checking", len(products), console=console))
    judged: dict[str, list[Judged]] = {}
    for (name, label, text), each in zip(cases, said, strict=False):
        judged.setdefault(name, []).append(judge(text, label, each))
    show(judged)
    pictures = [judge(entry["file"], CLEAN, each) for entry, each in zip(entries, said[len(cases) :], strict=True)]
    found = mean(not row.right for row in pictures)
    console.print(f"harmless pictures: {len(pictures)}, of which found fault with: {found:.3f}")
    shares = {name: figures(rows) for name, rows in judged.items()}
    write_json({"texts": shares, "pictures": {"clean": len(pictures), "clean_found": found}}, json_file)


if __name__ == "__main__":
    typer.run(main)

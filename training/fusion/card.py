"""Writes what was measured: `docs/fusion.md`, the JSON beside the weights, their cards and the attributions."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from rich.table import Table as RichTable

from training.catalogue.products import DEB, HELD_OUT_VIEWS, LIBRARIES, VERSION, VIEWS, Product
from training.common import embeddings
from training.common.figures import MACHINE, markdown, template
from training.common.files import REPOSITORY, WEIGHTS
from training.fusion import variants
from training.fusion.evaluation import WAYS

DOCS = REPOSITORY / "docs" / "fusion.md"
_SETTINGS = (
    "SEED",
    "STEPS",
    "BATCH",
    "LEARNING_RATE",
    "WEIGHT_DECAY",
    "TEMPERATURE",
    "SOFT_SHARE",
    "NEUTRAL_SHARE",
    "MISLEADING_SHARE",
    "ALIGNED_WEIGHT",
)


def best_variant(results: dict[str, Any]) -> str:
    """By the mean of recall @1 over the 31 subsets of the modalities, looking for pictures of held-out products."""

    def score(variant: str) -> float:
        found = results["variants"][variant]["subsets"]["held-out products"]
        return sum(directions["→ image"]["@1"] for directions in found.values()) / len(found)

    return max(results["variants"], key=score)


def _recall_rows(results: dict[str, Any], held: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of one set's table: a row a variant, a column a direction."""
    variants = results["variants"]
    first = next(iter(variants.values()))["recall"][held]
    head = ["variant", *(f"{d} ({v['queries']} → {v['candidates']})" for d, v in first.items())]
    rows = [
        [name, *(f"{v['@1']:.3f} / {v['@5']:.3f}" for v in found["recall"][held].values())]
        for name, found in variants.items()
    ]
    return head, rows


def _subset_rows(results: dict[str, Any], held: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of one set's table: a row a subset of the modalities, a column a variant."""
    variants = results["variants"]
    rows = []
    for subset in next(iter(variants.values()))["subsets"][held]:
        cells = []
        for found in variants.values():
            by_direction = found["subsets"][held][subset]
            cells.append("; ".join(f"{v['@1']:.2f} / {v['@5']:.2f}" for v in by_direction.values()))
        rows.append([subset, *cells])
    return ["given", *variants], rows


def _tag_rows(results: dict[str, Any], variant: str) -> tuple[list[str], list[list[str]]]:
    found = results["variants"][variant]["tags"]
    head = ["pictures", *(f"{way}: first / of four / kind" for way in WAYS)]
    rows = []
    for held, by_way in found.items():
        count = by_way["both"]["pictures"]
        cells = [[by_way[way].get(k) for k in ("first", "four", "kind")] for way in WAYS]
        rows.append([f"{held} ({count})", *(" / ".join(f"{x:.3f}" for x in cell if x is not None) for cell in cells)])
    return head, rows


def _rich(title: str, head: list[str], rows: list[list[str]]) -> RichTable:
    table = RichTable(*head, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def write(results: dict[str, Any], products: list[Product]) -> list[RichTable]:
    """Writes every file and returns the tables for the terminal."""
    best = best_variant(results)
    known = vars(embeddings) | vars(variants)
    results = {**results, "best": best, "settings": {name: known[name] for name in _SETTINGS}}
    (WEIGHTS / "fusion" / "recall.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (WEIGHTS / "ATTRIBUTION.md").write_text(attribution(products))
    sets = ("held-out views", "held-out products")
    recalls = {held: _recall_rows(results, held) for held in sets}
    tag_table = _tag_rows(results, best)
    photos = results["variants"][best]["tags"]["real photos"]["both"]["tags"]
    (WEIGHTS / "fusion" / "README.md").write_text(card(results, products, recalls["held-out products"]))
    DOCS.parent.mkdir(exist_ok=True)
    DOCS.write_text(
        template("docs").format(
            best=best,
            names=results["names"],
            views=markdown(*recalls["held-out views"]),
            products=markdown(*recalls["held-out products"]),
            subset_views=markdown(*_subset_rows(results, "held-out views")),
            subset_products=markdown(*_subset_rows(results, "held-out products")),
            tags=markdown(*tag_table),
            photos=markdown(["photo", "tags"], [[name, ", ".join(tags)] for name, tags in photos.items()]),
        )
    )
    tables = [_rich(f"recall @1 / @5, {held}", *recalls[held]) for held in sets]
    return [*tables, _rich(f"tags of {best}: share of pictures named", *tag_table)]


def attribution(products: list[Product]) -> str:
    """Whose models the weights were trained on, by library: CC-BY asks for it."""
    lines = [template("attribution").format(deb=DEB)]
    for library, licence in LIBRARIES.items():
        creators = Counter(p.creator for p in products if p.library == library)
        named = ", ".join(
            f"{creator} ({count})" for creator, count in sorted(creators.items(), key=lambda c: c[0].lower())
        )
        lines.append(f"## {library}: {licence}\n\n{sum(creators.values())} models by {named}.\n")
    return "\n".join(lines)


def card(results: dict[str, Any], products: list[Product], recall: tuple[list[str], list[list[str]]]) -> str:
    """The model card."""
    held_out = sum(p.held_out for p in products)
    chosen = results["settings"].items()
    return template("card").format(
        best=results["best"],
        products=len(products),
        trained=len(products) - held_out,
        held_out=held_out,
        views=VIEWS,
        held_out_views=HELD_OUT_VIEWS,
        version=VERSION,
        settings="\n".join(f"- {name.lower().replace('_', ' ')}: {value}" for name, value in chosen),
        machine=MACHINE,
        recall=markdown(*recall),
    )

"""`python -m benchmarks.photo_matters`: does the copy for a photo name what is on it, when the title says nothing?

Sends pictures that nothing was trained on with the title "product" and looks for the product's name, a synonym, or its
category in the copy and in the tags: held-out views of catalogue products, products that were held out altogether, and
real photos. The pictures and the words that count lie in `benchmarks/data/photo_matters` (`python -m training pack`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import skimage
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from vitrina_client import Product, Sampling, Vitrina

from benchmarks.serving import REPOSITORY, JsonFile, Url, grpc_address, write_json

DATA = Path(__file__).parent / "data" / "photo_matters"
TITLE = "product"
#: What a prompt shows of the tags: the first as the name, three as keywords.
SHOWN_TAGS = 4
#: The aim, for the share of held-out views whose copy names the product or its category.
AIM = 0.70
console = Console()


def picture(entry: dict[str, Any]) -> bytes:
    """The file of an entry: packed beside the index, shipped by scikit-image, or one of the samples."""
    place, _, name = entry["file"].rpartition(":")
    if place == "skimage":
        return (Path(skimage.__file__).parent / "data" / name).read_bytes()
    return (REPOSITORY / name if "/" in name else DATA / name).read_bytes()


def says(text: str, words: Sequence[str]) -> bool:
    """Whether a text holds one of the words as a whole word, in singular or plural."""
    return any(re.search(rf"\b{re.escape(word)}(s|es)?\b", text.lower()) for word in words)


def judge(entry: dict[str, Any], text: str, tags: list[str]) -> dict[str, Any]:
    """What copy and tags of one picture say of it."""
    category = entry.get("category", [])
    return {
        **{key: entry[key] for key in ("set", "file", "name")},
        "tags": tags,
        "text": text,
        "copy_names": says(text, entry["accepted"]),
        "copy_names_or_category": says(text, [*entry["accepted"], *category]),
        "first_tag": says(tags[0], entry["accepted"]) if tags else False,
        "shown_tags": any(says(tag, entry["accepted"]) for tag in tags[:SHOWN_TAGS]),
    }


def measure(url: str, entries: list[dict[str, Any]], in_flight: int) -> list[dict[str, Any]]:
    """One judgement a picture; greedy, so that the same bundle gives the same figures."""

    def ask(entry: dict[str, Any]) -> dict[str, Any]:
        product = Product(title=TITLE, image=picture(entry))
        listing = client.generate(product, want={"text", "tags"}, sampling=Sampling(temperature=0.0))
        return judge(entry, listing.text or "", [tag.name for tag in listing.tags or () if tag.name])

    with Vitrina(url) as client, ThreadPoolExecutor(in_flight) as pool:
        return list(track(pool.map(ask, entries), "writing copy", len(entries), console=console))


FIGURES = ("copy_names", "copy_names_or_category", "first_tag", "shown_tags")


def shares(judgements: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Set → figure → share of its pictures."""
    found: dict[str, dict[str, float]] = {}
    for held in dict.fromkeys(j["set"] for j in judgements):
        rows = [j for j in judgements if j["set"] == held]
        found[held] = {"pictures": len(rows)} | {f: sum(j[f] for j in rows) / len(rows) for f in FIGURES}
    return found


def show(judgements: list[dict[str, Any]]) -> None:
    """The table of shares, and the copies that name nothing of it."""
    table = Table("pictures", "count", *(figure.replace("_", " ") for figure in FIGURES), title=f"title “{TITLE}”")
    for held, found in shares(judgements).items():
        table.add_row(held, f"{found['pictures']:.0f}", *(f"{found[figure]:.2f}" for figure in FIGURES))
    console.print(table)
    for missed in (j for j in judgements if not j["copy_names_or_category"]):
        console.print(f"[bold]{missed['name']}[/] ({missed['set']}; {', '.join(missed['tags'])}): {missed['text']}")


def main(
    url: Url = None,
    json_file: JsonFile = None,
    in_flight: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 8,
) -> None:
    """Prints how many copies name what the photo shows; exit status 1 below the aim."""
    entries = json.loads((DATA / "index.json").read_text(encoding="utf-8"))
    with grpc_address(url) as address:
        judgements = measure(address, entries, in_flight)
    show(judgements)
    found = shares(judgements)
    reached = found["held-out views"]["copy_names_or_category"]
    write_json({"aim": AIM, "shares": found, "copies": judgements}, json_file)
    console.print(f"held-out views named: {reached:.2f}, aim {AIM:.2f}")
    raise typer.Exit(reached < AIM)


if __name__ == "__main__":
    typer.run(main)

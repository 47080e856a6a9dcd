"""`python -m benchmarks.listing`: is a structured listing right, valid and fit for its channels?

Titles labelled by hand (`benchmarks/data/listing/`): which attributes are read off a title, which category is chosen.
Then the listings of the products of `benchmarks.copy`: their form, their claims held against the facts, the rules of
each channel, and the time that one takes. Titles of `tune` were read while the rules were written, those of `held` not.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter
from rich.console import Console
from rich.table import Table
from vitrina_client import StructuredListing
from vitrina_client._channels.check import Channel

from benchmarks.copy import products
from benchmarks.serving import JsonFile, write_json
from stages.claims import Claims
from stages.extraction import extract
from stages.listing import ListingFields, make_listing
from stages.plain import tell
from stages.request import Request
from stages.safety import told_attributes
from stages.taxonomy import Taxonomy

DATA = Path(__file__).parent / "data" / "listing"
LANGUAGES = ("en", "zh")
SPLITS = ("tune", "held")
#: What a label calls dimensions, and what the extraction calls some lengths.
_LENGTHS = ("dimensions", "height", "width", "depth", "thickness", "diameter", "length")
_NUMERALS = dict(zip("一二三四五六七八九十", map(str, range(1, 11)), strict=True)) | {"两": "2"}
_WORDS = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "eight": "8", "ten": "10", "twelve": "12"}
_ARGUMENTS: dict[Channel, dict[str, Any]] = {
    "jsonld": {"image": "https://shop.example/1.jpg", "price": "9.90", "currency": "EUR"},
    "google": {
        **{"id": "1", "link": "https://shop.example/1", "image_link": "https://shop.example/1.jpg"},
        **{"price": "9.90 EUR", "availability": "in_stock", "brand": "Halden", "mpn": "H-1"},
    },
    "shopify": {"price": "9.90", "vendor": "Halden"},
    "amazon": {
        **{
            "sku": "1",
            "product_type": "HOME",
            "brand": "Halden",
            "product_id": "4006381333931",
            "product_id_type": "EAN",
        },
        **{"price": "9.90", "quantity": 3, "image": "https://shop.example/1.jpg"},
    },
}
console = Console()


class Labelled(BaseModel):
    """A title, its category's English path and the attributes that it states, by kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    title: str
    category: str
    attributes: dict[str, tuple[str, ...]] = {}


def main(
    split: Annotated[str, typer.Option(help="tune or held: which labelled titles.")] = "held",
    show: Annotated[bool, typer.Option(help="Print what was wrong (of the held titles: never while tuning).")] = False,
    report: JsonFile = None,
) -> None:
    """Judges extraction, categories and whole listings."""
    taxonomy = Taxonomy.in_force()
    figures: dict[str, Any] = {"split": split}
    for language in LANGUAGES:
        titles = TypeAdapter(list[Labelled]).validate_python(
            yaml.safe_load((DATA / f"{language}_{split}.yaml").read_text("utf-8"))
        )
        figures[language] = judge_titles(titles, language, taxonomy, show) | judge_listings(language, taxonomy, show)
    _print(figures)
    write_json(figures, report)


def judge_titles(titles: Sequence[Labelled], language: str, taxonomy: Taxonomy, show: bool) -> dict[str, Any]:
    """Extraction over titles alone, by kind, and the share of categories that are right."""
    right, given, found, category = Counter[str](), Counter[str](), Counter[str](), 0
    english = {leaf.name(language): " > ".join(leaf.name("en")) for leaf in taxonomy.leaves}
    for each in titles:
        expected = Counter((kind, _plain(kind, value)) for kind, values in each.attributes.items() for value in values)
        said = Counter((_kind(one.kind), _plain(one.kind, one.value)) for one in extract(each.title, language))
        for counter, rows in ((right, expected & said), (given, expected), (found, said)):
            counter.update(kind for kind, _ in rows.elements())
        chosen = taxonomy.classify(each.title, (), (), language)
        path = english[chosen.path] if chosen else "none"
        category += path == each.category
        if show and (expected != said or path != each.category):
            console.print(f"{each.id} {each.title}", markup=False)
            for what, rows in (("missed", expected - said), ("wrong", said - expected)):
                if rows:
                    console.print(f"    {what}: {', '.join(': '.join(row) for row in rows)}", markup=False)
            if path != each.category:
                console.print(f"    category: {path}, not {each.category}", markup=False)
    total = [sum(counter.values()) for counter in (right, given, found)]
    return {
        "titles": len(titles),
        "category": round(category / len(titles), 3),
        "recall": round(total[0] / total[1], 3),
        "precision": round(total[0] / total[2], 3),
        "f1": round(2 * total[0] / (total[1] + total[2]), 3),
        "kinds": {kind: [right[kind], given[kind], found[kind]] for kind in sorted(given | found)},
    }


def judge_listings(language: str, taxonomy: Taxonomy, show: bool) -> dict[str, Any]:
    """Listings of the products of `benchmarks.copy`, with their attributes in plain sentences for a copy."""
    supported = claims_made = answers = held = 0
    breaches: dict[Channel, Counter[str]] = {channel: Counter() for channel in _ARGUMENTS}
    seconds = []
    schema = TypeAdapter(ListingFields)
    every = [product for product in products.load() if product.language == language]
    for product in every:
        request = Request(language=language, title=product.title, attributes=tuple(product.attributes.items()))
        claims = Claims(request)
        copy = " ".join(sentence for sentence, _ in tell(told_attributes(request), language, product.title))
        began = time.perf_counter()
        listing = make_listing(request, claims, copy, taxonomy)
        seconds.append(time.perf_counter() - began)
        schema.validate_python(listing, strict=True)
        structured = StructuredListing.loads(json.dumps(listing))
        for text in (bullet.text for bullet in structured.bullets):
            claims_made += 1
            supported += _is_supported(text, claims, language, show)
        for each in structured.faq:
            answers += 1
            held += _is_supported(each.answer, claims, language, show)
        for channel, arguments in _ARGUMENTS.items():
            for breach in structured.check(channel, **arguments):
                breaches[channel][f"{breach.field}: {breach.rule}"] += 1
    return {
        "products": len(every),
        "bullets": claims_made,
        "bullets_supported": round(supported / max(claims_made, 1), 3),
        "answers": answers,
        "answers_supported": round(held / max(answers, 1), 3),
        "breaches": {channel: dict(each) for channel, each in breaches.items()},
        "milliseconds": round(1000 * median(seconds), 1),
    }


def _is_supported(text: str, claims: Claims, language: str, show: bool) -> bool:
    wrong = [
        claim
        for claim in claims.of(re.sub(r"^(?:Yes|No|是|不|可以)[,，。.]\s*", "", text))
        if claim.verdict != "supported"
    ]
    if wrong and show:
        console.print(f"{language}: {text}  ← {', '.join(claim.text for claim in wrong)}", markup=False)
    return not wrong


def _kind(kind: str) -> str:
    return "length" if kind in _LENGTHS else "temperature" if kind in ("celsius", "fahrenheit") else kind


def _plain(kind: str, value: str) -> str:
    """A value as it is compared: without case and gaps, a numeral as a number."""
    folded = re.sub(r"\s+", "", value.casefold())
    return _NUMERALS.get(folded) or _WORDS.get(folded) or folded if kind == "count" else folded


def _print(figures: dict[str, Any]) -> None:
    table = Table("", *(f"{language}" for language in LANGUAGES), box=None, header_style="bold")
    rows: Iterable[tuple[str, str]] = (
        ("category right", "category"),
        ("attributes, recall", "recall"),
        ("attributes, precision", "precision"),
        ("attributes, F1", "f1"),
        ("bullets supported", "bullets_supported"),
        ("answers supported", "answers_supported"),
        ("a listing, ms", "milliseconds"),
    )
    console.print(
        f"{figures['split']}: {figures['en']['titles']} titles each, {figures['en']['products']} products each"
    )
    for name, key in rows:
        table.add_row(name, *(f"{figures[language][key]}" for language in LANGUAGES))
    console.print(table)
    for language in LANGUAGES:
        kinds = figures[language]["kinds"].items()
        console.print(language, "right/given/found:", ", ".join(f"{kind} {'/'.join(map(str, n))}" for kind, n in kinds))
        for channel, each in figures[language]["breaches"].items():
            console.print(f"{language} {channel}: {sum(each.values())} breaches {each or ''}", markup=False)


if __name__ == "__main__":
    typer.run(main)

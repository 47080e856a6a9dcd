"""Packs pictures that were not trained on, with the words that name them, for `benchmarks/photo_matters.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from training.catalogue.photos import photos
from training.catalogue.products import VIEWS, Product
from training.catalogue.views import view_path
from training.catalogue.vocabulary import word_of
from training.common.files import REPOSITORY

FOLDER = REPOSITORY / "benchmarks" / "data" / "photo_matters"
#: Pictures of each set.
HELD_OUT_VIEW_COUNT, HELD_OUT_PRODUCT_COUNT = 72, 48

#: What a copy may say instead of the product's name to have named at least its category.
CATEGORIES = {
    "furniture": ["furniture", "furnishing"],
    "lighting": ["lighting", "light", "lamp"],
    "kitchenware": ["kitchenware", "kitchen", "cookware", "tableware"],
    "appliance": ["appliance"],
    "electronics": ["electronic", "electronics"],
    "bathroom": ["bathroom"],
    "care": ["cosmetic", "beauty", "skincare"],
    "decoration": ["decoration", "decor"],
    "plant": ["plant"],
    "vehicle": ["vehicle"],
    "animal": ["animal", "pet"],
    "clothing": ["clothing", "clothes", "garment"],
    "bag": ["bag"],
    "storage": ["storage", "container"],
    "office": ["office", "stationery"],
    "tool": ["tool"],
    "garden": ["garden", "outdoor"],
    "toy": ["toy"],
    "sport": ["sport", "sports"],
    "music": ["instrument"],
    "food": ["food", "snack", "meal"],
}


def _entry(product: Product, view: int, held: str) -> dict[str, object]:
    word = word_of(product.name)
    assert word is not None, f"{product.name} has no word in training/data/words.yaml"
    return {
        "set": held,
        "file": f"{product.key}-{view:02d}.jpg",
        "id": product.id,
        "name": product.name,
        "accepted": list(word.names),
        "category": CATEGORIES[word.kind],
        "creator": product.creator,
        "licence": product.licence,
    }


def choose(products: list[Product]) -> list[tuple[Product, int, str]]:
    """Products in the order of their hash, each word once, and for each the view that its hash picks."""
    chosen = []
    for held, wanted, first, count in (
        ("held-out views", HELD_OUT_VIEW_COUNT, VIEWS - 2, 2),
        ("held-out products", HELD_OUT_PRODUCT_COUNT, 0, VIEWS),
    ):
        seen: set[str] = set()
        for product in sorted(products, key=lambda p: p.key):
            word = word_of(product.name)
            if product.held_out != (held == "held-out products") or word is None or word.word in seen:
                continue
            seen.add(word.word)
            chosen.append((product, first + int(product.key, 16) % count, held))
            if len(seen) == wanted:
                break
    return chosen


def pack(products: list[Product]) -> Path:
    """Copies the pictures and writes ``index.json``; the real photos stay where they are shipped."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    entries = []
    for product, view, held in choose(products):
        entry = _entry(product, view, held)
        shutil.copy(view_path(product, view), FOLDER / str(entry["file"]))
        entries.append(entry)
    for photo in photos():
        entries.append(
            {"set": "real photos", "file": photo["source"], "name": photo["name"], "accepted": photo["accepted"]}
        )
    path = FOLDER / "index.json"
    lines = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
    path.write_text(f"[\n{lines}\n]\n")
    return path

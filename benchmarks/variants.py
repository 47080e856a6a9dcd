"""`python -m benchmarks.variants`: are the ads that `variants` chooses unlike each other, and about the product?

For products that the weights were not trained on, beside the first four that were written with the same seeds: mean
distance (1 - cosine) between two ads, share of word pairs that occur once (distinct-2, Li et al. 2016), and mean cosine
of an ad with its product, all by the served embedding.
"""

from __future__ import annotations

import re
from itertools import pairwise
from statistics import mean

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from vitrina_client import Product, Sampling, Vitrina

from benchmarks.serving import JsonFile, Url, grpc_address, write_json

TITLES = (
    "Enamel mug, 350 ml, blue",
    "Oak bookcase, five shelves",
    "Red leather sofa, three seats",
    "Running shoes with a light sole",
    "Linen tablecloth, natural",
    "Cordless drill, 18 V",
    "Wooden train set for children",
    "Desk lamp with a brass arm",
    "Waterproof hiking backpack, 40 litres",
    "Cast iron frying pan",
    "Noise cancelling headphones",
    "Wool blanket, grey",
)
COUNT = 4
console = Console()


def distinct(texts: list[str]) -> float:
    """Share of different word pairs among all of some texts."""
    pairs = [pair for text in texts for pair in pairwise(re.findall(r"\w+", text.lower()))]
    return len(set(pairs)) / max(1, len(pairs))


def figures(client: Vitrina, texts: list[str], product: np.ndarray) -> dict[str, float]:
    """What is told of some ads of one product."""
    vectors = client.embed([Product(text) for text in texts])
    apart = 1 - (vectors @ vectors.T)[np.triu_indices(len(texts), 1)]
    return {
        "distance": float(apart.mean()),
        "distinct_2": distinct(texts),
        "relevance": float((vectors @ product).mean()),
    }


def main(url: Url = None, json_file: JsonFile = None) -> None:
    """Prints the figures of the chosen ads beside those of the first ones written."""
    rows: dict[str, list[dict[str, float]]] = {"chosen": [], "first written": []}
    with grpc_address(url) as address, Vitrina(address) as client:
        for seed, title in enumerate(track(TITLES, "writing ads", console=console)):
            product = client.embed(Product(title))
            chosen = client.variants(Product(title), COUNT, sampling=Sampling(seed=100 * seed))
            rows["chosen"].append(figures(client, [each.text or "" for each in chosen.listings], product))
            plain = [
                client.generate(Product(title), task="ad", sampling=Sampling(seed=100 * seed + n, temperature=0.5))
                for n in range(COUNT)
            ]
            rows["first written"].append(figures(client, [each.text or "" for each in plain], product))
    found = {name: {key: mean(row[key] for row in each) for key in each[0]} for name, each in rows.items()}
    table = Table(f"{COUNT} ads of each of {len(TITLES)} products", "distance", "distinct-2", "relevance")
    for name, each in found.items():
        table.add_row(name, *(f"{value:.2f}" for value in each.values()))
    console.print(table)
    write_json(found, json_file)


if __name__ == "__main__":
    typer.run(main)

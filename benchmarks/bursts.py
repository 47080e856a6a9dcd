"""`python -m benchmarks.bursts`: what the last of several requests waits for that come at once to a server at rest.

Each burst is as many titles, or photos for a studio shot, sent at the same moment; the next one is sent when all of it
is answered. Beside the slowest answer stands the work's own time: as many sent one after the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from vitrina_client import Product, Vitrina

from benchmarks.overhead import samples
from benchmarks.serving import JsonFile, Url, grpc_address, write_json

SIZES = {"embedding of a title": (1, 2, 4, 8), "studio shot": (1, 2, 4)}
console = Console()


def burst(ask: Callable[[int], object], count: int, at_once: bool) -> list[float]:
    """Milliseconds from the start to each of `count` answers, asked for at once or one after the other."""
    began = time.perf_counter()

    def one(number: int) -> float:
        ask(number)
        return (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(count if at_once else 1) as pool:
        return list(pool.map(one, range(count)))


def measure(ask: Callable[[int], object], count: int, rounds: int, name: str) -> dict[str, float]:
    """The median and the worst of the slowest answers, and the median of the same one after the other."""
    burst(ask, count, at_once=True)
    last, in_turn = [], []
    for _ in track(range(rounds), f"{name}, {count}", console=console):
        last.append(max(burst(ask, count, at_once=True)))
        in_turn.append(max(burst(ask, count, at_once=False)))
    figures = {"median": statistics.median(last), "worst": max(last), "in_turn": statistics.median(in_turn)}
    return figures | {"over_in_turn": statistics.median(a / b for a, b in zip(last, in_turn, strict=True))}


def main(
    rounds: Annotated[int, typer.Option(min=2, help="Bursts of each size.")] = 30,
    url: Url = None,
    json_file: JsonFile = None,
) -> None:
    """Prints how long the last answer of a burst takes."""
    products = samples()
    with grpc_address(url) as address, Vitrina(f"grpc://{address}", retries=0) as client:
        asks: dict[str, Callable[[int], object]] = {
            "embedding of a title": lambda n: client.embed(Product(products[n % len(products)][0].decode())),
            "studio shot": lambda n: client.studio(products[n % len(products)][1]),
        }
        found = {
            f"{name}, {count}": measure(asks[name], count, rounds, name)
            for name, counts in SIZES.items()
            for count in counts
        }
    table = Table("burst of", "last answer, ms", "worst, ms", "one after the other, ms", "ratio")
    for name, figures in found.items():
        table.add_row(
            name, *(f"{figures[k]:.0f}" for k in ("median", "worst", "in_turn")), f"{figures['over_in_turn']:.2f}"
        )
    console.print(table)
    write_json(found, json_file)


if __name__ == "__main__":
    typer.run(main)

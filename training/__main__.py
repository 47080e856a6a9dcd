"""The commands of this room; `python -m training --help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console()


def progress_bar() -> Progress:
    """A bar with the count done, the time it took and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)


@app.callback()
def commands() -> None:
    """Builds the reference catalogue and trains what the project ships."""


@app.command()
def catalogue(
    processes: Annotated[int, typer.Option(min=1, help="Renderers at work at once.")] = 2,
) -> None:
    """Fetches the furniture libraries (120 MB) and renders every product's views into the cache."""
    from training.build import all_products, build, finish
    from training.catalogue import unpacked_libraries

    with console.status("fetching and unpacking the libraries"):
        libraries = unpacked_libraries()
    products, skipped = all_products(libraries)
    built = []
    with progress_bar() as bar:
        task = bar.add_task("rendering products", total=len(products))
        for outcome in build(products, libraries, processes):
            built.append(outcome)
            bar.advance(task)
            if outcome.problem:
                bar.console.print(f"left out {outcome.product.id}: {outcome.problem}")
    path = finish(built, skipped)
    good = [b.product for b in built if not b.problem]
    console.print(f"{len(good)} products ({sum(p.held_out for p in good)} held out of training): {path}")
    console.print(f"{len(products) - len(good)} broken and {len(skipped)} skipped ones are listed there too")


if __name__ == "__main__":
    app()

"""The commands of this room; `python -m experiments --help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from training.__main__ import console, followed, progress_bar, written
from training.common.files import REPOSITORY

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Trains and judges what is not served; weights and figures go to out/experiments/."""


@app.command()
def interpolation(threads: Annotated[int, typer.Option(min=1, help="Of torch, on CPU.")] = 1) -> None:
    """Trains and judges the frame interpolator; goes on where it was stopped."""
    import torch

    from experiments.interpolation import STEPS, evaluate, train, write
    from training.catalogue.products import read_index
    from training.common.files import cache_folder

    torch.set_num_threads(threads)
    products = read_index()
    with followed("frame interpolator", STEPS) as report:
        network = train(products, cache_folder() / "training" / "frame-interpolator.pt", report)
    with console.status("judging"):
        found = evaluate(network, products)
    path = write(network, found)
    for motion, figures in found.items():
        console.print(f"{motion}: " + ", ".join(f"{what} {value:.2f}" for what, value in figures.items()))
    written(path)


@app.command()
def sound() -> None:
    """Synthesises jingles and trains the decoder of sonic logos on them; goes on where it was stopped."""
    import torch

    from experiments.sound import PLAN, Data
    from experiments.sound_command import table, trained, verdict, write
    from experiments.sound_evaluation import evaluate
    from training.behavior.encoder import item_embeddings
    from training.catalogue.products import read_index

    torch.set_num_threads(1)
    products = read_index()
    with console.status("synthesising jingles"):
        data = Data.read(products, item_embeddings(products))
    with progress_bar() as bar:
        task = bar.add_task("sound decoder", total=PLAN.steps)
        decoder, seconds = trained(data, lambda step, _: bar.update(task, completed=step))
    with console.status("evaluating"):
        results = evaluate(decoder, data, products)
    folder = write(decoder, results, seconds)
    console.print(f"{folder.relative_to(REPOSITORY)}: {verdict(results)}\n{table(results)}", soft_wrap=True)


if __name__ == "__main__":
    app()

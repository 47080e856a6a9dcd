"""The commands of this room; `python -m training --help` lists them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.common.files import REPOSITORY, WEIGHTS, FetchError

if TYPE_CHECKING:
    from training.catalogue.products import Product

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


@contextmanager
def followed(what: str, steps: int, tells: bool = True) -> Iterator[Callable[[int, str], None]]:
    """A bar of a training's steps: gives what is to be told of each, its number and the losses (shown if `tells`)."""
    with progress_bar() as bar:
        task = bar.add_task(what, total=steps)
        yield lambda step, said: bar.update(task, completed=step, description=f"{what}  {said}" if tells else what)


def written(path: Path) -> None:
    """Says where weights were written, and how large they are."""
    console.print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1e6:.1f} MB")


@app.callback()
def commands() -> None:
    """Builds the reference catalogue and trains what the project ships."""


@app.command()
def catalogue(
    processes: Annotated[int, typer.Option(min=1, help="Renderers at work at once.")] = 2,
) -> None:
    """Fetches the furniture libraries (120 MB) and renders each product's views, turntable and solid into the cache."""
    from training.catalogue.build import all_products, build, finish
    from training.catalogue.products import unpacked_libraries
    from training.catalogue.turntables import turntable_folder

    with console.status("fetching and unpacking the libraries"):
        libraries = unpacked_libraries()
    products, skipped = all_products(libraries)
    built = []
    started = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("rendering products", total=len(products))
        for outcome in build(products, libraries, processes):
            built.append(outcome)
            bar.advance(task)
            if outcome.problem:
                bar.console.print(f"left out {outcome.product.id}: {outcome.problem}")
    path = finish(built, skipped)
    size = sum(file.stat().st_size for file in turntable_folder().iterdir()) / 1e6
    console.print(f"turntables: {size:.0f} MB, {time.perf_counter() - started:.0f} s for what was not there yet")
    good = [b.product for b in built if not b.problem]
    console.print(f"{len(good)} products ({sum(p.held_out for p in good)} held out of training): {path}")
    console.print(f"{len(products) - len(good)} broken and {len(skipped)} skipped ones are listed there too")


@app.command()
def fusion(
    variant: Annotated[str, typer.Option(help="A variant of networks/fusion.py, or all.")] = "all",
) -> None:
    """Trains fusion on the catalogue and writes weights/fusion/<variant>.safetensors; goes on where it was stopped."""
    import torch

    from networks.fusion import VARIANTS, create
    from training.common.files import cache_folder
    from training.common.weights import save
    from training.encoders.served import TextEncoder
    from training.fusion.variants import STEPS, Data, fingerprint, label_embeddings, train

    torch.set_num_threads(1)
    wanted = list(VARIANTS) if variant == "all" else [variant]
    create(wanted[0])  # an unknown one is said before the features are computed
    products = _features()
    encoder = TextEncoder()
    with console.status("reading features, embedding titles"):
        data, labels = Data.read(products, encoder), label_embeddings(encoder)
    for name in wanted:
        with followed(name, STEPS, tells=False) as report:
            checkpoint = cache_folder() / "training" / f"fusion-{name}-{fingerprint()}.pt"
            started = time.perf_counter()
            network = train(name, data, labels, checkpoint, report)
        path = WEIGHTS / "fusion" / f"{name}.safetensors"
        save(network, path, {"variant": name, "steps": str(STEPS), "seconds": f"{time.perf_counter() - started:.0f}"})
        written(path)


@app.command()
def video(
    minutes: Annotated[float, typer.Option(min=0.1, help="Stops after so long; run again to go on.")] = 8.0,
    variant: Annotated[str, typer.Option(help="The fusion variant to learn from and to compare with.")] = "concat",
) -> None:
    """Trains the video encoder on turning products and writes weights/video_encoder; goes on where it was stopped."""
    import torch

    from training.catalogue.products import read_index
    from training.common.files import cache_folder, sha256
    from training.common.weights import save
    from training.encoders.fused import load as load_fusion
    from training.encoders.served import ImageEncoder, TextEncoder, fingerprint
    from training.video import card as video_card
    from training.video import encoder as training
    from training.video import evaluation as video_evaluation

    deadline = time.monotonic() + 60 * minutes
    torch.set_num_threads(1)
    products, encoder = read_index(), TextEncoder()
    fusion_weights = WEIGHTS / "fusion" / f"{variant}.safetensors"
    path = WEIGHTS / "video_encoder" / "model.safetensors"
    run = f"video-{training.run_fingerprint()}"
    again = "run the command again to go on"
    with progress_bar() as bar:
        task = bar.add_task("encoding frames", total=len(products))
        for _ in training.compute(products, training.FrameEncoder()):
            bar.advance(task)
            if time.monotonic() > deadline:
                console.print(f"stopped while encoding frames; {again}")
                return
    if not training.is_written(path, run):
        _features()
        pictured = training.pictured(products, variant, fusion_weights)
        data = training.Data.read(products, encoder, pictured)
        checkpoint = cache_folder() / "training" / f"{run}.pt"
        try:
            with progress_bar() as bar:
                task = bar.add_task("video encoder", total=training.STEPS)
                network = training.train(
                    training.create(), data, checkpoint, lambda step, _: bar.update(task, completed=step), deadline
                )
        except TimeoutError:
            console.print(f"stopped while training; {again}")
            return
        save(network, path, {"run": run})
    network, fused = training.load(path), load_fusion(variant, fusion_weights)
    images, tag = {}, f"{fingerprint()}-{sha256(fusion_weights)[:12]}"
    with console.status("the image encoder on the same frames"):
        for name, rows in video_evaluation.asked(products).items():
            found = video_evaluation.through_images(rows, ImageEncoder(), fused, tag, deadline)
            if found is None:
                console.print(f"stopped while evaluating; {again}")
                return
            images[name] = found
    results = video_evaluation.evaluate(network, products, encoder, images, fused)
    card = video_card.write(path.parent, results, training.told(network), products)
    console.print(card.read_text())
    console.print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1e6:.1f} MB; done")


@app.command()
def tags(
    variant: Annotated[str, typer.Option(help="The fusion variant whose space the words lie in.")],
) -> None:
    """Embeds the vocabulary in a fusion variant's space and fits the scores; writes weights/tags/tags.npz."""
    import torch

    from training.encoders.fused import load
    from training.encoders.served import TextEncoder
    from training.fusion.recall import held_out_sets
    from training.fusion.tags import fit_table, write

    torch.set_num_threads(1)
    network = load(variant, WEIGHTS / "fusion" / f"{variant}.safetensors")
    products = _features()
    table = fit_table(network, products, held_out_sets(products)[1], TextEncoder())
    path = write(table, WEIGHTS / "tags")
    scales = f"image {table.image_scale:.1f}, classes {table.named_scale:.1f}, text {table.text_scale:.1f}"
    console.print(f"{path.relative_to(REPOSITORY)}: {len(table.words)} words; scales: {scales}")


@app.command()
def pictures(
    variant: Annotated[str, typer.Option(help="A variant of networks/image_decoder.py.")],
    threads: Annotated[int, typer.Option(min=1, help="Of torch, on CPU.")] = 1,
) -> None:
    """Trains an image decoder and writes what it remembers; goes on where it was stopped."""
    import torch

    from networks.image_decoder import create
    from training.common.files import cache_folder
    from training.common.weights import save
    from training.decoders.pictures import STEPS, Data, train
    from training.decoders.pictures import load as load_decoder
    from training.encoders.fused import load
    from training.encoders.served import TextEncoder

    torch.set_num_threads(threads)
    create(variant)  # an unknown one is said before the features are read
    folder = WEIGHTS / "image_decoder"
    products = _features()
    with console.status("reading features and pictures"):
        data = Data.read(products, load("concat", WEIGHTS / "fusion" / "concat.safetensors"), TextEncoder())
    save(data.memory(), folder / "memory.safetensors", {"products": str(len(data.thumbnails))})
    start = load_decoder("vae", folder / "vae.safetensors").state_dict() if variant == "gan" else None
    checkpoint = cache_folder() / "training" / f"image-{variant}.pt"
    with followed(variant, STEPS[variant]) as report:
        decoder = train(variant, data, checkpoint, report, start)
    path = folder / f"{variant}.safetensors"
    save(decoder, path, {"variant": variant, "steps": str(STEPS[variant])})
    written(path)


@app.command()
def turntable(
    threads: Annotated[int, typer.Option(min=1, help="Of torch, on CPU.")] = 1,
    further: Annotated[bool, typer.Option("--further", help="Begin with the weights that there are.")] = False,
    sharpen: Annotated[bool, typer.Option("--sharpen", help="Only what sharpens, beside a discriminator.")] = False,
) -> None:
    """Trains the video decoder; goes on where it was stopped."""
    import torch
    from safetensors.torch import load_file

    from training.common.files import cache_folder
    from training.common.weights import save
    from training.decoders.pictures import embeddings, load_memory
    from training.decoders.pictures import load as load_decoder
    from training.decoders.turning import FIRST, FURTHER, SHARPER, Data, train
    from training.decoders.turning import sharpen as train_sharpening
    from training.encoders.fused import load
    from training.encoders.served import TextEncoder

    torch.set_num_threads(threads)
    plan, run = (SHARPER, "-sharper") if sharpen else (FURTHER, "-further") if further else (FIRST, "")
    path = WEIGHTS / "video_decoder" / "model.safetensors"
    memory = WEIGHTS / "image_decoder" / "memory.safetensors"
    products = _features()
    with console.status("reading turntables"):
        fused = embeddings(products, load("concat", WEIGHTS / "fusion" / "concat.safetensors"), TextEncoder())
        data = Data.read(products, torch.cat(list(fused), 1), load_memory(memory).keys)
    if further or sharpen:
        start = load_file(path)
    else:
        painter = load_decoder("vae", WEIGHTS / "image_decoder" / "vae.safetensors").get_submodule("painter")
        start = {f"lift.{name}": value for name, value in painter.state_dict().items()}
    checkpoint = cache_folder() / "training" / f"video-decoder{run}.pt"
    with followed("turntable", plan.steps) as report:
        if sharpen:
            decoder = train_sharpening(data, checkpoint, report, start)
        else:
            decoder = train(data, checkpoint, report, start, plan)
    save(decoder, path, {"steps": str(plan.steps)})
    written(path)


@app.command()
def fidelity(
    served: Annotated[str, typer.Option(help="The variant that the recipe takes.")] = "gan",
) -> None:
    """Judges the image decoder on what it was not trained on; writes card, gallery and docs/fidelity.json."""
    import torch

    from training.decoders.card import everything, write

    torch.set_num_threads(2)
    products = _features()
    for table in write(everything(products, served, console), products, served):
        console.print(table)


@app.command()
def evaluate() -> None:
    """Prints recall of every variant and what the tags get right; writes docs/fusion.md and weights/*/…json."""
    import torch

    from training.encoders.served import TextEncoder
    from training.fusion import card
    from training.fusion.evaluation import everything

    torch.set_num_threads(1)
    products = _features()
    with console.status("evaluating"):
        results = everything(products, TextEncoder())
    for table in card.write(results, products):
        console.print(table)


@app.command()
def behavior() -> None:
    """Simulates shopping sessions, trains the behaviour encoder and its ablations; goes on where it was stopped."""
    import torch

    from training.behavior.encoder import PLAN, World
    from training.behavior.report import SERVED, VARIANTS, evaluate, table, trained, write
    from training.catalogue.products import read_index
    from training.encoders.served import TextEncoder

    torch.set_num_threads(1)
    products = read_index()
    with console.status("simulating shoppers"):
        world = World(products, TextEncoder())
    networks, seconds = {}, {}
    for name in VARIANTS:
        with followed(name, PLAN.steps, tells=False) as report:
            networks[name], seconds[name] = trained(name, world, report)
        if name in (SERVED, list(VARIANTS)[-1]):  # what is served does not wait for what it is compared with
            with console.status("evaluating"):
                results = evaluate(networks, world)
            folder = write(networks[SERVED], results, world, seconds[SERVED])
    console.print(f"{folder.relative_to(REPOSITORY)}:\n{table(results)}", soft_wrap=True)


@app.command()
def audio() -> None:
    """Records spoken titles, trains the audio encoder's head, evaluates it; goes on where it was stopped."""
    import torch

    from training.audio.report import run
    from training.catalogue.products import read_index

    torch.set_num_threads(1)
    with progress_bar() as bar:
        task = bar.add_task("")
        path = run(read_index(), lambda what, n, total: bar.update(task, description=what, completed=n, total=total))
    console.print(path.read_text(encoding="utf-8"))


@app.command()
def pack() -> None:
    """Copies pictures that were not trained on to benchmarks/data/photo_matters, with the words that name them."""
    from training.catalogue.pack import pack as pack_pictures
    from training.catalogue.products import read_index

    path = pack_pictures(read_index())
    sizes = [file.stat().st_size for file in path.parent.glob("*.jpg")]
    console.print(f"{path.relative_to(REPOSITORY)}: {len(sizes)} pictures, {sum(sizes) / 1e6:.2f} MB")


def _features() -> list[Product]:
    """The catalogue's products, their features computed."""
    from training.catalogue.products import read_index
    from training.encoders.features import compute
    from training.encoders.served import ImageEncoder

    products = read_index()
    with progress_bar() as bar:
        task = bar.add_task("encoding pictures", total=len(products))
        for _ in compute(products, ImageEncoder()):
            bar.advance(task)
    return products


if __name__ == "__main__":
    try:
        app()
    except (FetchError, FileNotFoundError, ValueError) as error:
        sys.exit(f"python -m training: {error}")

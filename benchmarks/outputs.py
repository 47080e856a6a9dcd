"""`python -m benchmarks.outputs`: what each output costs: time, CPU seconds of each step, and by size of the input.

One caller, one product at a time, each output alone and then all at once (`iter_results`), on a server started here:
median and 95th percentile, time to the first result, CPU seconds that every model's process used for a request, and
the server's peak memory (PSS, so that what processes share counts once). Then the photo grows from 1 to 40 megapixels
and the clip from 1 to 60 seconds. `--record` writes docs/outputs.md and its plot.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import av
import matplotlib as mpl
import numpy as np
import psutil
import typer
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from vitrina_client import Product, Sampling, Vitrina

from benchmarks.serving import REPOSITORY, JsonFile, bundle, machine, write_json

PHOTO = REPOSITORY / "samples" / "espresso-cup.jpg"
TITLE = "Espresso cup and saucer, terracotta red"
COPY = "This terracotta cup keeps an espresso warm. It comes with a saucer and a spoon, and it fits every table."
COPY_ZH = "这款陶红色浓缩咖啡杯由炻器制成，容量70毫升，配有同色杯碟，可用洗碗机清洗，适合每一张餐桌。"
MEGAPIXELS = (1, 2, 5, 12, 24, 40)
CLIP_SECONDS = (1, 5, 15, 30, 60)
CLIP_SIZE, CLIP_RATE = (1280, 720), 30
SHOWN_STEPS = 6
PAGE = REPOSITORY / "docs" / "outputs.md"
console = Console()


@dataclass
class Cost:
    """What one output took, over several requests.

    Attributes:
        seconds: of each request; `first` until the first of several results, where there are several.
        cpu: model → CPU seconds a request, of its process; ``tritonserver`` is the server's own.
    """

    seconds: list[float]
    first: list[float]
    cpu: dict[str, float]

    def figures(self) -> dict[str, Any]:
        """Median, 95th percentile, first result, and CPU seconds by step."""
        told = {"median_s": float(np.median(self.seconds)), "p95_s": float(np.percentile(self.seconds, 95))}
        if self.first:
            told["first_s"] = float(np.median(self.first))
        return told | {"cpu_s": sum(self.cpu.values()), "cpu_by_step": self.cpu}


class Processes:
    """Every process of a server that this process started, by the model that it runs."""

    def __init__(self) -> None:
        self.by_model: dict[str, list[psutil.Process]] = {}
        for process in psutil.Process().children(recursive=True):
            line = process.cmdline()
            if line and line[0].endswith("tritonserver"):
                self.by_model.setdefault("tritonserver", []).append(process)
            elif line and line[0].endswith("triton_python_backend_stub"):  # its model's file follows
                self.by_model.setdefault(Path(line[1]).parents[1].name, []).append(process)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, user and system."""
        return {
            name: sum(sum(process.cpu_times()[:2]) for process in instances)
            for name, instances in self.by_model.items()
        }

    def memory(self) -> int:
        """Bytes of memory now, shared ones once."""
        every = (process for instances in self.by_model.values() for process in instances)
        return sum(process.memory_full_info().pss for process in every)

    @contextmanager
    def peak(self) -> Iterator[list[int]]:
        """The list's one number is the most memory seen while the block runs."""
        most, done = [self.memory()], threading.Event()

        def watch() -> None:
            while not done.wait(0.5):
                most[0] = max(most[0], self.memory())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield most
        finally:
            done.set()
            thread.join()


def measure(make: Callable[[], list[float] | None], rounds: int, processes: Processes) -> Cost:
    """`make` once for nothing and then `rounds` times; it may give the times at which its parts were there."""
    make()
    before, seconds, first = processes.cpu(), [], []
    for _ in range(rounds):
        began = time.perf_counter()
        parts = make()
        seconds.append(time.perf_counter() - began)
        if parts:
            first.append(min(parts))
    after = processes.cpu()
    return Cost(seconds, first, {name: (after[name] - before[name]) / rounds for name in after})


def outputs(client: Vitrina, product: Product) -> dict[str, Callable[[], list[float] | None]]:
    """Name → what makes one output of a product."""
    photo = PHOTO.read_bytes()
    condition = client.generate(product, want={"condition"}).condition

    def made(make: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            make()

        return run

    def streamed() -> list[float]:
        began, times = time.perf_counter(), []
        with client.stream(product, sampling=Sampling(seed=7)) as stream:
            for piece in stream:
                if piece.text:
                    times.append(time.perf_counter() - began)
        return times

    def together(want: set[Any]) -> list[float]:
        times = []
        for result in client.iter_results(product, want, sampling=Sampling(seed=7)):
            if result.error is not None:
                raise result.error
            times.append(result.seconds)
        return times

    text = Sampling(seed=7)
    everything = {"text", "image", "video", "studio", "studio_video", "speech", "post"}
    found: dict[str, Callable[[], list[float] | None]] = {
        "embedding": made(lambda: client.embed(product)),
        "moderation": made(lambda: client.check(product)),
        "text, tags": made(lambda: client.generate(product, sampling=text)),
        "text, streamed": streamed,
        "image": made(lambda: client.generate(product, want={"image"}, condition=condition)),
        "video": made(lambda: client.generate(product, want={"video"}, condition=condition)),
        "studio shot": made(lambda: client.studio(photo)),
        "studio clip": made(lambda: client.studio_video(photo)),
        "post, silent": made(lambda: client.post(photo, COPY)),
        "speech": made(lambda: client.speak(COPY)),
        "speech, Chinese": made(lambda: client.speak(COPY_ZH)),
    }
    note = Product(TITLE, audio=client.speak("Handmade in Portugal, it holds seventy millilitres.").audio)
    found["text of a title and a spoken note"] = made(lambda: client.generate(note, want={"text"}, sampling=text))
    return found | {"all at once": partial(together, everything)}


def photo_of(megapixels: float) -> bytes:
    """The sample photo enlarged to so many megapixels, as JPEG."""
    with Image.open(PHOTO) as picture:
        scale = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
        large = picture.convert("RGB").resize((round(picture.width * scale), round(picture.height * scale)))
    file = BytesIO()
    large.save(file, "JPEG", quality=88)
    return file.getvalue()


def clip_of(seconds: float) -> bytes:
    """The sample photo under a moving camera, as MP4 (H.264, 720p, 30 frames a second)."""
    width, height = CLIP_SIZE
    with Image.open(PHOTO) as picture:
        scale = max(1.25 * width / picture.width, 1.25 * height / picture.height)
        ground = np.asarray(
            picture.convert("RGB").resize((round(picture.width * scale), round(picture.height * scale)))
        )
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=CLIP_RATE, options={"crf": "28", "preset": "ultrafast"})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        for number in range(round(seconds * CLIP_RATE)):
            turn = number / CLIP_RATE
            left = round((0.5 + 0.45 * np.sin(turn)) * (ground.shape[1] - width))
            top = round((0.5 + 0.45 * np.cos(0.7 * turn)) * (ground.shape[0] - height))
            frame = np.ascontiguousarray(ground[top : top + height, left : left + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def by_size(client: Vitrina, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Median seconds by size of the input: what is asked for → sizes and medians."""

    def median(make: Callable[[], Any]) -> float:
        make()
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            make()
            times.append(time.perf_counter() - began)
        return float(np.median(times))

    photos = {size: photo_of(size) for size in MEGAPIXELS}
    clips = {size: clip_of(size) for size in track(CLIP_SECONDS, "making clips", console=console)}
    asked: dict[str, tuple[dict[int, bytes], Callable[[bytes], Any]]] = {
        "embedding of a photo, megapixels": (photos, lambda data: client.embed(Product(image=data))),
        "studio shot, megapixels": (photos, client.studio),
        "embedding of a clip, seconds": (clips, lambda data: client.embed(Product(video=data))),
        "post of a clip, seconds": (clips, lambda data: client.post(None, COPY, video=data)),
    }
    found: dict[str, dict[str, list[float]]] = {}
    for name, (files, make) in asked.items():
        medians = [median(partial(make, data)) for data in track(files.values(), name, console=console)]
        found[name] = {"sizes": list(files), "median_s": medians}
    return found


def plot(sizes: dict[str, dict[str, list[float]]]) -> Figure:
    """Cost against size, photos left, clips right."""
    mpl.use("Agg")
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, unit in zip(figure.subplots(1, 2), ("megapixels", "seconds"), strict=True):
        for name, row in sizes.items():
            what, its_unit = name.rsplit(", ", 1)
            if its_unit == unit:
                axes.plot(row["sizes"], row["median_s"], "o-", label=what)
        axes.set_xlabel(f"{'photo' if unit == 'megapixels' else 'clip'}, {unit}")
        axes.set_ylabel("median, seconds")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def table(costs: dict[str, Cost]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what each output costs."""
    head = ["output", "median", "p95", "first result", "CPU seconds", "of which"]
    rows = []
    for name, cost in costs.items():
        told = cost.figures()
        steps = sorted(cost.cpu.items(), key=lambda item: -item[1])[:SHOWN_STEPS]
        steps_told = ", ".join(f"{step} {seconds:.2f}" for step, seconds in steps if seconds >= 0.01)
        first = f"{told['first_s']:.2f} s" if "first_s" in told else ""
        cells = [name, f"{told['median_s']:.3f} s", f"{told['p95_s']:.3f} s", first, f"{told['cpu_s']:.2f}", steps_told]
        rows.append(cells)
    return head, rows


def page(costs: dict[str, Cost], memory: dict[str, int], sizes: dict[str, dict[str, list[float]]], rounds: int) -> str:
    """docs/outputs.md."""
    head, rows = table(costs)
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    by = [
        "| by size | " + " | ".join(["size: median s"] * len(MEGAPIXELS)) + " |",
        "|---" * (len(MEGAPIXELS) + 1) + "|",
    ]
    for name, row in sizes.items():
        cells = [f"{size:g}: {seconds:.2f}" for size, seconds in zip(row["sizes"], row["median_s"], strict=True)]
        by.append("| " + " | ".join([name, *cells, *[""] * (len(MEGAPIXELS) - len(cells))]) + " |")
    about = machine()
    return "\n".join(
        [
            "# What the outputs cost",
            "",
            f"`python -m benchmarks.outputs --record`, {rounds} requests each, one at a time, after one for nothing; "
            f"title and photo of {PHOTO.name}. {about['cpu']}, {about['cores']} cores, no GPU. CPU seconds are those "
            "of each model's own process, for a request.",
            "",
            *lines,
            "",
            f"The server's memory (PSS): {memory['before'] / 2**30:.2f} GiB when ready, "
            f"{memory['peak'] / 2**30:.2f} GiB at most, {memory['after'] / 2**30:.2f} GiB afterwards.",
            "",
            "![cost against size](outputs.png)",
            "",
            *by,
            "",
        ]
    )


def main(
    rounds: Annotated[int, typer.Option(min=2, help="Requests for each output.")] = 10,
    record: Annotated[bool, typer.Option("--record", help="Writes docs/outputs.md and its plot.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Prints what each output costs, alone and together, and how that grows with the input."""
    product = Product(TITLE, image=PHOTO.read_bytes())
    with bundle() as addresses, Vitrina(f"grpc://{addresses.grpc}") as client:
        processes = Processes()
        memory = {"before": processes.memory()}
        with processes.peak() as most:
            made = outputs(client, product)
            costs = {
                name: measure(make, rounds, processes)
                for name, make in track(made.items(), "measuring", len(made), console=console)
            }
            sizes = by_size(client, max(2, rounds // 3))
        memory |= {"peak": most[0], "after": processes.memory()}
    head, rows = table(costs)
    shown = Table(*head[:-1])
    for cells in rows:
        shown.add_row(*cells[:-1])
    console.print(shown)
    for cells in rows:
        console.print(f"{cells[0]}: CPU seconds of {cells[-1]}", soft_wrap=True)
    for name, row in sizes.items():
        told = (f"{size:g}: {seconds:.2f} s" for size, seconds in zip(row["sizes"], row["median_s"], strict=True))
        console.print(f"{name}  " + "  ".join(told), soft_wrap=True)
    console.print("memory, GiB: " + ", ".join(f"{name} {size / 2**30:.2f}" for name, size in memory.items()))
    write_json({"costs": {n: c.figures() for n, c in costs.items()}, "sizes": sizes, "memory": memory}, json_file)
    if record:
        PAGE.write_text(page(costs, memory, sizes, rounds), encoding="utf-8")
        plot(sizes).savefig(PAGE.with_suffix(".png"), dpi=110)
        console.print(f"wrote {PAGE}")


if __name__ == "__main__":
    typer.run(main)

"""`make demo`: three products with a real photo each through a real Triton.

The copy streams to the terminal; of each a generated picture, and the copy read aloud where the server can speak (`make
speech`), lie in `out/demo/` afterwards.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from vitrina_client import NotReady, Product, Sampling, Vitrina

from server import Server, ServerOptions

FOLDER = Path(__file__).resolve().parent
OUT = FOLDER.parent / "out" / "demo"
console = Console(highlight=False)


def show(vitrina: Vitrina, entry: dict[str, str]) -> None:
    """Prints one product: its photo, what the photo was taken for, the copy as it is written, and what was drawn."""
    product = Product(title=entry["title"], image=FOLDER / entry["image"])
    credit = f"{entry['attribution']}, {entry['licence']}"
    console.print(Panel(f"[bold]{entry['title']}[/]\n{product.image}\n[dim]photo: {credit}", expand=False))
    seen = vitrina.generate(product, want={"tags", "condition"})
    console.print("[dim]seen  " + "  ".join(f"{tag.name} {tag.score:.2f}" for tag in seen.tags or ()))
    started, first, tokens, copy = time.perf_counter(), None, 0, ""
    for piece in vitrina.stream(product, condition=seen.condition, task="description", sampling=Sampling(seed=7)):
        if first is None and piece.text:
            first = time.perf_counter() - started
        console.print(piece.text, end="", soft_wrap=True, markup=False)
        copy += piece.text
        tokens = piece.completion_tokens
    total = time.perf_counter() - started
    console.print(f"\n[dim]first token {first or total:.2f} s, {tokens} tokens in {total:.2f} s")
    started = time.perf_counter()
    drawn = vitrina.generate(product, condition=seen.condition, want={"image"}, image_seed=7).image or b""
    path = OUT / f"{Path(entry['image']).stem}.png"
    path.write_bytes(drawn)
    console.print(f"[dim]generated picture {path}  {time.perf_counter() - started:.2f} s")
    read_aloud(vitrina, copy, path.with_suffix(".wav"))


def read_aloud(vitrina: Vitrina, copy: str, path: Path) -> None:
    """Writes the copy as speech, or says what the server lacks for it."""
    started = time.perf_counter()
    try:
        speech = vitrina.speak(copy)
    except NotReady as error:
        console.print(f"[dim]not read aloud: {error.message}\n", soft_wrap=True)
        return
    path.write_bytes(speech.audio)
    took = time.perf_counter() - started
    console.print(f"[dim]generated speech  {path}  {speech.seconds:.1f} s long, {took:.2f} s\n")


def main() -> None:
    """Starts the server on free ports, sends every sample, and stops it."""
    started = time.perf_counter()
    server = Server(ServerOptions(http_port=0, grpc_port=0, metrics_port=0))
    with console.status("starting Triton and warming every model"):
        server.start()
    try:
        console.print(f"[green]✓[/] Triton is ready: gRPC {server.grpc_url}  {time.perf_counter() - started:.1f} s\n")
        OUT.mkdir(parents=True, exist_ok=True)
        with Vitrina(f"grpc://{server.grpc_url}") as vitrina:
            for entry in json.loads((FOLDER / "products.json").read_text(encoding="utf-8")):
                show(vitrina, entry)
    finally:
        server.stop()
    console.print(f"[green]✓[/] everything is stopped; {time.perf_counter() - started:.1f} s in all")


if __name__ == "__main__":
    main()

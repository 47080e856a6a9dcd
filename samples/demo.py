"""`make demo`: products in English and Chinese, with a real photo each, through a real Triton.

The copy streams to the terminal. Of each lie in `out/demo/` afterwards its studio shot, still and swinging, a generated
picture and turntable, the copy read aloud, and one post of it all; `out/index.html` shows them side by side.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console
from rich.panel import Panel
from vitrina_client import Product, Sampling, Vitrina

from server import Server, ServerOptions

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "out" / "index.html"
OUT = PAGE.parent / "demo"
console = Console(highlight=False)


def show(vitrina: Vitrina, entry: dict[str, Any]) -> dict[str, Any]:
    """Prints one product: its photo, what the photo was taken for, the copy as it is written, and what was made.

    Returns:
        What the page shows of it: its entry, `copy`, `tags` and the names of the files.
    """
    product = Product(title=entry["title"], image=FOLDER / entry["image"], attributes=entry["attributes"])
    facts = "  ".join(f"{name}: {value}" for name, value in entry["attributes"].items())
    credit = f"{entry['attribution']}, {entry['licence']}"
    console.print(Panel(f"[bold]{entry['title']}[/]\n{facts}\n{product.image}\n[dim]photo: {credit}", expand=False))
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
    console.print(f"\n[dim]first sentence {first or total:.2f} s, {tokens} tokens in {total:.2f} s")
    name, photo = entry.get("name", Path(entry["image"]).stem), FOLDER / entry["image"]
    files = {"photo": entry["image"]}
    (OUT / entry["image"]).write_bytes(photo.read_bytes())

    def write(what: str, file: str, data: bytes, seconds: float) -> None:
        (OUT / file).write_bytes(data)
        files[what] = file
        console.print(f"[dim]{what:<17} {OUT / file}  {seconds:.2f} s", soft_wrap=True)

    started = time.perf_counter()
    ground = entry.get("background", "shadow")
    shot = vitrina.studio(photo, background=ground)
    write("studio shot", f"{name}-studio.jpg", shot.image, time.perf_counter() - started)
    started = time.perf_counter()
    clip = vitrina.studio_video(photo, background=ground)
    write("studio clip", f"{name}-studio.mp4", clip.video, time.perf_counter() - started)
    started = time.perf_counter()
    drawn = vitrina.generate(product, condition=seen.condition, want={"image"}, image_seed=7).image or b""
    write("generated picture", f"{name}.png", drawn, time.perf_counter() - started)
    started = time.perf_counter()
    turned = vitrina.generate(product, condition=seen.condition, want={"video"}, image_seed=7).video or b""
    write("generated turn", f"{name}-turn.mp4", turned, time.perf_counter() - started)
    started = time.perf_counter()
    voice = vitrina.speak(copy).audio
    write("generated speech", f"{name}.wav", voice, time.perf_counter() - started)
    started = time.perf_counter()
    post = vitrina.post(photo, copy, audio=voice, background=entry.get("background", "studio"), aspect="4:5")
    write("post", f"{name}.mp4", post.video, time.perf_counter() - started)
    console.print()
    said = ", ".join(tag.name for tag in seen.tags or ())
    return {**entry, **files, "copy": copy, "tags": said}


def main() -> None:
    """Starts the server on free ports, sends every sample, and stops it."""
    started = time.perf_counter()
    server = Server(ServerOptions(http_port=0, grpc_port=0, metrics_port=0))
    with console.status("starting Triton and warming every model"):
        server.start()
    try:
        console.print(f"[green]✓[/] Triton is ready: gRPC {server.grpc_url}  {time.perf_counter() - started:.1f} s\n")
        OUT.mkdir(parents=True, exist_ok=True)
        entries = json.loads((FOLDER / "products.json").read_text(encoding="utf-8"))
        with Vitrina(f"grpc://{server.grpc_url}") as vitrina:
            products = [show(vitrina, entry) for entry in entries]
        template = jinja2.Template((FOLDER / "page.html").read_text(encoding="utf-8"), autoescape=True)
        PAGE.write_text(template.render(products=products), encoding="utf-8")
        console.print(f"[green]✓[/] side by side: {PAGE}", soft_wrap=True)
    finally:
        server.stop()
    console.print(f"[green]✓[/] everything is stopped; {time.perf_counter() - started:.1f} s in all")


if __name__ == "__main__":
    main()

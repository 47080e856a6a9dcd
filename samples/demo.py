"""`make demo`: products in English and Chinese, with a real photo each, through a real Triton.

The copy streams to the terminal, and the facts that each of its sentences rests on. Afterwards `out/demo/` holds each
product's structured listing, its studio shot, still and swinging, a generated picture and turntable, the copy read
aloud, and one post of it all; `out/index.html` shows them side by side.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
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
        What the page shows of it: its entry, `evidence`, `listing`, `tags` and the names of the files.
    """
    photo = FOLDER / entry["image"]
    product = Product(title=entry["title"], image=photo, attributes=entry["attributes"])
    facts = "  ".join(f"{name}: {value}" for name, value in entry["attributes"].items())
    credit = f"{entry['attribution']}, {entry['licence']}"
    console.print(Panel(f"[bold]{entry['title']}[/]\n{facts}\n{photo}\n[dim]photo: {credit}", expand=False))
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
    held = vitrina.generate(
        product, condition=seen.condition, want={"listing"}, task="description", sampling=Sampling(seed=7)
    )
    assert held.evidence is not None and held.listing is not None  # they were asked for
    for sentence in held.evidence.sentences:
        said = "; ".join(fact.name or fact.source for fact in held.evidence.facts if fact.number in sentence.facts)
        console.print(f"[dim]{sentence.text}  ← {said or 'claims nothing'}", soft_wrap=True)
    name = entry.get("name", photo.stem)
    files = {"photo": entry["image"], "listing file": f"{name}.json"}
    data = json.dumps(held.listing.to_dict(), ensure_ascii=False, indent=2)
    (OUT / f"{name}.json").write_text(data + "\n", encoding="utf-8")
    (OUT / entry["image"]).write_bytes(photo.read_bytes())

    def write(what: str, file: str, data: bytes | None, seconds: float) -> bytes:
        (OUT / file).write_bytes(data or b"")
        files[what] = file
        console.print(f"[dim]{what:<17} {OUT / file}  {seconds:.2f} s", soft_wrap=True)
        return data or b""

    ground = entry.get("background", "shadow")
    drawn: dict[str, Any] = {"condition": seen.condition, "image_seed": 7}
    orders: dict[str, tuple[str, Callable[[], bytes | None]]] = {
        "generated speech": (f"{name}.wav", lambda: vitrina.speak(copy).audio),
        "studio shot": (f"{name}-studio.jpg", lambda: vitrina.studio(photo, background=ground).image),
        "studio clip": (f"{name}-studio.mp4", lambda: vitrina.studio_video(photo, background=ground).video),
        "generated picture": (f"{name}.png", lambda: vitrina.generate(product, want={"image"}, **drawn).image),
        "generated turn": (f"{name}-turn.mp4", lambda: vitrina.generate(product, want={"video"}, **drawn).video),
    }
    with ThreadPoolExecutor(len(orders)) as pool:  # each is shown as soon as it is there
        under_way = {pool.submit(time_call, make): (what, file) for what, (file, make) in orders.items()}
        made = {under_way[done][0]: write(*under_way[done], *done.result()) for done in as_completed(under_way)}
    voice, still = made["generated speech"], entry.get("background", "studio")
    post = time_call(lambda: vitrina.post(photo, copy, audio=voice, background=still, aspect="4:5").video)
    write("post", f"{name}.mp4", *post)
    console.print()
    tags = ", ".join(tag.name for tag in seen.tags or ())
    return {**entry, **files, "evidence": held.evidence, "listing": held.listing, "tags": tags}


def time_call(make: Callable[[], bytes | None]) -> tuple[bytes | None, float]:
    """What a call gives, and the seconds that it took."""
    started = time.perf_counter()
    return make(), time.perf_counter() - started


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

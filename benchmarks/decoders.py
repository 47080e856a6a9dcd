"""`python -m benchmarks.decoders`: what each text decoder costs, in each precision.

Each is exported anew in a process of its own, its checkpoint already fetched, and then served alone. The prompts are
the served ones: a task's first is cold, and those of other products on the same task find its instructions kept. Rates
are of decoding, as `benchmarks.text_decoder` has them. `--write docs/decoders.md` puts the table in.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import psutil
import typer
from rich.console import Console

from benchmarks.copy.products import Product, load
from benchmarks.decoder_sides import Served
from benchmarks.serving import REPOSITORY, JsonFile, write_json
from export import build, recipe
from export.sources import fetch
from graph.configs import MODELS_ROOT
from server import Server, ServerOptions
from stages.prompts import Prompts
from stages.request import Request

BUILDS = ("offline/int4", "offline/int8", "offline-small/int4", "offline-small/int8", "offline-tiny/int4",
          "offline-tiny/int8")  # fmt: skip
TASKS = ("description", "ad", "review", "promotion", "recommendation")
STREAMS = (1, 4, 8)
COLUMNS = {
    "fetch_mb": "MB to fetch",
    "export_s": "s to export",
    "export_gb": "GB to export, at most",
    "files_mb": "MB exported",
    "serve_gb": "GB to serve",
    "agreement": "agreement with fp32",
    "cold_ms": "first token, cold, ms",
    "kept_ms": "first token, prefix kept, ms",
    **{f"rate_{streams}": f"tokens/s at {streams}" for streams in STREAMS},
}
BEGIN, END = "<!-- table: python -m benchmarks.decoders -->", "<!-- end of table -->"
console = Console(width=140)


def export_anew(name: str, precision: str, models_root: Path) -> dict[str, Any]:
    """Exports one decoder in this process, files into `models_root`; seconds, memory at most, agreement."""
    made = recipe.load(name)
    slot = made.slot("text_decoder").model_copy(update={"precision": precision, "tolerance": {}})
    made = made.model_copy(update={"slots": made.slots.model_copy(update={"text_decoder": slot})})
    size = sum(f.stat().st_size for f in _files(fetch(slot.sources, slot.sha256)))
    started = time.perf_counter()
    built = build.build("text_decoder", made, force=True, models_root=models_root)
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    agreement = [row["top1_agreement"] for row in built.parity() if "top1_agreement" in row]
    return {
        "fetch_mb": size / 1e6,
        "export_s": time.perf_counter() - started,
        "export_gb": most * 1024 / 1e9,
        "agreement": agreement[0],
    }


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def measure(name: str, precision: str, tokens: int, rounds: int, products: list[Product]) -> dict[str, Any]:
    """The figures of one build."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "out", prefix="decoder-") as scratch:
        models = Path(scratch)
        folder = models / "text_decoder"
        shutil.copytree(
            MODELS_ROOT / "text_decoder", folder, ignore=shutil.ignore_patterns("*.onnx*", "*.npy", "*.json")
        )
        shutil.copytree(MODELS_ROOT / "canary", models / "canary")
        command = [sys.executable, "-m", "benchmarks.decoders", "--export", f"{name}/{precision}", str(models)]
        exported = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, text=True).stdout
        found = json.loads(exported.splitlines()[-1])
        for other in ("prompter", "text_optimizer"):  # they get the wording too
            shutil.rmtree(models / other)
        found["files_mb"] = sum(file.stat().st_size for file in _files(folder / "1")) / 1e6
        prompts = Prompts.load(folder / "1" / "prompts.json")
        options = ServerOptions(model_roots=[models], http_port=0, grpc_port=0, metrics_port=0)
        with Server(options) as server:
            served = Served(server.grpc_url)
            found |= first_tokens(served, prompts, products)
            for streams in STREAMS:
                rates = [served.measure(streams, tokens).decode for _ in range(rounds)]
                found[f"rate_{streams}"] = statistics.median(rates)
            served.close()
            found["serve_gb"] = _resident() / 1e9
    return found


def first_tokens(served: Served, prompts: Prompts, products: list[Product]) -> dict[str, float]:
    """Medians of the time to the first token, in ms: of each task's first prompt, and of those after it."""
    cold: list[float] = []
    kept: list[float] = []
    for task in TASKS:
        for number, product in enumerate(products):
            request = Request(task=task, title=product.title, attributes=tuple(product.attributes.items()))
            took = served.first_ms(prompts.prompt(request))
            (kept if number else cold).append(took)
    return {"cold_ms": statistics.median(cold), "kept_ms": statistics.median(kept)}


def _resident() -> int:
    """Bytes of memory of the decoder's process: the largest below this one."""
    return max(child.memory_info().rss for child in psutil.Process().children(recursive=True))


def as_table(rows: dict[str, dict[str, Any]]) -> str:
    """Markdown, a row a build."""
    lines = [" | ".join(["", "decoder", *COLUMNS.values(), ""]).strip(), "|" + " --- |" * (len(COLUMNS) + 1)]
    for name, row in rows.items():
        values = [_written(key, row[key]) for key in COLUMNS]
        lines.append("| " + " | ".join([name.replace("/", ", "), *values]) + " |")
    return "\n".join(lines)


def _written(key: str, value: float) -> str:
    return f"{value:.3f}" if key == "agreement" else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def main(
    builds: Annotated[list[str] | None, typer.Argument(help="recipe/precision; all six if none is named.")] = None,
    json_file: JsonFile = None,
    tokens: Annotated[int, typer.Option(help="Tokens that every stream writes.")] = 96,
    rounds: Annotated[int, typer.Option(help="Measurements of each rate; the median counts.")] = 3,
    write: Annotated[Path | None, typer.Option(help="Put the table into this page.")] = None,
    export: Annotated[tuple[str, Path] | None, typer.Option(hidden=True)] = None,
) -> None:
    """Exports, serves and measures each decoder."""
    if export is not None:
        name, precision = export[0].split("/")
        print(json.dumps(export_anew(name, precision, export[1])))
        return
    (REPOSITORY / "out").mkdir(exist_ok=True)
    products = [product for product in load() if product.language == "en"][:6]
    rows: dict[str, dict[str, Any]] = {}
    for each in builds or BUILDS:
        console.print(f"[dim]{each}")
        name, precision = each.split("/")
        rows[each] = measure(name, precision, tokens, rounds, products)
        console.print({key: round(value, 3) for key, value in rows[each].items()})
        write_json({"tokens": tokens, "rounds": rounds, "rows": rows}, json_file)
    table = as_table(rows)
    console.print(table, soft_wrap=True)
    if write is not None:
        before, _, rest = write.read_text("utf-8").partition(BEGIN)
        write.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    typer.run(main)

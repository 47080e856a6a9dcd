"""`python -m benchmarks.text_decoder`: the served text decoder beside the bare library.

Same weights, same cores, same run. Bare is onnxruntime-genai's Generator, a static batch, at the thread count that was
best in this run. It reads the very files that are served: the embedding table, which our graph leaves out, is put in
front of it as one Gather. Served is text_decoder over gRPC streams, the load generator on the same cores. All write
greedily, without repetition penalty. `--recipe NAME` serves that recipe's decoder and puts llama.cpp beside it: its own
server, over HTTP streams, on the GGUF file that the decoder was exported from.

A rate is that of decoding: for bare, tokens after the first, divided by the time they took; for the servers, tokens
that arrived from when as many streams as there are slots had their first until the first stream ended. `whole` counts
prompts too: all tokens by the time from the first request to the last token. Prompts come again from round to round, so
that served first tokens profit from kept prefixes, as they do where a task's instructions repeat; rates of decoding do
not.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import typer
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from benchmarks.decoder_sides import FOLDER, PROMPT, STREAMS, THINGS, Bare, LlamaCpp, Sample, Served
from benchmarks.serving import REPOSITORY, JsonFile, Url, grpc_address, write_json
from export import build, recipe
from export.sources import fetch

SCRATCH = REPOSITORY / "out"  # on the weights' file system, so that they can be linked
THREADS = tuple(dict.fromkeys((1, 2, len(os.sched_getaffinity(0)))))
BESIDE = "Export and serve this recipe's decoder, with llama.cpp beside it; it stays in model_repository/."
console = Console()


def measure(rounds: int, tokens: int, address: str, checkpoint: Path | None) -> dict:
    """Every side in each round, in rotated order, after one round of warm-up; medians.

    Args:
        checkpoint: a GGUF file for llama.cpp; None leaves it out.
    """
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    ids = tokenizer.encode(PROMPT.format(THINGS[0]), add_special_tokens=False).ids
    samples: dict[tuple[str, int], list[Sample]] = {}
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bare-") as scratch:
        sides: dict[str, Callable[[int], Sample]] = {}
        for threads in THREADS:
            bare = Bare(Path(scratch) / str(threads), threads)
            sides[f"bare, {threads} threads"] = partial(bare.measure, ids, tokens=tokens)
        served = Served(address)
        sides["served"] = lambda streams: served.measure(streams, tokens)
        if checkpoint is not None:
            other = LlamaCpp(checkpoint, max(THREADS))
            sides["llama.cpp"] = lambda streams: other.measure(streams, tokens)
        for turn in range(rounds + 1):
            console.print(f"[dim]round {turn} of {rounds}" + (" (warm-up)" if turn == 0 else ""))
            order = [list(sides)[(turn + n) % len(sides)] for n in range(len(sides))]
            for streams in STREAMS:
                for side in order:
                    samples.setdefault((side, streams), []).append(sides[side](streams))
        served.close()
        del sides, bare
    rows: list[dict[str, Any]] = [
        {
            "side": side,
            "streams": streams,
            "decode_per_s": statistics.median(s.decode for s in taken[1:]),
            "whole_per_s": statistics.median(s.whole for s in taken[1:]),
            "first_token_ms": statistics.median(s.first_ms for s in taken[1:]),
            "slowest_first_token_ms": statistics.median(s.slowest_first_ms for s in taken[1:]),
        }
        for (side, streams), taken in samples.items()
    ]
    rate = {(row["side"], row["streams"]): row["decode_per_s"] for row in rows}
    best = {n: max(rate[side, streams] for side, streams in rate if "bare" in side and streams == n) for n in STREAMS}
    beside = {f"served_over_llama_cpp_{n}": rate["served", n] / rate["llama.cpp", n] for n in STREAMS if checkpoint}
    return {
        "served_over_bare_1": rate["served", 1] / best[1],
        "served_8_over_1": rate["served", 8] / rate["served", 1],
        "served_over_bare_8": rate["served", 8] / best[8],
        "bare_8_over_1": best[8] / best[1],
        **beside,
        "rows": rows,
        "prompt_tokens": len(ids),
        "tokens": tokens,
        "rounds": rounds,
        "precision": json.loads((FOLDER / "decoder.json").read_text())["precision"],
    }


def _show(result: dict) -> None:
    title = f"{result['precision']} weights, prompts of {result['prompt_tokens']} tokens, {result['tokens']} written"
    table = Table(title=title)
    for heading in ("side", "streams", "decode tok/s", "whole tok/s", "first token ms", "slowest ms"):
        table.add_column(heading, justify="right")
    for row in sorted(result["rows"], key=lambda row: (row["streams"], row["side"])):
        values = [f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()]
        table.add_row(*values, end_section=row["side"] == "served")
    console.print(table)
    for key, value in result.items():
        if "_over_" in key:
            console.print(f"{key} = [bold]{value:.2f}[/]")


def main(
    json_file: JsonFile = None,
    rounds: Annotated[int, typer.Option(help="Rounds that count, after one of warm-up.")] = 5,
    tokens: Annotated[int, typer.Option(help="Tokens that every stream writes.")] = 128,
    name: Annotated[
        str | None,
        typer.Option(
            "--recipe", help="Export and serve its decoder, with llama.cpp beside it; it stays in model_repository/."
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Measures the served text decoder beside the bare library, and beside llama.cpp where a recipe is named."""
    checkpoint = None
    if name is not None:
        made = recipe.load(name)
        slot = made.slot("text_decoder")
        build.build("text_decoder", made)
        checkpoint = fetch(slot.sources, slot.sha256)
        if checkpoint.is_dir():
            raise SystemExit(f"{checkpoint} is a folder, llama.cpp reads a GGUF file; name a recipe with one")
    with grpc_address(url, "--model", "text_decoder") as address:
        result = measure(rounds, tokens, address, checkpoint)
    _show(result)
    write_json(result, json_file)


if __name__ == "__main__":
    typer.run(main)

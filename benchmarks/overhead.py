"""`python -m benchmarks.overhead`: CONDITION and EMBEDDING from title and photo, served beside raw, on the same cores.

Raw is the same ONNX files and the same preprocessing in one process on the same cores, each network on all of them and
none spinning for the others, at its best batch size, and with decoding of the next batch overlapped or not, whichever
is faster: what a careful script would reach. Served is Triton's `content_image` ensemble over gRPC, with the load
generator on the same cores.
"""

from __future__ import annotations

import json
import os
import queue
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Annotated

import numpy as np
import onnxruntime as ort
import tritonclient.grpc as triton
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.serving import REPOSITORY, JsonFile, Url, grpc_address, write_json
from stages.image import read_image
from stages.text import TitleTokenizer, Tokens, read_title

MODELS = REPOSITORY / "model_repository" / "models"
STEPS = ("reader", "text_encoder", "image_encoder", "fusion")
BATCHES = (1, 2, 4, 8)
IN_FLIGHT = (1, 2, 4, 8, 16, 32)
console = Console()

Request = tuple[bytes, bytes]


def samples() -> list[Request]:
    """(title, photo file) of the sample products."""
    folder = REPOSITORY / "samples"
    products = json.loads((folder / "products.json").read_text(encoding="utf-8"))
    return [(p["title"].encode(), (folder / p["image"]).read_bytes()) for p in products]


class Raw:
    """The graph up to fusion, in this process."""

    def __init__(self) -> None:
        self.tokenizer = TitleTokenizer(MODELS / "reader" / "1" / "tokenizer.json")
        self.text, self.image, self.fusion = (_session(m) for m in ("text_encoder", "image_encoder", "fusion"))
        self.side = self.image.get_inputs()[0].shape[1]
        rest = {taken.name: taken.shape[1:] for taken in self.fusion.get_inputs()}
        #: Fusion's inputs of the modalities that no request has here.
        self.absent = {f"{name}_features": rest[f"{name}_features"] for name in ("video", "audio", "behavior")}

    def read(self, batch: list[Request]) -> tuple:
        """The preprocessing: titles to tokens, photos to pixels."""
        tokens = self.tokenizer([read_title(title) for title, _ in batch])
        return tokens, np.stack([read_image(photo, self.side) for _, photo in batch])

    def compute(self, tokens: Tokens, pixels: np.ndarray) -> list[np.ndarray]:
        """The networks: condition FP32 [B, rows, width] and embedding FP32 [B, width]."""
        ids = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
        (text,) = self.text.run(["sentence_embedding"], ids)
        (image,) = self.image.run(["features"], {"pixels": pixels})
        inputs = {"text_embedding": text, "image_features": image}
        presence = np.zeros((len(pixels), 5), np.float32)
        presence[:, :1], presence[:, 1] = tokens.text_mask, 1
        inputs["presence"] = presence
        inputs |= {name: np.zeros((len(pixels), *shape), np.float32) for name, shape in self.absent.items()}
        return self.fusion.run(["condition", "embedding"], inputs)

    def rate(self, requests: list[Request], batch: int, overlapped: bool, seconds: float) -> float:
        """Products a second."""
        done, started = 0, time.perf_counter()
        with ThreadPoolExecutor(1) as pool:
            groups = _groups(requests, batch)
            ahead = pool.submit(self.read, next(groups))
            while time.perf_counter() - started < seconds:
                read = ahead.result()
                if overlapped:
                    ahead = pool.submit(self.read, next(groups))
                self.compute(*read)
                if not overlapped:
                    ahead = pool.submit(self.read, next(groups))
                done += batch
            elapsed = time.perf_counter() - started
        return done / elapsed


def _groups(requests: list[Request], size: int) -> Iterator[list[Request]]:
    at = 0
    while True:
        yield [requests[(at + i) % len(requests)] for i in range(size)]
        at += size


def _session(model: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(MODELS / model / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])


class Served:
    """A closed loop of `in_flight` requests over one gRPC channel."""

    def __init__(self, address: str) -> None:
        self.client = triton.InferenceServerClient(address)
        self.outputs = [triton.InferRequestedOutput(name) for name in ("CONDITION", "EMBEDDING")]

    def ask(self, request: Request, done: Callable[[object, Exception | None], None]) -> None:
        inputs = []
        for name, value in zip(("TITLE", "IMAGE"), request, strict=True):
            tensor = triton.InferInput(name, [1, 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[value]], object))
            inputs.append(tensor)
        self.client.async_infer(
            "content_image", inputs, lambda result, error: done(result, error), outputs=self.outputs
        )

    def rate(self, requests: list[Request], in_flight: int, seconds: float) -> tuple[float, float]:
        """Products a second, and the median latency in milliseconds."""
        answers: queue.SimpleQueue = queue.SimpleQueue()
        latencies: list[float] = []

        def send(number: int) -> None:
            sent = time.perf_counter()
            self.ask(
                requests[number % len(requests)], lambda _, error: answers.put((time.perf_counter() - sent, error))
            )

        started = time.perf_counter()
        for number in range(in_flight):
            send(number)
        number = in_flight
        while (elapsed := time.perf_counter() - started) < seconds:
            latency, error = answers.get()
            if error is not None:
                raise error
            latencies.append(latency)
            send(number)
            number += 1
        for _ in range(in_flight):
            answers.get()
        return len(latencies) / elapsed, statistics.median(latencies) * 1000

    def statistics(self) -> dict[str, dict[str, float]]:
        """Cumulative, by step: requests, executions, and nanoseconds of queueing and of input, infer and output."""
        result = {}
        for step in STEPS:
            stats = self.client.get_inference_statistics(step).model_stats[0]
            times = stats.inference_stats
            result[step] = {
                "requests": stats.inference_count,
                "executions": stats.execution_count,
                "queue": times.queue.ns,
                "input": times.compute_input.ns,
                "compute": times.compute_infer.ns,
                "output": times.compute_output.ns,
            }
        return result


def _steps(before: dict, after: dict) -> list[dict]:
    """Milliseconds a request spent in each step, and how many requests shared one execution."""
    rows = []
    for step in STEPS:
        change = {key: after[step][key] - before[step][key] for key in after[step]}
        count = max(1, change["requests"])
        row = {"step": step, "batch": count / max(1, change["executions"])}
        rows.append(row | {f"{key}_ms": change[key] / count / 1e6 for key in ("queue", "input", "compute", "output")})
    return rows


def _check_equal(raw: Raw, served: Served, request: Request) -> None:
    """Both sides must do the same work: the same embedding from the same product."""
    box: queue.SimpleQueue = queue.SimpleQueue()
    served.ask(request, lambda result, error: box.put((result, error)))
    result, error = box.get()
    if error is not None:
        raise error
    want = raw.compute(*raw.read([request]))[1]
    apart = float(np.abs(want - result.as_numpy("EMBEDDING")).max())
    if apart > 1e-4:
        raise RuntimeError(f"served and raw embeddings differ by {apart:.2g}; they are not doing the same work")


def measure(rounds: int, seconds: float, address: str) -> dict:
    """Raw and served in alternating rounds; medians, and the ratio of the best of each."""
    requests, raw, served = samples(), Raw(), Served(address)
    _check_equal(raw, served, requests[0])
    raw_rates: dict[tuple[int, bool], list[float]] = {}
    served_rates: dict[int, list[tuple[float, float]]] = {}
    before = after = served.statistics()
    for turn in range(rounds + 1):  # the first is warm-up
        console.print(f"[dim]round {turn} of {rounds}" + (" (warm-up)" if turn == 0 else ""))
        for batch, overlapped in product(BATCHES, (False, True)):
            rate = raw.rate(requests, batch, overlapped, seconds)
            raw_rates.setdefault((batch, overlapped), []).append(rate)
        for in_flight in IN_FLIGHT:
            if turn == rounds and in_flight == 8:
                before = served.statistics()
            served_rates.setdefault(in_flight, []).append(served.rate(requests, in_flight, seconds))
            if turn == rounds and in_flight == 8:
                after = served.statistics()
    raw_rows = [
        {"batch": batch, "overlapped": overlapped, "per_s": statistics.median(rates[1:])}
        for (batch, overlapped), rates in raw_rates.items()
    ]
    served_rows = [
        {
            "in_flight": in_flight,
            "per_s": statistics.median(rate for rate, _ in rates[1:]),
            "latency_ms": statistics.median(latency for _, latency in rates[1:]),
        }
        for in_flight, rates in served_rates.items()
    ]
    best_raw = max(raw_rows, key=lambda row: row["per_s"])
    best_served = max(served_rows, key=lambda row: row["per_s"])
    return {
        "served_over_raw": best_served["per_s"] / best_raw["per_s"],
        "best_raw": best_raw,
        "best_served": best_served,
        "raw": raw_rows,
        "served": served_rows,
        "steps_at_8_in_flight": _steps(before, after),
        "rounds": rounds,
        "seconds": seconds,
    }


def _show(result: dict) -> None:
    for title, rows in (
        ("raw: one process", result["raw"]),
        ("served: content_image over gRPC", result["served"]),
        ("a request's milliseconds by step, 8 in flight", result["steps_at_8_in_flight"]),
    ):
        table = Table(title=title)
        for heading in rows[0]:
            table.add_column(heading, justify="right")
        for row in rows:
            table.add_row(*(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(table)
    console.print(
        f"served_over_raw = [bold]{result['served_over_raw']:.2f}[/] (best of each, medians of {result['rounds']})"
    )


def main(
    json_file: JsonFile = None,
    rounds: Annotated[int, typer.Option(help="Rounds that count, after one of warm-up.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of one measurement.")] = 2.0,
    url: Url = None,
) -> None:
    """Measures served against raw throughput, and where a served request spends its time."""
    with grpc_address(url) as address:
        result = measure(rounds, seconds, address)
    _show(result)
    write_json(result, json_file)


if __name__ == "__main__":
    typer.run(main)

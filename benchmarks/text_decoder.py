"""`python -m benchmarks.text_decoder`: the served text decoder beside the bare library.

Same weights, same cores, same run. Bare is onnxruntime-genai's Generator, a static batch, at the thread count that was
best in this run. It reads the very files that are served: the embedding table, which our graph leaves out, is put in
front of it as one Gather. Served is text_decoder over gRPC streams, the load generator on the same cores. Both write
greedily, without repetition penalty.

A rate is that of decoding: for bare, tokens after the first by the time they took; for served, tokens that arrived from
when as many streams as there are slots had their first until the first stream ended. `whole` counts prompts too:
all tokens by the time from the first request to the last token. Prompts come again from round to round, so that served
first tokens profit from kept prefixes, as they do where a task's instructions repeat; rates of decoding do not.
"""

from __future__ import annotations

import json
import os
import queue
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnx
import onnxruntime_genai as genai
import tritonclient.grpc as triton
import typer
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from benchmarks.serving import REPOSITORY, JsonFile, Url, grpc_address, write_json

FOLDER = REPOSITORY / "model_repository" / "models" / "text_decoder" / "1"
SCRATCH = REPOSITORY / "out"  # on the weights' file system, so that they can be linked
STREAMS = (1, 2, 4, 8, 16)
SLOTS = 8  # of the served model
THREADS = tuple(dict.fromkeys((1, 2, len(os.sched_getaffinity(0)))))
PROMPT = (
    "<|im_start|>user\nWrite a very long story about a shop that sells a {} and everything its owner does all day."
    "<|im_end|>\n<|im_start|>assistant\n"
)
THINGS = (
    "mug",
    "desk",
    "lamp",
    "tent",
    "sofa",
    "bike",
    "hat",
    "ring",
    "boat",
    "drum",
    "fan",
    "kite",
    "pan",
    "rug",
    "toy",
    "bag",
)
console = Console()


@dataclass(frozen=True)
class Sample:
    """One measurement: decode and whole rates in tokens a second, times to the first token in milliseconds."""

    decode: float
    whole: float
    first_ms: float
    slowest_first_ms: float


class Bare:
    """onnxruntime-genai over the served weights.

    Args:
        folder: where the few files it needs beside the weights are written; on the weights' file system.
        threads: of the session.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        folder.mkdir()
        shape = json.loads((FOLDER / "decoder.json").read_text())
        heads = _with_embeddings(shape, folder / "model.onnx")
        for name in ("model.onnx.data", "embeddings.npy", "tokenizer.json"):
            os.link(FOLDER / name, folder / name)
        (folder / "genai_config.json").write_text(json.dumps(_genai_config(shape, heads, threads)))
        self._model = genai.Model(str(folder))

    def measure(self, ids: list[int], streams: int, tokens: int) -> Sample:
        """Writes `tokens` tokens for each of `streams` rows of one batch."""
        params = genai.GeneratorParams(self._model)
        total = len(ids) + tokens
        params.set_search_options(batch_size=streams, max_length=total, min_length=total, do_sample=False)
        generator = genai.Generator(self._model, params)
        started = time.perf_counter()
        generator.append_tokens(np.array([ids] * streams, np.int32))
        generator.generate_next_token()
        first = time.perf_counter()
        for _ in range(tokens - 1):
            generator.generate_next_token()
        ended = time.perf_counter()
        first_ms = (first - started) * 1000
        return Sample(
            streams * (tokens - 1) / (ended - first), streams * tokens / (ended - started), first_ms, first_ms
        )


def _with_embeddings(shape: dict, target: Path) -> int:
    """Writes the served graph with ids as its input instead of embeddings; gives its number of attention heads."""
    model = onnx.load(FOLDER / "model.onnx", load_external_data=False)
    graph = model.graph
    dims = [shape["vocabulary"], shape["hidden"]]
    kind = helper.np_dtype_to_tensor_dtype(np.load(FOLDER / "embeddings.npy", mmap_mode="r").dtype)
    size = dims[0] * dims[1] * helper.tensor_dtype_to_np_dtype(kind).itemsize
    table = TensorProto(name="embeddings", data_type=kind, dims=dims, data_location=TensorProto.EXTERNAL)
    begin = (FOLDER / "embeddings.npy").stat().st_size - size  # after the header of the .npy file
    for key, value in (("location", "embeddings.npy"), ("offset", begin), ("length", size)):
        table.external_data.add(key=key, value=str(value))
    graph.initializer.append(table)
    graph.input.remove(next(i for i in graph.input if i.name == "inputs_embeds"))
    graph.input.append(helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]))
    graph.node.insert(0, helper.make_node("Gather", ["embeddings", "input_ids"], ["half"]))
    graph.node.insert(1, helper.make_node("Cast", ["half"], ["inputs_embeds"], to=TensorProto.FLOAT))
    onnx.save(model, target)
    attention = next(node for node in graph.node if node.op_type == "GroupQueryAttention")
    return next(a.i for a in attention.attribute if a.name == "num_heads")


def _genai_config(shape: dict, heads: int, threads: int) -> dict:
    decoder = {
        "session_options": {"intra_op_num_threads": threads, "provider_options": []},
        "filename": "model.onnx",
        "head_size": shape["head_dim"],
        "hidden_size": shape["hidden"],
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
        "num_attention_heads": heads,
        "num_hidden_layers": shape["layers"],
        "num_key_value_heads": shape["kv_heads"],
    }
    model = {
        "type": "llama",
        "eos_token_id": list(shape["end_ids"]),
        "pad_token_id": shape["end_ids"][0],
        "context_length": shape["max_length"],
        "vocab_size": shape["vocabulary"],
        "decoder": decoder,
    }
    return {"model": model, "search": {"max_length": shape["max_length"], "past_present_share_buffer": True}}


class Served:
    """text_decoder over gRPC, a channel and a stream a request."""

    def __init__(self, address: str) -> None:
        self._clients = [triton.InferenceServerClient(address) for _ in range(max(STREAMS))]
        self._arrived: queue.SimpleQueue = queue.SimpleQueue()
        for number, client in enumerate(self._clients):
            client.start_stream(
                lambda result, error, number=number: self._arrived.put((time.perf_counter(), number, result, error))
            )

    def measure(self, streams: int, tokens: int) -> Sample:
        """Writes `tokens` tokens on each of `streams` streams that ask at once."""
        started = time.perf_counter()
        for number in range(streams):
            self._clients[number].async_stream_infer("text_decoder", _inputs(PROMPT.format(THINGS[number]), tokens))
        events, firsts, ends = [], {}, {}
        counts = dict.fromkeys(range(streams), 0)
        while len(ends) < streams:
            at, number, result, error = self._arrived.get(timeout=600)
            if error is not None:
                raise error
            count = int(result.as_numpy("COMPLETION_TOKENS").item())
            events.append((at, count - counts[number]))
            counts[number] = count
            firsts.setdefault(number, at)
            if finish := result.as_numpy("FINISH_REASON").item():
                ends[number] = at
                if count != tokens:
                    raise RuntimeError(
                        f"a stream ended by {finish!r} after {count} tokens; every one must write {tokens}"
                    )
        begin = sorted(firsts.values())[min(streams, SLOTS) - 1]
        end = min(ends.values())
        if end <= begin:
            raise RuntimeError(f"{streams} streams never ran at once; raise --tokens above {tokens}")
        written = sum(count for at, count in events if begin < at <= end)
        first_ms = [(at - started) * 1000 for at in firsts.values()]
        whole = streams * tokens / (max(ends.values()) - started)
        return Sample(written / (end - begin), whole, statistics.median(first_ms), max(first_ms))

    def first_ms(self, prompt: str) -> float:
        """The time to the first token of one prompt, alone."""
        started = time.perf_counter()
        self._clients[0].async_stream_infer("text_decoder", _inputs(prompt, 1))
        while True:
            at, _, result, error = self._arrived.get(timeout=600)
            if error is not None:
                raise error
            if result.as_numpy("COMPLETION_TOKENS").item():
                return (at - started) * 1000

    def close(self) -> None:
        for client in self._clients:
            client.stop_stream()
            client.close()


def _inputs(prompt: str, tokens: int) -> list[triton.InferInput]:
    values = {
        "PROMPT": np.array([[prompt.encode()]], object),
        "MAX_TOKENS": np.array([[tokens]], np.int32),
        "REPETITION_PENALTY": np.array([[1.0]], np.float32),
    }
    kinds = {"PROMPT": "BYTES", "MAX_TOKENS": "INT32", "REPETITION_PENALTY": "FP32"}
    made = []
    for name, value in values.items():
        made.append(triton.InferInput(name, value.shape, kinds[name]))
        made[-1].set_data_from_numpy(value)
    return made


def measure(rounds: int, tokens: int, address: str) -> dict:
    """Bare and served in alternating rounds after one of warm-up; medians."""
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    ids = tokenizer.encode(PROMPT.format(THINGS[0]), add_special_tokens=False).ids
    samples: dict[tuple[str, int], list[Sample]] = {}
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bare-") as scratch:
        bares = {threads: Bare(Path(scratch) / str(threads), threads) for threads in THREADS}
        served = Served(address)
        for turn in range(rounds + 1):
            console.print(f"[dim]round {turn} of {rounds}" + (" (warm-up)" if turn == 0 else ""))
            for streams in STREAMS:
                for threads, bare in bares.items():
                    sample = bare.measure(ids, streams, tokens)
                    samples.setdefault((f"bare, {threads} threads", streams), []).append(sample)
                samples.setdefault(("served", streams), []).append(served.measure(streams, tokens))
        served.close()
        del bares
    rows = [
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
    bare = {
        n: max(value for (side, streams), value in rate.items() if side != "served" and streams == n) for n in STREAMS
    }
    return {
        "served_over_bare_1": rate["served", 1] / bare[1],
        "served_8_over_1": rate["served", 8] / rate["served", 1],
        "served_over_bare_8": rate["served", 8] / bare[8],
        "bare_8_over_1": bare[8] / bare[1],
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
    for key in ("served_over_bare_1", "served_8_over_1", "served_over_bare_8", "bare_8_over_1"):
        console.print(f"{key} = [bold]{result[key]:.2f}[/]")


def main(
    json_file: JsonFile = None,
    rounds: Annotated[int, typer.Option(help="Rounds that count, after one of warm-up.")] = 5,
    tokens: Annotated[int, typer.Option(help="Tokens that every stream writes.")] = 128,
    url: Url = None,
) -> None:
    """Measures the served text decoder beside the bare library."""
    with grpc_address(url, "--model", "text_decoder") as address:
        result = measure(rounds, tokens, address)
    _show(result)
    write_json(result, json_file)


if __name__ == "__main__":
    typer.run(main)

"""What `benchmarks.text_decoder` compares: the bare library, the served decoder and llama.cpp."""

from __future__ import annotations

import json
import os
import queue
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime_genai as genai
import requests
import tritonclient.grpc as triton
from onnx import TensorProto, helper

from benchmarks.serving import REPOSITORY

FOLDER = REPOSITORY / "model_repository" / "models" / "text_decoder" / "1"
STREAMS = (1, 2, 4, 8, 16)
SLOTS = 8  # of the served model
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
LLAMA_CPP = "xllamacpp==2026.10.11549"


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


@dataclass(frozen=True)
class Arrival:
    """What came on a stream: the tokens it has written so far, and whether that was its last; or why it failed."""

    at: float
    stream: int
    count: int = 0
    finish: str = ""
    error: Exception | None = None


def watch(arrived: queue.SimpleQueue[Arrival], started: float, streams: int, tokens: int) -> Sample:
    """The rates of `streams` streams that asked at `started` for `tokens` tokens each.

    Raises:
        RuntimeError: a stream failed or wrote another number of tokens, or the streams never ran at once.
    """
    events: list[tuple[float, int]] = []
    firsts: dict[int, float] = {}
    ends: dict[int, float] = {}
    counts = dict.fromkeys(range(streams), 0)
    while len(ends) < streams:
        arrival = arrived.get(timeout=600)
        if arrival.error is not None:
            raise arrival.error
        stream, count = arrival.stream, arrival.count
        events.append((arrival.at, count - counts[stream]))
        counts[stream] = count
        firsts.setdefault(stream, arrival.at)
        if arrival.finish:
            ends[stream] = arrival.at
            if count != tokens:
                raise RuntimeError(
                    f"a stream ended by {arrival.finish!r} after {count} tokens; every one must write {tokens}"
                )
    begin = sorted(firsts.values())[min(streams, SLOTS) - 1]
    end = min(ends.values())
    if end <= begin:
        raise RuntimeError(f"{streams} streams never ran at once; raise --tokens above {tokens}")
    written = sum(count for at, count in events if begin < at <= end)
    first_ms = [(at - started) * 1000 for at in firsts.values()]
    whole = streams * tokens / (max(ends.values()) - started)
    return Sample(written / (end - begin), whole, statistics.median(first_ms), max(first_ms))


class Served:
    """text_decoder over gRPC, a channel and a stream a request."""

    def __init__(self, address: str) -> None:
        self._clients = [triton.InferenceServerClient(address) for _ in range(max(STREAMS))]
        self._arrived: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        for number, client in enumerate(self._clients):
            client.start_stream(lambda result, error, number=number: self._arrived.put(_arrival(number, result, error)))

    def measure(self, streams: int, tokens: int) -> Sample:
        """Writes `tokens` tokens on each of `streams` streams that ask at once."""
        started = time.perf_counter()
        for number in range(streams):
            self._clients[number].async_stream_infer("text_decoder", _inputs(PROMPT.format(THINGS[number]), tokens))
        return watch(self._arrived, started, streams, tokens)

    def first_ms(self, prompt: str) -> float:
        """The time to the first token of one prompt, alone."""
        started = time.perf_counter()
        self._clients[0].async_stream_infer("text_decoder", _inputs(prompt, 1))
        while True:
            arrival = self._arrived.get(timeout=600)
            if arrival.error is not None:
                raise arrival.error
            if arrival.count:
                return (arrival.at - started) * 1000

    def close(self) -> None:
        for client in self._clients:
            client.stop_stream()
            client.close()


def _arrival(number: int, result: triton.InferResult | None, error: Exception | None) -> Arrival:
    at = time.perf_counter()
    if result is None:
        return Arrival(at, number, error=error)
    count, finish = (result.as_numpy(name).item() for name in ("COMPLETION_TOKENS", "FINISH_REASON"))
    return Arrival(at, number, int(count), finish.decode())


class LlamaCpp:
    """llama.cpp's server over HTTP, a connection and a stream a request.

    Args:
        checkpoint: a GGUF file.
        threads: of the network; as many for prompts.
    """

    def __init__(self, checkpoint: Path, threads: int) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            raise SystemExit(f"llama.cpp is not installed; run pip install {LLAMA_CPP}") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(checkpoint)
        params.n_parallel, params.n_ctx = SLOTS, SLOTS * 1024
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_prompt = False
        self._server = xllamacpp.Server(params)
        self._sessions = [requests.Session() for _ in range(max(STREAMS))]

    def measure(self, streams: int, tokens: int) -> Sample:
        """Writes `tokens` tokens on each of `streams` streams that ask at once."""
        arrived: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        started = time.perf_counter()
        asking = [threading.Thread(target=self._ask, args=(n, tokens, arrived)) for n in range(streams)]
        for thread in asking:
            thread.start()
        try:
            return watch(arrived, started, streams, tokens)
        finally:
            for thread in asking:
                thread.join()

    def _ask(self, number: int, tokens: int, arrived: queue.SimpleQueue[Arrival]) -> None:
        body: dict[str, Any] = {
            "prompt": PROMPT.format(THINGS[number]),
            "n_predict": tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "cache_prompt": False,
            "stream": True,
        }
        try:
            url = f"{self._server.listening_address}/completions"
            with self._sessions[number].post(url, json=body, stream=True, timeout=600) as answer:
                answer.raise_for_status()
                count = 0
                for line in answer.iter_lines():
                    if line.startswith(b"data: {"):
                        said = json.loads(line.removeprefix(b"data: "))
                        count = max(count + 1 if said.get("content") else count, said.get("tokens_predicted", 0))
                        finish = said.get("stop_type", "") if said.get("stop") else ""
                        arrived.put(Arrival(time.perf_counter(), number, count, finish))
        except Exception as error:
            arrived.put(Arrival(time.perf_counter(), number, error=error))


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

"""Raw and edited copy of one generation, by a server's prompter, text_collector and text_optimizer in a row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from benchmarks.copy.products import Copy, Product

IN_FLIGHT = 8  # what the decoder writes at once
TAGS = 5  # of the tagger, left empty: no photo is involved
TIMEOUT_S = 300.0
MODELS = ("prompter", "text_collector", "text_optimizer")
_DTYPES = {"BYTES": np.object_, "FP32": np.float32, "INT32": np.int32, "INT64": np.int64}


class Writer:
    """Asks one server for copies; safe to use by several threads.

    Args:
        address: gRPC, ``host:port``.
    """

    def __init__(self, address: str) -> None:
        self._client = triton.InferenceServerClient(address)

    def write(self, product: Product, task: str, seed: int) -> Copy:
        """One copy, raw and edited; where a step refuses or fails, a copy with the `error` and what there is."""
        about: dict[str, Any] = {"product": product.id, "task": task, "seed": seed}
        request = {
            "TITLE": _text(product.title),
            "TASK": _text(task),
            "LANGUAGE": _text(product.language),
            "ATTRIBUTES": _text(json.dumps(product.attributes, ensure_ascii=False)),
        }
        try:
            nothing = {
                "TAGS": ("BYTES", np.array([[b""] * TAGS], object)),
                "TAG_SCORES": ("FP32", np.zeros((1, TAGS), np.float32)),
            }
            told, about["prompt_seconds"] = self._infer("prompter", request | nothing)
            sampling = {
                name: (dtype, told.as_numpy(name))
                for name, dtype in (
                    ("MAX_TOKENS", "INT32"),
                    ("TEMPERATURE", "FP32"),
                    ("TOP_P", "FP32"),
                    ("REPETITION_PENALTY", "FP32"),
                )
            }
            asked = {"PROMPT": ("BYTES", told.as_numpy("PROMPT")), "SEED": ("INT64", np.array([[seed]], np.int64))}
            written, about["write_seconds"] = self._infer("text_collector", asked | sampling)
            about["raw"] = _string(written, "TEXT")
            about["finish"] = _string(written, "FINISH_REASON")
            about["tokens"] = int(written.as_numpy("COMPLETION_TOKENS").item())
            taken = {"WRITTEN": _text(about["raw"]), "FINISHED": _text(about["finish"])}
            taken["REQUEST"] = ("BYTES", told.as_numpy("REQUEST"))
            edited, about["edit_seconds"] = self._infer("text_optimizer", taken)
            about["edited"] = _string(edited, "TEXT")
            about["edits"] = tuple(json.loads(_string(edited, "EDITS")))
        except InferenceServerException as error:
            about["error"] = error.message()
        return Copy(**about)

    def _infer(self, model: str, tensors: dict[str, tuple[str, np.ndarray]]) -> tuple[triton.InferResult, float]:
        inputs = []
        for name, (dtype, value) in tensors.items():
            tensor = triton.InferInput(name, list(value.shape), dtype)
            tensor.set_data_from_numpy(value.astype(_DTYPES[dtype]))
            inputs.append(tensor)
        started = time.perf_counter()
        result = self._client.infer(model, inputs, client_timeout=TIMEOUT_S)
        return result, time.perf_counter() - started

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()


def write_all(
    address: str, products: Sequence[Product], tasks: Sequence[str], seeds: int, on_copy: Callable[[Copy], None]
) -> list[Copy]:
    """Every task of every product with seeds 1 to `seeds`, eight in flight, in their order.

    Args:
        on_copy: called with each copy that is done.
    """
    writer = Writer(address)

    def write(work: tuple[Product, str, int]) -> Copy:
        copy = writer.write(*work)
        on_copy(copy)
        return copy

    work = [(product, task, seed) for seed in range(1, seeds + 1) for task in tasks for product in products]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        copies = list(pool.map(write, work))
    writer.close()
    return copies


def _text(value: str) -> tuple[str, np.ndarray]:
    return "BYTES", np.array([[value.encode()]], object)


def _string(result: triton.InferResult, name: str) -> str:
    return result.as_numpy(name).item().decode("utf-8", "replace")

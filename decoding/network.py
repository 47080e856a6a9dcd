"""One causal network over a KV cache that is shared by all its rows: a slot of the cache is a row of the batch.

The graph is onnxruntime-genai's (`families/text_decoder.py`): GroupQueryAttention takes each row's own length from
the count of ones in its attention mask, and past and present are one buffer, so that a row that joins copies nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime as ort

from decoding.cache import PROVIDERS, Cache, DeviceCache, HostCache

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class Shape:
    """decoder.json: the network's shape and its end tokens.

    Args:
        layers, kv_heads, head_dim: of the KV cache.
        hidden: width of an embedding.
        vocabulary: number of tokens.
        end_ids: tokens that end a text.
        max_length: longest prompt and answer together, in tokens.
        precision: of the weights.
    """

    layers: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocabulary: int
    end_ids: tuple[int, ...]
    max_length: int
    precision: str

    @classmethod
    def read(cls, path: Path) -> Shape:
        """Reads decoder.json.

        Raises:
            ValueError: it is not there or lacks a field.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{f.name: data[f.name] for f in fields(cls)} | {"end_ids": tuple(data["end_ids"])})
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error!r}); build it with `python -m export`") from error


class Network:
    """The session and its cache of `slots` rows. Not thread-safe: one thread owns it.

    Args:
        folder: holds model.onnx, embeddings.npy and decoder.json.
        slots: rows of the cache, the most requests that decode at a time.
        threads: of the session on CPU; 0 for one a core.
        max_length: tokens a row holds; 0 for the one of decoder.json.
        spinning: whether idle threads of the session spin for a moment before they sleep: faster on cores of its own,
            slower on cores that others keep busy.
        provider: one of :data:`decoding.cache.PROVIDERS`; keys and values have the graph's dtype.

    Raises:
        ValueError: there is no such provider here, or the graph is not made for it.
    """

    def __init__(
        self,
        folder: Path,
        slots: int = 8,
        threads: int = 0,
        max_length: int = 0,
        spinning: bool = True,
        provider: str = "CPU",
    ) -> None:
        self.shape = Shape.read(folder / "decoder.json")
        self.slots = slots
        self.max_length = max_length or self.shape.max_length
        # a plain array over the mapped file: the processes that read it share its memory, and plain arrays index faster
        self.embeddings = np.load(folder / "embeddings.npy", mmap_mode="r").view(np.ndarray)
        self._session, self._device = _open(folder / "model.onnx", threads, spinning, provider)
        given = {i.name: i for i in self._session.get_inputs()}
        self._dtype = np.dtype(_DTYPES[given["inputs_embeds"].type])
        if provider != "CPU" and self._dtype == np.float32:
            raise ValueError(
                f"{folder} is a graph of float32, which {provider} has no attention for; export the decoder with the "
                "option provider: cuda (--recipe offline-cuda), or set execution_provider to CPU"
            )
        self._names = [name for name in given if name.startswith("past_key_values.")]
        self._row = (self.shape.kv_heads, self.max_length, self.shape.head_dim)
        size = len(self._names), (slots, *self._row), self._dtype
        self.cache: Cache = HostCache(*size) if self._device == "cpu" else DeviceCache(*size, self._device)
        self._logits = np.zeros((slots, 1, self.shape.vocabulary), self._dtype)
        self._bindings: dict[tuple[int, int], ort.IOBinding] = {}

    def embed(self, ids: Sequence[int] | Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
        """Token ids [..] → FP32 [.., hidden]."""
        return self.embeddings[ids].astype(np.float32)

    def run(self, first: int, embeddings: np.ndarray, lengths: list[int]) -> np.ndarray:
        """Appends tokens to the rows `first`, `first` + 1, … and gives the logits after the last of them.

        Args:
            embeddings: FP32 [rows, tokens, hidden].
            lengths: tokens that each row holds after this call.

        Returns:
            FP32 [rows, vocabulary]; perhaps a view that the next call overwrites.
        """
        rows = len(lengths)
        mask = (np.arange(max(lengths)) < np.asarray(lengths)[:, None]).astype(np.int64)
        binding = self._bindings.get((first, rows)) or self._bind(first, rows)
        binding.bind_cpu_input("inputs_embeds", np.ascontiguousarray(embeddings, self._dtype))
        binding.bind_cpu_input("attention_mask", mask)
        self._session.run_with_iobinding(binding)
        return self._logits[:rows, 0].astype(np.float32, copy=False)

    def _bind(self, first: int, rows: int) -> ort.IOBinding:
        """Binds the cache's rows and the logits by pointer, once for each run of rows."""
        binding = self._session.io_binding()
        for number, name in enumerate(self._names):
            place = (self._device, 0, self._dtype, (rows, *self._row), self.cache.address(number, first))
            binding.bind_input(name, *place)
            binding.bind_output(name.replace("past_key_values", "present"), *place)
        shape = (rows, 1, self.shape.vocabulary)
        binding.bind_output("logits", "cpu", 0, self._dtype, shape, self._logits.ctypes.data)
        self._bindings[first, rows] = binding
        return binding


def _open(path: Path, threads: int, spinning: bool, provider: str) -> tuple[ort.InferenceSession, str]:
    """The session, and the device that its cache lies on."""
    if provider not in PROVIDERS:
        raise ValueError(f"execution_provider is {provider!r}; write one of {', '.join(PROVIDERS)}")
    name, device = PROVIDERS[provider]
    if name not in ort.get_available_providers():
        here = ", ".join(ort.get_available_providers())
        raise ValueError(f"execution_provider is {provider}, ONNX Runtime here has {here}; install onnxruntime-gpu")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return ort.InferenceSession(path, options, providers=[name]), device

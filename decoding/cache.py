"""The keys and values of the rows that decode, where the network's execution provider reads them in place.

A cache holds an array [slots, heads, length, head width] for each key and value tensor of the graph. The network is
handed its address, so what it appends stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

#: Config parameter `execution_provider` → ONNX Runtime's name and device.
PROVIDERS = {"CPU": ("CPUExecutionProvider", "cpu"), "CUDA": ("CUDAExecutionProvider", "cuda")}


class Cache(Protocol):
    """One buffer a tensor; rows are requests."""

    def address(self, tensor: int, first: int) -> int:
        """Address in memory of a tensor's rows from `first` on."""

    def copy(self, row: int, begin: int, end: int) -> list[Any]:
        """Tokens `begin` to `end` of a row: for each tensor [heads, tokens, head width] in the cache's dtype."""

    def paste(self, row: int, begin: int, tokens: Sequence[Any]) -> None:
        """Puts what :meth:`copy` gave at the same place of a row."""

    def move(self, origin: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of one row over another."""


class HostCache:
    """A cache in host memory, as numpy arrays.

    Args:
        count: of key and value tensors.
        shape: slots, heads, length, head width.
        dtype: float32 or float16.
    """

    def __init__(self, count: int, shape: tuple[int, int, int, int], dtype: np.dtype) -> None:
        self._buffers = [np.zeros(shape, dtype) for _ in range(count)]

    def address(self, tensor: int, first: int) -> int:
        return int(self._buffers[tensor][first:].ctypes.data)

    def copy(self, row: int, begin: int, end: int) -> list[np.ndarray]:
        return [buffer[row, :, begin:end].copy() for buffer in self._buffers]

    def paste(self, row: int, begin: int, tokens: Sequence[np.ndarray]) -> None:
        for buffer, part in zip(self._buffers, tokens, strict=True):
            buffer[row, :, begin : begin + part.shape[1]] = part

    def move(self, origin: int, target: int, length: int) -> None:
        for buffer in self._buffers:
            buffer[target, :, :length] = buffer[origin, :, :length]


class DeviceCache:
    """A cache in a device's memory, by torch, which is imported for this alone.

    Args:
        count, shape, dtype: as of :class:`HostCache`.
        device: torch's name of it.
    """

    def __init__(self, count: int, shape: tuple[int, int, int, int], dtype: np.dtype, device: str) -> None:
        import torch

        kind = {"float32": torch.float32, "float16": torch.float16}[np.dtype(dtype).name]
        self._buffers = [torch.zeros(shape, dtype=kind, device=device) for _ in range(count)]

    def address(self, tensor: int, first: int) -> int:
        return int(self._buffers[tensor][first:].data_ptr())

    def copy(self, row: int, begin: int, end: int) -> list[Any]:
        parts = [buffer[row, :, begin:end].clone() for buffer in self._buffers]
        self._settle()
        return parts

    def paste(self, row: int, begin: int, tokens: Sequence[Any]) -> None:
        for buffer, part in zip(self._buffers, tokens, strict=True):
            buffer[row, :, begin : begin + part.shape[1]] = part
        self._settle()

    def move(self, origin: int, target: int, length: int) -> None:
        for buffer in self._buffers:
            buffer[target, :, :length] = buffer[origin, :, :length]
        self._settle()

    def _settle(self) -> None:
        """Waits for torch's stream: ONNX Runtime's own does not."""
        if self._buffers[0].is_cuda:
            import torch

            torch.cuda.synchronize()

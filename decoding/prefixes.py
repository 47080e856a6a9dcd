"""Automatic prefix caching: the beginnings of prompts that were read before need not be read again.

Prompts of one task share their instructions and examples. What the network made of a prompt's chunk depends on the
chunk and on all before it, so that it is kept under a hash of both, as vLLM does (Kwon et al. 2023, arXiv:2309.06180),
and chunks begin at fixed places: a prompt that finds its beginning here gives the very same text as one that does not.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np


class PrefixCache:
    """Keys and values of prompt chunks, the least recently used dropped first. Not thread-safe.

    Args:
        limit_bytes: of all that is kept; 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._bytes = 0
        self._chunks: OrderedDict[bytes, list[Any]] = OrderedDict()

    @staticmethod
    def key(before: bytes, embeddings: np.ndarray) -> bytes:
        """The name of a chunk [tokens, hidden] that follows the one named `before` (b"" for the first)."""
        return hashlib.blake2b(before + embeddings.tobytes(), digest_size=16).digest()

    def get(self, key: bytes) -> list[Any] | None:
        """What was kept under a key, now the most recently used."""
        if key in self._chunks:
            self._chunks.move_to_end(key)
        return self._chunks.get(key)

    def put(self, key: bytes, chunk: list[Any]) -> None:
        """Keeps a chunk, and drops old ones beyond the limit."""
        if key in self._chunks:
            return
        self._chunks[key] = chunk
        self._bytes += _size(chunk)
        while self._bytes > self._limit:
            self._bytes -= _size(self._chunks.popitem(last=False)[1])


def _size(chunk: list[Any]) -> int:
    return sum(part.nbytes for part in chunk)

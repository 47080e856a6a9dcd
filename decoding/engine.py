"""The decoder as a service within a process: one thread owns the network, any thread asks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from decoding.network import Network
from decoding.request import MAX_TIMEOUT_MS, Handle, Request
from decoding.sampling import Sampling
from decoding.scheduler import Scheduler, Statistics
from decoding.stop import check_stops
from decoding.tokens import PromptTokenizer
from stages.errors import StageError, invalid, too_large

log = logging.getLogger("vitrina.decoding")
#: A token is four bytes of text on average; a prompt of more bytes than this times `max_length` is not even tokenised.
_BYTES_PER_TOKEN = 16
DEFAULT_MAX_TOKENS = 128


class Engine:
    """Writes texts for many callers at a time. Ready when the constructor returns: the network has run once.

    Args:
        folder: holds model.onnx, embeddings.npy, tokenizer.json and decoder.json.
        slots: requests that decode at a time.
        max_queue: requests that may wait for a slot.
        threads: of the network; 0 for one a core.
        max_length: longest prompt and answer together, in tokens; 0 for the one of decoder.json.
        spinning: see :class:`decoding.network.Network`.
        provider: what the network runs on, see :class:`decoding.network.Network`.
        prefix_cache_mb: kept of prompts that were read, in MB, see :mod:`decoding.prefixes`; 0 for nothing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        slots: int = 8,
        max_queue: int = 64,
        threads: int = 0,
        max_length: int = 0,
        spinning: bool = True,
        provider: str = "CPU",
        prefix_cache_mb: int = 64,
    ) -> None:
        self._tokenizer = PromptTokenizer(folder / "tokenizer.json")
        self._network = Network(folder, slots, threads, max_length, spinning, provider)
        self.max_length = self._network.max_length
        self._scheduler = Scheduler(
            self._network, self._tokenizer.whole, max_queue, prefix_cache_bytes=prefix_cache_mb * 1_000_000
        )
        self._wake = threading.Condition()
        self._closing = self._abandon = False
        self._warm_up()
        self._thread = threading.Thread(target=self._loop, name="text-decoder", daemon=True)
        self._thread.start()

    def request(
        self,
        prompt: str,
        *,
        prefix: np.ndarray | None = None,
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
        stops: Sequence[str] = (),
        timeout_ms: int | None = None,
    ) -> Request:
        """Checks what a caller wants.

        Args:
            prompt: the whole prompt, chat template applied; people's text in it between the marks of `stages.chat`.
            prefix: FP32 [tokens, hidden] soft prefix, put before the prompt; None for none.
            max_tokens: most tokens to write, 1 to `max_length`; 128, or `max_length` if that is less, if None.
            sampling: how tokens are chosen; greedy if None.
            stops: up to 8 strings that end the text.
            timeout_ms: from now until the text must be whole.

        Raises:
            StageError: invalid_input or too_large, with the field and its limit.
        """
        if max_tokens is None:
            max_tokens = min(DEFAULT_MAX_TOKENS, self.max_length)
        if max_tokens < 1:
            raise invalid("MAX_TOKENS", f"{max_tokens} is below 1; send 1 to {self.max_length}")
        if max_tokens > self.max_length:
            raise too_large("MAX_TOKENS", f"{max_tokens} is over the limit of {self.max_length} tokens")
        if timeout_ms is not None and not 1 <= timeout_ms <= MAX_TIMEOUT_MS:
            raise invalid("TIMEOUT_MS", f"{timeout_ms} is outside 1 to {MAX_TIMEOUT_MS} milliseconds")
        check_stops(stops)
        ids = self._tokens(prompt)
        embeddings = self._network.embed(ids)
        if prefix is not None and len(prefix):
            embeddings = np.concatenate([self._checked(prefix), embeddings])
        if len(embeddings) >= self.max_length:
            own = f"{len(ids)} tokens" + (f" and a prefix of {len(prefix)}" if prefix is not None else "")
            raise too_large("PROMPT", f"it has {own}; the limit for prompt and answer is {self.max_length} tokens")
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        return Request(embeddings, len(ids), max_tokens, sampling or Sampling(), tuple(stops), deadline)

    def _tokens(self, prompt: str) -> list[int]:
        limit = self.max_length * _BYTES_PER_TOKEN
        size = len(prompt.encode("utf-8", "surrogatepass"))
        if size > limit:
            raise too_large("PROMPT", f"it has {size} bytes; the limit is {limit}, of {self.max_length} tokens at most")
        ids = self._tokenizer(prompt)
        if not ids:
            raise invalid("PROMPT", "it is empty; send the text that the decoder shall continue")
        return ids

    def _checked(self, prefix: np.ndarray) -> np.ndarray:
        hidden = self._network.shape.hidden
        if prefix.ndim != 2 or prefix.shape[1] != hidden:
            raise invalid("PREFIX", f"its shape is {list(prefix.shape)}; send [tokens, {hidden}]")
        if not np.isfinite(prefix).all():
            raise invalid("PREFIX", "it holds NaN or Inf; send finite numbers")
        return np.asarray(prefix, np.float32)

    def submit(self, request: Request, on_event: Callable[[Handle], None] | None = None) -> Handle:
        """Queues a request.

        Args:
            on_event: see :class:`decoding.request.Handle`.

        Raises:
            StageError: queue_full; also when the engine is closing.
        """
        handle = Handle(request, on_event)
        with self._wake:
            if self._closing:
                raise StageError("queue_full", "PROMPT", "the decoder is stopping and takes no more requests")
            self._scheduler.submit(handle)
            self._wake.notify()
        return handle

    def statistics(self) -> Statistics:
        """What the engine is doing and has done."""
        return self._scheduler.statistics()

    def close(self, drain_s: float = 30.0) -> None:
        """Takes no more requests, lets those under way end, and after `drain_s` seconds fails the rest."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(drain_s)
        if self._thread.is_alive():
            self._abandon = True
            self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closing or not self._scheduler.idle)
            if self._scheduler.idle:
                return
            try:
                if self._abandon:
                    raise StageError("cancelled", "PROMPT", "the decoder stopped before the text was whole")
                self._scheduler.step()
            except StageError as error:
                self._scheduler.fail_all(error)
            except Exception as error:  # the network failed: nobody may wait for ever, and the next request may pass
                log.exception("a step of the text decoder failed")
                self._scheduler.fail_all(StageError("internal", "-", f"{type(error).__name__}: {error}"))

    def _warm_up(self) -> None:
        """Runs a long prompt and a full batch, so that no request pays for the first allocation."""
        network, longest = self._network, self._scheduler.chunk * max(self._scheduler.prefill)
        for length in sorted({min(tokens, self.max_length) for tokens in (self._scheduler.chunk, longest)}):
            network.run(network.slots - 1, network.embed(np.zeros((1, length), np.int64)), [length])
        for rows in range(1, network.slots + 1):
            network.run(0, network.embed(np.zeros((rows, 1), np.int64)), [1] * rows)

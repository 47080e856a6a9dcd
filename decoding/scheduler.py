"""Continuous batching: which request sits in which row of the network's cache, step by step.

A step is one token for every running row, then one chunk of the prompt that is joining. A chunk is as many tokens as
there are slots, so it costs what a full step costs, and a newcomer never holds the others up by more than that. Chunks
begin at fixed places of the prompt, whatever else runs: so a text does not depend on what it is batched with.

Rows 0 to n - 1 of the cache run; the last row takes in the prompt that is joining, and hands it to row n when read.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from decoding.network import Network
from decoding.prefixes import PrefixCache
from decoding.request import Handle
from decoding.sampling import Sampler
from decoding.stop import Detokenizer, StopText
from stages.errors import StageError

_RATE_WINDOW_S = 10.0


@dataclass(frozen=True)
class Statistics:
    """What the engine is doing and has done.

    Args:
        slots, max_queue: the limits.
        active: requests that hold a slot, the one that is joining among them.
        queued: requests that wait for one.
        steps: of the network since the start, and the prompt tokens read and tokens written in them.
        reused_tokens: prompt tokens that need not be read, see :mod:`decoding.prefixes`.
        tokens_per_second: written, over the last ten seconds.
        outcomes: ended requests by finish reason or error code.
    """

    slots: int
    max_queue: int
    active: int
    queued: int
    steps: int
    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    tokens_per_second: float
    outcomes: dict[str, int]


class _Row:
    """A request with a place in the cache."""

    def __init__(self, handle: Handle, tokenizer: Tokenizer) -> None:
        self.handle = handle
        self.request = handle.request
        self.sampler = Sampler(self.request.sampling)
        self.length = 0  # tokens in the cache
        self.prefix = b""  # the name of the prompt's chunks read so far, in the cache of prefixes
        self.last = -1  # the token that the cache does not hold yet
        self.count = 0  # tokens written
        self._detokenizer = Detokenizer(tokenizer)
        self._stop = StopText(self.request.stops)
        self._waiting: list[int] = []  # tokens whose text is not out yet

    def write(self, token: int) -> str:
        """Takes in a token; "stop" if it completes a stop string, else ""."""
        self.last, self.count = token, self.count + 1
        self._waiting.append(token)
        text = self._stop.push(self._detokenizer.push(token))
        if text or not self._stop.held:
            ids, self._waiting = self._waiting, []
            self.handle.put(text, ids)
        return "stop" if self._stop.stopped else ""

    def end(self, finish: str) -> None:
        """Gives out what was held back, unless a stop string swallowed it."""
        if held := self._stop.flush():
            self.handle.put(held, self._waiting)
        self.handle.end(finish, self.count)


class Scheduler:
    """Owns the network's rows and the queue. `submit` and `statistics` may be called from any thread, `step` from one.

    Args:
        network: whose cache the rows live in.
        tokenizer: that turns ids into text.
        max_queue: requests that may wait while every slot is taken.
        chunk: prompt tokens that are kept together, see :mod:`decoding.prefixes`; 0 for as many as there are slots.
        prefill: chunks of a prompt that are read in a step beside running rows, which wait for it, and with none.
        prefix_cache_bytes: kept of prompts that were read, see :mod:`decoding.prefixes`; 0 for nothing.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        max_queue: int = 64,
        chunk: int = 0,
        prefill: tuple[int, int] = (4, 8),
        prefix_cache_bytes: int = 0,
    ) -> None:
        self.network = network
        self.max_queue = max_queue
        self.chunk = chunk or network.slots
        self.prefill = prefill
        self._tokenizer = tokenizer
        self._prefixes = PrefixCache(prefix_cache_bytes)
        self._lock = threading.Lock()
        self._queue: deque[Handle] = deque()
        self._rows: list[_Row] = []
        self._joining: _Row | None = None
        self._steps = self._prompt_tokens = self._reused_tokens = self._completion_tokens = 0
        self._outcomes: Counter[str] = Counter()
        self._recent: deque[tuple[float, int]] = deque()

    def submit(self, handle: Handle) -> None:
        """Puts a request at the end of the queue.

        Raises:
            StageError: queue_full.
        """
        with self._lock:
            waiting = len(self._queue) - (self.network.slots - self._active)
            if waiting >= self.max_queue:
                self._outcomes["queue_full"] += 1
                raise StageError(
                    "queue_full",
                    "PROMPT",
                    f"{waiting} requests wait for a slot already, the limit is {self.max_queue}; send it again later",
                )
            self._queue.append(handle)

    @property
    def _active(self) -> int:
        return len(self._rows) + (self._joining is not None)

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return not (self._rows or self._joining or self._queue)

    def step(self) -> None:
        """One token for every running row, and some chunks of the prompt that is joining."""
        self._sweep()
        self._admit()
        written = self._completion_tokens
        if self._rows:
            self._decode()
        if self._joining:
            self._read(self._joining)
        self._steps += 1
        now = time.monotonic()
        with self._lock:
            self._recent.append((now, self._completion_tokens - written))
            while self._recent[0][0] < now - _RATE_WINDOW_S:
                self._recent.popleft()

    def statistics(self) -> Statistics:
        """A snapshot."""
        now = time.monotonic()
        with self._lock:
            recent = [(at, count) for at, count in self._recent if at >= now - _RATE_WINDOW_S]
            span = now - recent[0][0] if recent else 0.0
            return Statistics(
                slots=self.network.slots,
                max_queue=self.max_queue,
                active=self._active,
                queued=len(self._queue),
                steps=self._steps,
                prompt_tokens=self._prompt_tokens,
                reused_tokens=self._reused_tokens,
                completion_tokens=self._completion_tokens,
                tokens_per_second=sum(count for _, count in recent) / span if span > 0 else 0.0,
                outcomes=dict(self._outcomes),
            )

    def fail_all(self, error: StageError) -> None:
        """Ends every request, running or waiting, with `error`."""
        with self._lock:
            waiting, self._queue = list(self._queue), deque()
        rows = [*self._rows, *([self._joining] if self._joining else [])]
        self._rows, self._joining = [], None
        for handle in [*(row.handle for row in rows), *waiting]:
            self._fail(handle, error)

    # ------------------------------------------------------------------------------------------------- the parts

    def _sweep(self) -> None:
        """Lets go of requests that were cancelled or whose time has passed."""
        now = time.monotonic()
        with self._lock:
            gone = [(handle, error) for handle in self._queue if (error := _expiry(handle, now))]
            for handle, _ in gone:
                self._queue.remove(handle)
        for handle, error in gone:
            self._fail(handle, error)
        if self._joining and (error := _expiry(self._joining.handle, now)):
            self._fail(self._joining.handle, error)
            self._joining = None
        for place in reversed(range(len(self._rows))):
            if error := _expiry(self._rows[place].handle, now):
                self._fail(self._rows[place].handle, error)
                self._leave(place)

    def _admit(self) -> None:
        """The first of the queue begins to join, if a slot is free."""
        if self._joining is None and len(self._rows) < self.network.slots:
            with self._lock:
                if self._queue:
                    self._joining = _Row(self._queue.popleft(), self._tokenizer)
            if self._joining:
                self._recall(self._joining)

    def _recall(self, row: _Row) -> None:
        """Puts the chunks of a prompt that were read before into the row, all but the last token at most."""
        prompt = row.request.embeddings
        while row.length + self.chunk < len(prompt) - 1:  # one token alone would be rounded otherwise, see `_read`
            key = PrefixCache.key(row.prefix, prompt[row.length : row.length + self.chunk])
            if (known := self._prefixes.get(key)) is None:
                return
            self.network.cache.paste(self.network.slots - 1, row.length, known)
            row.prefix = key
            row.length += self.chunk
            self._reused_tokens += self.chunk

    def _decode(self) -> None:
        rows = self._rows
        embeddings = self.network.embed([[row.last] for row in rows])
        for row in rows:
            row.length += 1
        logits = self.network.run(0, embeddings, [row.length for row in rows])
        for place in reversed(range(len(rows))):
            if self._advance(rows[place], logits[place]):
                self._leave(place)

    def _read(self, row: _Row) -> None:
        """Reads the next chunks of a prompt; after the last one the row has its first token and runs."""
        prompt = row.request.embeddings
        end = min(row.length + self.chunk * self.prefill[not self._rows], len(prompt))
        if len(prompt) - end == 1:  # onnxruntime multiplies a single row by another kernel, which rounds otherwise
            end -= self.chunk
        last = self.network.slots - 1
        logits = self.network.run(last, prompt[None, row.length : end], [end])
        for begin in range(row.length, end - self.chunk + 1, self.chunk):
            row.prefix = PrefixCache.key(row.prefix, prompt[begin : begin + self.chunk])
            self._prefixes.put(row.prefix, self.network.cache.copy(last, begin, begin + self.chunk))
        self._prompt_tokens += end - row.length
        row.length = end
        if end < len(prompt):
            return
        ended = self._advance(row, logits[0])
        if not ended and len(self._rows) != last:
            self.network.cache.move(last, len(self._rows), row.length)
        with self._lock:  # `submit` must not see its slot free in between
            self._joining = None
            if not ended:
                self._rows.append(row)

    def _advance(self, row: _Row, logits: np.ndarray) -> bool:
        """Chooses a row's next token and gives its text out; True if the request has ended."""
        try:
            token = row.sampler.pick(logits)
        except StageError as error:
            self._fail(row.handle, error)
            return True
        if token in self.network.shape.end_ids:
            finish = "eos"
        else:
            self._completion_tokens += 1
            finish = row.write(token)
            if not finish and (row.count >= row.request.max_tokens or row.length >= self.network.max_length):
                finish = "length"
        if finish:
            with self._lock:
                self._outcomes[finish] += 1
            row.end(finish)
        return bool(finish)

    def _leave(self, place: int) -> None:
        """Frees a row; the last running one moves into the hole."""
        row = self._rows.pop()
        if place < len(self._rows):
            self.network.cache.move(len(self._rows), place, row.length)
            self._rows[place] = row

    def _fail(self, handle: Handle, error: StageError) -> None:
        with self._lock:
            self._outcomes[error.code] += 1
        handle.fail(error)


def _expiry(handle: Handle, now: float) -> StageError | None:
    """Why a request must end now, if it must."""
    if handle.cancelled:
        return StageError("cancelled", "PROMPT", "the caller cancelled the request")
    deadline = handle.request.deadline
    if deadline is not None and now >= deadline:
        allowed = round((deadline - handle.submitted) * 1000)
        return StageError("deadline_exceeded", "TIMEOUT_MS", f"the {allowed} ms that the request allowed have passed")
    return None

"""What a caller hands in and what it gets back: a checked request, and a thread-safe handle on its text."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from decoding.sampling import Sampling
from stages.errors import StageError

MAX_TIMEOUT_MS = 600_000


@dataclass(frozen=True, eq=False)
class Request:
    """One text to write; `Engine.request` makes it from a prompt and checks it.

    Args:
        embeddings: FP32 [prompt, hidden]: soft prefix and prompt tokens.
        prompt_tokens: tokens of the prompt, the prefix not counted.
        max_tokens: most tokens to write.
        sampling: how they are chosen.
        stops: strings that end the text and are not part of it.
        deadline: of `time.monotonic`; None for none.
    """

    embeddings: np.ndarray
    prompt_tokens: int
    max_tokens: int
    sampling: Sampling
    stops: Sequence[str] = ()
    deadline: float | None = None


@dataclass(frozen=True)
class Delta:
    """Text since the last delta.

    Args:
        text: whole characters; never a part of a stop string.
        ids: the tokens of that text.
        finish: "" until the last delta: eos, length or stop.
        prompt_tokens, completion_tokens: so far.
    """

    text: str
    ids: tuple[int, ...]
    finish: str
    prompt_tokens: int
    completion_tokens: int


class Handle:
    """One request under way. The engine's thread writes; any thread reads and cancels.

    Args:
        request: what was asked.
        on_event: called by the engine's thread, without a lock held, when the first text is there and when the
            request has ended; must not block.
    """

    def __init__(self, request: Request, on_event: Callable[[Handle], None] | None = None) -> None:
        self.request = request
        self.cancelled = False
        self.submitted = time.monotonic()
        self.first_token: float | None = None
        self._on_event = on_event
        self._changed = threading.Condition()
        self._text: list[str] = []
        self._ids: list[int] = []
        self._given = 0
        self._total = 0
        self._finish = ""
        self._error: StageError | None = None
        self._taken = False  # the last delta has been handed out

    # ------------------------------------------------------------------------------------------ the engine's side

    def put(self, text: str, ids: Sequence[int]) -> None:
        """Adds text and the ids that it came from."""
        with self._changed:
            first = self.first_token is None
            if first:
                self.first_token = time.monotonic()
            self._text.append(text)
            self._ids += ids
            self._changed.notify_all()
        if first and self._on_event:
            self._on_event(self)

    def end(self, finish: str, completion_tokens: int) -> None:
        """The text is whole."""
        with self._changed:
            self._finish, self._total = finish, completion_tokens
            self._changed.notify_all()
        if self._on_event:
            self._on_event(self)

    def fail(self, error: StageError) -> None:
        """No more text comes, because of `error`."""
        with self._changed:
            self._error = error
            self._changed.notify_all()
        if self._on_event:
            self._on_event(self)

    # ------------------------------------------------------------------------------------------ the caller's side

    @property
    def ended(self) -> bool:
        """Whether the engine is done with it; the last delta may still be waiting."""
        return bool(self._finish) or self._error is not None

    def cancel(self) -> None:
        """Frees its place before the next step of the network. The handle then fails with `cancelled`."""
        self.cancelled = True

    def take(self) -> Delta | None:
        """What has come since the last call, merged; None if nothing has, or if the last delta was taken.

        Raises:
            StageError: the request failed; text that came before stays untaken.
        """
        with self._changed:
            return self._take()

    def _take(self) -> Delta | None:
        if self._error is not None:
            raise self._error
        if self._taken or not (self._text or self._finish):
            return None
        self._taken = bool(self._finish)
        self._given += len(self._ids)
        count = self._total if self._finish else self._given
        delta = Delta("".join(self._text), tuple(self._ids), self._finish, self.request.prompt_tokens, count)
        self._text, self._ids = [], []
        return delta

    def __iter__(self) -> Iterator[Delta]:
        """Deltas as they come, to the last.

        Raises:
            StageError: the request failed.
        """
        while True:
            with self._changed:
                while (delta := self._take()) is None:
                    self._changed.wait()
            yield delta
            if delta.finish:
                return

    def result(self) -> Delta:
        """Waits for the end and gives all text that was not taken before.

        Raises:
            StageError: the request failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.ended)
            delta = self._take()
        if delta is None:
            raise RuntimeError("the last delta of this handle was taken before")
        return delta

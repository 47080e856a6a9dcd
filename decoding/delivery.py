"""Brings the deltas of many handles to whoever sends them, from one thread.

A send costs the server a good part of a millisecond of the cores that the network decodes on. So the first text of a
request goes out at once, and later text is gathered for a moment: a reader sees no difference, the network does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from decoding.request import Delta, Handle
from stages.errors import StageError

log = logging.getLogger("vitrina.decoding")


@dataclass(eq=False)
class _Entry:
    handle: Handle
    send: Callable[[Delta | StageError], None]
    gone: Callable[[], bool]
    whole: bool
    sent: float = 0.0
    asked: float = 0.0


class Delivery:
    """Sends what the handles give.

    Args:
        interval_s: for how long text after the first is gathered, and how often each caller is asked whether it has
            gone.
    """

    def __init__(self, interval_s: float = 0.08) -> None:
        self._interval = interval_s
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="text-delivery", daemon=True)
        self._thread.start()

    def notify(self, handle: Handle | None = None) -> None:
        """Something has happened that shall not wait; for `Engine.submit`'s `on_event`."""
        self._wake.set()

    def add(
        self,
        handle: Handle,
        send: Callable[[Delta | StageError], None],
        gone: Callable[[], bool],
        whole: bool = False,
    ) -> None:
        """Takes a handle over until it ends.

        Args:
            send: gets each delta; last either a delta with a finish reason or the error.
            gone: whether the caller has gone; its request is then cancelled.
            whole: one delta with all text, instead of many.
        """
        with self._lock:
            self._entries.append(_Entry(handle, send, gone, whole, asked=time.monotonic()))
        self._wake.set()

    def close(self) -> None:
        """Sends what the handles still give, each to its end, and stops."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._lock:
                entries = list(self._entries)
            if self._closing and not entries:
                return
            self._wake.wait(self._interval if entries else None)
            self._wake.clear()
            for entry in entries:
                self._serve(entry, time.monotonic())

    def _serve(self, entry: _Entry, now: float) -> None:
        """Sends one handle's text if it is time, asks after its caller if it is time."""
        ended = entry.handle.ended
        try:
            if ended or (not entry.whole and now - entry.sent >= self._interval):
                message: Delta | StageError | None
                try:
                    message = entry.handle.take()
                except StageError as error:
                    message = error
                if message is not None:
                    # It may have ended since it was asked; after its last message the caller must not be asked for.
                    ended = ended or isinstance(message, StageError) or bool(message.finish)
                    entry.send(message)
                    entry.sent = now
            if not ended and now - entry.asked >= self._interval:
                entry.asked = now
                if entry.gone():
                    entry.handle.cancel()
        except Exception:  # a caller that cannot be reached any more must not take the others along
            log.exception("a delta could not be sent; its request is cancelled")
            entry.handle.cancel()
            ended = True
        if ended:
            with self._lock:
                self._entries.remove(entry)

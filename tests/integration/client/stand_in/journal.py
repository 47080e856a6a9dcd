"""What became of each request, as the stand-ins wrote it down: the server's own account of cancellation."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 20.0  # seconds until a test gives up waiting for the server; nothing takes as long


class Journal:
    """The lines of one file.

    Args:
        path: where the stand-ins write, as VITRINA_TEST_JOURNAL told them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def outcomes(self, title: str, model: str = "stand_in") -> list[str]:
        """What became of the requests with that title so far: ``finished`` or an error code each."""
        return [what for what in self._lines(title, model) if what != "began"]

    def awaited(self, title: str, model: str = "stand_in", count: int = 1) -> list[str]:
        """The same, once there are `count`: a model writes its line after its last answer."""

        def enough() -> list[str]:
            found = self.outcomes(title, model)
            return found if len(found) >= count else []

        return self._once(enough, f"not {count} outcomes of {title!r} in {model}")

    @contextmanager
    def once_begun(self, title: str, model: str, act: Callable[[], object]) -> Iterator[None]:
        """Runs `act` in a thread as soon as the server works on a request with that title."""

        def wait() -> None:
            self._once(lambda: self._lines(title, model), f"{model} never got {title!r}")
            act()

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _lines(self, title: str, model: str) -> list[str]:
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [line["what"] for line in lines if (line["title"], line["model"]) == (title, model)]

    @staticmethod
    def _once(look: Callable[[], list[str]], complaint: str) -> list[str]:
        end = time.monotonic() + PATIENCE
        while not (found := look()):
            assert time.monotonic() < end, complaint
            time.sleep(0.01)
        return found

"""How long work is shown: a bar with sizes and times for downloads, a running clock for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

console = Console(highlight=False)


class _Bytes(DownloadColumn):
    """Sizes and speed of a download; nothing for other work."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        return Text("  ").join([super().render(task), TransferSpeedColumn().render(task)])


class Reporter:
    """Takes word of what is under way, from any thread; on a terminal it moves, elsewhere each work is one line."""

    def __init__(self) -> None:
        columns = (TextColumn("  {task.description}"), BarColumn(), _Bytes(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=console, transient=True)
        self._lock = Lock()

    @contextmanager
    def work(self, what: str) -> Iterator[None]:
        """Work whose length is not known: a clock runs until the block ends."""
        with self._shown(what):
            yield

    @contextmanager
    def download(self, what: str) -> Iterator[Callable[[int, int, str], None]]:
        """A download: gives a function that takes the bytes that came, those of the whole, and what is under way."""
        with self._shown(f"fetching {what}") as task:
            yield lambda done, total, now: self._bars.update(
                task, completed=done, total=total, description=f"fetching {now}"
            )

    def note(self, text: str) -> None:
        """A line that stays, above the bars."""
        console.print(f"  {text}", markup=False, soft_wrap=True)

    @contextmanager
    def _shown(self, what: str) -> Iterator[TaskID]:
        if not console.is_terminal:
            console.print(f"  {what}")
        with self._lock:
            task = self._bars.add_task(what, total=None)
            if console.is_terminal:
                self._bars.start()
        try:
            yield task
        finally:
            with self._lock:
                self._bars.remove_task(task)
                if console.is_terminal and not self._bars.tasks:
                    self._bars.stop()

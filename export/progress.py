"""How long work is shown: a bar with sizes and times for downloads, a running clock for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

console = Console(highlight=False)


class Reporter:
    """Takes word of what is under way; on a terminal it moves, elsewhere each piece of work is one line."""

    @contextmanager
    def work(self, what: str) -> Iterator[None]:
        """Work whose length is not known: a clock runs until the block ends."""
        if not console.is_terminal:
            console.print(f"  {what}")
            yield
            return
        with Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
        ) as bar:
            bar.add_task(what, total=None)
            yield

    @contextmanager
    def download(self, what: str) -> Iterator[_Download]:
        """A download: gives an object whose `update(done, total)` takes bytes."""
        if not console.is_terminal:
            console.print(f"  fetching {what}")
            yield _Download(None)
            return
        columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(TextColumn("  fetching {task.description}"), BarColumn(), *columns, console=console) as bar:
            bar.add_task(what, total=None)
            yield _Download(bar)


class _Download:
    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar

    def update(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)

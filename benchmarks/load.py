"""`python -m benchmarks.load`: Locust's users on the served bundle, headless; a page with two plots, and JSON.

The users come one after another over the first half, so that the page shows how far the server follows; the table is
of the second half, when all are there. Without --grpc and --http a server is started here, and stopped at the end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from vitrina_client import Vitrina, VitrinaError

from benchmarks.load_report import Load, read, write
from benchmarks.serving import REPOSITORY, Addresses, bundle, machine

console = Console()
STOP_TIMEOUT = 30  # seconds that the last requests are given


def drive(addresses: Addresses, users: int, seconds: float, max_tokens: int, folder: Path) -> Path:
    """Runs Locust; returns the samples that its users wrote.

    Raises:
        RuntimeError: Locust failed, or nobody asked anything; the end of its log is in the message.
    """
    samples, log = folder / "samples.jsonl", folder / "locust.log"
    command = [sys.executable, "-m", "locust", "-f", str(REPOSITORY / "benchmarks" / "locustfile.py"), "--headless"]
    command += ["--users", str(users), "--spawn-rate", str(users / (seconds * 0.45)), "--run-time", f"{seconds:.0f}s"]
    command += ["--grpc", addresses.grpc, "--http", addresses.http, "--max-tokens", str(max_tokens)]
    # Refused requests are the report's to count: for Locust they are no failure of the run.
    command += ["--samples", str(samples), "--stop-timeout", str(STOP_TIMEOUT), "--exit-code-on-error", "0"]
    samples.unlink(missing_ok=True)
    with log.open("w") as sink:
        locust = subprocess.Popen(command, cwd=REPOSITORY, stdout=sink, stderr=subprocess.STDOUT)
        try:
            _show(locust, seconds)
        finally:
            if locust.poll() is None:
                locust.terminate()
                locust.wait(timeout=STOP_TIMEOUT + 10)
    if locust.returncode != 0 or not samples.exists():
        tail = "".join(log.read_text().splitlines(keepends=True)[-20:])
        raise RuntimeError(f"locust ended with {locust.returncode}:\n{tail}")
    return samples


def _show(locust: subprocess.Popen, seconds: float) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("users ask", total=seconds)
        began = time.monotonic()
        while locust.poll() is None:
            elapsed = time.monotonic() - began
            progress.update(
                bar, completed=elapsed, description="users ask" if elapsed < seconds else "the last answers"
            )
            time.sleep(0.2)


def table(load: Load) -> Table:
    """What the page's table says, for the terminal."""
    shown = Table(
        box=None, title=f"The last {load.window_s:.0f} s, {load.settings['users']} users", header_style="bold"
    )
    for name in ("request", "over", "offered/s", "achieved/s", "failed", "p50 ms", "p95 ms", "p99 ms"):
        shown.add_column(name, justify="left" if name in ("request", "over") else "right", no_wrap=True)
    for row in load.rows:
        offered = "" if row.offered_per_s is None else f"{row.offered_per_s:.2f}"
        times = [f"{row.ms[name]:.0f}" if row.ms else "-" for name in ("p50", "p95", "p99")]
        failed = str(sum(row.failures.values()))
        label = f"  {row.label}" if row.is_part else row.label
        shown.add_row(label, row.protocol, offered, f"{row.achieved_per_s:.2f}", failed, *times)
    return shown


def main(
    users: Annotated[
        int, typer.Option(min=1, help="at the end, a third each of EMBEDDING, TEXT and TEXT stream; default: 4 a core")
    ] = 4 * (os.cpu_count() or 1),
    run_time: Annotated[float, typer.Option(min=4, help="seconds")] = 60,
    max_tokens: Annotated[int, typer.Option(min=1, help="most tokens of a copy")] = 32,
    grpc: Annotated[str, typer.Option(help="host:port of a running server; --http too")] = "",
    http: Annotated[str, typer.Option(help="host:port of a running server; --grpc too")] = "",
    out: Annotated[Path, typer.Option(help="folder for index.html and bench.json")] = REPOSITORY / "out" / "bench",
) -> None:
    """Loads the bundle with Locust and writes a page with two plots, and JSON."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server and the users are stopped then, too
    if bool(grpc) != bool(http):
        raise typer.BadParameter("give both --grpc and --http, or neither")
    out.mkdir(parents=True, exist_ok=True)
    settings = {"users": users, "run_time_s": run_time, "max_tokens": max_tokens}
    try:
        with ExitStack() as stack:
            addresses = Addresses(http=http, grpc=grpc) if grpc else stack.enter_context(bundle())
            for url in (f"grpc://{addresses.grpc}", f"http://{addresses.http}"):
                with Vitrina(url) as vitrina:
                    vitrina.status()
            samples = drive(addresses, users, run_time, max_tokens, out)
        load = read(samples, settings, machine())
    except (RuntimeError, VitrinaError) as error:
        print(f"load: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    page, figures = write(load, out)
    console.print(table(load))
    console.print(f"page  {page}\njson  {figures}", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)

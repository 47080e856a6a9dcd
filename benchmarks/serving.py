"""What the benchmarks share: a server to measure, given or started here, and the figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

REPOSITORY = Path(__file__).resolve().parent.parent
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures here.")]
Url = Annotated[str | None, typer.Option(help="gRPC address of a running server, instead of starting one.")]


@dataclass(frozen=True)
class Addresses:
    """Where a server listens, each ``host:port``."""

    http: str
    grpc: str


@contextmanager
def bundle(*arguments: str) -> Iterator[Addresses]:
    """Runs `python -m server` on free ports until the block ends.

    Args:
        arguments: further flags of `python -m server`.

    Raises:
        RuntimeError: the server ended before it was ready; its last lines are in the message.
    """
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    command = [sys.executable, "-m", "server", *ports, *arguments]
    server = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield _ready(server)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.communicate()


def _ready(server: subprocess.Popen[str]) -> Addresses:
    assert server.stdout is not None
    lines = []
    for line in server.stdout:
        lines.append(line)
        if match := re.match(r"ready\s+http (\S+)\s+grpc (\S+)", line):
            return Addresses(match[1], match[2])
    raise RuntimeError("the server did not become ready:\n" + "".join(lines[-20:]))


@contextmanager
def grpc_address(url: str | None, *arguments: str) -> Iterator[str]:
    """`url`, or the gRPC address of a server that runs with these arguments until the block ends."""
    if url is not None:
        yield url
        return
    with bundle(*arguments) as addresses:
        yield addresses.grpc


def write_json(figures: dict[str, Any], file: Path | None) -> None:
    """Writes figures and the machine they are of, where a file is given."""
    if file is not None:
        file.write_text(json.dumps(figures | {"machine": machine()}, indent=1, ensure_ascii=False) + "\n")


def machine() -> dict[str, str | float]:
    """What a figure was measured on; load is the mean of runnable processes over the last minute."""
    model = next((line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []

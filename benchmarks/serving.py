"""A server to measure: the one at a given address, or one that is started here and stopped afterwards."""

from __future__ import annotations

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

REPOSITORY = Path(__file__).resolve().parent.parent


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


def machine() -> dict[str, str | int]:
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

"""The shared-memory segments of the python stubs: named so that a server's own can be told and taken away.

Triton removes them when it exits in order, and leaves them when it is killed.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")


def unique_prefix(prefix: str) -> str:
    """A prefix that only one server has; the process namespace is in it, since /dev/shm may be shared by containers."""
    return f"{_family(prefix)}{uuid.uuid4().hex[:12]}_"


def remove(prefix: str) -> list[str]:
    """Removes the segments of one server that is gone; their names."""
    return [path.name for path in SHARED_MEMORY.glob(f"{prefix}*") if _unlink(path)]


def remove_stale(prefix: str) -> list[str]:
    """Removes the segments of this user's dead servers of this process namespace; their names.

    A server is alive as long as any process names its prefix: tritonserver and every stub have it in their arguments.
    """
    ours = [path for path in SHARED_MEMORY.glob(f"{_family(prefix)}*") if _owner(path) == os.getuid()]
    if not ours:
        return []
    commands = "\0".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    length = len(unique_prefix(prefix))
    return [path.name for path in ours if path.name[:length] not in commands and _unlink(path)]


def _family(prefix: str) -> str:
    return f"{prefix}_{Path('/proc/self/ns/pid').stat().st_ino}_"


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True

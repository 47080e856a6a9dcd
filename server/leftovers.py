"""What a killed server leaves, named so that it can be told: log, sockets, segments in shared memory, at times a stub.

Triton removes its segments when it exits in order, the launcher its log when it stops. A stub sees that tritonserver
is gone and exits, unless it waits for a lock that tritonserver held when it was killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")
STUB = "triton_python_backend_stub"


def unique_prefix(prefix: str) -> str:
    """A prefix that only one server has; the process namespace is in it, since /dev/shm may be shared by containers."""
    return f"{_family(prefix)}{uuid.uuid4().hex[:12]}_"


def log_path(prefix: str) -> Path:
    """Where a server with this prefix writes its log if it is not told where."""
    return Path(tempfile.gettempdir()) / f"{prefix}triton.log"


def remove(prefix: str) -> list[Path]:
    """Removes what one server left that is gone; the files."""
    return [path for path in _files(prefix) if _unlink(path)]


def remove_stale(prefix: str) -> list[Path]:
    """Removes what this user's dead servers of this process namespace left, orphaned stubs too; the files.

    A server is alive as long as any process names its prefix: tritonserver and every stub have it in their arguments.
    """
    sockets = [folder for folder in _socket_folders() if not psutil.pid_exists(int(folder.name.rpartition("-")[2]))]
    for folder in sockets:
        shutil.rmtree(folder, ignore_errors=True)
    files = [path for path in _files(_family(prefix)) if _owner(path) == os.getuid()]
    if not files:
        return sockets
    orphans = [process for process in psutil.process_iter() if _is_orphan(process, _family(prefix))]
    for orphan in orphans:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.kill()
    psutil.wait_procs(orphans, timeout=5)
    commands = "\0".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    length = len(unique_prefix(prefix))
    return sockets + [path for path in files if path.name[:length] not in commands and _unlink(path)]


def _family(prefix: str) -> str:
    return f"{prefix}_{_namespace()}_"


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _socket_folders() -> Iterator[Path]:
    """Where models of one tritonserver meet (`decoding.link.meeting_place`): its process's number comes last."""
    return Path(tempfile.gettempdir()).glob(f"vitrina-{os.getuid()}-{_namespace()}-*")


def _is_orphan(process: psutil.Process, family: str) -> bool:
    """Whether a process is a stub of ours whose tritonserver is gone."""
    with contextlib.suppress(psutil.Error):
        command = process.cmdline()
        is_stub = bool(command) and Path(command[0]).name == STUB and any(word.startswith(family) for word in command)
        return is_stub and process.uids().real == os.getuid() and not _is_triton(process.parent())
    return False


def _is_triton(process: psutil.Process | None) -> bool:
    return process is not None and process.name() == "tritonserver"


def _files(prefix: str) -> list[Path]:
    return [path for folder in (SHARED_MEMORY, Path(tempfile.gettempdir())) for path in folder.glob(f"{prefix}*")]


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

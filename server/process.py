"""Runs one tritonserver process: its log is read line by line, its end is waited for, its children go with it."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from server.options import REPOSITORY

EXEC = Path(__file__).resolve().parent / "exec_triton.py"
TAIL_LINES = 60
LOG_BYTES = 20_000_000  # then the file turns over once, so that a server that stays up for weeks fills no disk


class Process:
    """tritonserver in a session of its own, so that a terminal's Ctrl-C reaches the launcher alone.

    The thread that starts it also reads its log, and lives until the process ends: the kernel's death signal (see
    exec_triton.py) is tied to the *thread* that forked.

    Args:
        command: binary and arguments.
        environment: of the process and its children.
        log_path: where every line is written.
        on_line: called with each line, on the reading thread.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log_path: Path, on_line: Callable[[str], None]
    ) -> None:
        self._command = [sys.executable, "-S", "-E", str(EXEC), str(os.getpid()), *command]
        self._environment = dict(environment)
        self._log_path = log_path
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._started = threading.Event()
        self._popen: subprocess.Popen[str] | None = None
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="triton", daemon=True)

    def start(self) -> None:
        """Starts it; raises what starting raised."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def pid(self) -> int:
        """Process, process group and session of tritonserver."""
        assert self._popen is not None, "start() comes first"
        return self._popen.pid

    def returncode(self) -> int | None:
        """How it ended: None while it runs, negative for a signal."""
        return self._popen.poll() if self._popen is not None else None

    def tail(self) -> str:
        """The last lines of its log, less the tables of settings."""
        return "\n".join(line for line in self._tail if line and not line.startswith(("|", "+-")))

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Waits for its end; None if the time is over first."""
        assert self._popen is not None, "start() comes first"
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, timeout_s: float) -> bool:
        """Asks it to drain and exit, kills it after `timeout_s`; no process of its session is left.

        Returns:
            Whether it exited by itself in time.
        """
        in_time = True
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            in_time = self.wait(timeout_s) is not None
        self.kill()
        return in_time

    def kill(self) -> None:
        """Kills what is left of its session, and waits until it is gone."""
        if self._popen is None:  # it could not be started
            return
        deadline = time.monotonic() + 10
        while (left := self._members()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=0.2)
        self.wait(10)
        self._thread.join(10)

    def stubs(self) -> dict[int, str]:
        """Process → model, of the living python stubs: their first argument is REPOSITORY/MODEL/VERSION/FILE."""
        found = {}
        for process in self._members():
            with contextlib.suppress(psutil.Error):
                command = process.cmdline()
                if command[0].endswith("triton_python_backend_stub"):
                    found[process.pid] = Path(command[1]).parents[1].name
        return found

    def dead_children(self) -> set[int]:
        """Children of tritonserver that have ended without it taking notice."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid).children()
            return {child.pid for child in children if child.is_running() and child.status() == psutil.STATUS_ZOMBIE}
        return set()

    def _members(self) -> list[psutil.Process]:
        """Living processes of the session: tritonserver and its stubs."""
        members = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    members.append(process)
        return members

    def _run(self) -> None:
        """Starts the process and reads its log to the end."""
        try:
            self._popen = subprocess.Popen(
                self._command,
                cwd=REPOSITORY,  # where the python stubs find `stages` and `decoding`
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            # After the start: a log that no process names is a dead server's (see leftovers.py).
            handler = logging.handlers.RotatingFileHandler(self._log_path, maxBytes=LOG_BYTES, backupCount=1)
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        assert self._popen.stdout is not None
        with contextlib.closing(handler), self._popen.stdout as lines:
            for line in lines:
                line = line.rstrip("\n")
                self._tail.append(line)
                handler.emit(logging.LogRecord("triton", logging.INFO, "", 0, line, None, None))
                # What listens may fail (a closed pipe); if this thread ended, Triton would too.
                with contextlib.suppress(Exception):
                    self._on_line(line)
        self._popen.wait()

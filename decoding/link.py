"""The way from text_collector's process to the engine in text_decoder's: a Unix socket that only this user may open.

Not Triton's own calls between models: concurrent ones to a decoupled model crash its server (24.10), it drops an error
that follows a first response, and it cannot take a call back. Here a caller that goes away frees its places, and a
whole text crosses in one message. Messages are pickles; both ends are stubs of one tritonserver, of one user.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import numpy as np

from decoding.delivery import Delivery
from decoding.engine import Engine
from decoding.request import Delta, Handle, Request
from stages.errors import StageError

log = logging.getLogger("vitrina.decoding")
Fields = Mapping[str, np.ndarray]
CONNECT_S = 10.0


def meeting_place(model: str) -> Path:
    """The socket that two models of one tritonserver, the parent of both their processes, find each other at.

    What a killed tritonserver leaves of it, the next start removes (`server.leftovers`).
    """
    namespace = Path("/proc/self/ns/pid").stat().st_ino  # containers may share the folder
    return Path(tempfile.gettempdir()) / f"vitrina-{os.getuid()}-{namespace}-{os.getppid()}" / f"{model}.sock"


class LinkServer:
    """Takes requests for whole texts from the socket.

    Args:
        path: of the socket; its folder is made, for this user alone.
        engine, delivery: that do the work.
        read: the fields of a request, each without its batch axis, as a checked request.

    Raises:
        RuntimeError: the folder is another user's.
    """

    def __init__(self, path: Path, engine: Engine, delivery: Delivery, read: Callable[[Fields], Request]) -> None:
        self._path, self._engine, self._delivery, self._read = path, engine, delivery, read
        path.parent.mkdir(mode=0o700, exist_ok=True)
        owner = path.parent.stat()
        if owner.st_uid != os.getuid() or owner.st_mode & 0o077:
            raise RuntimeError(f"{path.parent} is open to other users; remove it and start again")
        path.unlink(missing_ok=True)
        self._listener = Listener(str(path), "AF_UNIX")
        self._closing = False
        self._accepting = threading.Thread(target=self._accept, name="link-accept", daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Takes no more connections and removes the socket; requests under way still end."""
        self._closing = True
        with contextlib.suppress(OSError):  # wakes the accepting thread, which closing alone does not
            Client(str(self._path), "AF_UNIX").close()
        self._accepting.join()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another model's socket may still lie there
            self._path.parent.rmdir()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:  # whoever knocked has gone again
                continue
            if self._closing:
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), name="link", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        """Reads one connection until its other end closes, then cancels what it had asked for."""
        handles: dict[int, Handle] = {}
        sending = threading.Lock()

        def send(key: int, message: Delta | StageError) -> None:
            handles.pop(key, None)
            said: object = message
            if isinstance(message, StageError):
                said = message.code, message.field, message.message
            with sending, contextlib.suppress(OSError):  # the caller went away; `_serve` has cancelled the rest
                connection.send((key, said))

        while True:
            try:
                key, fields = connection.recv()
            except (EOFError, OSError):
                break
            if fields is None:
                if handle := handles.get(key):
                    handle.cancel()
                continue
            try:
                handle = self._engine.submit(self._read(fields), self._delivery.notify)
            except StageError as error:
                send(key, error)
            except Exception as error:
                log.exception("a request could not be read")
                send(key, StageError("internal", "-", f"{type(error).__name__}: {error}"))
            else:
                handles[key] = handle
                self._delivery.add(handle, partial(send, key), lambda: False, whole=True)
        for handle in list(handles.values()):
            handle.cancel()
        with sending:  # closed under a send, its number could be a new connection's before the bytes are written
            connection.close()


class Link:
    """The asking end. Thread-safe; connects when first asked, and again after the other end has gone.

    Args:
        path: of the socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._pending: dict[int, Future[Delta]] = {}
        self._next = 0

    def ask(self, fields: Fields) -> tuple[int, Future[Delta]]:
        """Asks for one text.

        Args:
            fields: a request's tensors by name, each without its batch axis.

        Returns:
            The key to cancel it by, and its whole text to come; the future fails with StageError.

        Raises:
            StageError: internal; the decoder cannot be reached.
        """
        with self._lock:
            connection = self._connect()
            key = self._next
            future: Future[Delta] = Future()
            self._next += 1
            self._pending[key] = future
            self._send(connection, (key, dict(fields)))
        return key, future

    def cancel(self, key: int) -> None:
        """Frees the place of a request; its future then fails with `cancelled`, if it has not ended."""
        with self._lock:
            if self._connection is not None and key in self._pending:
                self._send(self._connection, (key, None))

    def close(self) -> None:
        """Cancels what is under way; its futures fail."""
        with self._lock:
            if self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as end:
                    end.shutdown(socket.SHUT_RDWR)  # wakes the reading thread, which closing alone does not

    def _send(self, connection: Connection, message: object) -> None:
        with contextlib.suppress(OSError):  # the reading thread sees it too, and fails every pending future
            connection.send(message)

    def _connect(self) -> Connection:
        if self._connection is not None:
            return self._connection
        until = time.monotonic() + CONNECT_S
        while True:
            try:
                self._connection = Client(str(self._path), "AF_UNIX")
                break
            except OSError as error:
                if time.monotonic() > until:
                    said = f"the text decoder does not answer ({error}); load model text_decoder beside text_collector"
                    raise StageError("internal", "-", said) from error
                time.sleep(0.05)
        threading.Thread(target=self._read, args=(self._connection,), name="link-read", daemon=True).start()
        return self._connection

    def _read(self, connection: Connection) -> None:
        while True:
            try:
                key, message = connection.recv()
            except (EOFError, OSError):
                break
            with self._lock:
                future = self._pending.pop(key)
            if isinstance(message, Delta):
                future.set_result(message)
            else:
                future.set_exception(StageError(*message))
        with self._lock:
            self._connection = None
            connection.close()
            lost, self._pending = self._pending, {}
        for future in lost.values():
            future.set_exception(StageError("internal", "-", "the text decoder went away before the text was whole"))

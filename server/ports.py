"""Keeps the ports of a server from the moment they are chosen until Triton listens on them."""

from __future__ import annotations

import errno
import socket

import psutil

from server.errors import ServerFailed


class Ports:
    """Three bound, not listening sockets: nobody else is given their ports, and Triton can still bind them.

    Two sockets with SO_REUSEADDR may share a port as long as neither listens (socket(7)); tritonserver sets it on all
    three of its listeners. A free port is bound without it first, so that two launchers are never given the same one.

    Args:
        host: address or name of this machine; tritonserver takes numbers only, so `address` is what it is told.
        wanted: purpose (``"http"``) → port, 0 for a free one.

    Raises:
        ServerFailed: a port is taken (by whom, if that can be seen) or the address is not this machine's.
    """

    def __init__(self, host: str, wanted: dict[str, int]) -> None:
        try:
            self.address = socket.gethostbyname(host)
        except OSError as error:
            raise ServerFailed(f"Host {host!r} has no IPv4 address: {error}.", "give 127.0.0.1 or 0.0.0.0") from error
        self.number: dict[str, int] = {}
        self._sockets: list[socket.socket] = []
        try:
            for purpose, port in wanted.items():
                self.number[purpose] = self._hold(self.address, purpose, port)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Lets go of the ports; called when Triton listens, or will not."""
        for holder in self._sockets:
            holder.close()
        self._sockets.clear()

    def _hold(self, address: str, purpose: str, port: int) -> int:
        holder = socket.socket()
        self._sockets.append(holder)
        if port:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = f"The {purpose} port {port} on {address} is taken{_taken_by(port)}."
                raise ServerFailed(reason, f"stop that process, or give --{purpose}-port 0 for a free one") from error
            reason = f"The {purpose} server cannot listen on {address}:{port}: {error.strerror or error}."
            raise ServerFailed(reason, "give an address of this machine with --host, and a port above 1023") from error
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return int(holder.getsockname()[1])


def _taken_by(port: int) -> str:
    """Who listens on the port, if this user may see it: `` by tritonserver (pid 12)``."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:  # not ours to look at, or gone by now
        pass
    return ""

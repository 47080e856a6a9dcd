"""HTTP, with plain calls and with asyncio: what `_flows.Transport` asks for, over pooled connections.

tritonclient's own HTTP client is for one thread alone and reads no event streams; its wire format is used, its
connections are not.
"""

from __future__ import annotations

import asyncio
import io
import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import urllib3

from vitrina_client import _wire_http as wire
from vitrina_client._errors import Cancelled, VitrinaError, disconnected, not_connected, unless_task_cancelled
from vitrina_client._requests import Request
from vitrina_client._timeout import Deadline, Timeout
from vitrina_client._types import Array

CHUNK = 65536
POOLED = 64  # idle connections kept


class HttpTransport:
    """Plain calls; threads may share it."""

    def __init__(self, address: str, timeout: Timeout) -> None:
        self._address = address
        self._connect = timeout.connect
        host, _, port = address.rpartition(":")
        self._pool = urllib3.HTTPConnectionPool(host, int(port), maxsize=POOLED, retries=False)

    def infer(self, request: Request, deadline: Deadline) -> Mapping[str, Array]:
        exchange = wire.infer(request, deadline.left(request.model))
        response = self._exchange(exchange, deadline, request.model)
        return wire.arrays(response.status, response.headers, response.data, request)

    def open(self, request: Request, deadline: Deadline) -> HttpStream:
        return HttpStream(self._address, self._connect, request)

    def ask(self, what: str, deadline: Deadline) -> dict[str, Any]:
        response = self._exchange(wire.QUESTIONS[what], deadline, None)
        return wire.answer(what, response.status, response.data)

    def read(self, path: str | os.PathLike[str]) -> bytes:
        return Path(path).read_bytes()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self._pool.close()

    def _exchange(self, exchange: wire.Exchange, deadline: Deadline, model: str | None) -> urllib3.BaseHTTPResponse:
        left = deadline.left(model)
        try:
            return self._pool.urlopen(
                exchange.method,
                exchange.path,
                body=exchange.body,
                headers=exchange.headers,
                timeout=urllib3.Timeout(connect=_shorter(left, self._connect), read=left),
            )
        except (urllib3.exceptions.HTTPError, OSError) as failure:
            raise _error(failure, self._address, deadline, model) from failure


class HttpStream:
    """The events of one request; it is sent when the first is awaited.

    On a connection of its own, because a pooled one can't be closed by another thread while the answer is awaited.
    """

    def __init__(self, address: str, connect: float | None, request: Request) -> None:
        self._address = address
        self._connect = connect
        self._request = request
        self._events = wire.Events(request)
        self._ready: deque[Mapping[str, Array] | VitrinaError] = deque()
        host, _, port = address.rpartition(":")
        self._connection = urllib3.connection.HTTPConnection(host, int(port))
        self._response: urllib3.BaseHTTPResponse | None = None
        self._cancelled = False

    def receive(self, deadline: Deadline) -> Mapping[str, Array] | None:
        model = self._request.model
        try:
            if self._response is None:
                self._response = self._begin(deadline)
            while not self._ready:
                self._wait_until(deadline)
                data = self._response.read1(CHUNK)
                if not data:
                    self._connection.close()
                    return None
                self._ready.extend(self._events.feed(data))
        # Closed under a waiting thread, the connection raises what it will: a missing socket, a closed file.
        except (urllib3.exceptions.HTTPError, OSError, AttributeError, ValueError) as failure:
            if self._cancelled:
                raise Cancelled("the stream was closed", model=model) from failure
            raise _error(failure, self._address, deadline, model) from failure
        return _given(self._ready.popleft())

    def cancel(self) -> None:
        """Closes the connection, by which the server knows."""
        self._cancelled = True
        if (connected := self._connection.sock) is not None:
            with suppress(OSError):  # the other side was faster
                connected.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits in it, which closing does not
        self._connection.close()

    def _begin(self, deadline: Deadline) -> urllib3.BaseHTTPResponse:
        exchange = wire.stream(self._request)
        self._connection.timeout = _shorter(deadline.left(self._request.model), self._connect)
        self._connection.connect()
        self._connection.timeout = deadline.left(self._request.model)  # of the head of the answer
        self._connection.request(
            exchange.method, exchange.path, body=exchange.body, headers=exchange.headers, preload_content=False
        )
        response = self._connection.getresponse()
        if response.status != 200:
            raise wire.error(response.status, response.read(), self._request.model)
        return response

    def _wait_until(self, deadline: Deadline) -> None:
        self._connection.sock.settimeout(deadline.left(self._request.model))


def _shorter(one: float | None, other: float | None) -> float | None:
    return min((seconds for seconds in (one, other) if seconds is not None), default=None)


def _error(failure: Exception, address: str, deadline: Deadline, model: str | None) -> VitrinaError:
    """Our error for one of urllib3's."""
    if isinstance(failure, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.NewConnectionError):
        return not_connected(address, str(failure).rsplit(": ", 1)[-1], model)
    if isinstance(failure, urllib3.exceptions.TimeoutError | TimeoutError):
        return deadline.passed(model)
    return disconnected(address, str(failure) or type(failure).__name__, model)


class AsyncHttpTransport:
    """The same for asyncio; belongs to the loop it was made in."""

    def __init__(self, address: str, timeout: Timeout) -> None:
        self._address = address
        self._connect = timeout.connect
        # No limit on connections: waiting for one here would eat the caller's time unseen.
        self._session = aiohttp.ClientSession(f"http://{address}", connector=aiohttp.TCPConnector(limit=0))

    async def infer(self, request: Request, deadline: Deadline) -> Mapping[str, Array]:
        exchange = wire.infer(request, deadline.left(request.model))
        response, body = await self._whole(exchange, deadline, request.model)
        return wire.arrays(response.status, response.headers, body, request)

    async def open(self, request: Request, deadline: Deadline) -> AsyncHttpStream:
        return AsyncHttpStream(self, request)

    async def ask(self, what: str, deadline: Deadline) -> dict[str, Any]:
        response, body = await self._whole(wire.QUESTIONS[what], deadline, None)
        return wire.answer(what, response.status, body)

    async def read(self, path: str | os.PathLike[str]) -> bytes:
        return await asyncio.to_thread(Path(path).read_bytes)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self._session.close()

    async def _whole(
        self, exchange: wire.Exchange, deadline: Deadline, model: str | None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        try:
            async with asyncio.timeout(deadline.left(model)):
                response = await self.begin(exchange)
                return response, await response.read()
        except (aiohttp.ClientError, OSError) as failure:
            raise self.error(failure, deadline, model) from failure

    async def begin(self, exchange: wire.Exchange) -> aiohttp.ClientResponse:
        # The deadline is asyncio's to keep, around this; aiohttp's own default of five minutes is not wanted.
        return await self._session.request(
            exchange.method,
            exchange.path,
            data=None
            if exchange.body is None
            else io.BytesIO(exchange.body),  # written in chunks, the loop free between
            headers=exchange.headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect),
        )

    def error(self, failure: Exception, deadline: Deadline, model: str | None) -> VitrinaError:
        """Our error for one of aiohttp's."""
        if isinstance(failure, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            reason = getattr(failure, "strerror", None) or str(failure)
            return not_connected(self._address, str(reason), model)
        if isinstance(failure, TimeoutError):
            return deadline.passed(model)
        return disconnected(self._address, str(failure) or type(failure).__name__, model)


class AsyncHttpStream:
    """The events of one request; it is sent when the first is awaited."""

    def __init__(self, transport: AsyncHttpTransport, request: Request) -> None:
        self._transport = transport
        self._request = request
        self._events = wire.Events(request)
        self._ready: deque[Mapping[str, Array] | VitrinaError] = deque()
        self._response: aiohttp.ClientResponse | None = None
        self._waiting: asyncio.Future[Mapping[str, Array] | None] | None = None

    async def receive(self, deadline: Deadline) -> Mapping[str, Array] | None:
        model = self._request.model
        self._waiting = asyncio.ensure_future(self._next())
        try:
            async with asyncio.timeout(deadline.left(model)):
                return await self._waiting
        except asyncio.CancelledError:
            unless_task_cancelled(model)
            raise
        except (aiohttp.ClientError, OSError) as failure:
            raise self._transport.error(failure, deadline, model) from failure

    def cancel(self) -> None:
        """Closes the connection, by which the server knows."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._response is not None:
            self._response.close()

    async def _next(self) -> Mapping[str, Array] | None:
        if self._response is None:
            self._response = await self._transport.begin(wire.stream(self._request))
            if self._response.status != 200:
                raise wire.error(self._response.status, await self._response.read(), self._request.model)
        while not self._ready:
            data = await self._response.content.readany()
            if not data:
                self._response.release()
                return None
            self._ready.extend(self._events.feed(data))
        return _given(self._ready.popleft())


def _given(said: Mapping[str, Array] | VitrinaError) -> Mapping[str, Array]:
    if isinstance(said, VitrinaError):
        raise said
    return said

"""HTTP, with plain calls and with asyncio: what `_flows.Transport` asks for, over pooled connections.

tritonclient's own HTTP client is for one thread alone and reads no event streams; its wire format is used, its
connections are not.
"""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import urllib3

from vitrina_client import _wire_http as wire
from vitrina_client._errors import Cancelled, VitrinaError, disconnected, not_connected
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
        response = self._begin(exchange, deadline, request.model)
        body = self._rest(response, deadline, request.model)
        return wire.arrays(response.status, response.headers, body, request)

    def open(self, request: Request, deadline: Deadline) -> HttpStream:
        return HttpStream(self, request, deadline)

    def ask(self, what: str, deadline: Deadline) -> dict[str, Any]:
        response = self._begin(wire.QUESTIONS[what], deadline, None)
        return wire.answer(what, response.status, self._rest(response, deadline, None))

    def read(self, path: str | os.PathLike[str]) -> bytes:
        return Path(path).read_bytes()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self._pool.close()

    def _begin(self, exchange: wire.Exchange, deadline: Deadline, model: str | None) -> urllib3.BaseHTTPResponse:
        """Sends and waits for the head of the answer."""
        left = deadline.left(model)
        connect = min((value for value in (left, self._connect) if value is not None), default=None)
        try:
            return self._pool.urlopen(
                exchange.method,
                exchange.path,
                body=exchange.body,
                headers=exchange.headers,
                timeout=urllib3.Timeout(connect=connect, read=left),
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as failure:
            raise self.error(failure, deadline, model) from failure

    def _rest(self, response: urllib3.BaseHTTPResponse, deadline: Deadline, model: str | None) -> bytes:
        try:
            return response.read()
        except (urllib3.exceptions.HTTPError, OSError) as failure:
            raise self.error(failure, deadline, model) from failure
        finally:
            response.release_conn()

    def error(self, failure: Exception, deadline: Deadline, model: str | None) -> VitrinaError:
        """Our error for one of urllib3's."""
        if isinstance(failure, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.NewConnectionError):
            return not_connected(self._address, str(failure).rsplit(": ", 1)[-1], model)
        if isinstance(failure, urllib3.exceptions.TimeoutError | TimeoutError):
            return deadline.passed(model)
        return disconnected(self._address, str(failure), model)


class HttpStream:
    """The events of one request; it is sent when the first is awaited."""

    def __init__(self, transport: HttpTransport, request: Request, deadline: Deadline) -> None:
        self._transport = transport
        self._request = request
        self._deadline = deadline
        self._events = wire.Events(request)
        self._ready: deque[Mapping[str, Array]] = deque()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._cancelled = False

    def receive(self, deadline: Deadline) -> Mapping[str, Array] | None:
        model = self._request.model
        if self._response is None:
            self._response = self._transport._begin(wire.stream(self._request), deadline, model)
            if self._response.status != 200:
                body = self._transport._rest(self._response, deadline, model)
                raise wire.error(self._response.status, body, model)
        while not self._ready:
            data = self._chunk(self._response, deadline)
            if not data:
                self._response.release_conn()
                return None
            self._ready.extend(self._events.feed(data))
        return self._ready.popleft()

    def cancel(self) -> None:
        """Closes the connection, by which the server knows."""
        self._cancelled = True
        if self._response is not None:
            with suppress(OSError, ValueError, RuntimeError):  # it has ended already
                self._response.shutdown()  # wakes a thread that waits in it, which closing does not
            self._response.close()

    def _chunk(self, response: urllib3.BaseHTTPResponse, deadline: Deadline) -> bytes:
        if self._cancelled:
            response.close()
            raise Cancelled("the stream was closed", model=self._request.model)
        connection = response.connection
        if isinstance(connection, urllib3.connection.HTTPConnection) and connection.sock is not None:
            connection.sock.settimeout(deadline.left(self._request.model))
        try:
            return response.read1(CHUNK)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as failure:
            if self._cancelled:
                raise Cancelled("the stream was closed", model=self._request.model) from failure
            raise self._transport.error(failure, deadline, self._request.model) from failure


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
                response = await self._begin(exchange)
                return response, await response.read()
        except (aiohttp.ClientError, OSError) as failure:
            raise self.error(failure, deadline, model) from failure

    async def _begin(self, exchange: wire.Exchange) -> aiohttp.ClientResponse:
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
        self._ready: deque[Mapping[str, Array]] = deque()
        self._response: aiohttp.ClientResponse | None = None
        self._cancelled = False

    async def receive(self, deadline: Deadline) -> Mapping[str, Array] | None:
        model = self._request.model
        try:
            async with asyncio.timeout(deadline.left(model)):
                return await self._next()
        except (aiohttp.ClientError, OSError) as failure:
            if self._cancelled:
                raise Cancelled("the stream was closed", model=model) from failure
            raise self._transport.error(failure, deadline, model) from failure

    def cancel(self) -> None:
        """Closes the connection, by which the server knows."""
        self._cancelled = True
        if self._response is not None:
            self._response.close()

    async def _next(self) -> Mapping[str, Array] | None:
        if self._response is None:
            self._response = await self._transport._begin(wire.stream(self._request))
            if self._response.status != 200:
                raise wire.error(self._response.status, await self._response.read(), self._request.model)
        while not self._ready:
            data = await self._response.content.readany()
            if not data:
                self._response.release()
                return None
            self._ready.extend(self._events.feed(data))
        return self._ready.popleft()

"""gRPC, with plain calls and with asyncio: what `_flows.Transport` asks for, over one channel each.

A call for one answer is never cancelled: it has no deadline of gRPC's own, is left alone when ours passes, and runs to
its end when the client closes. Triton can die of a cancelled request to an ensemble, and everybody's requests with it
(triton-inference-server/core#483). The request itself tells the server how long it may take. A stream talks to a model,
not to an ensemble, and may be cancelled.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from vitrina_client import _wire_grpc as wire
from vitrina_client._errors import ClientClosed, VitrinaError, unless_task_cancelled
from vitrina_client._requests import Request
from vitrina_client._timeout import Deadline, Timeout
from vitrina_client._types import Array


class _Calls:
    """The calls under way on a channel, which closes when it is told to and the last one for one answer has ended.

    It holds those, for one that nothing holds any more cancels itself; a stream that nobody holds should do so.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._close_channel = close
        self._single: set[Any] = set()
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self._closed = False

    def single(self, begin: Callable[[], Any]) -> Any:
        self._refuse_closed()
        call = begin()
        self._single.add(call)
        call.add_done_callback(self._ended)
        return call

    def stream(self, begin: Callable[[], Any]) -> Any:
        self._refuse_closed()
        call = begin()
        self._streams.add(call)
        return call

    def close(self) -> None:
        self._closed = True
        for call in tuple(self._streams):
            call.cancel()
        if not self._single:
            self._close_channel()

    def _ended(self, call: Any) -> None:
        self._single.discard(call)
        if self._closed and not self._single:
            self._close_channel()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClientClosed("the client was closed before this call's next step")


class GrpcTransport:
    """Plain calls; threads may share it."""

    def __init__(self, address: str, timeout: Timeout) -> None:
        self._address = address
        self._channel = grpc.insecure_channel(address, options=wire.channel_options(timeout))
        self._stub = GRPCInferenceServiceStub(self._channel)
        self._calls = _Calls(self._channel.close)

    def infer(self, request: Request, deadline: Deadline) -> Mapping[str, Array]:
        left = deadline.left(request.model)
        call = self._calls.single(lambda: self._stub.ModelInfer.future(wire.message(request, left)))
        try:
            response = call.result(left)
        except grpc.FutureTimeoutError as passed:
            raise deadline.passed(request.model) from passed
        except grpc.RpcError as failure:
            raise wire.error(failure, self._address, deadline, request.model) from failure
        return wire.arrays(response, request)

    def open(self, request: Request, deadline: Deadline) -> GrpcStream:
        left = deadline.left(request.model)
        call = self._calls.stream(
            lambda: self._stub.ModelStreamInfer(iter([wire.message(request, left)]), timeout=left)
        )
        return GrpcStream(call, self._address, request, deadline)

    def ask(self, what: str, deadline: Deadline) -> dict[str, Any]:
        method, question = wire.QUESTIONS[what]
        try:
            return wire.answer(getattr(self._stub, method)(question, timeout=deadline.left()))
        except grpc.RpcError as failure:
            raise wire.error(failure, self._address, deadline, None) from failure

    def read(self, path: str | os.PathLike[str]) -> bytes:
        return Path(path).read_bytes()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self._calls.close()


class GrpcStream:
    """The answers to one request."""

    def __init__(self, call: Any, address: str, request: Request, deadline: Deadline) -> None:
        self._call = call
        self._address = address
        self._request = request
        self._deadline = deadline  # the one that gRPC keeps for the whole call

    def receive(self, deadline: Deadline) -> Mapping[str, Array] | None:
        # gRPC has one deadline a call; an earlier one, for the first answer alone, takes a timer.
        left = deadline.left(self._request.model) if deadline.end < self._deadline.end else None
        timer = None if left is None else threading.Timer(left, self._call.cancel)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            said = wire.streamed(next(self._call), self._request)
            if isinstance(said, VitrinaError):
                next(self._call, None)  # the stream ends after an error; read so far, it needs no cancelling
                raise said
            return said
        except StopIteration:
            return None
        except grpc.RpcError as failure:
            if left is not None and failure.code() is grpc.StatusCode.CANCELLED:
                deadline.left(self._request.model)  # raises if it was the timer
            raise wire.error(failure, self._address, self._deadline, self._request.model) from failure
        finally:
            if timer is not None:
                timer.cancel()

    def cancel(self) -> None:
        self._call.cancel()


class AsyncGrpcTransport:
    """The same for asyncio; belongs to the loop it was made in."""

    def __init__(self, address: str, timeout: Timeout) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address, options=wire.channel_options(timeout))
        self._stub = GRPCInferenceServiceStub(self._channel)
        self._calls = _Calls(self._close_channel)
        self._closing: asyncio.Future[None] | None = None

    async def infer(self, request: Request, deadline: Deadline) -> Mapping[str, Array]:
        left = deadline.left(request.model)
        call = self._calls.single(lambda: asyncio.ensure_future(self._stub.ModelInfer(wire.message(request, left))))
        call.add_done_callback(_heard)
        if not (await asyncio.wait({call}, timeout=left))[0]:
            raise deadline.passed(request.model)
        try:
            response = call.result()
        except asyncio.CancelledError:
            unless_task_cancelled(request.model)
            raise
        except grpc.RpcError as failure:
            raise wire.error(failure, self._address, deadline, request.model) from failure
        return wire.arrays(response, request)

    async def open(self, request: Request, deadline: Deadline) -> AsyncGrpcStream:
        left = deadline.left(request.model)
        call = self._calls.stream(
            lambda: self._stub.ModelStreamInfer(iter([wire.message(request, left)]), timeout=left)
        )
        return AsyncGrpcStream(call, self._address, request, deadline)

    async def ask(self, what: str, deadline: Deadline) -> dict[str, Any]:
        method, question = wire.QUESTIONS[what]
        try:
            return wire.answer(await getattr(self._stub, method)(question, timeout=deadline.left()))
        except grpc.RpcError as failure:
            raise wire.error(failure, self._address, deadline, None) from failure

    async def read(self, path: str | os.PathLike[str]) -> bytes:
        return await asyncio.to_thread(Path(path).read_bytes)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        self._calls.close()
        if self._closing is not None:
            await self._closing

    def _close_channel(self) -> None:
        self._closing = asyncio.ensure_future(self._channel.close())


class AsyncGrpcStream:
    """The answers to one request."""

    def __init__(self, call: Any, address: str, request: Request, deadline: Deadline) -> None:
        self._call = call
        self._address = address
        self._request = request
        self._deadline = deadline

    async def receive(self, deadline: Deadline) -> Mapping[str, Array] | None:
        left = deadline.left(self._request.model) if deadline.end < self._deadline.end else None
        try:
            async with asyncio.timeout(left):
                response = await self._call.read()
                if response is grpc.aio.EOF:
                    return None
                said = wire.streamed(response, self._request)
                if isinstance(said, VitrinaError):
                    await self._call.read()  # as above
                    raise said
                return said
        except asyncio.CancelledError:
            unless_task_cancelled(self._request.model)
            raise
        except TimeoutError as passed:
            raise deadline.passed(self._request.model) from passed
        except grpc.RpcError as failure:
            raise wire.error(failure, self._address, self._deadline, self._request.model) from failure

    def cancel(self) -> None:
        self._call.cancel()


def _heard(call: asyncio.Future[Any]) -> None:
    """Takes note of how a call ended that nobody awaits any more, of which asyncio would complain."""
    if not call.cancelled():
        call.exception()

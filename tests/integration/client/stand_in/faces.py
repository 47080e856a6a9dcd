"""The client's faces behind one: whichever of sync or async, gRPC or HTTP, tests make the same plain calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from vitrina_client import AsyncVitrina, Vitrina


class Awaited:
    """`AsyncVitrina` with the calls of `Vitrina`, in an event loop of its own."""

    def __init__(self, url: str, **settings) -> None:
        self._loop = asyncio.Runner()
        self._client = AsyncVitrina(url, **settings)

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._loop.run(self._client.close())
        self._loop.close()

    def __getattr__(self, name: str):
        call = getattr(self._client, name)
        return lambda *args, **options: self._loop.run(call(*args, **options))

    def stream(self, *args, **options) -> AwaitedStream:
        return AwaitedStream(self._loop, self._client.stream(*args, **options))

    def iter_results(self, *args, **options) -> AwaitedStream:
        return AwaitedStream(self._loop, self._client.iter_results(*args, **options))


class AwaitedStream(Iterator):
    """`AsyncTextStream`, or results as they come, with plain calls."""

    def __init__(self, loop: asyncio.Runner, stream) -> None:
        self._loop = loop
        self._stream = stream

    def __enter__(self) -> AwaitedStream:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __next__(self):
        async def following():
            return await anext(self._stream, None)

        came = self._loop.run(following())
        if came is None:
            raise StopIteration
        return came

    def close(self) -> None:
        self._loop.run(self._stream.close())

    @property
    def tags(self):
        return self._stream.tags


FACES = {
    "grpc": ("grpc", Vitrina),
    "http": ("http", Vitrina),
    "grpc-async": ("grpc", Awaited),
    "http-async": ("http", Awaited),
}

"""Texts that come piece by piece, plain and awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Self

from vitrina_client import _steps as steps
from vitrina_client._steps import StreamState
from vitrina_client._types import Piece, Tag


class TextStream(Iterator[Piece]):
    """Pieces of text as they come. Leaving the ``with`` block, or :meth:`close`, ends the work on the server.

    Attributes:
        tags: of the product; there once the first piece is.
    """

    def __init__(self, flow: steps.Stream, state: StreamState, transport: Any) -> None:
        self._flow = flow
        self._state = state
        self._transport = transport

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def tags(self) -> tuple[Tag, ...] | None:
        return self._state.tags

    def __next__(self) -> Piece:
        if self._state.closed:
            raise StopIteration
        step = next(self._flow)
        while not isinstance(step, Piece):
            try:
                answer = step(self._transport)
            except Exception as error:
                step = self._flow.throw(error)
            except BaseException:
                self.close()
                raise
            else:
                step = self._flow.send(answer)
        return step

    def close(self) -> None:
        """Ends the stream; another thread that awaits a piece gets :class:`Cancelled`. Harmless when it has ended."""
        self._state.close()


class AsyncTextStream(AsyncIterator[Piece]):
    """:class:`TextStream` for asyncio."""

    def __init__(self, flow: steps.Stream, state: StreamState, connected: Callable[[], Any]) -> None:
        self._flow = flow
        self._state = state
        self._connected = connected

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def tags(self) -> tuple[Tag, ...] | None:
        return self._state.tags

    async def __anext__(self) -> Piece:
        if self._state.closed:
            raise StopAsyncIteration
        transport = self._connected()
        try:
            step = next(self._flow)
            while not isinstance(step, Piece):
                try:
                    answer = await step(transport)
                except Exception as error:
                    step = self._flow.throw(error)
                except BaseException:
                    await self.close()
                    raise
                else:
                    step = self._flow.send(answer)
        except StopIteration:
            raise StopAsyncIteration from None
        return step

    async def close(self) -> None:
        """See :meth:`TextStream.close`."""
        self._state.close()

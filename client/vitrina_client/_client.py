"""`Vitrina` and `AsyncVitrina`: the calls of `_calls`, plain and awaited. What a call does stands in `_flows`."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from vitrina_client import _calls as calls
from vitrina_client import _flows as flows
from vitrina_client._errors import ClientClosed, VitrinaError
from vitrina_client._options import TextOptions
from vitrina_client._requests import check_options
from vitrina_client._results import Name, Work, plan
from vitrina_client._steps import CallPolicy, Flow, StreamState, T
from vitrina_client._streams import AsyncTextStream, TextStream
from vitrina_client._timeout import Timeout
from vitrina_client._types import Array, Aspect, Background, Output, Product, Result

P = ParamSpec("P")
M = TypeVar("M", bound=Callable[..., Any])
DEFAULT_PORTS = {"grpc": 8001, "http": 8000}


def parse_url(url: str) -> tuple[str, str]:
    """(scheme, ``host:port``) of a server's URL; the scheme is grpc where there is none."""
    scheme, _, address = url.rpartition("://")
    scheme = scheme or "grpc"
    address = address.rstrip("/")
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"{url!r}: expected grpc://host:port or http://host:port")
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):  # no port, or the colons of a bare [::1]
        host, port = address, str(DEFAULT_PORTS[scheme])
    if not host or not port.isdecimal() or "/" in host:
        raise ValueError(f"{url!r}: expected grpc://host:port or http://host:port")
    return scheme, f"{host}:{port}"


class _Client:
    """What both clients are made with."""

    def __init__(self, url: str, *, timeout: Timeout | None = None, retries: int = 2) -> None:
        self._scheme, self._address = parse_url(url)
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ValueError(f"retries={retries!r}: expected 0 or more")
        self._timeout = timeout or Timeout()
        self._retries = retries
        self._transport: Any = None
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self._scheme}://{self._address}', timeout={self._timeout!r})"

    def policy(self, timeout: Timeout | None) -> CallPolicy:
        """How patient a call is."""
        if self._closed:
            raise ClientClosed(f"{self!r} was closed; make a new one")
        return CallPolicy(timeout or self._timeout, self._retries)


def _sync_method(call: Callable[Concatenate[calls.Client, P], Flow[T]]) -> Callable[Concatenate[Vitrina, P], T]:
    """A call as a method that waits for its answer."""

    @functools.wraps(call)
    def method(client: Vitrina, /, *args: P.args, **options: P.kwargs) -> T:
        return client._run(call(client, *args, **options))

    return _with_signature(method, call)


def _async_method(
    call: Callable[Concatenate[calls.Client, P], Flow[T]],
) -> Callable[Concatenate[AsyncVitrina, P], Coroutine[Any, Any, T]]:
    """A call as a method that is awaited."""

    @functools.wraps(call)
    async def method(client: AsyncVitrina, /, *args: P.args, **options: P.kwargs) -> T:
        return await client._run(call(client, *args, **options))

    return _with_signature(method, call)


def _with_signature(method: M, call: Callable[..., Any]) -> M:
    """The method with the call's signature, in which the answer stands for the flow to it."""
    signature = inspect.signature(call)
    answer = str(signature.return_annotation).removeprefix("Flow[").removesuffix("]")
    first, *rest = signature.parameters.values()
    first = first.replace(name="self", annotation=first.empty)
    vars(method)["__signature__"] = signature.replace(parameters=[first, *rest], return_annotation=answer)
    return method


class Vitrina(_Client):
    """A connection to a Vitrina server, for plain code and for threads, which may share one.

    Args:
        url: ``grpc://host:port`` (also without the scheme; port 8001 if left out) or ``http://host:port`` (8000).
        timeout: limits of every call that brings none of its own.
        retries: how often a call that left nothing behind on the server (no connection, queue full) is tried
            again, with growing pauses, within its time. A stream is never tried again after its first piece.

    Every call raises a :class:`~vitrina_client.VitrinaError`; the tree stands in `_errors`. With gevent, call
    ``monkey.patch_all()``, and for gRPC ``grpc.experimental.gevent.init_gevent()`` too, before making a client.

        with Vitrina("grpc://localhost:8001") as vitrina:
            print(vitrina.generate(Product(title="Enamel mug", image="mug.jpg")).text)
    """

    def __init__(self, url: str, *, timeout: Timeout | None = None, retries: int = 2) -> None:
        super().__init__(url, timeout=timeout, retries=retries)
        if self._scheme == "grpc":
            from vitrina_client._transport_grpc import GrpcTransport as Transport
        else:
            from vitrina_client._transport_http import HttpTransport as Transport  # type: ignore[assignment]
        self._transport = Transport(self._address, self._timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Refuses further calls. Those in flight run to their end, but streams over gRPC raise :class:`Cancelled`."""
        self._closed = True
        self._transport.close()

    generate = _sync_method(calls.generate)
    embed = _sync_method(calls.embed)
    variants = _sync_method(calls.variants)
    check = _sync_method(calls.check)
    read_label = _sync_method(calls.read_label)
    recommend = _sync_method(calls.recommend)
    speak = _sync_method(calls.speak)
    studio = _sync_method(calls.studio)
    studio_video = _sync_method(calls.studio_video)
    post = _sync_method(calls.post)
    status = _sync_method(calls.status)

    def stream(
        self,
        product: Product,
        *,
        condition: Array | None = None,
        timeout: Timeout | None = None,
        **options: Unpack[TextOptions],
    ) -> TextStream:
        """The text piece by piece, as it is written; arguments as for :meth:`generate`.

        with vitrina.stream(Product(title="Enamel mug")) as stream:
            for piece in stream:
                print(piece.text, end="", flush=True)
        """
        state = StreamState()
        flow = flows.stream(self.policy(timeout), state, product, condition, check_options(options))
        return TextStream(flow, state, self._transport)

    def iter_results(
        self,
        product: Product,
        want: Collection[Output],
        *,
        background: Background | None = None,
        aspect: Aspect = "4:5",
        timeout: Timeout | None = None,
        **options: Unpack[TextOptions],
    ) -> Iterator[Result]:
        """Each output of a product as soon as it is there, the text first; a failed one carries its error.

        for result in vitrina.iter_results(Product(title="Enamel mug", image="mug.jpg"), {"text", "studio", "post"}):
            print(result.output, result.error or result.value)

        Args:
            want: any of ``text``, ``image``, ``video``, ``studio``, ``studio_video``, ``speech`` and ``post``. A post
                has a voice if ``speech`` is asked for too.
            background, aspect: of studio shots and posts; ``white`` and ``studio`` where no background is given.
            timeout: of each call; there is one for each output.
            options: as for :meth:`generate`.

        Raises nothing for what a single output can fail with: see ``Result.error``.
        """
        work = plan(self.policy(timeout), product, want, check_options(options), background, aspect)
        return self._results(work)

    def _results(self, work: Work) -> Iterator[Result]:
        pool = ThreadPoolExecutor(len(work.steps), thread_name_prefix="vitrina")
        running: dict[Future[Any], Name] = {}
        try:
            while begun := {pool.submit(self._run, flow): name for name, flow in work.ready()} | running:
                running = begun
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    error = future.exception()
                    if error is not None and not isinstance(error, VitrinaError):
                        raise error
                    yield from work.end(name, None if error else future.result(), error)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    answer = effect(self._transport)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


class AsyncVitrina(_Client):
    """:class:`Vitrina` for asyncio: the same arguments, results and errors, awaited.

    async with AsyncVitrina("grpc://localhost:8001") as vitrina:
        listing = await vitrina.generate(Product(title="Enamel mug", image="mug.jpg"))
        async with vitrina.stream(Product(title="Enamel mug")) as stream:
            async for piece in stream:
                print(piece.text, end="", flush=True)

    It belongs to the event loop of its first call. A cancelled task stops a stream on the server; every other
    request is left alone there, and ends by the limit that it was sent with.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """See :meth:`Vitrina.close`."""
        self._closed = True
        if self._transport is not None:
            await self._transport.close()

    generate = _async_method(calls.generate)
    embed = _async_method(calls.embed)
    variants = _async_method(calls.variants)
    check = _async_method(calls.check)
    read_label = _async_method(calls.read_label)
    recommend = _async_method(calls.recommend)
    speak = _async_method(calls.speak)
    studio = _async_method(calls.studio)
    studio_video = _async_method(calls.studio_video)
    post = _async_method(calls.post)
    status = _async_method(calls.status)

    def stream(
        self,
        product: Product,
        *,
        condition: Array | None = None,
        timeout: Timeout | None = None,
        **options: Unpack[TextOptions],
    ) -> AsyncTextStream:
        """See :meth:`Vitrina.stream`."""
        state = StreamState()
        flow = flows.stream(self.policy(timeout), state, product, condition, check_options(options))
        return AsyncTextStream(flow, state, self._connected)

    def iter_results(
        self,
        product: Product,
        want: Collection[Output],
        *,
        background: Background | None = None,
        aspect: Aspect = "4:5",
        timeout: Timeout | None = None,
        **options: Unpack[TextOptions],
    ) -> AsyncIterator[Result]:
        """See :meth:`Vitrina.iter_results`."""
        work = plan(self.policy(timeout), product, want, check_options(options), background, aspect)
        return self._results(work)

    async def _results(self, work: Work) -> AsyncIterator[Result]:
        running: dict[asyncio.Task[Any], Name] = {}
        try:
            while begun := {asyncio.ensure_future(self._run(flow)): name for name, flow in work.ready()} | running:
                running = begun
                for task in (await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))[0]:
                    name = running.pop(task)
                    error = task.exception()
                    if error is not None and not isinstance(error, VitrinaError):
                        raise error
                    for result in work.end(name, None if error else task.result(), error):
                        yield result
        finally:
            for task in running:
                task.cancel()

    def _connected(self) -> Any:
        """The transport, made at the first call: it must be made inside the running loop."""
        if self._transport is None:
            if self._scheme == "grpc":
                from vitrina_client._transport_grpc import AsyncGrpcTransport as Transport
            else:
                from vitrina_client._transport_http import AsyncHttpTransport as Transport  # type: ignore[assignment]
            self._transport = Transport(self._address, self._timeout)
        return self._transport

    async def _run(self, flow: Flow[T]) -> T:
        transport = self._connected()
        try:
            effect = next(flow)
            while True:
                try:
                    answer = await effect(transport)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

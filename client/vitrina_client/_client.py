"""`Vitrina` and `AsyncVitrina`: the same calls, plain and awaited. What a call does stands in `_flows`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from vitrina_client import _flows as flows
from vitrina_client._errors import ClientClosed, VitrinaError
from vitrina_client._flows import Flow, Policy, StreamState, T
from vitrina_client._requests import check_options
from vitrina_client._results import Name, Work, plan
from vitrina_client._timeout import Timeout
from vitrina_client._types import (
    DEFAULT_WANT,
    Array,
    Aspect,
    AudioFormat,
    Background,
    Captions,
    ImageFormat,
    LabelText,
    Listing,
    Media,
    Moderation,
    Output,
    Piece,
    Post,
    Product,
    Recommendation,
    Result,
    Speech,
    Status,
    StudioShot,
    StudioVideo,
    Style,
    Tag,
    TextOptions,
    Variants,
    Want,
)

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

    def _policy(self, timeout: Timeout | None) -> Policy:
        if self._closed:
            raise ClientClosed(f"{self!r} was closed; make a new one")
        return Policy(timeout or self._timeout, self._retries)


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

    def generate(
        self,
        product: Product,
        *,
        want: Collection[Want] = DEFAULT_WANT,
        condition: Array | None = None,
        timeout: Timeout | None = None,
        **options: Unpack[TextOptions],
    ) -> Listing:
        """What is in `want`, made of a product: one request, and one more for each of a picture and a clip.

        Args:
            want: any of ``text``, ``tags``, ``keywords``, ``embedding``, ``condition``, ``weights``, ``moderation``,
                ``transcript`` (of a product with a sound), ``label_text`` (of one with a photo), ``image`` and
                ``video``; the server computes nothing else.
            condition: float32 [36, 384] of an earlier listing: all but embedding and weights are made from
                it, nothing is sent or encoded again.
            options: ``task``, ``language``, ``tone``, ``question``, ``history``, ``sampling``, ``image_seed``; see
                `TextOptions`.

        Given up early (KeyboardInterrupt), the request is left alone: what runs inside an ensemble goes on, at most
        until its TIMEOUT_MS. Use :meth:`stream` where that matters; closing it stops the decoder.
        """
        return self._run(flows.generate(self._policy(timeout), product, want, condition, check_options(options)))

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
        flow = flows.stream(self._policy(timeout), state, product, condition, check_options(options))
        return TextStream(flow, state, self._transport)

    def embed(self, product: Product | Sequence[Product], *, timeout: Timeout | None = None) -> NDArray[np.float32]:
        """float32 [384] of a product, or [N, 384] of several (up to 8 a request), of unit length."""
        rows = self._run(flows.embed(self._policy(timeout), _products(product)))
        return rows[0] if isinstance(product, Product) else rows

    def variants(
        self,
        product: Product,
        count: int = 4,
        *,
        timeout: Timeout | None = None,
        **options: Unpack[TextOptions],
    ) -> Variants:
        """Texts of a product that differ: ad creatives to choose from, or to test against each other.

        for listing in vitrina.variants(Product(title="Enamel mug", image="mug.jpg"), 4).listings:
            print(listing.text)

        Args:
            count: 1 to 8.
            options: as for :meth:`generate`; task ``ad`` and temperature 0.5 if left out. With a seed in `sampling` the
                same variants come again.
        """
        options = check_options({"task": "ad", **options})
        return self._run(flows.variants(self._policy(timeout), product, count, options))

    def check(self, product: Product, *, timeout: Timeout | None = None) -> Moderation:
        """What the shop's policy says of a product's title (or any text in its place) and photo, with reasons.

        Words, likeness to the policy's examples (English) and what the photo shows; the policy is a file of the server.
        """
        return self._run(flows.check(self._policy(timeout), product))

    def read_label(self, image: Media, *, timeout: Timeout | None = None) -> LabelText:
        """What is printed on the product of a photo, Chinese and English, line by line.

        print(vitrina.read_label("mug.jpg"))

        Args:
            image: path of a picture file, or its bytes (JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP, TIFF). Labels may be
                turned, upside down or in perspective; of more than 200 lines the largest are read.
        """
        return self._run(flows.read_label(self._policy(timeout), image))

    def recommend(
        self,
        events: Sequence[Mapping[str, str | float]],
        *,
        count: int | None = None,
        timeout: Timeout | None = None,
    ) -> tuple[Recommendation, ...]:
        """Products of the server's item index that a shopper is likely to turn to next, likeliest first.

        Args:
            events: what the shopper did, as :class:`Product` takes it; one at least. The product of the latest event
                is left out, others that were seen may come again.
            count: 1 to 100; 10 if left out.
        """
        return self._run(flows.recommend(self._policy(timeout), events, count))

    def speak(
        self,
        script: str,
        *,
        voice: str | None = None,
        language: str | None = None,
        speed: float | None = None,
        audio_format: AudioFormat = "wav",
        timeout: Timeout | None = None,
    ) -> Speech:
        """A script read aloud, in English or Chinese.

        Args:
            script: at most 2,000 characters; numbers, sizes and prices are read as words. A Chinese one may hold
                English words.
            voice: one of the server's voices by name (docs/speech.md); the language's first if left out.
            language: an ISO 639-1 code; if left out, ``zh`` where the script holds a Chinese character, else ``en``.
            speed: 0.5 to 2 times the voice's own.
            audio_format: ``"wav"`` or ``"ogg"``.

        Raises :class:`InvalidInput` for a voice or a language that the server does not have, and for a script with
        letters that the voice does not read. The English voice draws noise of its own: the same script sounds alike,
        but is not the same bytes.
        """
        return self._run(flows.speak(self._policy(timeout), script, voice, language, speed, audio_format))

    def studio(
        self,
        image: Media,
        *,
        background: Background = "white",
        aspect: Aspect = "1:1",
        size: int | None = None,
        image_format: ImageFormat = "jpeg",
        style: Style = "natural",
        timeout: Timeout | None = None,
    ) -> StudioShot:
        """The product of a photo, cut out, in even light, before another ground. Nothing of it is invented.

        Args:
            image: path of a picture file, or its bytes (JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP, TIFF).
            background: ``white``; ``shadow``, white with a shadow; ``studio``, light grey with a shadow; or
                ``transparent``, which jpeg cannot hold. ``photo`` keeps the photo as it is, for a poster or a print of
                which nothing shall be cut out.
            aspect: width to height.
            size: pixels of the longer side, 256 to 2048; 1200 if left out.
            image_format: of the file that comes back.
            style: of the product: ``natural``, ``vivid``, ``soft``, ``warm``, ``cool`` or ``mono``.
        """
        return self._run(flows.studio(self._policy(timeout), image, background, aspect, size, image_format, style))

    def studio_video(
        self,
        image: Media,
        *,
        background: Background = "white",
        aspect: Aspect = "1:1",
        size: int | None = None,
        style: Style = "natural",
        music: Media | None = None,
        timeout: Timeout | None = None,
    ) -> StudioVideo:
        """The studio shot as a clip: the photo's own product swings to and fro. Four seconds, to be shown in a loop.

        Its depth is guessed from its outline, which does for the 20 degrees to either side that it swings; what the
        photo does not show does not come into sight.

        Args:
            image: as for :meth:`studio`.
            background: ``white``, ``shadow``, ``studio`` or ``photo``.
            aspect, style: as for :meth:`studio`.
            size: pixels of the longer side, 256 to 1080; 720 if left out.
            music: path or bytes of a tune that is heard with it, at most 30 s.
        """
        return self._run(flows.studio_video(self._policy(timeout), image, background, aspect, size, style, music))

    def post(
        self,
        image: Media | None,
        caption: str,
        *,
        video: Media | None = None,
        audio: Media | None = None,
        music: Media | None = None,
        logo_sound: Media | None = None,
        captions: Captions = "burnt",
        background: Background = "studio",
        aspect: Aspect = "9:16",
        timeout: Timeout | None = None,
    ) -> Post:
        """One post: the photo, the clip's best moments, the product alone, the copy as captions and its voice.

        Args:
            image: path of a picture file, or its bytes (JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP, TIFF); None where a clip
                will do.
            video: path or bytes of a clip (MP4, MOV, WebM): up to three moments of it are shown, sharp, unlike each
                other and steadied, without its own sound. Without a photo its best frame is cut out.
            caption: the copy, at most 1,000 characters, Latin, Chinese and pictographs.
            audio: path or bytes of its voice (``speak(caption).audio``), at most 30 s; the captions keep its time.
                Without one the post lasts 6 to 20 s.
            music: path or bytes of a tune, at most 30 s; it is repeated, gives way to the voice and fades out. Yours to
                have the right to.
            logo_sound: path or bytes of the shop's own sound, at most 6 s, heard once at the end.
            captions: ``burnt`` into the pictures, or ``track``, text that a player shows or not.
            background: of the product alone, at the end; with ``photo`` nothing is cut out.
            aspect: width to height.
        """
        given = Product(image=image, video=video, audio=audio)
        return self._run(
            flows.post(self._policy(timeout), given, caption, music, logo_sound, captions, background, aspect)
        )

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
                is aloud where ``speech`` is asked for too.
            background, aspect: of studio shots and posts; ``white`` and ``studio`` where no background is given.
            timeout: of each call; there is one for each output.
            options: as for :meth:`generate`.

        Raises nothing for what a single output can fail with: see ``Result.error``.
        """
        work = plan(self._policy(timeout), product, want, check_options(options), background, aspect)
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

    def status(self, *, timeout: Timeout | None = None) -> Status:
        """What the server says of itself and its models."""
        return self._run(flows.status(self._policy(timeout)))

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


class TextStream(Iterator[Piece]):
    """Pieces of text as they come. Leaving the ``with`` block, or :meth:`close`, ends the work on the server.

    Attributes:
        tags: of the product; there once the first piece is.
    """

    def __init__(self, flow: flows.Stream, state: StreamState, transport: Any) -> None:
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

    async def generate(
        self,
        product: Product,
        *,
        want: Collection[Want] = DEFAULT_WANT,
        condition: Array | None = None,
        timeout: Timeout | None = None,
        **options: Unpack[TextOptions],
    ) -> Listing:
        """See :meth:`Vitrina.generate`."""
        return await self._run(flows.generate(self._policy(timeout), product, want, condition, check_options(options)))

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
        flow = flows.stream(self._policy(timeout), state, product, condition, check_options(options))
        return AsyncTextStream(flow, state, self._connected)

    async def embed(
        self, product: Product | Sequence[Product], *, timeout: Timeout | None = None
    ) -> NDArray[np.float32]:
        """See :meth:`Vitrina.embed`."""
        rows = await self._run(flows.embed(self._policy(timeout), _products(product)))
        return rows[0] if isinstance(product, Product) else rows

    async def variants(
        self,
        product: Product,
        count: int = 4,
        *,
        timeout: Timeout | None = None,
        **options: Unpack[TextOptions],
    ) -> Variants:
        """See :meth:`Vitrina.variants`."""
        options = check_options({"task": "ad", **options})
        return await self._run(flows.variants(self._policy(timeout), product, count, options))

    async def check(self, product: Product, *, timeout: Timeout | None = None) -> Moderation:
        """See :meth:`Vitrina.check`."""
        return await self._run(flows.check(self._policy(timeout), product))

    async def read_label(self, image: Media, *, timeout: Timeout | None = None) -> LabelText:
        """See :meth:`Vitrina.read_label`."""
        return await self._run(flows.read_label(self._policy(timeout), image))

    async def recommend(
        self,
        events: Sequence[Mapping[str, str | float]],
        *,
        count: int | None = None,
        timeout: Timeout | None = None,
    ) -> tuple[Recommendation, ...]:
        """See :meth:`Vitrina.recommend`."""
        return await self._run(flows.recommend(self._policy(timeout), events, count))

    async def speak(
        self,
        script: str,
        *,
        voice: str | None = None,
        language: str | None = None,
        speed: float | None = None,
        audio_format: AudioFormat = "wav",
        timeout: Timeout | None = None,
    ) -> Speech:
        """See :meth:`Vitrina.speak`."""
        return await self._run(flows.speak(self._policy(timeout), script, voice, language, speed, audio_format))

    async def studio(
        self,
        image: Media,
        *,
        background: Background = "white",
        aspect: Aspect = "1:1",
        size: int | None = None,
        image_format: ImageFormat = "jpeg",
        style: Style = "natural",
        timeout: Timeout | None = None,
    ) -> StudioShot:
        """See :meth:`Vitrina.studio`."""
        return await self._run(
            flows.studio(self._policy(timeout), image, background, aspect, size, image_format, style)
        )

    async def studio_video(
        self,
        image: Media,
        *,
        background: Background = "white",
        aspect: Aspect = "1:1",
        size: int | None = None,
        style: Style = "natural",
        music: Media | None = None,
        timeout: Timeout | None = None,
    ) -> StudioVideo:
        """See :meth:`Vitrina.studio_video`."""
        return await self._run(flows.studio_video(self._policy(timeout), image, background, aspect, size, style, music))

    async def post(
        self,
        image: Media | None,
        caption: str,
        *,
        video: Media | None = None,
        audio: Media | None = None,
        music: Media | None = None,
        logo_sound: Media | None = None,
        captions: Captions = "burnt",
        background: Background = "studio",
        aspect: Aspect = "9:16",
        timeout: Timeout | None = None,
    ) -> Post:
        """See :meth:`Vitrina.post`."""
        given = Product(image=image, video=video, audio=audio)
        return await self._run(
            flows.post(self._policy(timeout), given, caption, music, logo_sound, captions, background, aspect)
        )

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
        work = plan(self._policy(timeout), product, want, check_options(options), background, aspect)
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

    async def status(self, *, timeout: Timeout | None = None) -> Status:
        """See :meth:`Vitrina.status`."""
        return await self._run(flows.status(self._policy(timeout)))

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


class AsyncTextStream(AsyncIterator[Piece]):
    """:class:`TextStream` for asyncio."""

    def __init__(self, flow: flows.Stream, state: StreamState, connected: Callable[[], Any]) -> None:
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


def _products(product: Product | Sequence[Product]) -> list[Product]:
    return [product] if isinstance(product, Product) else list(product)

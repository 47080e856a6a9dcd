"""Timeouts and cancellation: who waits no longer, and what the server then does, by its own account."""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys

import pytest
from vitrina_client import (
    AsyncVitrina,
    Cancelled,
    ClientClosed,
    ConnectionFailed,
    DeadlineExceeded,
    Product,
    Timeout,
    Vitrina,
)

SCHEMES = ["grpc", "http"]


@pytest.fixture(params=SCHEMES)
def url(request, stand_in) -> str:
    return f"{request.param}://{getattr(stand_in, f'{request.param}_url')}"


def test_total_ends_the_wait_and_the_work(vitrina, journal, title):
    words = f"wait:60 {title}"
    with pytest.raises(DeadlineExceeded):
        vitrina.generate(Product(words), timeout=Timeout(total=0.3))
    assert journal.awaited(words) == ["deadline_exceeded"]


def test_the_first_token_has_a_limit_of_its_own(vitrina, journal, title):
    # Over HTTP, Triton notices a closed stream when it next writes to it, so that one piece is made in vain.
    words = f"pieces:2 every:2 {title}"
    with pytest.raises(DeadlineExceeded, match=r"first_token=0\.4 s") as caught:
        next(vitrina.stream(Product(words), timeout=Timeout(first_token=0.4)))
    assert (caught.value.model, caught.value.where) == ("text_decoder", "client")
    assert journal.awaited(words, "text_decoder") == ["cancelled"]


def test_the_first_token_limit_covers_the_steps_before_the_decoder(vitrina):
    with pytest.raises(DeadlineExceeded, match=r"first_token=0\.3 s") as caught:
        next(vitrina.stream(Product("wait:2"), timeout=Timeout(first_token=0.3)))
    assert caught.value.model == "content"


def test_total_ends_a_stream_between_pieces(vitrina, journal, title):
    words = f"pieces:1000 every:0.05 {title}"
    seen = []
    with pytest.raises(DeadlineExceeded):
        for piece in vitrina.stream(Product(words), timeout=Timeout(total=1.0, first_token=0.9)):
            seen.append(piece)
    assert seen
    assert journal.awaited(words, "text_decoder")[0] in ("cancelled", "deadline_exceeded")


def test_a_stream_may_take_longer_than_its_first_token_limit(vitrina):
    pieces = list(vitrina.stream(Product("pieces:6 every:0.15"), timeout=Timeout(first_token=0.6)))
    assert len(pieces) == 6


def test_the_connect_limit_ends_with_the_connection(vitrina):
    timeout = Timeout(connect=0.3)
    assert vitrina.generate(Product("wait:0.8"), timeout=timeout).finish_reason == "eos"
    assert len(list(vitrina.stream(Product("pieces:2 every:0.8"), timeout=timeout))) == 2


def test_a_stream_that_is_left_is_cancelled_on_the_server(vitrina, journal, title):
    words = f"pieces:1000 every:0.05 {title}"
    with vitrina.stream(Product(words)) as stream:
        next(stream)
    assert journal.awaited(words, "text_decoder") == ["cancelled"]
    with pytest.raises(StopIteration):
        next(stream)


def test_an_exception_in_the_reading_code_cancels_on_the_server(vitrina, journal, title):
    words = f"pieces:1000 every:0.05 {title}"
    with pytest.raises(ZeroDivisionError), vitrina.stream(Product(words)) as stream:
        for _ in stream:
            raise ZeroDivisionError
    assert journal.awaited(words, "text_decoder") == ["cancelled"]


def test_a_stream_that_was_never_begun_costs_nothing(vitrina, journal, title):
    vitrina.stream(Product(title)).close()
    assert journal.outcomes(title) == []


def test_closing_a_stream_wakes_the_thread_that_reads_it(url, journal, title):
    words = f"pieces:3 every:2 {title}"
    with Vitrina(url) as vitrina:
        stream = vitrina.stream(Product(words))
        with journal.once_begun(words, "text_decoder", stream.close), pytest.raises(Cancelled):
            next(stream)
    assert journal.awaited(words, "text_decoder") == ["cancelled"]


async def test_closing_a_stream_wakes_the_task_that_reads_it(url, journal, title):
    words = f"pieces:3 every:2 {title}"
    async with AsyncVitrina(url) as vitrina:
        stream = vitrina.stream(Product(words))
        task = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.5)
        await stream.close()
        with pytest.raises(Cancelled):
            await task
    assert await asyncio.to_thread(journal.awaited, words, "text_decoder") == ["cancelled"]


async def test_closing_an_async_client_lets_its_calls_end_and_begins_none(stand_in):
    vitrina = AsyncVitrina(stand_in.grpc_url)
    task = asyncio.create_task(vitrina.generate(Product("wait:1")))
    await asyncio.sleep(0.3)
    await vitrina.close()
    assert (await task).finish_reason == "eos"
    with pytest.raises(ClientClosed):
        await vitrina.generate(Product("Mug"))


def test_closing_a_client_lets_its_calls_end_and_begins_none(url, journal, title):
    words = f"wait:1 {title}"
    vitrina = Vitrina(url)
    with journal.once_begun(words, "stand_in", vitrina.close):
        assert vitrina.generate(Product(words)).finish_reason == "eos"
    with pytest.raises(ClientClosed):
        vitrina.generate(Product("Mug"))


def test_closing_a_grpc_client_ends_its_streams(stand_in, journal, title):
    words = f"pieces:3 every:2 {title}"
    vitrina = Vitrina(stand_in.grpc_url)
    with journal.once_begun(words, "text_decoder", vitrina.close), pytest.raises(Cancelled):
        list(vitrina.stream(Product(words)))
    assert journal.awaited(words, "text_decoder") == ["cancelled"]


def test_a_stream_that_nobody_holds_is_cancelled_on_the_server(url, journal, title):
    words = f"pieces:1000 every:0.05 {title}"
    with Vitrina(url) as vitrina:
        next(vitrina.stream(Product(words)))
        gc.collect()
        assert journal.awaited(words, "text_decoder") == ["cancelled"]


async def test_a_cancelled_task_cancels_its_stream_on_the_server(url, journal, title):
    words = f"pieces:1000 every:0.05 {title}"

    async def read(begun: asyncio.Event) -> None:
        async for _ in vitrina.stream(Product(words)):
            begun.set()

    async with AsyncVitrina(url) as vitrina:
        begun = asyncio.Event()
        task = asyncio.create_task(read(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(journal.awaited, words, "text_decoder") == ["cancelled"]
        assert (await vitrina.status()).ready


async def test_a_cancelled_task_leaves_the_client_usable(url):
    async with AsyncVitrina(url) as vitrina:
        task = asyncio.create_task(vitrina.generate(Product("wait:1")))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await vitrina.generate(Product("Mug"))).finish_reason == "eos"


async def test_async_calls_overlap(url):
    async with AsyncVitrina(url) as vitrina:
        calls = [vitrina.generate(Product(f"wait:0.3 {number}")) for number in range(30)]
        listings = await asyncio.wait_for(asyncio.gather(*calls), timeout=60)
    assert [listing.finish_reason for listing in listings] == ["eos"] * 30


@pytest.mark.parametrize("call", ["generate", "stream"])
def test_ctrl_c_is_passed_on_and_ends_a_stream_on_the_server(url, journal, title, call):
    words = f"wait:1 {title}" if call == "generate" else f"pieces:1000 every:0.05 {title}"
    model = "stand_in" if call == "generate" else "text_decoder"
    code = (
        "import sys; from vitrina_client import *\n"
        "with Vitrina(sys.argv[1]) as vitrina:\n"
        "    try: list(vitrina.stream(Product(sys.argv[2]))) if sys.argv[3] == 'stream'"
        " else vitrina.generate(Product(sys.argv[2]))\n"
        "    except KeyboardInterrupt: sys.exit(130)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, url, words, call])
    with journal.once_begun(words, model, lambda: os.kill(process.pid, signal.SIGINT)):
        assert process.wait(timeout=60) == 130
    # Inside an ensemble (generate) Triton tells a running step nothing: it ends by itself, or by its TIMEOUT_MS.
    assert journal.awaited(words, model) == ["cancelled" if call == "stream" else "finished"]


def test_a_server_that_takes_no_connection_in_time_is_connection_failed(make):
    with socket.socket() as listener, socket.socket() as filler:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filler.connect(listener.getsockname())  # the queue of one is full now: the next connection hangs
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match="cannot connect"):
            make(address, retries=0, timeout=Timeout(connect=0.3)).generate(Product("Mug"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_under_gevent_calls_overlap_and_others_run_meanwhile(stand_in, scheme):
    code = """
import sys
from gevent import monkey; monkey.patch_all()
import grpc.experimental.gevent; grpc.experimental.gevent.init_gevent()
import gevent
from gevent.pool import Pool
from vitrina_client import Product, Timeout, Vitrina, DeadlineExceeded

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.01)
gevent.spawn(tick)
with Vitrina(sys.argv[1]) as vitrina:
    vitrina.generate(Product("wait:0.5"))
    assert ticks > 5, ticks
    running = most = 0
    def call(number):
        global running, most
        running += 1
        most = max(most, running)
        try:
            assert vitrina.generate(Product(f"wait:0.2 {number}")).finish_reason == "eos"
            assert len(list(vitrina.stream(Product(f"pieces:{number + 1} every:0.02")))) == number + 1
        finally:
            running -= 1
    pool = Pool(10)
    pool.map(call, range(10))
    assert most == 10, most
    try:
        list(vitrina.stream(Product("pieces:2 every:30"), timeout=Timeout(first_token=0.3)))
    except DeadlineExceeded:
        print("done", flush=True)
"""
    url = f"{scheme}://{getattr(stand_in, f'{scheme}_url')}"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")

import itertools
import multiprocessing.connection
import os
import socket
import stat
import threading
import time
from multiprocessing.connection import Connection

import numpy as np
import pytest

from decoding.delivery import Delivery
from decoding.link import Link, LinkServer
from decoding.request import Delta
from decoding.sampling import Sampling
from stages.errors import StageError


def fields(prompt="the mug", **numbers):
    return {"PROMPT": np.array([prompt.encode()], object)} | {n: np.array([v]) for n, v in numbers.items()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "meeting" / "text.sock"


@pytest.fixture
def serve(engine, path):
    """Opens the serving end, as text_decoder does."""
    delivery, opened = Delivery(interval_s=0.01), []

    def read(got):
        sampling = Sampling(temperature=float(got.get("TEMPERATURE", [0.0])[0]))
        most = int(got.get("MAX_TOKENS", [10])[0])
        return engine.request(got["PROMPT"][0].decode(), max_tokens=most, sampling=sampling)

    def start():
        opened.append(LinkServer(path, engine, delivery, read))
        return opened[-1]

    yield start
    for server in opened:
        server.close()
    delivery.close()


def test_texts_cross_whole(engine, serve, path):
    serve()
    link = Link(path)
    asked = [link.ask(fields(f"the {word}", MAX_TOKENS=20))[1] for word in ("mug", "desk", "oak")]
    for future, word in zip(asked, ("mug", "desk", "oak"), strict=True):
        assert future.result(60) == engine.submit(engine.request(f"the {word}", max_tokens=20)).result()
    link.close()


def test_errors_cross_with_code_field_and_sentence(serve, path):
    serve()
    link = Link(path)
    with pytest.raises(StageError) as caught:
        link.ask(fields(MAX_TOKENS=0))[1].result(60)
    assert (caught.value.code, caught.value.field) == ("invalid_input", "MAX_TOKENS")
    assert "1 to 96" in caught.value.message
    with pytest.raises(StageError, match="KeyError"):
        link.ask({})[1].result(60)
    assert isinstance(link.ask(fields())[1].result(60), Delta)
    link.close()


def test_a_request_can_be_taken_back(engine, serve, path):
    serve()
    link = Link(path)
    hogs = [link.ask(fields("木", MAX_TOKENS=90)) for _ in range(8)]
    for key, _ in hogs:
        link.cancel(key)
    codes = {getattr(future.exception(60), "code", "ended") for _, future in hogs}
    assert "cancelled" in codes
    assert isinstance(link.ask(fields())[1].result(60), Delta)
    link.close()


def test_a_caller_that_goes_away_frees_its_places(engine, serve, path):
    serve()
    link = Link(path)
    asked = [link.ask(fields("木", MAX_TOKENS=90))[1] for _ in range(10)]
    link.close()
    for future in asked:
        assert isinstance(future.result(60) if future.exception(60) is None else future.exception(), Delta | StageError)
    again = Link(path)
    assert isinstance(again.ask(fields())[1].result(60), Delta)
    again.close()


def test_an_answer_under_way_never_reaches_a_later_connection(serve, path, monkeypatch):
    """The caller goes away while its answer is being written: its file descriptor must not be another's by then."""
    writing, go_on = threading.Event(), threading.Event()
    whole = Connection._send

    def slow(self, buffer, write=os.write):
        if threading.current_thread().name != "text-delivery":
            return whole(self, buffer, write)
        to = self._handle
        writing.set()
        go_on.wait(30)
        return write(to, buffer)

    serve()
    link = Link(path)
    monkeypatch.setattr(Connection, "_send", slow)
    link.ask(fields(MAX_TOKENS=1))
    assert writing.wait(30)
    link.close()
    time.sleep(0.3)  # for the serving thread to see it
    others = [socket.socketpair() for _ in range(8)]
    go_on.set()
    time.sleep(0.3)
    assert not multiprocessing.connection.wait(itertools.chain(*others), timeout=0)
    for end in itertools.chain(*others):
        end.close()


def _serve_and_die(path, ready):
    """A decoder that takes a connection and ends without an answer."""
    from multiprocessing.connection import Listener

    path.parent.mkdir(mode=0o700, exist_ok=True)
    with Listener(str(path), "AF_UNIX") as listener:
        ready.set()
        listener.accept().recv()
    os._exit(1)


def test_a_decoder_that_dies_fails_what_waits_and_a_new_one_is_found(serve, path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    dying = context.Process(target=_serve_and_die, args=(path, ready))
    dying.start()
    assert ready.wait(60)
    link = Link(path)
    _, future = link.ask(fields())
    with pytest.raises(StageError, match="went away"):
        future.result(60)
    dying.join()
    serve()
    assert isinstance(link.ask(fields())[1].result(60), Delta)
    link.close()


def test_nobody_there_is_said_with_the_mend(path, monkeypatch):
    monkeypatch.setattr("decoding.link.CONNECT_S", 0.1)
    with pytest.raises(StageError, match="load model text_decoder"):
        Link(path).ask(fields())


def test_only_this_user_may_open_the_folder(serve, path, engine):
    server = serve()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    server.close()
    assert not path.parent.exists()
    path.parent.mkdir(mode=0o755)
    with pytest.raises(RuntimeError, match="open to other users"):
        serve()

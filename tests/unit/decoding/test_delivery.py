import queue
import threading

import pytest

from decoding.delivery import Delivery
from stages.errors import StageError


class Caller:
    """Collects what is sent to it."""

    def __init__(self, refuses=False):
        self.got = queue.Queue()
        self.away = threading.Event()
        self.refuses = refuses

    def send(self, message):
        if self.refuses:
            raise ConnectionError("nobody is there")
        self.got.put(message)

    def all(self):
        messages = []
        while not messages or not (isinstance(messages[-1], StageError) or messages[-1].finish):
            messages.append(self.got.get(timeout=60))
        return messages


@pytest.fixture
def delivery():
    delivery = Delivery(interval_s=0.01)
    yield delivery
    delivery.close()


def begin(engine, delivery, caller, whole=False, **options):
    handle = engine.submit(engine.request("the mug", **options), delivery.notify)
    delivery.add(handle, caller.send, caller.away.is_set, whole)
    return handle


def test_deltas_arrive_in_order_and_whole(engine, delivery):
    expected = engine.submit(engine.request("the mug", max_tokens=40)).result()
    callers = [Caller() for _ in range(6)]
    for caller in callers:
        begin(engine, delivery, caller, max_tokens=40)
    for caller in callers:
        deltas = caller.all()
        assert "".join(delta.text for delta in deltas) == expected.text
        assert deltas[-1].completion_tokens == expected.completion_tokens


def test_whole_texts_arrive_in_one(engine, delivery):
    caller = Caller()
    begin(engine, delivery, caller, whole=True, max_tokens=40)
    (only,) = caller.all()
    assert only == engine.submit(engine.request("the mug", max_tokens=40)).result()


def test_a_caller_that_goes_away_frees_its_place(engine, delivery):
    caller = Caller()
    caller.away.set()
    begin(engine, delivery, caller, max_tokens=90, stops=["never"])
    last = caller.all()[-1]
    assert (isinstance(last, StageError) and last.code == "cancelled") or last.finish


def test_a_caller_that_cannot_be_reached_takes_no_other_along(engine, delivery, caplog):
    lost, fine = Caller(refuses=True), Caller()
    handle = begin(engine, delivery, lost, max_tokens=60)
    begin(engine, delivery, fine, max_tokens=60)
    assert fine.all()[-1].finish
    assert handle.cancelled
    assert "could not be sent" in caplog.text


def test_an_error_is_sent_as_the_last_message(engine, delivery):
    caller = Caller()
    handle = begin(engine, delivery, caller, max_tokens=90)
    handle.fail(StageError("internal", "-", "a test"))
    assert isinstance(caller.all()[-1], StageError)
    handle.cancel()

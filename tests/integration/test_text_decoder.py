"""The text decoder and its collector in a real Triton, with the bundle's own weights and few slots."""

from __future__ import annotations

import os
import queue
import random
import shutil
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from decoding.engine import Engine
from decoding.sampling import Sampling
from server import Server, ServerOptions

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "model_repository" / "models"
SLOTS, MAX_QUEUE = 4, 6
CANCELLED = 'vitrina_decoder_requests_total{outcome="cancelled"}'
THINGS = ("red ceramic mug", "oak writing desk", "running shoes", "LED lamp", "garden hose", "木制书桌", "tent", "sofa")
DTYPES = {
    "MAX_TOKENS": np.int32,
    "TEMPERATURE": np.float32,
    "TOP_P": np.float32,
    "TOP_K": np.int32,
    "REPETITION_PENALTY": np.float32,
    "SEED": np.int64,
    "TIMEOUT_MS": np.int32,
    "PREFIX": np.float32,
}


def prompt(thing: str) -> str:
    return f"<|im_start|>user\nDescribe this product: {thing}<|im_end|>\n<|im_start|>assistant\n"


#: Answered by as many tokens as may be: not by an end that comes before a test looks.
LONG = "<|im_start|>user\nWrite a very long story about a dragon, in fifty chapters.<|im_end|>\n<|im_start|>assistant\n"


def tensors(prompts: list[str | bytes], **fields) -> list[triton.InferInput]:
    """The inputs of a request with one row a prompt; `fields` are the same for every row."""
    values = {"PROMPT": np.array([[p.encode() if isinstance(p, str) else p] for p in prompts], np.object_)}
    for name, value in fields.items():
        if name == "STOP":
            value = np.array([stop.encode() for stop in value], np.object_)
        values[name] = np.repeat(np.atleast_1d(np.asarray(value, DTYPES.get(name)))[None], len(prompts), 0)
    made = []
    for name, value in values.items():
        made.append(triton.InferInput(name, value.shape, np_to_triton_dtype(value.dtype)))
        made[-1].set_data_from_numpy(value)
    return made


class Served:
    """A server with text_decoder and text_collector, and what the tests ask of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = triton.InferenceServerClient(server.grpc_url)

    def collect(self, *prompts: str | bytes, **fields) -> triton.InferResult:
        return self.client.infer("text_collector", tensors(list(prompts), **fields))

    def text(self, *prompts: str, **fields) -> list[str]:
        return [text.decode() for text in self.collect(*prompts, **fields).as_numpy("TEXT").ravel()]

    def stream(self, asked: str | bytes, **fields) -> list[triton.InferResult]:
        """All responses of one streamed request."""
        got: queue.Queue = queue.Queue()
        with triton.InferenceServerClient(self.server.grpc_url) as client:
            client.start_stream(lambda result, error: got.put(error or result))
            client.async_stream_infer("text_decoder", tensors([asked], **fields))
            results = []
            while not results or not results[-1].as_numpy("FINISH_REASON").item():
                results.append(got.get(timeout=120))
                if isinstance(results[-1], Exception):
                    raise results[-1]
            return results

    def metric(self, name: str) -> float:
        """A metric of /metrics; 0 while it is not there."""
        with urllib.request.urlopen(f"http://{self.server.metrics_url}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)), 0.0)

    def wait_for(self, name: str, value: float) -> None:
        for _ in range(600):
            if self.metric(name) == value:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is {self.metric(name)}, expected {value}")


@pytest.fixture(scope="module")
def engine(bundle) -> Iterator[Engine]:
    """The same weights in this process, as the reference; its threads leave the server's alone."""
    engine = Engine(MODELS / "text_decoder" / "1", slots=SLOTS, threads=1, spinning=False)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def served(bundle, tmp_path_factory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("models")
    limits = {"slots": SLOTS, "max_queue": MAX_QUEUE, "spinning": 0}
    for name in ("text_decoder", "text_collector"):
        (root / name / "1").mkdir(parents=True)
        for path in (MODELS / name / "1").iterdir():
            if path.is_file():
                try:
                    os.link(path, root / name / "1" / path.name)
                except OSError:
                    shutil.copy(path, root / name / "1" / path.name)
        config = (MODELS / name / "config.pbtxt").read_text()
        if name == "text_decoder":
            entry = 'parameters {{ key: "{}" value {{ string_value: "{}" }} }}\n'
            config += "".join(entry.format(key, value) for key, value in limits.items())
        (root / name / "config.pbtxt").write_text(config)
    with Server(ServerOptions(model_roots=[root], http_port=0, grpc_port=0, metrics_port=0)) as server:
        yield Served(server)


def test_deltas_joined_are_the_collected_text_and_the_engine_s(served, engine):
    for thing in THINGS[:3]:
        deltas = served.stream(prompt(thing), MAX_TOKENS=24)
        joined = "".join(delta.as_numpy("TEXT").item().decode() for delta in deltas)
        whole = served.collect(prompt(thing), MAX_TOKENS=24)
        expected = engine.submit(
            engine.request(prompt(thing), max_tokens=24, sampling=Sampling(repetition_penalty=1.1))
        ).result()
        assert joined == whole.as_numpy("TEXT").item().decode() == expected.text
        assert tuple(np.concatenate([delta.as_numpy("TOKEN_IDS")[0] for delta in deltas])) == expected.ids
        assert len(deltas) > 1
        for last in (deltas[-1], whole):
            assert last.as_numpy("FINISH_REASON").item().decode() == expected.finish
            assert last.as_numpy("PROMPT_TOKENS").item() == expected.prompt_tokens
            assert last.as_numpy("COMPLETION_TOKENS").item() == expected.completion_tokens


def test_eight_at_once_are_each_alone(served):
    """Greedy and seeded, streamed and collected, joining at random."""
    ways = [{}, {"TEMPERATURE": 0.8, "TOP_P": 0.9, "SEED": 7}]
    cases = [(prompt(thing), {"MAX_TOKENS": 10 + 3 * i} | ways[i % 2]) for i, thing in enumerate(THINGS)]
    alone = [served.text(asked, **fields)[0] for asked, fields in cases]
    chance = random.Random(0)

    def ask(case, streamed):
        time.sleep(chance.random() * 0.3)
        asked, fields = case
        if not streamed:
            return served.text(asked, **fields)[0]
        return "".join(d.as_numpy("TEXT").item().decode() for d in served.stream(asked, **fields))

    with ThreadPoolExecutor(len(cases)) as pool:
        for streamed in (False, True):
            assert list(pool.map(ask, cases, [streamed] * len(cases))) == alone


@pytest.mark.slow
def test_batching_changes_no_text_of_the_real_weights(engine):
    """Every prompt alone and among others that join and leave at random, some cancelled: greedy and seeded."""
    ways = [Sampling(), Sampling(repetition_penalty=1.1), Sampling(temperature=0.9, top_p=0.95, seed=3)]

    def ask(number):
        thing = f"{THINGS[number % len(THINGS)]} number {number}"
        most = 8 + 5 * (number % 4)
        return engine.submit(engine.request(prompt(thing), max_tokens=most, sampling=ways[number % 3]))

    alone = [ask(number).result() for number in range(24)]
    chance = random.Random(0)
    order = chance.sample(range(24), 24)
    dropped = set(chance.sample(order, 4))
    handles = {}
    for number in order:
        handles[number] = ask(number)
        if number in dropped:
            handles[number].cancel()
        time.sleep(chance.random() * 0.2)
    assert {number: handles[number].result() for number in order if number not in dropped} == {
        number: alone[number] for number in order if number not in dropped
    }


def test_rows_of_a_batch_come_back_in_order(served):
    asked = [prompt(thing) for thing in THINGS[:5]]
    assert served.text(*asked, MAX_TOKENS=8) == [served.text(one, MAX_TOKENS=8)[0] for one in asked]


def test_a_slow_batch_does_not_hold_up_a_quick_one(served):
    ended = []
    slow = threading.Thread(target=lambda: (served.text(prompt("tent"), MAX_TOKENS=200), ended.append("slow")))
    slow.start()
    served.text(prompt("mug"), MAX_TOKENS=1)
    ended.append("quick")
    slow.join()
    assert ended == ["quick", "slow"]


def test_stop_strings_end_the_text_and_never_show(served):
    whole = served.text(prompt("red ceramic mug"), MAX_TOKENS=24)[0]
    stop = whole[len(whole) // 2 :][:7]  # spans tokens
    deltas = served.stream(prompt("red ceramic mug"), MAX_TOKENS=24, STOP=[stop, "never said"])
    assert "".join(d.as_numpy("TEXT").item().decode() for d in deltas) == whole[: whole.index(stop)]
    assert deltas[-1].as_numpy("FINISH_REASON").item() == b"stop"


def test_a_soft_prefix_is_taken(served, engine):
    prefix = np.random.default_rng(0).standard_normal((8, engine._network.shape.hidden)).astype(np.float32) * 0.1
    request = engine.request(prompt("tent"), prefix=prefix, max_tokens=6, sampling=Sampling(repetition_penalty=1.1))
    assert served.text(prompt("tent"), PREFIX=prefix, MAX_TOKENS=6) == [engine.submit(request).result().text]


BAD = [
    ({"MAX_TOKENS": 0}, "invalid_input MAX_TOKENS", "1 to 1024"),
    ({"MAX_TOKENS": -1}, "invalid_input MAX_TOKENS", "1 to 1024"),
    ({"MAX_TOKENS": 2**31 - 1}, "too_large MAX_TOKENS", "1024"),
    ({"TEMPERATURE": float("nan")}, "invalid_input TEMPERATURE", "0 to 5"),
    ({"TEMPERATURE": float("inf")}, "invalid_input TEMPERATURE", "0 to 5"),
    ({"TEMPERATURE": -1.0}, "invalid_input TEMPERATURE", "0 to 5"),
    ({"TOP_P": 0.0}, "invalid_input TOP_P", "0 to 1"),
    ({"TOP_K": -2}, "invalid_input TOP_K", "0"),
    ({"REPETITION_PENALTY": 0.0}, "invalid_input REPETITION_PENALTY", "0 to 10"),
    ({"SEED": -1}, "invalid_input SEED", "0 to"),
    ({"STOP": [""]}, "invalid_input STOP", "1 to 64"),
    ({"TIMEOUT_MS": 0}, "invalid_input TIMEOUT_MS", "1 to 600000"),
    ({"PROMPT": ""}, "invalid_input PROMPT", "empty"),
    ({"PROMPT": b"\xff\xfe"}, "invalid_input PROMPT", "UTF-8"),
    ({"PROMPT": "x" * 100_000}, "too_large PROMPT", "16384"),
    ({"PROMPT": "word " * 1200}, "too_large PROMPT", "1024"),
    ({"PREFIX": np.full((4, 896), np.inf)}, "invalid_input PREFIX", "finite"),
]


def test_bad_requests_are_typed_and_hurt_nobody(served):
    """Each way of being wrong, streamed and collected, while a good request runs."""
    expected = served.text(prompt("tent"), MAX_TOKENS=60)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(served.text, prompt("tent"), MAX_TOKENS=60)
        for fields, wire, limit in BAD:
            fields = dict(fields)
            asked = fields.pop("PROMPT", prompt("mug"))
            for ask in (served.stream, served.collect):
                with pytest.raises(InferenceServerException, match=f"vitrina/{wire}: ") as caught:
                    ask(asked, **fields)
                assert limit in caught.value.message()
        assert running.result() == expected


def test_a_bad_row_is_named_and_the_others_are_cancelled(served):
    before = served.metric(CANCELLED)
    with pytest.raises(InferenceServerException, match="vitrina/invalid_input PROMPT: row 1: it is empty"):
        served.collect(prompt("mug"), "", prompt("tent"), MAX_TOKENS=1000)
    served.wait_for(CANCELLED, before + 2)


def test_a_deadline_is_kept(served):
    for ask in (served.stream, served.collect):
        with pytest.raises(InferenceServerException, match="vitrina/deadline_exceeded TIMEOUT_MS: the 80 ms"):
            ask(LONG, MAX_TOKENS=900, TIMEOUT_MS=80)


def test_cancelling_frees_the_slot(served):
    """Of a unary call of two rows, and of a stream."""
    served.wait_for("vitrina_decoder_active", 0)
    before = served.metric(CANCELLED)
    ended: queue.Queue = queue.Queue()
    asked = tensors([LONG, LONG], MAX_TOKENS=1000)
    call = served.client.async_infer("text_collector", asked, lambda result, error: ended.put(error))
    served.wait_for("vitrina_decoder_active", 2)
    call.cancel()
    assert "ancel" in str(ended.get(timeout=30))
    served.wait_for("vitrina_decoder_active", 0)
    served.wait_for(CANCELLED, before + 2)
    with triton.InferenceServerClient(served.server.grpc_url) as client:
        client.start_stream(lambda result, error: None)
        client.async_stream_infer("text_decoder", tensors([LONG], MAX_TOKENS=1000))
        served.wait_for("vitrina_decoder_active", 1)
        client.stop_stream(cancel_requests=True)
        served.wait_for("vitrina_decoder_active", 0)
    served.wait_for(CANCELLED, before + 3)


def test_a_full_queue_refuses_at_once_and_recovers(served):
    served.wait_for("vitrina_decoder_active", 0)
    expected = served.text(prompt("tent"), MAX_TOKENS=40)

    def ask(_):
        try:
            return served.text(prompt("tent"), MAX_TOKENS=40)
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(24)))
    refused = [answer for answer in answers if isinstance(answer, InferenceServerException)]
    assert len(refused) <= 24 - SLOTS - MAX_QUEUE, {error.message() for error in refused}
    assert refused
    for error in refused:
        assert error.status() == "StatusCode.UNAVAILABLE"
        assert f"vitrina/queue_full PROMPT: {MAX_QUEUE} requests wait" in error.message()
    assert all(answer == expected for answer in answers if answer not in refused)
    assert served.text(prompt("tent"), MAX_TOKENS=40) == expected


def test_stopping_drains(bundle, served):
    """A server that is told to stop lets the text under way end. Last: it stops the module's server."""
    with ThreadPoolExecutor(1) as pool:
        expected = served.text(LONG, MAX_TOKENS=300)
        running = pool.submit(served.text, LONG, MAX_TOKENS=300)
        served.wait_for("vitrina_decoder_active", 1)
        served.server.stop()
        assert running.result() == expected

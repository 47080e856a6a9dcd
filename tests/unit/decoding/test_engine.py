import gc
import itertools
import random
import threading
import time

import numpy as np
import psutil
import pytest

from decoding.engine import Engine
from decoding.prefixes import PrefixCache
from decoding.sampling import Sampling
from stages.errors import StageError

PROMPTS = [
    f"the {a} {b} {n}" for n, (a, b) in enumerate([("red", "mug"), ("oak", "desk"), ("木", "桌"), ("é", "\t")] * 6)
]


def kinds(seed: int) -> Sampling:
    """Greedy and sampled, in turn."""
    return (
        Sampling(),
        Sampling(repetition_penalty=1.3),
        Sampling(temperature=0.9, seed=seed),
        Sampling(temperature=1.2, top_k=20, top_p=0.9, seed=seed),
    )[seed % 4]


def ask(engine, number, **options):
    options = {"max_tokens": 5 + number % 23, "sampling": kinds(number)} | options
    return engine.request(PROMPTS[number % len(PROMPTS)] * (1 + number % 3), **options)


def settle(engine):
    """Waits until nothing runs and nothing waits."""
    for _ in range(2000):
        now = engine.statistics()
        if now.active == now.queued == 0:
            return now
        time.sleep(0.005)
    raise AssertionError(f"the engine did not come to rest: {engine.statistics()}")


def test_deltas_joined_are_the_whole_text(engine):
    for number in range(12):
        whole = engine.submit(ask(engine, number)).result()
        deltas = list(engine.submit(ask(engine, number)))
        assert "".join(d.text for d in deltas) == whole.text
        assert sum((d.ids for d in deltas), ()) == whole.ids
        assert [d.finish for d in deltas[:-1]] == [""] * (len(deltas) - 1)
        assert deltas[-1].finish == whole.finish
        assert deltas[-1].completion_tokens == whole.completion_tokens
        counts = [d.completion_tokens for d in deltas]
        assert counts == sorted(counts)


def test_batching_changes_no_text(engine):
    """Greedy and seeded requests, joining and leaving at random, some cancelled, against each one alone."""
    alone = [engine.submit(ask(engine, number)).result() for number in range(40)]
    chance = random.Random(1)
    for _ in range(3):
        order = chance.sample(range(40), 40)
        handles = {}
        for number in order:
            while True:
                try:
                    handles[number] = engine.submit(ask(engine, number))
                    break
                except StageError as error:
                    assert error.code == "queue_full"
                    time.sleep(0.001)
            if chance.random() < 0.3:
                time.sleep(chance.random() * 0.01)
        dropped = set(chance.sample(order, 8))
        for number in dropped:
            handles[number].cancel()
        for number in set(order) - dropped:
            assert handles[number].result() == alone[number]
    settle(engine)


def test_a_prefix_stands_before_the_prompt(engine):
    rng = np.random.default_rng(0)
    prefix = rng.standard_normal((8, 64)).astype(np.float32)
    plain = engine.submit(ask(engine, 3)).result()
    steered = engine.submit(ask(engine, 3, prefix=prefix)).result()
    assert steered.prompt_tokens == plain.prompt_tokens
    assert steered.ids != plain.ids
    others = [engine.submit(ask(engine, number)) for number in range(5)]
    assert engine.submit(ask(engine, 3, prefix=prefix)).result() == steered
    for other in others:
        other.result()
    tokens = engine._network.embed(engine._tokens("the mug"))
    as_prefix = engine.submit(engine.request(" is", prefix=tokens)).result()
    assert as_prefix.ids == engine.submit(engine.request("the mug is")).result().ids


def test_a_stop_string_ends_the_text_before_it(engine):
    whole = engine.submit(ask(engine, 5, max_tokens=30, sampling=Sampling())).result().text
    stop = whole[4:7]
    ended = engine.submit(ask(engine, 5, max_tokens=30, sampling=Sampling(), stops=[stop])).result()
    assert ended.finish == "stop"
    assert ended.text == whole[: whole.index(stop)]
    never = engine.submit(ask(engine, 5, max_tokens=30, sampling=Sampling(), stops=[whole[-2:] + "#"])).result()
    assert (never.text, never.finish) == (whole, "length")


def test_max_tokens_and_a_full_cache_end_by_length(engine):
    for most in (1, 2, 30):
        ended = engine.submit(ask(engine, 1, max_tokens=most, sampling=Sampling())).result()
        assert (ended.completion_tokens, ended.finish) == (most, "length")
    prompt = "the " * 40
    size = len(engine._tokens(prompt))
    ended = engine.submit(engine.request(prompt, max_tokens=96)).result()
    assert ended.finish in ("length", "eos")
    assert ended.completion_tokens <= engine.max_length - size + 1


@pytest.mark.parametrize(
    ("options", "code", "field", "limit"),
    [
        ({"max_tokens": 0}, "invalid_input", "MAX_TOKENS", "1 to 96"),
        ({"max_tokens": -3}, "invalid_input", "MAX_TOKENS", "1 to 96"),
        ({"max_tokens": 2**31 - 1}, "too_large", "MAX_TOKENS", "96"),
        ({"timeout_ms": 0}, "invalid_input", "TIMEOUT_MS", "600000"),
        ({"timeout_ms": 10**9}, "invalid_input", "TIMEOUT_MS", "600000"),
        ({"prompt": ""}, "invalid_input", "PROMPT", "empty"),
        ({"prompt": "#" * 96}, "too_large", "PROMPT", "96 tokens"),
        ({"prompt": "x" * 100_000}, "too_large", "PROMPT", "1536"),
        ({"prefix": np.zeros((3, 65), np.float32)}, "invalid_input", "PREFIX", "64"),
        ({"prefix": np.full((3, 64), np.nan, np.float32)}, "invalid_input", "PREFIX", "finite"),
        ({"prefix": np.zeros((95, 64), np.float32)}, "too_large", "PROMPT", "prefix of 95"),
        ({"stops": [""]}, "invalid_input", "STOP", "1 to 64"),
    ],
)
def test_bad_requests_are_refused_by_field_and_limit(engine, options, code, field, limit):
    running = engine.submit(ask(engine, 2, max_tokens=20))
    with pytest.raises(StageError) as caught:
        engine.request(**{"prompt": "the mug"} | options)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert limit in caught.value.message
    assert running.result() == engine.submit(ask(engine, 2, max_tokens=20)).result()


def test_odd_texts_are_texts(engine):
    for prompt in ("\0\x01\x1b", "😀", "שלום", "木桌", "\ud800".encode("utf-8", "replace").decode(), " ", "<|end|>"):
        assert engine.submit(engine.request(prompt, max_tokens=4)).result().completion_tokens <= 4


def test_a_full_queue_refuses_and_recovers(engine):
    handles, refused = [], []
    for number in range(40):
        try:
            handles.append(engine.submit(ask(engine, number, max_tokens=40, sampling=Sampling())))
        except StageError as error:
            refused.append(error)
    assert len(handles) >= 4 + 8
    assert refused
    assert {error.code for error in refused} == {"queue_full"}
    assert "8" in refused[0].message
    for handle in handles:
        handle.result()
    assert settle(engine).outcomes["queue_full"] == len(refused)
    assert engine.submit(ask(engine, 0)).result().text


def test_cancelling_frees_the_place_of_running_and_waiting(engine):
    submitted, begun, cancelled = (threading.Event() for _ in range(3))

    def hold_last(_) -> None:
        begun.set()
        cancelled.wait(30)

    held = (lambda _: submitted.wait(30), None, None, hold_last)  # or the text would be whole before all is asked
    running = [engine.submit(engine.request("the", max_tokens=90), on_event=hold) for hold in held]
    submitted.set()
    assert begun.wait(30)
    assert engine.statistics().active == 4
    waiting = [engine.submit(ask(engine, number)) for number in range(6)]
    for handle in (*running, *waiting[:3]):
        handle.cancel()
    cancelled.set()
    for handle in (*running, *waiting[:3]):
        with pytest.raises(StageError) as caught:
            handle.result()
        assert caught.value.code == "cancelled"
    for number, handle in enumerate(waiting[3:], 3):
        assert handle.result() == engine.submit(ask(engine, number)).result()
    assert settle(engine).outcomes["cancelled"] == 7


def test_a_deadline_ends_running_and_waiting_requests(engine):
    hogs = [engine.submit(engine.request("the", max_tokens=90, stops=["never"])) for _ in range(4)]
    late = engine.submit(engine.request("the", max_tokens=90, timeout_ms=1))
    with pytest.raises(StageError) as caught:
        late.result()
    assert (caught.value.code, caught.value.field) == ("deadline_exceeded", "TIMEOUT_MS")
    assert "1 ms" in caught.value.message
    assert len({hog.result() for hog in hogs}) == 1


@pytest.mark.parametrize("kept_mb", [0, 64])
def test_a_beginning_that_was_read_before_is_not_read_again_and_changes_nothing(folder, kept_mb):
    engine = Engine(folder, slots=4, threads=1, prefix_cache_mb=kept_mb)
    beginning = "the quick brown fox jumps over a lazy dog and " * 2
    first = engine.submit(engine.request(beginning + "runs", max_tokens=12)).result()
    read = settle(engine)
    assert read.reused_tokens == 0
    again = engine.submit(engine.request(beginning + "runs", max_tokens=12)).result()
    reused = settle(engine).reused_tokens
    assert again == first
    assert bool(reused) == bool(kept_mb)
    assert reused < read.prompt_tokens
    engine.submit(engine.request(beginning + "sits", max_tokens=12)).result()
    assert bool(settle(engine).reused_tokens - reused) == bool(kept_mb)
    before = settle(engine).reused_tokens
    engine.submit(engine.request("x " + beginning, max_tokens=12)).result()
    assert settle(engine).reused_tokens == before
    engine.close()


def test_kept_prefixes_stay_within_the_limit_and_the_oldest_go():
    cache = PrefixCache(limit_bytes=3 * 64)
    keys = [PrefixCache.key(b"", np.full((1, 4), number, np.float32)) for number in range(4)]
    for key in keys[:3]:
        cache.put(key, [np.zeros(8, np.float32), np.zeros(8, np.float32)])
    assert cache.get(keys[0]) is not None
    cache.put(keys[3], [np.zeros(16, np.float32)])
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True]


def test_a_newcomer_costs_the_others_a_few_chunks_a_step(folder):
    """While a long prompt joins, each step reads at most four chunks of it, each as many tokens as there are slots."""
    engine = Engine(folder, slots=4, threads=1)
    reads, scheduler = [], engine._scheduler
    real = scheduler.network.run

    def watched(first, embeddings, lengths):
        reads.append((first, embeddings.shape[0] * embeddings.shape[1]))
        return real(first, embeddings, lengths)

    scheduler.network.run = watched
    begun, asked = threading.Event(), threading.Event()
    running = engine.submit(engine.request("the", max_tokens=60), on_event=lambda _: (begun.set(), asked.wait(30)))
    assert begun.wait(30)
    joining = engine.submit(engine.request("a" * 50, max_tokens=2))
    asked.set()
    joining.result()
    running.result()
    engine.close()
    assert max(tokens for _, tokens in reads) == 16
    chunks = [place for place, (first, _) in enumerate(reads) if first == 3]
    between = [reads[a + 1 : b] for a, b in itertools.pairwise(chunks)]
    assert len(chunks) >= 4
    assert sum(bool(steps) for steps in between) >= len(between) - 1


def test_requests_leave_nothing_behind(engine):
    """Thousands of short requests from several threads, a third cancelled: slots, queue and memory come back."""

    def many(worker):
        chance = random.Random(worker)
        for number in range(worker, 3000, 4):
            try:
                handle = engine.submit(ask(engine, number, max_tokens=2))
            except StageError:
                time.sleep(0.001)
                continue
            if chance.random() < 0.3:
                handle.cancel()
            try:
                handle.result()
            except StageError as error:
                assert error.code == "cancelled"

    def round_of_requests():
        threads = [threading.Thread(target=many, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        settle(engine)
        gc.collect()
        return psutil.Process().memory_info().rss

    first = round_of_requests()
    second = round_of_requests()
    assert second - first < 8 * 2**20
    ended = engine.statistics().outcomes
    assert sum(ended.values()) == 2 * 3000
    assert set(ended) <= {"length", "eos", "cancelled", "queue_full"}


def test_a_failing_network_fails_the_requests_and_not_the_engine(engine, caplog):
    network = engine._network
    real = network.run

    def broken(*arguments):
        network.run = real
        raise RuntimeError("out of memory, say")

    network.run = broken
    with pytest.raises(StageError) as caught:
        engine.submit(ask(engine, 0)).result()
    assert caught.value.code == "internal"
    assert "out of memory" in caught.value.message
    assert "a step of the text decoder failed" in caplog.text
    assert engine.submit(ask(engine, 0)).result().text


def test_closing_lets_those_under_way_end(folder):
    engine = Engine(folder, slots=2, max_queue=8, threads=1)
    handles = [engine.submit(engine.request("the", max_tokens=30)) for _ in range(6)]
    engine.close()
    assert all(handle.result().completion_tokens > 0 for handle in handles)
    with pytest.raises(StageError, match="stopping"):
        engine.submit(engine.request("the"))


def test_closing_without_patience_fails_the_rest(folder):
    engine = Engine(folder, slots=2, max_queue=64, threads=1)
    handles = [engine.submit(engine.request("the", max_tokens=90)) for _ in range(60)]
    engine.close(drain_s=0)
    codes = set()
    for handle in handles:
        try:
            codes.add(handle.result().finish)
        except StageError as error:
            codes.add(error.code)
    assert "cancelled" in codes


def test_statistics_count_what_was_done(engine):
    before = engine.statistics()
    assert (before.slots, before.active, before.queued) == (4, 0, 0)
    results = [engine.submit(ask(engine, number)).result() for number in range(5)]
    now = settle(engine)
    assert now.completion_tokens == sum(result.completion_tokens for result in results)
    assert now.prompt_tokens + now.reused_tokens == sum(result.prompt_tokens for result in results)
    assert sum(now.outcomes.values()) == 5
    assert now.steps > before.steps
    assert now.tokens_per_second > 0

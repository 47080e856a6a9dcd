"""A shopper's history: what is read, in which order, and what each wrong event is told."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.errors import StageError
from stages.history import (
    DEFAULT_COUNT,
    FIELD,
    KINDS,
    MAX_AGE_S,
    MAX_BYTES,
    MAX_EVENTS,
    ItemIndex,
    read_count,
    read_history,
    recommended,
)

WIDTH = 40  # of the space; any other would do
IDS = ["desk", "lamp", "chair #2", "桌子"]
NOW = 1_750_000_000.0


def index():
    vectors = np.random.default_rng(0).standard_normal((len(IDS), WIDTH))
    return ItemIndex(IDS, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16))


INDEX = index()


def read(document):
    return read_history(json.dumps(document).encode(), INDEX, NOW)


def refused(document):
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(StageError) as caught:
        read_history(data, INDEX, NOW)
    assert caught.value.field == FIELD
    assert "\n" not in caught.value.message
    return caught.value


EVENTS = st.fixed_dictionaries(
    {
        "item": st.sampled_from(IDS),
        "event": st.sampled_from(KINDS),
        "age_s": st.one_of(st.integers(0, int(MAX_AGE_S)), st.floats(0, MAX_AGE_S)),
    }
)


@given(st.lists(EVENTS, max_size=100))
def test_the_latest_events_are_kept_oldest_first(document):
    events = read(document)
    count = min(len(document), MAX_EVENTS)
    length = max(count, 1)
    assert events.item_embeddings.shape == (length, WIDTH) and events.item_embeddings.dtype == np.float32
    assert events.kinds.shape == events.ages.shape == events.mask.shape == (length,)
    assert (events.kinds.dtype, events.ages.dtype, events.mask.dtype) == (np.int64, np.float32, np.float32)
    assert events.mask.sum() == count
    assert (np.diff(events.ages) <= 0).all()
    kept = sorted((e["age_s"] for e in document), reverse=True)[-MAX_EVENTS:]
    if kept:
        np.testing.assert_allclose(events.ages, kept, rtol=1e-6, atol=1e-30)
    else:
        assert not events.item_embeddings.any()


@given(st.permutations([{"item": i, "event": "view", "age_s": n} for n, i in enumerate(IDS)]))
def test_the_order_of_the_document_does_not_matter(document):
    np.testing.assert_array_equal(read(document).item_embeddings, INDEX.embeddings[::-1])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "item": JSON | st.sampled_from(IDS),
        "event": JSON | st.sampled_from(KINDS),
        "age_s": JSON,
        "time": JSON | st.datetimes().map(str),
        "more": JSON,
    },
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300) | st.one_of(JSON, st.lists(NEARLY, max_size=4)).map(lambda d: json.dumps(d).encode()))
def test_whatever_comes_is_read_or_refused_with_a_typed_error(data):
    try:
        events = read_history(data, INDEX, NOW)
    except StageError as error:
        assert error.field == FIELD
        assert "\n" not in error.message and len(error.message) < 300
        error.wire().encode("utf-8")
    else:
        assert np.isfinite(events.ages).all() and (events.ages >= 0).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"item": "sofa"}, 'event 1 names the item "sofa"'),
        ({"item": 7}, "needs `item`"),
        ({"item": None}, "needs `item`"),
        ({"event": "stare"}, 'the event "stare"; known: view, click, favourite, cart, buy'),
        ({"event": ["buy"]}, "the event"),
        ({"age_s": -1}, "lies 1 s in the future"),
        ({"age_s": "5"}, "expected a number of seconds"),
        ({"age_s": True}, "expected a number of seconds"),
        ({"age_s": 4e8}, "limit is 3.16e+08 s"),
        ({"age_s": 10**400}, "beyond any number"),
        ({"time": NOW}, "either `age_s` or `time`"),
        ({"price": 3}, 'unknown key "price"'),
    ],
)
def test_a_wrong_event_is_named(change, says):
    right = {"item": "desk", "event": "view", "age_s": 5}
    error = refused([right, right | change])
    assert error.code == "invalid_input"
    assert says in error.message


@pytest.mark.parametrize("time", ["yesterday", "2026-13-01", NOW + 3600, [], "0001-01-01T00:00:00+23:59"])
def test_a_wrong_time_is_refused(time):
    assert "event 0" in refused([{"item": "desk", "event": "view", "time": time}]).message


@pytest.mark.parametrize(
    ("time", "age"),
    [(NOW - 60, 60), (NOW + 10, 0), ("2025-06-15T15:05:40Z", 60), ("2025-06-15T17:05:40+02:00", 60)],
)
def test_times_become_ages(time, age):
    assert read([{"item": "desk", "event": "view", "time": time}]).ages.tolist() == [age]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not JSON"),
        (b"[", "is not JSON"),
        (b"{}", "is a JSON object, expected a list"),
        (b"[1]", "event 0 is a JSON number"),
        (b"\xff", "is not UTF-8"),
        (b'[{"item": "desk", "event": "view", "age_s": NaN}]', "holds NaN"),
        (b'[{"item": "desk", "event": "view", "age_s": -Infinity}]', "holds -Infinity"),
        (b'[{"item": "desk", "event": "view", "age_s": 1e999}]', "beyond any number"),
        (b"[" * 100_000, "is not a list of events"),
        (b"[" + b"9" * 5000 + b"]", "is not a list of events"),
    ],
)
def test_a_broken_document_is_refused(data, says):
    assert says in refused(data).message


def test_a_document_over_the_limit_is_too_large():
    error = refused(b" " * (MAX_BYTES + 1))
    assert error.code == "too_large"
    assert "256,000" in error.message


def test_an_index_comes_back_from_its_file(tmp_path):
    np.savez(tmp_path / "items.npz", ids=np.array(IDS), embeddings=INDEX.embeddings.astype(np.float16))
    back = ItemIndex.load(tmp_path / "items.npz")
    assert [back.row(i) for i in (*IDS, "sofa")] == [0, 1, 2, 3, None]
    np.testing.assert_array_equal(back.embeddings, INDEX.embeddings)


def test_a_wrong_index_is_refused():
    with pytest.raises(ValueError, match="twice"):
        ItemIndex(["a", "a"], np.zeros((2, WIDTH), np.float16))
    with pytest.raises(ValueError, match="1 ids stand beside embeddings"):
        ItemIndex(["a"], np.zeros((2, WIDTH), np.float16))


def test_the_latest_product_is_told():
    events = [{"item": "lamp", "event": "buy", "age_s": 5}, {"item": "desk", "event": "view", "age_s": 90}]
    assert read(events).latest == IDS.index("lamp")
    assert read([]).latest == -1


def test_recommended_are_the_nearest_but_the_latest():
    found = recommended(INDEX.embeddings[3], 3, 10, INDEX)
    assert {row for row, _ in found} == {0, 1, 2}
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    wanted = [INDEX.embeddings[row] @ INDEX.embeddings[3] for row, _ in found]
    np.testing.assert_allclose(scores, wanted, atol=1e-6)
    assert recommended(INDEX.embeddings[3], 0, 1, INDEX)[0][0] == 3


@pytest.mark.parametrize("count", [0, -1, 101, 2**31 - 1])
def test_a_count_out_of_bounds_is_refused(count):
    with pytest.raises(StageError, match="send 1 to 100") as caught:
        read_count(count)
    assert caught.value.field == "COUNT"
    assert (read_count(None), read_count(100)) == (DEFAULT_COUNT, 100)


def test_titles_go_with_their_ids_or_are_not_there(tmp_path):
    np.savez(tmp_path / "items.npz", ids=np.array(IDS), embeddings=INDEX.embeddings)
    assert ItemIndex.load(tmp_path / "items.npz").titles == [""] * len(IDS)
    np.savez(tmp_path / "items.npz", ids=np.array(IDS), embeddings=INDEX.embeddings, titles=np.array(list("abcd")))
    assert ItemIndex.load(tmp_path / "items.npz").titles == list("abcd")
    with pytest.raises(ValueError, match="1 titles stand beside 4 ids"):
        ItemIndex(IDS, INDEX.embeddings, ["a"])

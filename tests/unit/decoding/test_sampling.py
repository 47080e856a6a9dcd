import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding.sampling import MAX_SEED, Sampler, Sampling, nucleus, top
from stages.errors import StageError

VOCABULARY = 1000


def logits(seed: int, spread: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(VOCABULARY) * spread).astype(np.float32)


@pytest.mark.parametrize(
    ("field", "values", "code"),
    [
        ("temperature", (math.nan, math.inf, -math.inf, -0.1), "invalid_input"),
        ("temperature", (5.1, 1e30), "too_large"),
        ("top_p", (math.nan, 0.0, -1.0), "invalid_input"),
        ("top_p", (1.01,), "too_large"),
        ("top_k", (-1,), "invalid_input"),
        ("repetition_penalty", (math.nan, 0.0, -2.0), "invalid_input"),
        ("repetition_penalty", (1e9,), "too_large"),
        ("seed", (-1, MAX_SEED + 1), "invalid_input"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_field_and_limit(field, values, code):
    for value in values:
        with pytest.raises(StageError) as caught:
            Sampling(**{field: value})
        assert (caught.value.code, caught.value.field) == (code, field.upper())
        assert any(c.isdigit() for c in caught.value.message)


def test_greedy_takes_the_best():
    assert Sampler(Sampling()).pick(logits(1)) == logits(1).argmax()


def test_a_seed_fixes_the_draws_and_another_changes_them():
    def draw(seed):
        sampler = Sampler(Sampling(temperature=1.0, top_p=0.9, seed=seed))
        return [sampler.pick(logits(step)) for step in range(40)]

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


def test_draws_follow_the_softmax():
    values = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    sampler = Sampler(Sampling(temperature=1.0, seed=0))
    counts = np.bincount([sampler.pick(values.copy()) for _ in range(20_000)], minlength=3)
    assert counts / 20_000 == pytest.approx([0.5, 0.3, 0.2], abs=0.015)  # four standard deviations


def test_a_high_temperature_flattens():
    values = np.array([4.0, 0.0], np.float32)
    sampler = Sampler(Sampling(temperature=4.0, seed=0))
    share = np.mean([sampler.pick(values.copy()) for _ in range(20_000)])
    assert share == pytest.approx(1 / (1 + math.e), abs=0.015)


@given(seed=st.integers(0, 10**6), many=st.integers(1, VOCABULARY), coarse=st.booleans())
@settings(max_examples=200)
def test_top_is_what_sorting_everything_gives(seed, many, coarse):
    values = logits(seed).round() if coarse else logits(seed)  # coarse ones tie
    assert top(values, many).tolist() == np.argsort(-values, kind="stable")[:many].tolist()


@given(seed=st.integers(0, 10**6), top_k=st.integers(0, 60), top_p=st.floats(0.05, 1.0), spread=st.floats(0.01, 6.0))
@settings(max_examples=200)
def test_draws_stay_in_the_nucleus(seed, top_k, top_p, spread):
    values = logits(seed, spread)
    order = np.argsort(-values, kind="stable")[: top_k or VOCABULARY]
    weights = np.exp(values[order].astype(np.float64))
    weights /= weights.sum()
    nucleus = order[: int(np.searchsorted(np.cumsum(weights), top_p * (1 - 1e-9))) + 1]
    sampler = Sampler(Sampling(temperature=1.0, top_k=top_k, top_p=top_p, seed=seed))
    picked = {sampler.pick(values.copy()) for _ in range(20)}
    least = values[nucleus].min() - 1e-4
    assert all(token in order and values[token] >= least for token in picked)


@given(seed=st.integers(0, 10**6), share=st.floats(0.01, 0.9999), spread=st.floats(0.0, 30.0))
@settings(max_examples=300)
def test_the_nucleus_is_what_sorting_everything_gives(seed, share, spread):
    values = logits(seed, spread)
    exponents = values - values.max()
    weights = np.exp(exponents)
    kept = nucleus(exponents, weights, share)
    order = np.argsort(-weights, kind="stable")
    sums = np.cumsum(weights[order], dtype=np.float64)
    least = int(np.searchsorted(sums, share * sums[-1] * (1 - 1e-6))) + 1
    most = int(np.searchsorted(sums, share * sums[-1] * (1 + 1e-6))) + 1
    assert least <= len(kept) <= most
    assert len(set(kept.tolist())) == len(kept)
    assert weights[kept].min() >= weights[order[len(kept) - 1]]


def test_the_penalty_touches_only_what_was_written():
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    values = np.array([1.0, 3.0, 2.0, -1.0], np.float32)
    assert sampler.pick(values.copy()) == 1
    changed = values.copy()
    assert sampler.pick(changed) == 2  # 3.0 became 1.5
    assert changed.tolist() == [1.0, 1.5, 2.0, -1.0]
    negative = np.array([-5.0, -1.0, -1.5, -9.0], np.float32)
    assert sampler.pick(negative) == 1  # -1.0 became -2.0, -1.5 became -3.0
    assert negative.tolist() == [-5.0, -2.0, -3.0, -9.0]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_broken_logit_is_an_error_and_never_a_token(broken, temperature):
    values = logits(3)
    values[17] = broken
    with pytest.raises(StageError) as caught:
        Sampler(Sampling(temperature=temperature)).pick(values)
    assert caught.value.code == "internal"

"""Simulated sessions, and the behaviour encoder's training on a small made-up shop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from networks.behavior_encoder import MAX_EVENTS, WIDTH, BehaviorEncoder
from training.behavior import encoder as behavior
from training.behavior import evaluation as behavior_evaluation
from training.behavior.encoder import Data, Histories
from training.behavior.evaluation import RULES, Cases, RecurrentEncoder, Rules, compare, encode, figures, ranks
from training.behavior.sessions import BUY, CART, CLICK, KINDS, VIEW, Shop, Simulator
from training.common.weights import restore, save

pytestmark = pytest.mark.usefixtures("one_thread")
PRODUCTS = 24


@pytest.fixture(scope="module")
def shop():
    """Two errands of three steps with three products each; the last six products are on no list."""
    rng = np.random.default_rng(0)
    steps = np.arange(18).reshape(2, 3, 3)
    return Shop(
        popularity=1.0 / np.arange(1, PRODUCTS + 1),
        colours=rng.integers(0, 3, PRODUCTS),
        makers=rng.integers(0, 2, PRODUCTS),
        prices=rng.integers(0, 3, PRODUCTS),
        missions=tuple(tuple(mission) for mission in steps),
        open=np.arange(PRODUCTS) < 22,
    )


@pytest.fixture(scope="module")
def histories(shop):
    return Histories.simulate(shop, range(60))


@pytest.fixture(scope="module")
def data(histories):
    items = np.random.default_rng(1).standard_normal((PRODUCTS, 2, WIDTH)).astype(np.float32)
    items[:, 1] = items[:, 0] + 0.1 * items[:, 1]
    items /= np.linalg.norm(items, axis=-1, keepdims=True)
    ends = [e for e in histories.ends() if len(e)]
    return Data(torch.from_numpy(items), torch.arange(22), histories, ends)


def test_a_shopper_is_fixed_by_its_number(shop):
    one, again, other = (Simulator(shop).shopper(n) for n in (4, 4, 5))
    np.testing.assert_array_equal(one.times, again.times)
    np.testing.assert_array_equal(one.items, again.items)
    assert len(one.items) != len(other.items) or (one.items != other.items).any()


def test_events_run_down_the_funnel_in_time(shop):
    for number in range(30):
        s = Simulator(shop).shopper(number)
        assert (np.diff(s.times) > 0).all()
        assert (s.items < 22).all()
        assert len(s.rank) == s.visit[-1] + 1
        for visit in range(len(s.rank)):
            kinds = s.kinds[s.visit == visit].tolist()
            assert kinds[0] == VIEW and kinds == sorted(kinds)
            assert len(kinds) == 1 or kinds[1] == CLICK
            assert BUY not in kinds or CART in kinds
            assert len(set(s.items[s.visit == visit])) == 1
        first = s.items[np.flatnonzero(np.diff(s.visit, prepend=-1))]
        assert (first[1:] != first[:-1]).all()


def test_the_kinds_are_those_that_are_served():
    from networks.behavior_encoder import KINDS as network
    from stages.history import KINDS as stage

    assert KINDS == network == stage


def test_histories_know_the_next_other_product(histories):
    for start, stop in zip(histories.starts[:5], histories.starts[1:], strict=False):
        for row in range(start, stop):
            later = np.flatnonzero(histories.visits[row:stop] > histories.visits[row])
            assert histories.following[row] == (histories.items[row + later[0]] if len(later) else -1)
    for ends in histories.ends():
        assert (histories.following[ends] != histories.items[ends]).all()


def test_a_window_ends_where_it_is_asked_and_pads_at_the_end(histories):
    ends = histories.ends()
    short, long = ends[0][0], max((e[-1] for e in ends), key=lambda e: e - histories.starts[histories.starts <= e][-1])
    window = histories.window(np.array([short, long]), np.array([0.0, 1.0]))
    counts = window.mask.sum(1).int().tolist()
    assert window.mask.shape[1] == max(counts) <= MAX_EVENTS
    for row, end in enumerate((short, long)):
        count = counts[row]
        np.testing.assert_array_equal(window.items[row, :count], histories.items[end + 1 - count : end + 1])
        assert (window.mask[row, :count] == 1).all() and not window.mask[row, count:].any()
        assert (window.following[row, count:] == -1).all()
        assert (np.diff(window.ages[row, :count]) <= 0).all()
    assert window.ages[0, counts[0] - 1] == 0
    assert window.ages[1, counts[1] - 1] == pytest.approx(histories.times[long + 1] - histories.times[long])


def test_ranks_leave_the_present_product_out_and_share_ties():
    cases = Cases(None, np.arange(2), np.array([1, 2]), np.array([0, 0]), np.zeros(2))
    scores = np.array([[9, 5, 7, 1], [9, 5, 5, 5]], float)
    assert ranks(scores, cases).tolist() == [1, 1]
    assert figures(np.array([0.0, 9.0, 10.0])) == {
        "hit@10": pytest.approx(2 / 3),
        "ndcg@10": pytest.approx((1 + 1 / np.log2(11)) / 3),
    }


def test_every_rule_scores_every_product(histories, data):
    cases = Cases.create(histories)
    rules = Rules(data.items.numpy(), histories)
    scores = {name: rule(rules, cases) for name, rule in RULES.items()}
    assert all(s.shape == (len(cases.ends), PRODUCTS) for s in scores.values())
    found = compare(cases, scores, np.arange(PRODUCTS) >= 15)
    assert found["all"]["methods"]["what followed the last (Markov)"]["hit@10"] > 0.8
    assert found["held-out targets"]["cases"] < found["all"]["cases"]


@pytest.mark.parametrize("kind", [BehaviorEncoder, RecurrentEncoder])
def test_it_learns_what_comes_next(kind, data, histories, tmp_path):
    cases = Cases.create(histories)

    def first(network):
        scores = encode(network, data, histories, cases.ends)[0] @ data.items[:, 0].T
        return (ranks(scores.numpy(), cases) < 1).mean()

    torch.manual_seed(0)
    network = kind()
    before = first(network.eval())
    plan = replace(behavior.PLAN, steps=40, batch=16, warm_up=5)
    said = []
    network = behavior.train(network, data, tmp_path / "run.pt", lambda step, terms: said.append((step, terms)), plan)
    assert [step for step, _ in said] == list(range(1, 41)) and "next" in said[0][1]
    assert first(network) > before + 0.1
    for name, weight in network.named_parameters():
        assert weight.isfinite().all(), name


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(data, tmp_path):
    plan = replace(behavior.PLAN, steps=8, batch=8, warm_up=2, checkpoint_every=3)

    def run(report, name):
        torch.manual_seed(0)
        return behavior.train(BehaviorEncoder(), data, tmp_path / name, report, plan)

    whole = run(lambda *_: None, "whole.pt")

    def stop(step, _):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stop, "run.pt")
    steps = []
    resumed = run(lambda step, _: steps.append(step), "run.pt")
    assert steps == [4, 5, 6, 7, 8]
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert not (tmp_path / "run.pt").exists()


def test_weights_come_back_in_half_precision(data, histories, tmp_path):
    torch.manual_seed(0)
    network = BehaviorEncoder().eval()
    save(network, tmp_path / "model.safetensors", {"steps": "0"})
    back = restore(BehaviorEncoder(), tmp_path / "model.safetensors")
    ends = Cases.create(histories).ends[:20]
    for a, b in zip(encode(back, data, histories, ends), encode(network, data, histories, ends), strict=True):
        torch.testing.assert_close(a, b, atol=3e-3, rtol=0)


def test_hidden_kinds_and_times_are_hidden(data, histories):
    window = histories.window(histories.ends()[0][:3], np.ones(3))
    kinds, ages = replace(data, kinds=False, times=False).hide(window)
    assert not kinds.any() and not ages.any()


def test_cases_are_the_same_each_time(histories):
    one, again = Cases.create(histories), Cases.create(histories)
    np.testing.assert_array_equal(one.ends, again.ends)
    assert len(one.ends) <= behavior_evaluation.CASES * 60
    assert (one.target != one.current).all()

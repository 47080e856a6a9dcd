"""The behaviour encoder: shapes, what masks and order may and may not change, and its export."""

import numpy as np
import pytest
import torch

from export import onnx as exporter
from families.behavior_encoder import trained as slot
from families.common.parity import session
from graph.schema import Model, Tensor
from networks.behavior_encoder import KINDS, TOKENS, WIDTH, BehaviorEncoder

pytestmark = pytest.mark.usefixtures("one_thread")
MODEL = Model(
    "behavior_encoder",
    "onnxruntime",
    (
        Tensor("item_embeddings", "FP32", ("events", WIDTH)),
        Tensor("event_kinds", "INT64", ("events",)),
        Tensor("event_ages", "FP32", ("events",)),
        Tensor("event_mask", "FP32", ("events",)),
    ),
    (Tensor("behavior_embedding", "FP32", (WIDTH,)), Tensor("behavior_tokens", "FP32", (TOKENS, WIDTH))),
)


@pytest.fixture(scope="module")
def network():
    """With every weight drawn, so that nothing is hidden by a zero."""
    torch.manual_seed(0)
    network = BehaviorEncoder().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return network


def sample(axes, rng):
    """The slot's, which is given the facts as well."""
    return slot.sample(axes | {"width": WIDTH}, rng)


def inputs(batch, events, seed=0):
    given = sample({"batch": batch, "events": events}, np.random.default_rng(seed))
    return [torch.from_numpy(array) for array in given.values()]


@torch.inference_mode()
def run(network, given):
    return network(*given)


@pytest.mark.parametrize(("batch", "events"), [(1, 1), (3, 7), (2, 64)])
def test_shapes_and_unit_length(network, batch, events):
    embedding, tokens = run(network, inputs(batch, events))
    assert embedding.shape == (batch, WIDTH) and tokens.shape == (batch, TOKENS, WIDTH)
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(batch))
    torch.testing.assert_close(tokens.norm(dim=-1), torch.ones(batch, TOKENS))


def test_masked_events_change_nothing_wherever_they_stand(network):
    items, kinds, ages, _ = inputs(1, 6)
    whole = run(network, (items, kinds, ages, torch.ones(1, 6)))
    for places in ([0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7], [0, 2, 3, 5, 6, 7]):
        padded = inputs(1, 8, seed=1)
        padded[3] = torch.zeros(1, 8)
        for target, source in zip(padded, (items, kinds, ages, torch.ones(1, 6)), strict=True):
            target[:, places] = source
        for a, b in zip(whole, run(network, padded), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_a_row_does_not_hang_on_those_beside_it(network):
    given = inputs(4, 9)
    together = run(network, given)
    for row in range(4):
        alone = run(network, [x[row : row + 1] for x in given])
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[row], atol=1e-5, rtol=0)


def test_kind_age_item_and_order_count(network):
    items, kinds, ages, _ = inputs(1, 5)
    mask = torch.ones(1, 5)
    before = run(network, (items, kinds, ages, mask))[0]
    later = ages + torch.tensor([[3e4, 2e4, 1e4, 0.0, 0.0]])
    for changed in (
        (items, (kinds + 1) % len(KINDS), ages, mask),
        (items, kinds, later, mask),
        (items.flip(1), kinds, ages, mask),
        (-items, kinds, ages, mask),
    ):
        assert (run(network, changed)[0] - before).abs().max() > 1e-4


def test_nothing_at_all_and_wild_numbers_stay_finite(network):
    items, kinds, ages, mask = inputs(2, 4)
    for given in (
        (items, kinds, ages, mask * 0),
        (items, kinds + 99, ages * 1e9, mask),
        (items * 0, kinds, ages, mask),
    ):
        assert all(out.isfinite().all() for out in run(network, given))


def test_training_sees_at_each_event_what_serving_sees_there(network):
    """The states of a whole history are those of its beginnings, looked at when the next event came."""
    items, kinds, ages, _ = inputs(1, 6)
    mask = torch.ones(1, 6)
    with torch.inference_mode():
        every = network.following(network.states(items, kinds, ages, mask), items, mask)
    for end in range(5):
        now = ages[:, end + 1 : end + 2]
        cut = (items[:, : end + 1], kinds[:, : end + 1], ages[:, : end + 1] - now, mask[:, : end + 1])
        torch.testing.assert_close(run(network, cut)[0], every[:, end], atol=1e-4, rtol=0)


def test_the_exported_graph_agrees(network, tmp_path):
    path = tmp_path / "model.onnx"
    exporter.export(network, MODEL, sample, path)
    rows, _ = exporter.parity(network, MODEL, sample, path)
    few = {f"batch={batch} events={count}" for batch in (1, 2) for count in (1, 16, 64)}
    assert {row["case"] for row in rows} == few | {"batch=5 events=16", "batch=8 events=16"}
    assert max(row["torch_onnx"] for row in rows) < 1e-4
    graph = session(path)
    for batch in (1, 3):
        given = sample({"batch": batch, "events": 5}, np.random.default_rng(2))
        for have, want in zip(graph.run(None, given), run(network, map(torch.from_numpy, given.values())), strict=True):
            np.testing.assert_allclose(have, want.numpy(), atol=1e-5)

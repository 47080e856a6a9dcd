"""Training of fusion on a small made-up catalogue: it learns, it resumes, and what it writes comes back."""

import numpy as np
import pytest
import torch

from networks.fusion import ALIGNED, CLASSES, MODALITIES, POOLED, SPATIAL, TOKENS, VARIANTS, WIDTH
from training.common.embeddings import name_targets, recall
from training.common.weights import save
from training.encoders.features import Features
from training.encoders.fused import image_only, load, run, text_only
from training.encoders.texts import NEUTRAL
from training.fusion import variants as fusion
from training.fusion.modalities import Samples

pytestmark = pytest.mark.usefixtures("one_thread")
PRODUCTS, PICTURES, TITLES = 24, 4, 3


def unit(rng, *shape):
    x = rng.standard_normal(shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def labels():
    return torch.from_numpy(unit(np.random.default_rng(1), CLASSES, WIDTH))


@pytest.fixture
def data():
    """Each product has features of its own, which its pictures vary a little; every two products share a name."""
    rng = np.random.default_rng(0)
    names = unit(rng, PRODUCTS // 2, WIDTH)
    name_of = np.arange(PRODUCTS) // 2
    pooled = rng.random((PRODUCTS, POOLED)).repeat(PICTURES, 0) + 0.1 * rng.random((PRODUCTS * PICTURES, POOLED))
    features = Features(
        pooled.astype(np.float16),
        rng.standard_normal((PRODUCTS * PICTURES, 4, SPATIAL)).astype(np.float16),
        rng.dirichlet(np.full(CLASSES, 0.01), PRODUCTS * PICTURES).astype(np.float16),
    )
    titles = names[name_of][:, None] + 0.02 * rng.standard_normal((PRODUCTS, TITLES, WIDTH))
    return fusion.Data(
        features,
        torch.nn.functional.normalize(torch.from_numpy(titles).float(), dim=-1),
        torch.from_numpy(names),
        torch.from_numpy(name_of),
        torch.from_numpy(unit(rng, len(NEUTRAL), WIDTH)),
        {modality: aligned(rng, names[name_of], modality) for modality in ALIGNED},
    )


def aligned(rng, names, modality):
    """One to three samples near each product's name; of the last product there is no session."""
    groups = []
    for place, name in enumerate(names):
        count = 0 if modality == "behavior" and place == len(names) - 1 else 1 + place % 3
        groups.append((name + 0.03 * rng.standard_normal((count, WIDTH)), unit(rng, count, TOKENS, WIDTH)))
    return Samples.of(groups)


def image_recall(network, data):
    _, images = run(network, image_only(data.features))
    _, names = run(network, text_only(data.names))
    wanted = torch.nn.functional.one_hot(data.name_of.repeat_interleave(PICTURES), len(data.names)).bool()
    return recall(images, names, wanted)["@1"]


@pytest.mark.slow
def test_pictures_find_their_names_after_a_few_steps(data, labels, tmp_path, monkeypatch):
    monkeypatch.setattr(fusion, "STEPS", 40)
    monkeypatch.setattr(fusion, "WARM_UP", 5)
    said = []
    network = fusion.train("mean", data, labels, tmp_path / "run.pt", lambda step, terms: said.append((step, terms)))
    assert [step for step, _ in said] == list(range(1, 41))
    assert "image→name" in said[0][1]
    assert image_recall(network, data) > 0.9
    before = fusion.create("mean", labels).eval()
    assert image_recall(before, data) < 0.4


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns_in_all_its_parts(variant, data, labels):
    torch.manual_seed(0)
    network = fusion.create(variant, labels)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for step in range(3):
        terms = fusion.losses(network, data, name_targets(data.names), np.random.default_rng(step))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        assert all(term.isfinite() for term in terms.values())
    # What only fills the condition's details is not trained by the names; `empty` is, where a variant attends to it.
    idle = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle <= {"empty"}


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(data, labels, tmp_path, monkeypatch):
    monkeypatch.setattr(fusion, "STEPS", 12)
    monkeypatch.setattr(fusion, "CHECKPOINT_EVERY", 5)
    whole = fusion.train("mean", data, labels, tmp_path / "whole.pt", lambda *_: None)

    def stop(step, _):
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fusion.train("mean", data, labels, tmp_path / "run.pt", stop)
    steps = []
    resumed = fusion.train("mean", data, labels, tmp_path / "run.pt", lambda step, _: steps.append(step))
    assert steps == list(range(6, 13))
    # Dropout's draws differ after a stop; what is learned hardly does.
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0.02, rtol=0.1)
    assert not (tmp_path / "run.pt").exists()


def test_weights_come_back_in_half_precision(data, labels, tmp_path):
    torch.manual_seed(0)
    network = fusion.create("deep", labels).eval()
    save(network, tmp_path / "deep.safetensors", {"variant": "deep"})
    back = load("deep", tmp_path / "deep.safetensors")
    for batch in (text_only(data.names), image_only(data.features)):
        torch.testing.assert_close(run(back, batch)[1], run(network, batch)[1], atol=2e-3, rtol=0)


def test_a_batch_mixes_titles_with_ones_that_say_nothing(data):
    drawn = data.draw(np.random.default_rng(0))
    assert drawn.title.shape == (PRODUCTS, WIDTH)
    neutral = (drawn.beside[:, None] == data.neutral[None]).all(-1).any(1)
    absent = drawn.says_something[:, 0] == 0
    assert 0 < neutral.float().mean() < 0.7
    assert not drawn.beside[absent].any()
    misled = drawn.whose != torch.arange(PRODUCTS)
    assert 0 < misled.float().mean() < 0.5
    assert not (misled & (neutral | absent)).any()


def test_a_subset_is_of_what_is_there_and_never_empty(data):
    for seed in range(20):
        drawn = data.draw(np.random.default_rng(seed))
        assert drawn.subset.shape == (PRODUCTS, len(MODALITIES))
        assert set(drawn.subset.flatten().tolist()) == {0.0, 1.0}
        assert drawn.subset.sum(1).min() >= 1
        last = int((drawn.products == PRODUCTS - 1).nonzero())
        assert drawn.subset[last, -1] == 0, "no session leads to the last product"
        assert not drawn.aligned["behavior"][0][last].any()


def test_samples_come_from_the_product_that_asks(data):
    rng = np.random.default_rng(1)
    products = rng.permutation(PRODUCTS)
    embedding, _, has = data.aligned["video"].draw(products, rng)
    near = embedding @ data.names.T
    assert has.all()
    assert (near.argmax(1) == data.name_of[products]).all()


def test_targets_put_most_on_the_name_itself(data):
    targets = name_targets(data.names)
    torch.testing.assert_close(targets.sum(1), torch.ones(len(data.names)))
    assert (targets.diagonal() > 0.7).all()
    assert (targets.argmax(1) == torch.arange(len(data.names))).all()


def test_recall_counts_the_nearest_one_and_five():
    candidates = torch.eye(8)
    queries = torch.stack([candidates[0], candidates[0] * 0.5 + candidates[3]])
    wanted = torch.zeros(2, 8, dtype=torch.bool)
    wanted[0, 0] = wanted[1, 0] = True
    assert recall(queries, candidates, wanted) == {"@1": 0.5, "@5": 1.0}

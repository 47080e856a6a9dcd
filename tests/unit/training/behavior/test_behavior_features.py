"""The samples that fusion's training takes of the modality behaviour."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from networks.behavior_encoder import TOKENS, WIDTH, BehaviorEncoder
from training.behavior import features as behavior_features
from training.behavior.encoder import Data
from training.behavior.features import SAMPLES, compute, read
from training.behavior.sessions import Shop

pytestmark = pytest.mark.usefixtures("one_thread")
PRODUCTS = 12


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Ten known products and two held-out ones in one errand; every path below a folder of the test."""
    products = [SimpleNamespace(key=f"key{i}", held_out=i >= 10) for i in range(PRODUCTS)]
    items = np.random.default_rng(0).standard_normal((PRODUCTS, 1, WIDTH)).astype(np.float32)
    items /= np.linalg.norm(items, axis=-1, keepdims=True)

    def shop(_, with_held_out, zipf):
        offered = np.arange(PRODUCTS) < (PRODUCTS if with_held_out else 10)
        zeros = np.zeros(PRODUCTS, int)
        steps = tuple(s[offered[s]] for s in np.arange(PRODUCTS).reshape(3, 4).T)
        return Shop(np.ones(PRODUCTS), zeros, zeros, zeros, (steps,), offered)

    torch.manual_seed(0)
    network = BehaviorEncoder().eval()
    monkeypatch.setattr(behavior_features, "Shop", SimpleNamespace(read=shop))
    monkeypatch.setattr(behavior_features, "SHOPPERS", 20)
    monkeypatch.setattr(behavior_features, "load", lambda _: network)
    monkeypatch.setattr(behavior_features, "folder", lambda: tmp_path / "features")
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path))
    data = Data(torch.from_numpy(items), torch.arange(10), None, [])
    return products, SimpleNamespace(data=lambda: data)


def test_every_product_has_samples_and_held_out_ones_are_marked(world):
    products, simulated = world
    assert list(compute(products, simulated)) == products
    for product in products:
        samples = read(product)
        count = len(samples.held_out)
        assert samples.embedding.shape == (count, WIDTH) and samples.embedding.dtype == np.float16
        assert samples.tokens.shape == (count, TOKENS, WIDTH) and samples.tokens.dtype == np.float16
        assert 0 < samples.held_out.sum() <= SAMPLES
        assert (count - samples.held_out.sum() == 0) == product.held_out
        np.testing.assert_allclose(np.linalg.norm(samples.embedding.astype(np.float32), axis=1), 1, atol=2e-3)


def test_what_is_there_is_not_computed_again(world):
    products, simulated = world
    list(compute(products, simulated))
    assert list(compute(products, None)) == products

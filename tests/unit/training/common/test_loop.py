"""The shared training loop: it goes on where it was stopped, and stops where a loss is no number."""

import numpy as np
import pytest
import torch
from torch import nn

from training.common import loop

pytestmark = pytest.mark.usefixtures("one_thread")


def run(tmp_path, steps=12, report=lambda *_: None, broken_at=None):
    """Fits a line; gives its weights and the steps that were done."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(network.parameters(), 0.05)
    done = []

    def step(number, rng, device):
        done.append(number)
        x = torch.from_numpy(rng.standard_normal((16, 3))).float().to(device)
        loss = ((network(x) - x.sum(1, keepdim=True)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss if number != broken_at else float("nan")}

    weights = loop.train(
        {"line": network},
        {"line": optimizer},
        step,
        steps=steps,
        seed=1,
        checkpoint=tmp_path / "line.pt",
        report=report,
        warm_up=2,
        checkpoint_every=5,
    )
    return weights["line"], done


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole, _ = run(tmp_path / "whole")

    def stop(step, _):
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, report=stop)
    resumed, done = run(tmp_path)
    assert done == list(range(5, 12))
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-6, rtol=1e-5)
    again, done = run(tmp_path)
    assert done == []
    torch.testing.assert_close(again["weight"], resumed["weight"])


def test_it_learns_and_writes_losses(tmp_path):
    said = []
    weights, _ = run(tmp_path, steps=200, report=lambda step, terms: said.append((step, terms)))
    np.testing.assert_allclose(weights["weight"], 1.0, atol=0.2)
    assert said[0][0] == 1 and said[-1][0] == 200 and "loss" in said[-1][1]
    events = list((tmp_path / "tensorboard" / "line").glob("events.*"))
    assert events and events[0].stat().st_size > 1000


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="line: a loss is not finite at step 3"):
        run(tmp_path, broken_at=3)

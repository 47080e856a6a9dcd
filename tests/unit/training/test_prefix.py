"""The soft prefix on the real decoder: its losses fall, and the decoder reads it where the name stands."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from networks.soft_prefix import ROWS, SoftPrefix
from training import prefix
from training.steps import run

pytestmark = [pytest.mark.usefixtures("bundle", "one_thread"), pytest.mark.slow]


@pytest.fixture(scope="module")
def data():
    """Two names, each with pictures of its own and as a word."""
    torch.manual_seed(0)
    _, tokenizer = prefix.decoder()
    rows = torch.nn.functional.normalize(torch.randn(2, len(ROWS), 384), dim=-1)
    near = torch.nn.functional.normalize(rows.repeat_interleave(4, 0) + 0.01 * torch.randn(8, len(ROWS), 384), dim=-1)
    names = ["kite", "garden chair"]
    ids = [tokenizer(f" {name}", add_special_tokens=False)["input_ids"] for name in names]
    copies = [tokenizer(f"This {name} is made", add_special_tokens=False)["input_ids"] for name in names]
    return prefix.Data(near, np.array([0] * 4 + [1] * 4), rows, names, ids, copies)


def test_the_prompt_is_parted_at_the_name(bundle):
    before, after = prefix.around()
    assert before.endswith("Product:") and f"{before} kite{after}" == prefix.prompt("kite")


def test_names_and_then_copies_are_learned(data, tmp_path, monkeypatch):
    monkeypatch.setattr(prefix, "NAMES_PLAN", replace(prefix.NAMES_PLAN, steps=40, batch=8, warm_up=5))
    monkeypatch.setattr(prefix, "COPIES_PLAN", replace(prefix.COPIES_PLAN, steps=4, batch=4, warm_up=1))
    said = []
    trained = prefix.train(data, tmp_path, lambda step, terms: said.append(terms))
    tokens = [float(terms.split("tokens ")[1].split()[0]) for terms in said[:40]]
    assert len(said) == 44 and tokens[-1] < 0.5 * tokens[0] and "copy" in said[-1]
    assert not list(tmp_path.iterdir())
    assert isinstance(trained, SoftPrefix)


def test_a_kill_loses_no_more_than_a_checkpoint(data, tmp_path):
    plan = replace(prefix.NAMES_PLAN, steps=6, batch=4, warm_up=1, checkpoint_every=2)
    losses = prefix.names_loss(data)

    def killed(step, terms):
        if step == 5:
            raise KeyboardInterrupt

    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        run(SoftPrefix(576), losses, plan, tmp_path / "run.pt", killed)
    seen = []
    run(SoftPrefix(576), losses, plan, tmp_path / "run.pt", lambda step, terms: seen.append(step))
    assert seen == [5, 6]

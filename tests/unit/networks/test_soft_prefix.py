import torch

from networks.soft_prefix import ROWS, VECTORS, SoftPrefix, rows_of


def test_it_reads_its_rows_and_no_others():
    condition = torch.randn(2, 36, 384)
    rows = rows_of(condition)
    assert rows.shape == (2, len(ROWS), 384) and torch.equal(rows[:, 2], condition[:, 3])


def test_vectors_are_the_decoders_and_follow_the_condition():
    torch.manual_seed(0)
    prefix = SoftPrefix(48, inner=64)
    rows = torch.nn.functional.normalize(torch.randn(3, len(ROWS), 384), dim=-1).requires_grad_()
    made = prefix(rows)
    assert made.shape == (3, VECTORS, 48)
    assert (made[0] - made[1]).abs().mean() > 0.05
    made.square().sum().backward()
    assert (rows.grad.abs().sum((1, 2)) > 0).all()

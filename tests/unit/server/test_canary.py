"""The canary's cases, and when an answer counts as the same."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from server import canary
from server.errors import ServerFailed


def test_cases_are_of_many_lengths_and_hold_the_extremes():
    cases = list(canary.cases())
    assert [len(case["INTS"]) for case in cases] == [1, 4, 7, 1500]
    floats = cases[-1]["FLOATS"]
    assert np.isnan(floats).any()
    assert np.isinf(floats).any()
    assert any(0 in word for word in cases[-1]["WORDS"])  # a zero byte ends no word
    assert b"" in cases[-1]["WORDS"].tolist()


@pytest.mark.parametrize(
    "got",
    [
        np.array([1, 1, 1, 1]),
        np.array([1, 2, 3]),
        np.array([], np.int64),
        np.array([1, 2, 3, 4], np.int32),
        np.array([[1, 2, 3, 4]]),
        None,
    ],
)
def test_any_difference_counts(got):
    assert not canary.same(np.array([1, 2, 3, 4]), got)


def test_bits_count_not_values():
    assert canary.same(np.array([np.nan], np.float32), np.array([np.nan], np.float32))
    assert not canary.same(np.array([0.0], np.float32), np.array([-0.0], np.float32))
    assert not canary.same(np.array([b"a"], object), np.array([b"b"], object))


def test_numpy_of_this_environment_is_right():
    assert canary.stub_numpy(os.environ) == np.__version__
    canary.check_numpy(os.environ)


def test_no_numpy_at_all(monkeypatch, tmp_path):
    bare = tmp_path / "python3"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(ServerFailed, match="no numpy"):
        canary.check_numpy(os.environ)

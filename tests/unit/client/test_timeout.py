import math

import pytest
from vitrina_client import DeadlineExceeded, Timeout
from vitrina_client._timeout import Deadline


def test_equal_by_value_and_readable():
    assert Timeout(total=5) == Timeout(total=5)
    assert Timeout(total=5) != Timeout(total=6)
    assert len({Timeout(), Timeout(), Timeout(total=None)}) == 2
    assert eval(repr(Timeout(total=5, first_token=None))) == Timeout(total=5, first_token=None)


@pytest.mark.parametrize("name", ["total", "connect", "first_token"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_limit_that_cannot_be_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}=.*above 0"):
        Timeout(**{name: value})


@pytest.mark.parametrize("value", ["5", True, [1]])
def test_a_limit_that_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match="seconds"):
        Timeout(total=value)


def test_the_docstring_has_the_table_of_uses():
    assert all(word in Timeout.__doc__ for word in ("generate", "stream", "embed", "status", "first_token", "connect"))


def test_a_deadline_counts_down_and_names_its_limit():
    deadline = Deadline("first_token", 1000)
    assert 999 < deadline.left() <= 1000
    assert deadline.allows(900)
    assert not deadline.allows(1100)
    with pytest.raises(DeadlineExceeded, match=r"content: no answer within first_token=1e-09 s; raise Timeout"):
        Deadline("first_token", 1e-9).left("content")


def test_without_a_limit_there_is_always_time():
    deadline = Deadline("total", None)
    assert deadline.left() is None
    assert deadline.allows(1e9)
    assert deadline.end == math.inf

"""What unit tests share."""

import pytest
import torch
from hypothesis import settings

#: No test fails for its time: a busy machine is no fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def one_thread():
    """On busy cores one thread is several times faster than two that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

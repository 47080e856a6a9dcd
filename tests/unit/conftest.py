"""What unit tests share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """On busy cores one thread is several times faster than two that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

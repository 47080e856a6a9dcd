"""What the tests share: the exported bundle, and one real Triton that serves it for the whole run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# A shell's background job ignores Ctrl-C, and so would every process that the tests start and then interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Each of several processes has a core of its own, and so have the servers that it starts: two decoders of two threads
# would spin for each other's cores.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
#: Files that take minutes: begun first, none of them is waited for alone.
LONG = ("test_swap.py", "test_contributing.py", "test_text_decoder.py", "test_bundle.py", "test_speech.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first (with `--no-loadscope-reorder`)."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def bundle() -> None:
    """Every slot of recipe offline-small is in `model_repository/`; what has not changed comes from the cache."""
    from export import build, recipe

    for _ in build.build_all(recipe.SLOTS, recipe.load("offline-small"), jobs=2):
        pass


@pytest.fixture(scope="session")
def server(bundle) -> Iterator:
    """The whole bundle, served by a real Triton on free ports; `.grpc_url`, `.http_url`, `.metrics_url`."""
    from server import Server, ServerOptions

    with Server(ServerOptions(http_port=0, grpc_port=0, metrics_port=0)) as running:
        yield running

"""A tiny causal network with random weights, taken through the real export: fast, and wrong wherever ours would be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from decoding.engine import Engine
from export.recipe import Slot
from tests.checkpoints import save_decoder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """The folder of :func:`tests.checkpoints.save_decoder`."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save_decoder(folder)
    return folder


@pytest.fixture(scope="session")
def slot() -> Slot:
    """What a recipe would say of the tiny network."""
    return Slot(
        sources=["file:tiny"],
        sha256="0" * 64,
        licence="none",
        precision="fp32",
        tolerance={"relative": 1e-4, "top1_agreement": 0.99},
        options={"max_length": 96, "prompts": "qwen2.5"},
    )


@pytest.fixture(scope="session")
def folder(checkpoint, slot, tmp_path_factory) -> Path:
    """The tiny network, exported."""
    from families import text_decoder

    out = tmp_path_factory.mktemp("decoder")
    text_decoder.build(checkpoint, slot, out)
    return out


@pytest.fixture
def engine(folder) -> Iterator[Engine]:
    """Four slots over the tiny network."""
    engine = Engine(folder, slots=4, max_queue=8, threads=1)
    yield engine
    engine.close()

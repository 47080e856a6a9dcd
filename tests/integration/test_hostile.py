"""Hostile files through every ensemble that takes them: a typed error or an answer, and nobody else is harmed."""

import gc
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
from vitrina_client import InvalidInput, Product, TooLarge, Vitrina

from tests import hostile

CUP = Path(__file__).parent.parent.parent / "samples" / "espresso-cup.jpg"
GOOD = Product(title="Red espresso cup", image=CUP.read_bytes())


@pytest.fixture(scope="module")
def vitrina(server):
    with Vitrina(f"grpc://{server.grpc_url}") as client:
        yield client


@cache
def made(kind: str, name: str) -> bytes:
    """The file; each is made once."""
    return getattr(hostile, kind)[name]()


def ways(kind: str, data: bytes):
    """Every call that takes such a file, and the field that it goes to."""
    if kind == "PHOTOS":
        yield "IMAGE", lambda v: v.embed(Product(title="A mug", image=data))
        yield "IMAGE", lambda v: v.studio(data, size=256)
        yield "IMAGE", lambda v: v.post(data, "A mug.", aspect="1:1")
    elif kind == "CLIPS":
        yield "VIDEO", lambda v: v.embed(Product(title="A mug", video=data))
        yield "VIDEO", lambda v: v.post(None, "A mug.", video=data, aspect="1:1")
    else:
        yield "AUDIO", lambda v: v.embed(Product(title="A mug", audio=data))
        yield "LOGO_SOUND", lambda v: v.post(GOOD.image, "", logo_sound=data, aspect="1:1")


CASES = [(kind, name) for kind in ("PHOTOS", "CLIPS", "SOUNDS") for name in getattr(hostile, kind)]


def outcome(vitrina: Vitrina, field: str, call) -> str:
    """``"made"``, or the code of the typed error on the right field."""
    try:
        call(vitrina)
    except (InvalidInput, TooLarge) as error:
        assert error.field == field, error
        assert error.message and "0x7f" not in error.message and "Traceback" not in error.message, error
        return type(error).__name__
    return "made"


@pytest.mark.parametrize(("kind", "name"), CASES, ids=lambda value: value)
def test_the_answer_is_a_result_or_a_typed_error(vitrina, kind, name):
    assert [outcome(vitrina, field, call) for field, call in ways(kind, made(kind, name))]


def resident() -> float:
    """MB that Triton and its Python models hold together."""
    gc.collect()
    processes = [p for p in psutil.Process().children(recursive=True) if "triton" in p.name().lower()]
    assert processes
    return sum(p.memory_full_info().uss for p in processes) / 1e6


def test_a_hail_of_them_harms_no_neighbour_and_leaves_no_memory_behind(vitrina):
    alone = vitrina.embed(GOOD)
    small = [
        (field, call)
        for kind, name in CASES
        for field, call in list(ways(kind, made(kind, name)))[:1]
        if len(made(kind, name)) < 4_000_000
    ]

    def hail() -> None:
        with ThreadPoolExecutor(4) as pool:
            bad = [pool.submit(outcome, vitrina, field, call) for field, call in small]
            good = [pool.submit(vitrina.embed, GOOD) for _ in range(40)]
            for answer in good:
                np.testing.assert_allclose(answer.result(), alone, atol=1e-6)
            assert {answer.result() for answer in bad} >= {"made", "InvalidInput", "TooLarge"}

    hail()
    before = resident()
    for _ in range(3):
        hail()
    assert resident() - before < 200
    assert vitrina.status().ready

"""Which segments in shared memory are a dead server's."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

from server import segments


def segment(prefix: str) -> Path:
    path = segments.SHARED_MEMORY / f"{prefix}{uuid.uuid4()}"
    path.touch()
    return path


def test_prefixes_are_unique_and_of_one_length():
    first, second = segments.unique_prefix("v"), segments.unique_prefix("v")
    assert first != second
    assert len(first) == len(second)


def test_removes_the_dead_and_spares_the_living_and_strangers():
    family = f"t{uuid.uuid4().hex[:8]}"
    dead, living = segments.unique_prefix(family), segments.unique_prefix(family)
    left, used = segment(dead), segment(living)
    other_namespace = segment(f"{family}_1_{uuid.uuid4().hex[:12]}_")
    stub = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", used.name])
    try:
        assert segments.remove_stale(family) == [left.name]
        assert used.exists()
        assert other_namespace.exists()
        assert segments.remove(living) == [used.name]
    finally:
        stub.kill()
        stub.wait()
        other_namespace.unlink()
    assert not list(segments.SHARED_MEMORY.glob(f"{family}*"))

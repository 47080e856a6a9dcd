"""Which segments and logs are a dead server's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import psutil
import pytest

from decoding.link import meeting_place
from server import leftovers


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A folder for temporary files that no other test's server leaves anything in."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def segment(prefix: str) -> Path:
    path = leftovers.SHARED_MEMORY / f"{prefix}{uuid.uuid4()}"
    path.touch()
    return path


def log(prefix: str) -> Path:
    path = leftovers.log_path(prefix)
    path.touch()
    return path


def test_prefixes_are_unique_and_of_one_length():
    first, second = leftovers.unique_prefix("v"), leftovers.unique_prefix("v")
    assert first != second
    assert len(first) == len(second)


def test_removes_the_dead_and_spares_the_living_and_strangers():
    family = f"t{uuid.uuid4().hex[:8]}"
    dead, living = leftovers.unique_prefix(family), leftovers.unique_prefix(family)
    left, used = {segment(dead), log(dead)}, {segment(living), log(living)}
    other_namespace = segment(f"{family}_1_{uuid.uuid4().hex[:12]}_")
    stub = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", f"{living}0"])
    try:
        assert set(leftovers.remove_stale(family)) == left
        assert all(path.exists() for path in used)
        assert other_namespace.exists()
        assert set(leftovers.remove(living)) == used
    finally:
        stub.kill()
        stub.wait()
        other_namespace.unlink()
    assert not any(path.exists() for path in left | used)


def test_sockets_of_the_dead_go_and_those_of_the_living_stay(monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    places = {}
    for pid in (gone.pid, os.getpid()):
        monkeypatch.setattr(os, "getppid", lambda pid=pid: pid)
        places[pid] = meeting_place("text_decoder")
        places[pid].parent.mkdir()
        places[pid].touch()
    assert leftovers.remove_stale(f"t{uuid.uuid4().hex[:8]}") == [places[gone.pid].parent]
    assert not places[gone.pid].parent.exists() and places[os.getpid()].exists()


SLEEP = "import time; time.sleep(60)"
PARENT = f"""
import subprocess, sys
stub = subprocess.Popen([sys.argv[1], "-c", "{SLEEP}", sys.argv[2]], executable=sys.argv[3])
print(stub.pid, flush=True)
stub.wait()
"""


def test_a_stub_without_its_triton_is_killed_but_not_one_with_it(tmp_path):
    family = f"t{uuid.uuid4().hex[:8]}"
    dead, living = leftovers.unique_prefix(family), leftovers.unique_prefix(family)
    left, used = segment(dead), segment(living)
    stub = str(tmp_path / leftovers.STUB)
    (tmp_path / "tritonserver").symlink_to(sys.executable)
    orphan = subprocess.Popen([stub, "-c", SLEEP, f"{dead}0"], executable=sys.executable)
    command = [str(tmp_path / "tritonserver"), "-c", PARENT, stub, f"{living}0", sys.executable]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as triton:
        child = psutil.Process(int(triton.stdout.readline()))
        try:
            assert leftovers.remove_stale(family) == [left]
            orphan.wait(10)
            assert child.is_running()
            assert used.exists()
        finally:
            child.kill()
            leftovers.remove(living)

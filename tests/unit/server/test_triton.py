"""Where tritonserver is found, and the backend folder that is put together for it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from server import triton
from server.errors import ServerFailed


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def installation(tmp_path, monkeypatch, *backends: str):
    """A folder like /opt/tritonserver, first on PATH."""
    home = tmp_path / "tritonserver"
    for backend in backends:
        (home / "backends" / backend).mkdir(parents=True)
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "tritonserver").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return home


def test_wheel_is_assembled_once(cache):
    found = triton.find_triton()
    assert found.from_wheel
    for file in (found.binary, found.backends / "python" / "triton_python_backend_stub"):
        assert os.access(file, os.X_OK)
    assert (found.backends / "onnxruntime" / "model.py").read_bytes() == (triton.OUR_BACKEND / "model.py").read_bytes()
    made = (found.backends / "onnxruntime").stat().st_mtime_ns
    assert triton.find_triton() == found
    assert (found.backends / "onnxruntime").stat().st_mtime_ns == made
    assert [folder.name for folder in (cache / "triton").iterdir()] == [found.backends.name]


def test_environment_of_the_stubs(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    environment = triton.find_triton().environment()
    assert environment["PATH"].startswith(f"{Path(sys.executable).parent}{os.pathsep}")
    assert environment["LD_LIBRARY_PATH"].split(os.pathsep)[0].endswith("nvidia_pytriton.libs")
    assert environment["LD_LIBRARY_PATH"].endswith("/elsewhere")
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"


def test_native_backends_are_used_as_they_are(tmp_path, monkeypatch):
    home = installation(tmp_path, monkeypatch, "python", "onnxruntime", "tensorrt")
    found = triton.find_triton()
    assert found.backends == home / "backends"
    assert found.libraries is None
    assert not found.from_wheel


def test_ours_is_added_only_where_there_is_no_native_one(tmp_path, monkeypatch):
    home = installation(tmp_path, monkeypatch, "python", "tensorrt")
    backends = triton.find_triton().backends
    assert sorted(folder.name for folder in backends.iterdir()) == ["onnxruntime", "python", "tensorrt"]
    assert (backends / "tensorrt").resolve() == home / "backends" / "tensorrt"
    assert (backends / "onnxruntime" / "model.py").is_file()


def test_installation_without_backends(tmp_path, monkeypatch):
    installation(tmp_path, monkeypatch)
    with pytest.raises(ServerFailed, match="no backends"):
        triton.find_triton()


def test_no_triton_anywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServerFailed, match="nvidia-pytriton"):
        triton.find_triton()


def test_python_without_a_stub(monkeypatch):
    monkeypatch.setattr(triton.sys, "version_info", SimpleNamespace(major=3, minor=99))
    with pytest.raises(ServerFailed, match=r"no python stub for Python 3\.99"):
        triton.find_triton()

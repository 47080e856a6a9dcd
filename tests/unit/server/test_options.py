"""Options that make no sense are refused where they are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from server import ServerOptions
from server.options import DEFAULT_ROOTS, cache_folder


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model_roots": []}, "model_roots is empty"),
        ({"http_port": -1}, "http_port -1"),
        ({"grpc_port": 65536}, "grpc_port 65536"),
        ({"metrics_port": 70000}, "metrics_port 70000"),
        ({"shm_prefix": "a/b"}, "shm_prefix 'a/b'"),
        ({"shm_prefix": ""}, "shm_prefix ''"),
        ({"start_timeout_s": 0}, "start_timeout_s 0"),
        ({"exit_timeout_s": float("nan")}, "exit_timeout_s nan"),
    ],
)
def test_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        ServerOptions(**wrong)


def test_default_roots_are_those_of_the_repository():
    assert [root.name for root in DEFAULT_ROOTS] == ["models", "ensembles"]
    assert (DEFAULT_ROOTS[0] / "canary" / "1" / "model.py").is_file()


def test_cache_moves(monkeypatch, tmp_path):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("VITRINA_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "vitrina"

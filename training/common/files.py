"""Where training reads and writes: the repository's folders, and the cache with how a pinned file gets there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = REPOSITORY / "weights"
#: Lists, and the cards' templates.
DATA = REPOSITORY / "training" / "data"


class FetchError(RuntimeError):
    """A pinned file could not be fetched or is not the pinned one."""


def cache_folder() -> Path:
    """``$VITRINA_CACHE``, else ``~/.cache/vitrina``."""
    return Path(os.environ.get("VITRINA_CACHE") or Path.home() / ".cache" / "vitrina")


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: Path | str) -> str:
    """Names what depends on files' contents and on texts."""
    content = [part.read_bytes() if isinstance(part, Path) else part.encode() for part in parts]
    return hashlib.sha256(b"".join(content)).hexdigest()[:12]


def fetch(name: str, expected: str, command: list[str]) -> Path:
    """The cached file `name`, fetched by `command` (run in an empty folder, where it must leave `name`) if absent.

    Raises:
        FetchError: the command failed, left no such file, or one with another hash; nothing half-written stays.
    """
    target = cache_folder() / "downloads" / name
    if not target.exists():
        mend = f"put {name} (sha256 {expected}) at {target}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            try:
                subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
            except FileNotFoundError as error:
                raise FetchError(f"{command[0]} is not installed; {mend}") from error
            except subprocess.CalledProcessError as error:
                said = (error.stderr or error.stdout).strip()[-500:]
                raise FetchError(f"`{' '.join(command)}` failed: {said}; check the network, or {mend}") from error
            found = Path(folder) / name
            if not found.exists():
                raise FetchError(f"`{' '.join(command)}` left no {name}; {mend}")
            shutil.move(found, target)
    actual = sha256(target)
    if actual != expected:
        raise FetchError(f"{target} has sha256 {actual}, expected {expected}; delete it and run again")
    return target

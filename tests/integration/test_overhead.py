"""`python -m benchmarks.overhead`: the same networks raw and served, from one command."""

import json
import subprocess
import sys

import pytest

from benchmarks.serving import REPOSITORY


@pytest.mark.slow
def test_raw_and_served_are_measured_in_one_run(server, tmp_path):
    figures = tmp_path / "overhead.json"
    command = [sys.executable, "-m", "benchmarks.overhead", "--url", server.grpc_url, "--json", str(figures)]
    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "0.3"], cwd=REPOSITORY, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(figures.read_text())["served_over_raw"] > 0

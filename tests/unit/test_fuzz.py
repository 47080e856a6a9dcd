"""The fuzzer runs, finds nothing in its first steps, and does find what is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Inputs that take a few seconds of one core.
RUNS = {"title": 30_000, "events": 30_000, "image": 6_000, "audio": 12_000, "video": 800, "footage": 150}


#: A process that a large one starts counts that one's peak as its own, so libFuzzer cannot bound what is resident.
OPTIONS = ("-seed=1", "-rss_limit_mb=0")


def fuzzed(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess:
    """The process that ran `code` with tests.fuzz as `fuzz`."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tests.fuzz as fuzz\n{code}"
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("reader", RUNS)
def test_a_reader_gives_results_or_typed_errors(tmp_path, reader):
    done = fuzzed(tmp_path, "fuzz.main(sys.argv[1], sys.argv[2:])", reader, f"-runs={RUNS[reader]}", *OPTIONS)
    assert done.returncode == 0, done.stderr[-3000:]
    # libFuzzer counts the inputs it repeats as runs of its own, so it may end a few past its bound.
    ended = re.search(r"^Done (\d+) runs", done.stderr, re.MULTILINE)
    assert ended and int(ended[1]) >= RUNS[reader] and not list(tmp_path.iterdir())


def test_a_reader_that_breaks_is_found(tmp_path):
    breaks = 'fuzz.READERS["title"] = lambda data: 1 / (b"x" not in data)'
    done = fuzzed(tmp_path, f'{breaks}\nfuzz.main("title", ["-runs=100000", "-seed=1"])')
    assert done.returncode != 0 and "ZeroDivisionError" in done.stdout + done.stderr
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["crash"]

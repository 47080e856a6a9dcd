"""Reading tritonserver's log."""

from __future__ import annotations

import pytest

from server.log import Loading, parse, passes
from server.options import REPOSITORY

STAMP = "1121 19:23:24.059641 6017"
FAILED = (
    f"E{STAMP} model_lifecycle.cc:642] \"failed to load 'prompter' version 1: Internal: FileNotFoundError: [Errno 2]"
    ' No such file or directory: \\"a.jinja\\"\\n\\nAt:\\n  /usr/lib/python3.11/pathlib.py(1044): open\\n'
    f"  {REPOSITORY}/stages/prompt.py(12): load\\n  {REPOSITORY}/model_repository/models/prompter/1/model.py(15):"
    ' initialize\\n"'
)


def test_parses_a_quoted_and_a_bare_line():
    assert parse(f"I{STAMP} model_lifecycle.cc:839] \"successfully loaded 'echo'\"") == (
        "I",
        "successfully loaded 'echo'",
    )
    assert parse(f"I{STAMP} server.cc:604] ") == ("I", "")
    assert parse("+-----+") is None


def test_follows_a_model_until_it_is_ready():
    loading = Loading()
    assert loading.feed(f'I{STAMP} model_lifecycle.cc:472] "loading: echo:1"') is None
    assert set(loading.since) == {"echo"}
    assert loading.feed(f"I{STAMP} model_lifecycle.cc:839] \"successfully loaded 'echo'\"") == "echo"
    assert loading.took_s["echo"] >= 0
    assert loading.feed(f"I{STAMP} model_lifecycle.cc:624] \"successfully unloaded 'echo' version 1\"") is None


def test_a_failure_keeps_its_reason_and_the_innermost_line_of_ours():
    loading = Loading()
    loading.feed(FAILED)
    reason = 'Internal: FileNotFoundError: [Errno 2] No such file or directory: "a.jinja" (stages/prompt.py:12)'
    assert loading.failed == {"prompter": reason}


def test_a_refusal_in_its_own_words_stays_as_it_is():
    loading = Loading()
    loading.feed(
        f"E{STAMP} model_lifecycle.cc:642] \"failed to load 'x' version 1: Internal: TritonModelException: no input"
        f" 'Q'\\n\\nAt:\\n  {REPOSITORY}/server/backends/onnxruntime/model.py(156): said_like_native\\n\""
    )
    assert loading.failed == {"x": "Internal: no input 'Q'"}


def test_an_ensemble_that_is_not_even_polled():
    loading = Loading()
    text = "Poll failed for model directory 'text_stream': ensemble tensor 'T' is unused in ensemble 'text_stream'"
    loading.feed(f'E{STAMP} model_repository_manager.cc:1460] "{text}"')
    assert loading.failed == {"text_stream": "ensemble tensor 'T' is unused in ensemble 'text_stream'"}


def test_other_errors_are_kept_but_not_the_ones_of_every_start():
    loading = Loading()
    loading.feed(f'E{STAMP} server.cc:241] "CudaDriverHelper has not been initialized."')
    loading.feed(f'E{STAMP} main.cc:1] "bad luck"')
    loading.feed("error: creating server: Internal - failed to load all models")
    assert loading.errors == ["bad luck", "creating server: Internal - failed to load all models"]


@pytest.mark.parametrize(
    ("line", "from_level"),
    [
        (f'E{STAMP} a.cc:1] "x"', "error"),
        (f'W{STAMP} a.cc:1] "x"', "warning"),
        (f'I{STAMP} a.cc:1] "x"', "info"),
        (f'V{STAMP} a.cc:1] "x"', "verbose"),
        ("printed by a model", "info"),
    ],
)
def test_passes_from_its_level_on(line, from_level):
    levels = ["error", "warning", "info", "verbose"]
    passed = [level for level in levels if passes(line, level)]
    assert passed == levels[levels.index(from_level) :]


def test_noise_never_passes():
    assert not passes(f'W{STAMP} metrics.cc:798] "DCGM unable to start: DCGM initialization error"', "verbose")

"""What the README tells a newcomer to type is run here, on a checkpoint of the test's own."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from graph.assembly import load
from tests.checkpoints import save_decoder
from tests.rooms import imports

REPOSITORY = Path(__file__).resolve().parents[2]
README, SERVING = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "docs/serving.md"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bundle) -> Path:
    """A working folder with a small causal network as `my-decoder`, and the bundle's model repository."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "my-decoder").mkdir()
    save_decoder(folder / "my-decoder", seed=None)  # an earlier run's export lies in the cache under that one's hash
    shutil.copytree(REPOSITORY / "model_repository", folder / "model_repository", copy_function=os.link)
    return folder


def test_the_container_gets_every_package_that_the_steps_import():
    imported = set()
    for room in ("stages", "decoding", "model_repository"):
        for path in (REPOSITORY / room).rglob("*.py"):
            imported |= imports(path)
    own = {"stages", "decoding", "triton_python_backend_utils", "piper"}  # piper-tts is an extra, GPL-3.0
    packages = packages_distributions()
    wanted = {packages[name][0].lower().replace("_", "-") for name in imported - sys.stdlib_module_names - own}
    installed = re.search(r"pip install (.*?)&&", SERVING, re.DOTALL)[1]
    assert wanted <= {name.split("<")[0].lower().removesuffix("-gpu") for name in re.findall(r"[\w<-]+", installed)}


@pytest.mark.slow
def test_another_encoder_under_the_trained_weights_is_refused(folder):
    recipe = folder / "other.yaml"
    recipe.write_text(
        "name: other\nextends: offline\nslots:\n"
        f"  text_encoder: {{sources: ['file:{folder}/my-decoder'], sha256: '{'0' * 64}', licence: MIT}}\n"
    )
    command = [sys.executable, "-m", "export", "--recipe", str(recipe), "--only", "text_encoder"]
    refused = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert refused.returncode == 1
    said = " ".join((refused.stdout + refused.stderr).split())
    assert re.search(r"other: text_encoder is \w+, but .*fusion, tagger were trained on", said)


def test_use_it(server, tmp_path):
    """The README's Python lines, against the session's server."""
    (tmp_path / "samples").symlink_to(REPOSITORY / "samples")
    lines = re.search(r"## Use it\n\n```python\n(.*?)```", README, re.DOTALL)[1]
    code = lines.replace("grpc://localhost:8001", f"grpc://{server.grpc_url}")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert f"({load().facts['fusion']['width']},)" in run.stdout and len(run.stdout.split()) > 20
    assert (tmp_path / "cup.png").read_bytes().startswith(b"\x89PNG")

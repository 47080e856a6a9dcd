"""What the README tells a newcomer to type is run here, on a checkpoint of the test's own."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bundle) -> Path:
    """A working folder with a small BERT of 384 dimensions as `my-encoder`, and the bundle's model repository."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("newcomer")
    torch.seed()  # a fresh one: what an earlier run exported lies in the cache under the checkpoint's own hash
    config = BertConfig(hidden_size=384, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512)
    BertModel(config).save_pretrained(folder / "my-encoder")
    tokenizer = REPOSITORY / "model_repository" / "models" / "reader" / "1" / "tokenizer.json"
    shutil.copy(tokenizer, folder / "my-encoder" / "tokenizer.json")
    shutil.copytree(REPOSITORY / "model_repository", folder / "model_repository", copy_function=os.link)
    return folder


def test_the_container_gets_every_package_that_the_steps_import():
    imported = set()
    for room in ("stages", "decoding", "model_repository"):
        for path in (REPOSITORY / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                imported |= {name.split(".")[0] for name in names}
    own = {"stages", "decoding", "triton_python_backend_utils", "piper"}  # piper-tts is an extra, GPL-3.0
    packages = packages_distributions()
    wanted = {packages[name][0].lower().replace("_", "-") for name in imported - sys.stdlib_module_names - own}
    installed = re.search(r"pip install (.*?)&&", README, re.DOTALL)[1]
    assert wanted <= {name.split("<")[0].lower() for name in re.findall(r"[\w<-]+", installed)}


@pytest.mark.slow
def test_bring_your_own_checkpoint(folder):
    lines = re.search(r"<!-- run by tests/e2e/test_readme.py -->\n```bash\n(.*?)```", README, re.DOTALL)[1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PATH": path}
    run = subprocess.run(["bash", "-euc", lines], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"text_encoder +exported", run.stdout)

    from server import Server, ServerOptions

    options = ServerOptions(
        model_roots=[folder / "my_repository" / "models"],
        models=["text_encoder"],
        http_port=0,
        grpc_port=0,
        metrics_port=0,
    )
    ids = np.arange(2000, 2016, dtype=np.int64)[None]
    with Server(options) as running, triton.InferenceServerClient(running.http_url) as client:
        inputs = [triton.InferInput(name, [1, 16], "INT64") for name in ("input_ids", "attention_mask")]
        inputs[0].set_data_from_numpy(ids)
        inputs[1].set_data_from_numpy(np.ones_like(ids))
        served = client.infer("text_encoder", inputs).as_numpy("sentence_embedding")
    np.testing.assert_allclose(served, _torch(folder / "my-encoder", ids), atol=1e-5)
    ours = REPOSITORY / "model_repository" / "models" / "text_encoder" / "1" / "model.onnx"
    assert ours.stat().st_size > 80e6, "the bundle's own encoder must be untouched"


def _torch(checkpoint: Path, ids: np.ndarray) -> np.ndarray:
    import torch
    from transformers import BertModel

    states = (
        BertModel.from_pretrained(checkpoint, attn_implementation="eager")
        .eval()(torch.from_numpy(ids))
        .last_hidden_state
    )
    return torch.nn.functional.normalize(states.mean(1), dim=-1).detach().numpy()


def test_use_it(server, tmp_path):
    """The README's Python lines, against the session's server."""
    (tmp_path / "samples").symlink_to(REPOSITORY / "samples")
    lines = re.search(r"## Use it\n\n```python\n(.*?)```", README, re.DOTALL)[1]
    code = lines.replace("grpc://localhost:8001", f"grpc://{server.grpc_url}")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "(384,)" in run.stdout and len(run.stdout.split()) > 20
    assert (tmp_path / "cup.png").read_bytes().startswith(b"\x89PNG")

"""What CONTRIBUTING.md tells an engineer to type is run here, on small checkpoints of the test's own."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import families
from export import build, recipe
from graph.assembly import assemble, load
from tests.checkpoints import entry, save_decoder, save_towers
from tests.integration.test_text_decoder import Served

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """A block of code of the page."""
    marker = re.escape(f"<!-- run by tests/e2e/test_contributing.py: {name} -->")
    return re.search(rf"{marker}\n```\w+\n(.*?)```", PAGE, re.DOTALL)[1]


def run(lines: str, folder: Path) -> str:
    """What bash prints of the lines, in a folder, with this environment's python."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PATH": path}
    done = subprocess.run(["bash", "-euc", lines], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def options(folder: Path, **more):
    from server import ServerOptions

    roots = [folder / "models", folder / "ensembles"]
    return ServerOptions(model_roots=roots, http_port=0, grpc_port=0, metrics_port=0, **more)


@pytest.mark.slow
def test_a_text_decoder_of_one_s_own(tmp_path, bundle):
    (tmp_path / "my-decoder").mkdir()
    save_decoder(tmp_path / "my-decoder", seed=None)  # an earlier run's export lies in the cache under that one's hash
    assert re.search(r"text_decoder +exported", run(block("decoder"), tmp_path))

    from server import Server

    prompt = "the red mug is of oak and the desk"
    with Server(options(tmp_path / "my_repository", models=["text_decoder"])) as running:
        pieces = Served(running).stream(prompt, MAX_TOKENS=12, TEMPERATURE=0, REPETITION_PENALTY=1)
    served = [int(token) for piece in pieces for token in piece.as_numpy("TOKEN_IDS")[0]]
    assert served == _greedy(tmp_path / "my-decoder", prompt, 12)
    ours = REPOSITORY / "model_repository" / "models" / "text_decoder" / "1" / "model.onnx.data"
    assert ours.stat().st_size > 80e6, "the bundle's own decoder must be untouched"


def _greedy(checkpoint: Path, prompt: str, count: int) -> list[int]:
    """The tokens that transformers writes, without the end."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(checkpoint), AutoModelForCausalLM.from_pretrained(checkpoint)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    written = network.generate(ids, max_new_tokens=count, do_sample=False)[0, ids.shape[1] :]
    return [token for token in written.tolist() if token != tokenizer.eos_token_id]


@pytest.mark.slow
def test_towers_of_one_s_own(tmp_path, bundle):
    """The bundle with another pair of encoders: studio and labels stay, and the committed graph is untouched."""
    from vitrina_client import Product, Sampling, Vitrina

    from server import Server

    before = load().facts
    (tmp_path / "my-clip").mkdir()
    save_towers(tmp_path / "my-clip")  # those of test_swap, so that what one test exports the other finds
    run(block("towers"), tmp_path)
    assert load().facts == before
    photo = REPOSITORY / "samples" / "espresso-cup.jpg"
    with Server(options(tmp_path / "their_repository")) as running, Vitrina(running.grpc_url) as vitrina:
        product = Product(title="Espresso cup", image=photo, attributes={"capacity": "70 ml"})
        listing = vitrina.generate(product, want={"text", "embedding", "tags"}, sampling=Sampling(max_tokens=40))
        assert listing.embedding.shape == (24,) and listing.text
        assert {tag.name for tag in listing.tags if tag.name} <= {"mug", "lamp", "desk", "shoe", "chair"}
        assert vitrina.studio(photo).subject > 0.1
        note = (REPOSITORY / "benchmarks" / "data" / "hearing" / "en-01.opus").read_bytes()
        assert vitrina.generate(Product(audio=note), want={"transcript"}).transcript
        assert vitrina.recommend([{"item": "mug-1", "event": "buy", "age_s": 5}])[0].item == "desk-1"


def test_a_family_of_one_s_own(tmp_path, monkeypatch):
    """The page's module, beside the others: it is found, its facts size the graph, parity holds, its words are near."""
    (tmp_path / "word_vectors.py").write_text(block("family"))
    package = importlib.import_module("families.text_encoder")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(package.__spec__, "submodule_search_locations", [*package.__path__])
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    words = np.array(["red", "mug", "oak", "desk"])
    np.savez(tmp_path / "words.npz", words=words, vectors=np.eye(4, 12, dtype=np.float32))

    offline = recipe.load("offline")
    slot = recipe.Slot(**entry(tmp_path / "words.npz", tolerance={"torch_onnx": 1e-5}))
    made = offline.model_copy(update={"slots": offline.slots.model_copy(update={"text_encoder": slot})})
    module = families.choose("text_encoder", tmp_path / "words.npz", slot)
    assert module.__name__.endswith("word_vectors")
    said = {"id": slot.id, **module.facts(tmp_path / "words.npz", slot)}
    graph = assemble(load().facts | {"text_encoder": said})
    assert next(t.dims for t in graph.model("text_encoder").outputs) == (12,)
    built = build.build("text_encoder", made, graph=graph, models_root=tmp_path / "models")

    from families.common.embedding import embed

    mug, desk, both = embed(built.folder, ["red mug", "oak desk", "mug desk"])
    assert abs(mug @ desk) < 1e-6 and abs(mug @ both - 0.5) < 1e-6


def apply(diff: str, folder: Path) -> int:
    """Applies a diff by its text, not its line numbers; gives how many files it changed."""
    files = re.split(r"^--- .*\n\+\+\+ b/(.*)\n", diff, flags=re.MULTILINE)[1:]
    for name, hunks in zip(files[::2], files[1::2], strict=True):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        for hunk in re.split(r"^@@.*\n", hunks, flags=re.MULTILINE)[1:]:
            before, after = (
                "".join(f"{line[1:]}\n" for line in hunk.splitlines() if line[:1] != other) for other in "+-"
            )
            assert text.count(before) == 1, f"{name} has not, or not once:\n{before}"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")
    return len(files) // 2


ASK = """
import json
from pathlib import Path
from server import Server, ServerOptions
from stages.prompts import Prompts
from stages.request import Request
from vitrina_client import Product, Sampling, Vitrina

prompts = Prompts.load(Path("model_repository/models/prompter/1/prompts.json"))
assert "mountain runners" in prompts.prompt(Request(title="Trail shoe", audience="mountain runners"))
options = ServerOptions(http_port=0, grpc_port=0, metrics_port=0, models=["content"])
with Server(options) as server, Vitrina(server.grpc_url) as vitrina:
    listing = vitrina.generate(
        Product("Trail shoe"), want={"text", "reading_seconds"}, audience="mountain runners",
        sampling=Sampling(max_tokens=16),
    )
print(json.dumps([listing.text, listing.reading_seconds]))
"""


@pytest.mark.slow
def test_a_field_and_an_output_of_one_s_own(tmp_path, bundle):
    """Three files and five; configs, page, options, command and client follow, and Triton serves both."""
    copy = tmp_path / "copy"
    left_out = shutil.ignore_patterns(".*", "out", "build", "training", "experiments", "__pycache__")
    shutil.copytree(REPOSITORY, copy, copy_function=_link, ignore=left_out)
    assert apply(block("field"), copy) == 3
    assert apply(block("output"), copy) == 5
    environment = os.environ | {"PYTHONPATH": f"{copy}:{copy / 'client'}"}

    def python(*arguments: str) -> str:
        done = subprocess.run([sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python("-m", "export", "configs")
    python("-m", "export", "lint")
    page = (copy / "docs" / "tensors.md").read_text("utf-8")
    assert "| `AUDIENCE` |" in page and "| `READING_SECONDS` |" in page
    assert "--audience" in python("-c", "from vitrina_client._command import main; main(['generate', '--help'])")
    text, seconds = json.loads(python("-c", ASK).splitlines()[-1])
    assert text and seconds == pytest.approx(len(text) / 15, abs=1e-3)


def _link(origin: str, target: str) -> None:
    """Weights, which nothing writes to, are linked."""
    if Path(origin).stat().st_size < 1_000_000:
        shutil.copy2(origin, target)
    else:
        build.place(Path(origin), Path(target))

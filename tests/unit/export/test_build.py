"""Exports side by side: their order does not matter, and one that dies says so."""

import os
import shutil
import signal

import pytest

from export import build, sources
from export.recipe import SLOTS, load
from families.common import prompts
from families.common.slot import BuildError
from graph import assembly
from graph.schema import AXES

#: Slots whose checkpoint lies in the repository and whose export takes no time.
FILES = ("tagger", "item_index")


@pytest.fixture
def offline():
    return load("offline-small")


def die(*order):
    os.kill(os.getpid(), signal.SIGKILL)


def test_all_slots_come_each_once(bundle, offline, tmp_path):
    built = list(build.build_all(SLOTS, offline, jobs=3, models_root=tmp_path))
    assert sorted(entry.slot for entry in built) == sorted(SLOTS)
    assert all(path.exists() for entry in built for path in entry.folder.iterdir())
    assert all(
        (tmp_path / model / "1" / file).exists()
        for name in SLOTS
        for model, file in build.placements(name, assembly.load())
    )


def test_exports_in_processes_of_their_own_give_the_same_files(offline, tmp_path, monkeypatch):
    wanted = {name: build.build(name, offline) for name in FILES}
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path))
    for made in build.build_all(FILES, offline, jobs=2, models_root=tmp_path / "models"):
        assert not made.cached and made.folder.is_relative_to(tmp_path)
        for file in wanted[made.slot].folder.iterdir():
            assert (made.folder / file.name).read_bytes() == file.read_bytes()


def test_a_killed_export_says_what_to_do_and_leaves_nothing(offline, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "_make", die)
    with pytest.raises(build.BuildError, match=r"tagger.*memory runs out.*--jobs 1"):
        list(build.build_all(["tagger"], offline, jobs=1, models_root=tmp_path / "models"))
    left = [path for path in (tmp_path / "exports").iterdir() if not path.name.endswith(".lock")]
    assert not left and not (tmp_path / "models").exists()


def test_a_key_covers_what_a_slot_imports_and_nothing_that_only_fetches():
    read = build._code(["families.video_decoder"])
    imported = ("families/video_decoder.py", "families/image_decoder.py", "networks/image_decoder.py")
    assert {(sources.REPOSITORY / path).read_text("utf-8") for path in imported} <= set(read)
    assert (sources.REPOSITORY / "export" / "sources.py").read_text("utf-8") not in read


def test_a_key_covers_the_bounds_of_axes(offline, monkeypatch):
    before = build.key("audio_encoder", offline, assembly.load())
    monkeypatch.setitem(AXES, "mel_frames", (200, 400, 2000))
    assert build.key("audio_encoder", offline, assembly.load()) != before
    monkeypatch.undo()
    assert build.key("audio_encoder", offline, assembly.load()) == before


@pytest.mark.parametrize(
    ("name", "precision", "built"),
    [
        ("tagger", "fp16", "fp32"),
        ("text_encoder", "fp16", "fp32"),
        ("transcriber", "int4", "fp32 or fp16 or int8"),
    ],
)
def test_a_precision_that_is_not_built_is_refused(offline, tmp_path, monkeypatch, name, precision, built):
    """It used to be built as float32 and called what the recipe said."""
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path))
    slot = offline.slot(name).model_copy(update={"precision": precision})
    recipe = offline.model_copy(update={"slots": offline.slots.model_copy(update={name: slot})})
    with pytest.raises(BuildError, match=f"{name}: {precision} is not built.*precision to {built}"):
        build.build(name, recipe, models_root=tmp_path)


def test_another_wording_renders_the_prompts_and_exports_no_network(bundle, offline, tmp_path, monkeypatch):
    graph = assembly.load()
    built = build.build("text_decoder", offline, models_root=None)
    shutil.copytree(built.folder, tmp_path / "exports" / built.folder.name, copy_function=os.link)
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path))
    wordings = tmp_path / "prompts"
    wordings.mkdir()
    text = (prompts.WORDINGS / "qwen2.5.yaml").read_text("utf-8")
    (wordings / "qwen2.5.yaml").write_text(text.replace("Write", "Compose"), "utf-8")
    (wordings / "broken.yaml").write_text("tasks: {}", "utf-8")
    monkeypatch.setattr(prompts, "WORDINGS", wordings)
    assert build.key("text_decoder", offline, graph) == built.key
    again = build.build("text_decoder", offline, models_root=tmp_path / "models")
    served = tmp_path / "models" / "prompter" / "1" / "prompts.json"
    assert again.cached and "Compose" in served.read_text("utf-8")
    for name, said in (("broken", r"broken\.yaml does not suit"), ("none", "'none'; name one of broken, qwen2.5")):
        other = offline.slot("text_decoder").model_copy(update={"options": {"prompts": name}})
        with pytest.raises(BuildError, match=said):
            prompts.refresh(again.folder, other)
    assert "Compose" in served.read_text("utf-8")
    assert "Compose" not in (built.folder / "prompts.json").read_text("utf-8")

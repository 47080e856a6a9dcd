"""What is wrong with a model repository, said before Triton starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.errors import ServerFailed
from server.repository import check_files, read_models, select


def model(root: Path, name: str, config: str, *files: str) -> Path:
    folder = root / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config)
    for file in files:
        (folder / "1" / file).touch()
    return folder


IO = 'input { name: "X" data_type: TYPE_FP32 dims: 1 } output { name: "Y" data_type: TYPE_FP32 dims: 1 }'


def ensemble(root: Path, name: str, *steps: str) -> None:
    listed = " ".join(f'step {{ model_name: "{step}" model_version: -1 }}' for step in steps)
    model(root, name, f'platform: "ensemble" ensemble_scheduling {{ {listed} }}')


def failure(function, *arguments) -> ServerFailed:
    with pytest.raises(ServerFailed) as failed:
        function(*arguments)
    return failed.value


def missing(root: Path, config_name: str | None = None) -> str:
    return failure(check_files, read_models([root], config_name).values()).reason


@pytest.mark.parametrize(
    ("config", "has", "lacks"),
    [
        ('backend: "onnxruntime"', "model.plan", "model.onnx"),
        ('backend: "onnxruntime" default_model_filename: "network.onnx"', "model.onnx", "network.onnx"),
        ('backend: "tensorrt"', "model.onnx", "model.plan"),
        ('backend: "python"', "model.onnx", "model.py"),
        (
            'backend: "tensorrt" cc_model_filenames { key: "9.0" value: "sm90.plan" }',
            "model.plan",
            "sm90.plan",
        ),
    ],
)
def test_missing_file(tmp_path, config, has, lacks):
    folder = model(tmp_path, "m", config, has)
    assert str(folder / "1" / lacks) in missing(tmp_path)
    (folder / "1" / lacks).touch()
    check_files(read_models([tmp_path], None).values())


def test_no_version(tmp_path):
    folder = model(tmp_path, "m", 'backend: "onnxruntime"')
    (folder / "1").rmdir()
    assert str(folder / "1") in missing(tmp_path)


def test_the_newest_version_counts(tmp_path):
    folder = model(tmp_path, "m", 'backend: "onnxruntime"', "model.onnx")
    (folder / "12").mkdir()
    assert str(folder / "12" / "model.onnx") in missing(tmp_path)


def test_every_missing_file_is_named_at_once(tmp_path):
    for name in ("one", "two"):
        model(tmp_path, name, 'backend: "onnxruntime"')
    reason = missing(tmp_path)
    assert "2 file(s)" in reason
    assert "one: " in reason
    assert "two: " in reason


def test_config_name_is_taken_where_it_is(tmp_path):
    folder = model(tmp_path, "m", 'backend: "onnxruntime"', "model.onnx")
    (folder / "configs").mkdir()
    (folder / "configs" / "tensorrt.pbtxt").write_text('backend: "tensorrt"')
    check_files(read_models([tmp_path], "cuda").values())
    assert "model.plan" in missing(tmp_path, "tensorrt")


def test_bad_configuration_names_the_line(tmp_path):
    model(tmp_path, "m", 'backend: "onnxruntime"\nmax_batch: 8\n')
    failed = failure(read_models, [tmp_path], None)
    assert "config.pbtxt" in failed.reason
    assert "2:1" in failed.reason


def test_root_that_is_no_folder(tmp_path):
    assert "--model-root" in failure(read_models, [tmp_path / "no"], None).mend


def test_empty_root(tmp_path):
    assert "make demo" in failure(read_models, [tmp_path], None).mend


def test_one_name_in_two_roots(tmp_path):
    for root in ("a", "b"):
        model(tmp_path / root, "m", 'backend: "python"', "model.py")
    reason = failure(read_models, [tmp_path / "a", tmp_path / "b"], None).reason
    assert str(tmp_path / "a" / "m") in reason
    assert str(tmp_path / "b" / "m") in reason


def test_selects_what_a_model_says_that_it_calls(tmp_path):
    model(tmp_path, "x", 'backend: "python"\nparameters { key: "calls" value { string_value: "y,z" } }')
    for name in ("y", "z", "other"):
        model(tmp_path, name, 'backend: "python"')
    assert set(select(read_models([tmp_path], None), ["x"])) == {"x", "y", "z"}


def test_selects_through_ensembles(tmp_path):
    for name in ("x", "y", "z"):
        model(tmp_path, name, 'backend: "python"', "model.py")
    ensemble(tmp_path, "inner", "x")
    ensemble(tmp_path, "outer", "inner", "y")
    models = read_models([tmp_path], None)
    assert set(select(models, ["outer"])) == {"outer", "inner", "x", "y"}
    assert set(select(models, None)) == set(models)


def test_unknown_model_names_the_nearest(tmp_path):
    model(tmp_path, "text_encoder", 'backend: "python"', "model.py")
    assert "'text_encoder'" in failure(select, read_models([tmp_path], None), ["text_encodr"]).mend


def test_unknown_step_names_its_ensemble(tmp_path):
    ensemble(tmp_path, "outer", "gone")
    assert "needed by 'outer'" in failure(select, read_models([tmp_path], None), ["outer"]).reason


@pytest.mark.parametrize(
    ("config", "code", "complete"),
    [
        (f'backend: "python" {IO}', "class TritonPythonModel: ...", True),
        (f'backend: "python" {IO}', "def auto_complete_config(config): ...", False),
        ('backend: "onnxruntime"', "", False),
        (IO, "", False),
    ],
)
def test_complete_configuration(tmp_path, config, code, complete):
    folder = model(tmp_path, "m", config)
    (folder / "1" / "model.py").write_text(code)
    assert read_models([tmp_path], None)["m"].is_complete() is complete

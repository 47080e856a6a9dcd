"""config.pbtxt as onnxruntime's options. What is refused, and how, is tested in a real Triton."""

from __future__ import annotations

from types import SimpleNamespace

import onnxruntime as ort
import pytest

from server.backends.onnxruntime import ort_config


def config(**parameters: str) -> dict:
    return {"name": "m", "parameters": {name: {"string_value": value} for name, value in parameters.items()}}


def test_defaults_are_onnxruntimes_but_for_spinning():
    options = ort_config.session_options({"name": "m"})
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert options.intra_op_num_threads == 0
    assert options.enable_cpu_mem_arena == ort.SessionOptions().enable_cpu_mem_arena
    assert options.enable_mem_pattern == ort.SessionOptions().enable_mem_pattern
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("level", "meaning"), [("-1", "BASIC"), ("0", "ALL"), ("1", "EXTENDED"), ("2", "DISABLE"), ("7", "ALL")]
)
def test_graph_level(level, meaning):
    options = ort_config.session_options({"name": "m", "optimization": {"graph": {"level": level}}})
    names = {"DISABLE": "ORT_DISABLE_ALL"}
    expected = getattr(ort.GraphOptimizationLevel, names.get(meaning, f"ORT_ENABLE_{meaning}"))
    assert options.graph_optimization_level == expected


def test_parameters():
    given = config(
        execution_mode="1",
        intra_op_thread_count="3",
        inter_op_thread_count="2",
        enable_mem_arena="false",
        enable_mem_pattern="0",
    )
    options = ort_config.session_options(given)
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern


def test_arena_shrinkage_is_an_option_of_the_run():
    assert ort_config.run_options(config()) is None
    options = ort_config.run_options(config(**{"memory.enable_memory_arena_shrinkage": "cpu:0"}))
    assert options.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (config(execution_mode="2"), "execution_mode are 0 or 1 but got 2"),
        (config(intra_op_thread_count="two"), "intra_op_thread_count 'two'"),
        (config(enable_mem_arena="perhaps"), "enable_mem_arena 'perhaps'"),
        (
            {
                "name": "m",
                "optimization": {"execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]}},
            },
            "unknown Execution Accelerator 'openvino' is requested",
        ),
    ],
)
def test_refused(wrong, said):
    with pytest.raises(ort_config.Refused, match=said):
        ort_config.session_options(wrong)


def test_missing_library_of_operators():
    with pytest.raises(Exception, match=r"operators\.so"):
        ort_config.session_options({"name": "m", "model_operations": {"op_library_filename": ["/no/operators.so"]}})


@pytest.mark.parametrize("name", ["sequence_batching", "batch_input", "batch_output"])
def test_what_a_python_backend_has_no_means_for(name):
    with pytest.raises(ort_config.Refused, match=f"{name} needs the native onnxruntime backend"):
        ort_config.check({"name": "m", name: {"x": 1}}, session=None)


def test_model_file(tmp_path):
    with pytest.raises(ort_config.Refused, match=r"unable to find '.*model\.onnx' for model instance 'm'"):
        ort_config.model_path({"name": "m"}, tmp_path)
    (tmp_path / "model.onnx").mkdir()
    (tmp_path / "model.onnx" / "model.onnx").touch()
    assert ort_config.model_path({"name": "m"}, tmp_path) == tmp_path / "model.onnx" / "model.onnx"
    (tmp_path / "other.onnx").touch()
    named = {"name": "m", "default_model_filename": "other.onnx", "cc_model_filenames": {"9.0": "sm90.onnx"}}
    assert ort_config.model_path(named, tmp_path) == tmp_path / "other.onnx"


def test_a_sequence_is_no_tensor():
    node = SimpleNamespace(name="S", type="seq(tensor(float))", shape=[])
    with pytest.raises(ort_config.Refused, match="Unsupported ONNX Type 'ONNX_TYPE_SEQUENCE' for I/O 'S'"):
        ort_config.tensors([node])

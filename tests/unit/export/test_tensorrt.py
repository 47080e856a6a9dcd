"""TensorRT: engines are really built (no GPU needed), fit the graph, and a stale or broken one is refused."""

import io
import os
import re
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from typer.testing import CliRunner

from export import __main__ as command
from export import build, engine, recipe, tensorrt
from export.engine import CorruptEngineError, EngineBuildError, Gpu, Platform, StaleEngineError
from families.common.parity import ParityError
from graph import assembly
from graph.schema import Model, Tensor

pytestmark = pytest.mark.skipif(
    engine.library() is None or engine.library().__name__ != "tensorrt_rtx",
    reason="TensorRT proper builds on a GPU only; these tests are of the library that builds without one",
)

GRAPH = assembly.load()
SMALL = Model(
    "small",
    "onnxruntime",
    (Tensor("tokens", "FP32", ("length", 4)), Tensor("pixels", "UINT8", (4,))),
    (Tensor("answer", "FP32", ("length", 3)),),
    engine=True,
    files={"model.onnx": "small"},
    axes={"batch": (1, 8, 8), "length": (1, 32, 128)},
)
SLOT = recipe.Slot(sources=["file:nowhere"], sha256="0" * 64, licence="none")


def _network(path, *, seed=0, operator="Relu", output="answer"):
    """y = relu((tokens + pixels) @ w), saved as ONNX."""
    weight = np.random.default_rng(seed).standard_normal((4, 3), dtype=np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["floats", "one"], ["row"]),
        helper.make_node("Add", ["tokens", "row"], ["sum"]),
        helper.make_node("MatMul", ["sum", "weight"], ["product"]),
        helper.make_node(operator, ["product"], [output], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["batch", "length", 4]),
            helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 4]),
        ],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["batch", "length", 3])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array([1]), "one")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """A slot's export of the small network, as `build` leaves it: ONNX, reference, and the ONNX in its place."""
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "export"
    folder.mkdir()
    _network(folder / "model.onnx")
    rng = np.random.default_rng(1)
    tokens, pixels = rng.standard_normal((2, 5, 4), dtype=np.float32), rng.integers(0, 9, (2, 4), dtype=np.uint8)
    weight = numpy_helper.to_array(onnx.load(folder / "model.onnx").graph.initializer[0])
    answer = np.maximum((tokens + pixels[:, None]) @ weight, 0)
    np.savez(folder / "reference.npz", **{"a|tokens": tokens, "a|pixels": pixels, "a|answer": answer})
    return build.Built("small", "key", folder, False, 0.0)


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


def _install(entry, models, *, precision="fp32", capability=None, slot=SLOT, **options):
    made, fresh = tensorrt.install(
        SMALL, entry, slot, tensorrt.target(capability, precision, _here(None)), models, **options
    )
    build.place(entry.folder / "model.onnx", models / "small/1/model.onnx")
    return made, fresh


def _here(gpu, version=None):
    library = engine.library()
    return Platform(library.__name__, version or library.__version__, gpu)


def _verify(models, platform=None, **options):
    return engine.verify(models / "small/1", SMALL, platform or _here(None), **options)


def _detach(path):
    """A copy of its own in place of the hard link into the cache."""
    copy = path.with_suffix(".copy")
    shutil.copy2(path, copy)
    copy.replace(path)


# ------------------------------------------------------------------------------------------------------------ build


def test_profiles_are_the_graphs_axes():
    assert engine.profile(GRAPH.model("text_encoder")) == {
        "input_ids": ((1, 1), (8, 32), (8, 128)),
        "attention_mask": ((1, 1), (8, 32), (8, 128)),
    }
    image = GRAPH.facts["image_encoder"]
    sizes = (image["least_rows"], image["rows"], image["rows"])
    rows = tuple((batch, count, image["width"]) for batch, count in zip((1, 8, 8), sizes, strict=True))
    assert engine.profile(GRAPH.model("fusion"))["image_features"] == rows


def test_an_engine_is_built_linked_and_fingerprinted(exported, models):
    made, fresh = _install(exported, models)
    plan = models / "small/1/model.plan"
    assert fresh and plan.read_bytes()[:4] == b"vtrt"  # TensorRT-RTX's magic
    assert (made.library, made.capabilities, made.gpu) == ("tensorrt_rtx", tensorrt.PORTABLE, None)
    assert made.plan_bytes == plan.stat().st_size
    assert _verify(models) == made


def test_the_cache_holds_an_engine_by_what_it_is_made_from(exported, models):
    made, _ = _install(exported, models)
    assert _install(exported, models) == (made, False)
    assert _install(exported, models, force=True)[1]
    assert _install(exported, models, precision="tf32")[1]
    assert _install(exported, models, capability="SM86")[1]
    _network(exported.folder / "model.onnx", seed=2)
    assert _install(exported, models)[1]


def test_a_damaged_cache_is_built_again(exported, models):
    made, _ = _install(exported, models)
    os.truncate(models / "small/1/model.plan", 100)  # a hard link: the cache's own file
    again, fresh = _install(exported, models)
    assert fresh and again.plan_bytes == made.plan_bytes
    assert _verify(models) == again


@pytest.mark.parametrize("precision", tensorrt.PRECISIONS)
def test_every_precision_builds(exported, models, precision):
    made, _ = _install(exported, models, precision=precision)
    assert made.precision == precision
    assert set(made.difference) == ({"answer"} if precision == "fp16" else set())


def test_fp16_is_compared_with_torch_and_held_to_the_tolerance(exported, models):
    made, _ = _install(exported, models, precision="fp16")
    assert 0 < made.difference["answer"] < 0.01
    strict = SLOT.model_copy(update={"tolerance": {"onnx_fp16": made.difference["answer"] / 2}})
    with pytest.raises(ParityError, match="onnx_fp16"):
        _install(exported, models, precision="fp16", slot=strict, force=True)


# ---------------------------------------------------------------------------------------------------------- refusals


def test_an_operator_that_the_parser_lacks_is_named(exported, models):
    _network(exported.folder / "model.onnx", operator="NonZero")
    with pytest.raises(EngineBuildError, match=r"parser refuses NonZero \(last\)"):
        _install(exported, models)


def test_a_file_that_is_no_onnx_is_refused(exported, models):
    (exported.folder / "model.onnx").write_bytes(b"not a network")
    with pytest.raises(EngineBuildError, match=r"parser refuses the file .*model\.onnx"):
        _install(exported, models)


def test_tensors_that_the_graph_does_not_declare_are_refused(exported, models):
    _network(exported.folder / "model.onnx", output="anwser")
    with pytest.raises(EngineBuildError, match=r"has a tensor 'anwser'.*lacks 'answer'"):
        _install(exported, models)


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (("tokens", True, "FP32", (-1, 7, 4)), r"tokens is \[-1, 7, 4\], the graph says \[-1, -1, 4\]"),
        (("tokens", True, "FP32", (2, -1, 4)), r"tokens is \[2, -1, 4\]"),
        (("tokens", True, "FP32", (-1, 4)), r"tokens is \[-1, 4\]"),
        (("tokens", True, "FP16", (-1, -1, 4)), "tokens is FP16, the graph says FP32"),
        (("tokens", False, "FP32", (-1, -1, 4)), "tokens is an output"),
    ],
)
def test_a_tensor_that_differs_is_named(tensor, fault):
    others = [("pixels", True, "UINT8", (-1, 4)), ("answer", False, "FP32", (-1, -1, 3))]
    assert tensorrt.mismatches(SMALL, [("tokens", True, "FP32", (-1, -1, 4)), *others]) == []
    (found,) = tensorrt.mismatches(SMALL, [tensor, *others])
    assert re.search(fault, found)


def test_what_the_builder_says_is_in_the_message(exported, models):
    with pytest.raises(EngineBuildError, match=r"cannot build for SM75: .*FP32 GEMM is not supported"):
        _install(exported, models, capability="SM75")
    assert _install(exported, models, capability="SM75", precision="fp16")[0].capabilities == ("SM75",)


def test_targets():
    hopper, ada = _here(Gpu("NVIDIA H200", "SM90")), _here(Gpu("NVIDIA L4", "SM89"))
    assert tensorrt.target(None, platform=_here(None)).capabilities == tensorrt.PORTABLE
    assert tensorrt.target(None, platform=ada).capabilities == ("SM89",)
    assert tensorrt.target("CURRENT", platform=ada).capabilities == ("SM89",)
    assert tensorrt.target("SM120", platform=ada).capabilities == ("SM120",)
    with pytest.raises(EngineBuildError, match=r"does not build for SM90, it knows SM75.*install tensorrt"):
        tensorrt.target(None, platform=hopper)
    with pytest.raises(EngineBuildError, match=r"CURRENT: no GPU is visible; name one of SM75"):
        tensorrt.target("CURRENT", platform=_here(None))
    with pytest.raises(EngineBuildError, match="'int3' is not one of fp32, tf32, fp16"):
        tensorrt.target(None, "int3", _here(None))


# ------------------------------------------------------------------------------------------------------ verification


def test_no_engine_no_fingerprint_no_network(exported, models):
    with pytest.raises(StaleEngineError, match=r"there is no engine .*--target tensorrt --only small"):
        _verify(models)
    _install(exported, models)
    (models / "small/1/model.onnx").unlink()
    with pytest.raises(StaleEngineError, match=r"model\.onnx is not there"):
        _verify(models)
    (models / "small/1" / engine.FINGERPRINT).unlink()
    with pytest.raises(StaleEngineError, match=r"has no model\.plan\.fingerprint\.json.*--target tensorrt"):
        _verify(models)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": "small"', '{"unknown": 1}'])
def test_a_fingerprint_that_is_none(exported, models, content):
    _install(exported, models)
    _detach(models / "small/1" / engine.FINGERPRINT)
    (models / "small/1" / engine.FINGERPRINT).write_text(content)
    with pytest.raises(StaleEngineError, match=r"is not a fingerprint: .*--target tensorrt"):
        _verify(models)


def test_a_changed_onnx(exported, models):
    _install(exported, models)
    _detach(models / "small/1/model.onnx")
    _network(models / "small/1/model.onnx", seed=3)
    with pytest.raises(StaleEngineError, match=r"is stale: built from the ONNX .*--target tensorrt --only small"):
        _verify(models)


def test_a_truncated_and_an_altered_plan(exported, models):
    made, _ = _install(exported, models)
    plan = models / "small/1/model.plan"
    _detach(plan)
    whole = plan.read_bytes()
    plan.write_bytes(whole[:-1])
    with pytest.raises(CorruptEngineError, match=f"holds {made.plan_bytes - 1} bytes, {made.plan_bytes} were built"):
        _verify(models)
    plan.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CorruptEngineError, match=r"has sha256 .*--target tensorrt"):
        _verify(models)


def test_another_version_another_library(exported, models):
    _install(exported, models)
    with pytest.raises(StaleEngineError, match=r"built by tensorrt_rtx .*, here is tensorrt_rtx 99\.1"):
        _verify(models, _here(None, "99.1"))
    with pytest.raises(StaleEngineError, match=r"here is tensorrt 10\.14\.1"):
        _verify(models, Platform("tensorrt", "10.14.1", None))
    _verify(models, Platform(None, None, None))  # nothing to compare with


def test_another_gpu(exported, models):
    _install(exported, models)
    _verify(models, _here(Gpu("NVIDIA L4", "SM89")))
    with pytest.raises(StaleEngineError, match=r"built for SM80, SM86, SM89, SM120, NVIDIA H200 here has SM90"):
        _verify(models, _here(Gpu("NVIDIA H200", "SM90")))


def test_an_engine_that_tensorrt_tuned_runs_on_that_gpu_alone(exported, models):
    made, _ = _install(exported, models)
    tuned = made.model_copy(update={"library": "tensorrt", "version": "10.14.1", "gpu": "NVIDIA H100 80GB HBM3"})
    tuned = tuned.model_copy(update={"capabilities": ("SM90",)})
    _detach(models / "small/1" / engine.FINGERPRINT)
    (models / "small/1" / engine.FINGERPRINT).write_text(tuned.model_dump_json())
    here = Platform("tensorrt", "10.14.1", Gpu("NVIDIA H100 80GB HBM3", "SM90"))
    assert _verify(models, here, serving=True) == tuned
    with pytest.raises(StaleEngineError, match="built on NVIDIA H100 80GB HBM3, here is NVIDIA H200"):
        _verify(models, Platform("tensorrt", "10.14.1", Gpu("NVIDIA H200", "SM90")))
    with pytest.raises(StaleEngineError, match="no GPU is visible"):
        _verify(models, Platform("tensorrt", "10.14.1", None), serving=True)


def test_other_shapes(exported, models):
    made, _ = _install(exported, models)
    wider = made.model_copy(update={"profile": made.profile | {"pixels": ((1, 4), (8, 4), (16, 4))}})
    _detach(models / "small/1" / engine.FINGERPRINT)
    (models / "small/1" / engine.FINGERPRINT).write_text(wider.model_dump_json())
    with pytest.raises(StaleEngineError, match=r"built for the shapes .*\(16, 4\)"):
        _verify(models)


def test_triton_is_not_given_an_engine_of_tensorrt_rtx(exported, models):
    _install(exported, models)
    with pytest.raises(StaleEngineError, match="Triton's tensorrt backend does not read engines of tensorrt_rtx"):
        _verify(models, serving=True)


# ---------------------------------------------------------------------------------------------------- the real thing


@pytest.mark.slow
@pytest.mark.parametrize("slot", [m.name for m in engine.engine_models(GRAPH)])
def test_the_bundles_engines(tmp_path, slot):
    """Every engine of the bundle builds with its real weights and profiles, and the command accepts it."""
    offline, said = recipe.load("offline-small"), io.StringIO()
    entry = build.build(slot, offline, models_root=tmp_path)
    (made,) = tensorrt.build_slot(entry, offline.slot(slot), GRAPH, Console(file=said, width=200), models_root=tmp_path)
    assert slot in said.getvalue() and made.version in said.getvalue()
    assert made.profile == engine.profile(GRAPH.model(slot))
    model = GRAPH.model(slot)
    assert engine.verify(tmp_path / slot / "1", model, Platform.here()) == made


def test_the_command_names_every_engine_that_is_missing(models):
    result = CliRunner().invoke(command.app, ["verify-engines", "--model-root", str(models)])
    assert result.exit_code == 1
    for model in engine.engine_models(GRAPH):
        assert f"--target tensorrt --only {model.name}" in result.output.replace("\n", "")


def test_slots_without_an_engine_have_nothing_to_build(exported):
    assert tensorrt.build_slot(exported, SLOT, GRAPH, Console(file=io.StringIO())) == []

"""Lint: our graph is sound, and each kind of wrong edge is named with its mend."""

import pytest
from tritonclient.grpc.model_config_pb2 import TYPE_INT64

from graph import configs, lint
from graph.assembly import assemble, load


@pytest.fixture
def graph():
    """The generated configs, fresh for each test to break."""
    graph = load()
    found = {m.name: configs.model_config(m) for m in graph.models}
    return found | {e.name: configs.ensemble_config(e) for e in graph.ensembles}


def _step(config, model):
    return next(s for s in config.ensemble_scheduling.step if s.model_name == model)


def _only(problems, rule):
    """The first problem's words; all are of that rule, but for a tensor that the fault leaves unused."""
    found = [p for p in problems if p.rule == rule]
    assert found and {p.rule for p in problems} <= {rule, "unused tensor"}, problems
    return str(found[0])


def test_our_graph_is_sound(graph):
    assert lint.lint(graph) == []


def test_committed_configs_are_the_graphs():
    assert configs.drift() == []


def test_missing_edge_unwired_input(graph):
    del _step(graph["content"], "fusion").input_map["presence"]
    said = _only(lint.lint(graph), "missing edge")
    assert "input 'presence' is not wired" in said and "map 'presence'" in said


def test_missing_edge_nobody_makes_it(graph):
    _step(graph["content"], "fusion").input_map["text_embedding"] = "text_embeding"
    said = _only(lint.lint(graph), "missing edge")
    assert "nothing makes 'text_embeding'" in said and "did you mean 'text_embedding'?" in said


def test_missing_edge_optional_into_required(graph):
    next(tensor for tensor in graph["prompter"].input if tensor.name == "TASK").optional = False
    assert "'TASK' may be absent" in _only(lint.lint(graph), "missing edge")


def test_wrong_dtype(graph):
    graph["fusion"].input[1].data_type = TYPE_INT64
    assert "is TYPE_FP32 from step" in _only(lint.lint(graph), "dtype")


def test_wrong_shape(graph):
    graph["tagger"].input[0].dims[0] = 4
    assert str([-1, *load().model("fusion").outputs[0].dims]) in _only(lint.lint(graph), "shape")


def test_batch_size_larger_than_a_steps(graph):
    graph["tagger"].max_batch_size = 2
    said = _only(lint.lint(graph), "batch size")
    assert "takes batches of 8, this step of 2" in said and "set the ensemble's max_batch_size to 2" in said


def test_unbatched_step_is_a_shape_fault_too(graph):
    graph["tagger"].max_batch_size = 0
    assert {p.rule for p in lint.lint(graph)} == {"batch size", "shape"}


def test_decoupled_step_beside_other_branches(graph):
    stream = graph["text_stream"]
    _step(stream, "tagger").output_map["TAGS"] = "TAGS"
    stream.output.add(name="TAGS", data_type=graph["tagger"].output[0].data_type, dims=[5])
    said = _only(lint.lint(graph), "decoupled")
    assert "text_decoder" in said and "ensemble of their own" in said


@pytest.mark.parametrize(
    ("side", "name", "near"), [("input_map", "CONDITON", "CONDITION"), ("output_map", "TAG", "TAGS")]
)
def test_unknown_tensor_name(graph, side, name, near):
    edges = getattr(_step(graph["generate"], "tagger"), side)
    edges[name] = edges.pop(near)
    found = [str(p) for p in lint.lint(graph) if p.rule == "unknown tensor"]
    assert len(found) == 1 and f"did you mean {near!r}?" in found[0]


def test_unknown_model(graph):
    _step(graph["generate"], "tagger").model_name = "taggr"
    assert any("did you mean 'tagger'?" in str(p) for p in lint.lint(graph) if p.rule == "unknown model")


def test_unused_tensor_is_what_triton_refuses(graph):
    _step(graph["text_stream"], "tagger").output_map["TAGS"] = "TAGS"
    said = _only(lint.lint(graph), "unused tensor")
    assert "'TAGS' from step 1 (tagger) goes nowhere" in said


def test_step_that_pruning_would_drop(graph):
    config = graph["generate"]
    del _step(config, "tagger").output_map["TAGS_COPY"]
    _step(config, "prompter").input_map["TAGS"] = "TAGS"
    said = _only(lint.lint(graph), "pruning")
    assert "would be missing inside" in said and "a copy" in said


@pytest.mark.parametrize("setting", [{"max_queue_size": 8}, {"default_timeout_microseconds": 1000}])
def test_step_that_may_refuse_beside_another(graph, setting):
    for name, value in setting.items():
        setattr(graph["image_encoder"].dynamic_batching.default_queue_policy, name, value)
    problems = lint.lint(graph)
    assert {problem.rule for problem in problems} == {"refusal", "bounded queue"}
    said = next(str(problem) for problem in problems if problem.where.startswith("content_image/step"))
    assert "while text_encoder and label_reader run," in said and "take the bound from image_encoder" in said


def test_queue_that_triton_bounds(graph):
    graph["cutout"].dynamic_batching.default_queue_policy.max_queue_size = 8
    found = [problem for problem in lint.lint(graph) if problem.rule == "bounded queue"]
    assert {problem.where.split("/")[0] for problem in found} == {"studio", "studio_video", "post"}
    assert "lie for up to half a second" in str(found[0]) and "take the policy from cutout" in str(found[0])


def test_step_that_refuses_by_itself_beside_another(graph):
    graph["image_encoder"].parameters["max_queue"].string_value = "8"
    assert "while text_encoder and label_reader run," in _only(
        [problem for problem in lint.lint(graph) if problem.where.startswith("content_image/")], "refusal"
    )


def test_two_producers(graph):
    _step(graph["content"], "tagger").output_map["TAG_SCORES"] = "EMBEDDING"
    assert "two producers" in {p.rule for p in lint.lint(graph)}


def test_exported_graph_is_compared_with_its_config(graph, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("condition", ["b", 8, 300]), ("embedding", ["b", 384]))
    ]
    nodes = [helper.make_node("Identity", [f"in_{p.name}"], [p.name]) for p in ports]
    inputs = [helper.make_tensor_value_info(f"in_{p.name}", TensorProto.FLOAT, None) for p in ports]
    path = tmp_path / "fusion" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", inputs, ports)), path)
    rules = [(p.where, p.rule) for p in lint.lint_onnx({"fusion": graph["fusion"]}, tmp_path)]
    assert ("fusion/output condition", "shape") in rules and ("fusion/input presence", "unknown tensor") in rules


def test_a_model_without_batches_is_compared_as_it_is(graph, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    scales = helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["b", 1, 1, "samples"])
    path = tmp_path / "speech_decoder" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(helper.make_graph([], "g", [scales], [output])), path)
    found = lint.lint_onnx({"speech_decoder": graph["speech_decoder"]}, tmp_path)
    assert {p.where for p in found} == {"speech_decoder/input input", "speech_decoder/input input_lengths"}, found


def test_a_size_that_only_the_file_fixes_is_found(graph, tmp_path):
    import onnx
    from onnx import TensorProto, helper

    tokens = helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"])
    path = tmp_path / "speech_decoder" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(helper.make_graph([], "g", [tokens], [])), path)
    found = lint.lint_onnx({"speech_decoder": graph["speech_decoder"]}, tmp_path)
    assert any(p.where == "speech_decoder/input input" and "[-1, -1] here, [1, -1] in" in p.what for p in found), found


def test_config_that_does_not_parse_names_the_line(tmp_path):
    path = tmp_path / "broken" / "config.pbtxt"
    path.parent.mkdir()
    path.write_text('name: "broken"\nmax_batch: 3\n')
    with pytest.raises(ValueError, match=r"broken/config\.pbtxt: .*2:1"):
        configs.read([tmp_path])


def test_drift_is_found(tmp_path):
    configs.write(load(), tmp_path)
    assert configs.drift(tmp_path) == []
    path = tmp_path / "models" / "fusion" / "config.pbtxt"
    path.write_text(path.read_text().replace("count: 1", "count: 3"))
    (tmp_path / "ensembles" / "generate" / "config.pbtxt").unlink()
    (tmp_path / "ensembles" / "old").mkdir()
    (tmp_path / "ensembles" / "old" / "config.pbtxt").write_text("")
    assert configs.drift(tmp_path) == [
        "ensembles/generate/config.pbtxt",
        "ensembles/old/config.pbtxt",
        "models/fusion/config.pbtxt",
    ]


def test_a_smaller_graph_takes_its_models_folders_along_but_never_this_repository_s(tmp_path):
    whole = load()
    fewer = assemble({name: said for name, said in whole.facts.items() if name not in ("cutout", "speech_decoder_zh")})
    configs.write(whole, tmp_path)
    (tmp_path / "models" / "cutout" / "1").mkdir(exist_ok=True)
    (tmp_path / "models" / "cutout" / "1" / "model.onnx").touch()
    configs.write(fewer, tmp_path)
    assert not (tmp_path / "models" / "cutout").exists() and not (tmp_path / "ensembles" / "studio").exists()
    assert {path.name for path in (tmp_path / "models").iterdir()} == {model.name for model in fewer.models}
    assert configs.drift(tmp_path) == []
    configs.write(whole, tmp_path)
    assert (tmp_path / "models" / "cutout").exists()
    with pytest.raises(ValueError, match=r"leaves out cutout, .* --repository"):
        configs.write(fewer)


def test_triton_finds_no_model_here_that_the_graph_does_not_have():
    """It would load an adapter without a config, and fail."""
    for root, known in ((configs.MODELS_ROOT, load().models), (configs.ENSEMBLES_ROOT, load().ensembles)):
        assert {path.name for path in root.iterdir() if path.is_dir()} == {each.name for each in known}

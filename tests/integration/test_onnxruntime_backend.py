"""The python-based `onnxruntime` backend in a real Triton, against what the native one does (r24.10)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from onnx import TensorProto as T
from onnx import helper
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from server import Server, ServerFailed, ServerOptions
from tests.integration.counts import statistics
from tests.integration.small_models import FLOAT_IO, ONE_CPU, add, double, graph, lookup, value

TYPES = {
    "BOOL": (T.BOOL, np.array([[True, False]])),
    "UINT8": (T.UINT8, np.array([[0, 255]], np.uint8)),
    "INT32": (T.INT32, np.array([[-(2**31), 2**31 - 1]], np.int32)),
    "INT64": (T.INT64, np.array([[-(2**63), 2**63 - 1]], np.int64)),
    "FP16": (T.FLOAT16, np.array([[-1.5, 65504]], np.float16)),
    "FP32": (T.FLOAT, np.array([[np.nan, -np.inf]], np.float32)),
    "FP64": (T.DOUBLE, np.array([[1e-300, 0.1]], np.float64)),
    "STRING": (T.STRING, np.array([["", "咖啡 ☕".encode()]], object)),
}


def types() -> onnx.ModelProto:
    """IN_<type> [batch, n] → OUT_<type>, unchanged, for every type."""
    nodes = [helper.make_node("Identity", [f"IN_{name}"], [f"OUT_{name}"]) for name in TYPES]
    inputs = [value(f"IN_{name}", kind, ["batch", "n"]) for name, (kind, _) in TYPES.items()]
    outputs = [value(f"OUT_{name}", kind, ["batch", "n"]) for name, (kind, _) in TYPES.items()]
    return graph(nodes, inputs, outputs)


def mean() -> onnx.ModelProto:
    """X float [n] → MEAN, a scalar."""
    node = helper.make_node("ReduceMean", ["X"], ["MEAN"], keepdims=0)
    return graph([node], [value("X", T.FLOAT, ["n"])], [value("MEAN", T.FLOAT, [])])


def flat() -> onnx.ModelProto:
    """X float [batch] → Y = -X float [batch]."""
    node = helper.make_node("Neg", ["X"], ["Y"])
    return graph([node], [value("X", T.FLOAT, ["batch"])], [value("Y", T.FLOAT, ["batch"])])


def scaled() -> onnx.ModelProto:
    """X float [n], SCALE float [] (an initializer: 3) → Y = SCALE X."""
    node = helper.make_node("Mul", ["X", "SCALE"], ["Y"])
    inputs = [value("X", T.FLOAT, ["n"]), value("SCALE", T.FLOAT, [1])]
    return graph([node], inputs, [value("Y", T.FLOAT, ["n"])], [helper.make_tensor("SCALE", T.FLOAT, [1], [3.0])])


def first() -> onnx.ModelProto:
    """X float [batch, n] → Y float [rows, n], its first row: not one row an input row, though its shape allows that."""
    keep = helper.make_tensor("keep", T.BOOL, [1], [True])
    node = helper.make_node("Compress", ["X", "keep"], ["Y"], axis=0)
    return graph([node], [value("X", T.FLOAT, ["batch", "n"])], [value("Y", T.FLOAT, ["rows", "n"])], [keep])


def square() -> onnx.ModelProto:
    """X float [batch, 4] → Y float [batch, 2, 2]."""
    shape = helper.make_tensor("shape", T.INT64, [3], [-1, 2, 2])
    node = helper.make_node("Reshape", ["X", "shape"], ["Y"])
    return graph([node], [value("X", T.FLOAT, ["batch", 4])], [value("Y", T.FLOAT, ["batch", 2, 2])], [shape])


MERGE = "max_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 300000 }\n"
LOOKUP_IO = 'input { name: "X" data_type: TYPE_INT64 dims: -1 }\noutput { name: "Y" data_type: TYPE_FP32 dims: -1 }\n'
TYPES_IO = "".join(
    f'input {{ name: "IN_{name}" data_type: TYPE_{name} dims: -1 }}\n'
    f'output {{ name: "OUT_{name}" data_type: TYPE_{name} dims: -1 }}\n'
    for name in TYPES
)


def threads(count: int) -> str:
    setting = f'parameters {{ key: "intra_op_thread_count" value: {{ string_value: "{count}" }} }}'
    return f"max_batch_size: 8\n{FLOAT_IO}{ONE_CPU}{setting}\n"


def warm_up(data: str) -> str:
    tensor = f'{{ key: "X" value {{ data_type: TYPE_INT64 dims: 3 {data}: true }} }}'
    return f'model_warmup {{ name: "w" batch_size: 2 inputs {tensor} }}'


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("models")
    double_io = FLOAT_IO + 'output { name: "Z" data_type: TYPE_FP32 dims: -1 }\n'
    add(root, "double", MERGE + double_io + ONE_CPU, double())
    add(root, "lookup", MERGE + LOOKUP_IO + ONE_CPU, lookup())
    add(root, "types", MERGE + TYPES_IO + ONE_CPU, types())
    scalar_io = (
        'input { name: "X" data_type: TYPE_FP32 dims: -1 }\noutput { name: "MEAN" data_type: TYPE_FP32 dims: 1 }\n'
    )
    add(root, "scalar", f"max_batch_size: 0\n{scalar_io}{ONE_CPU}", mean())
    optional = 'input { name: "SCALE" data_type: TYPE_FP32 dims: 1 optional: true }\n'
    add(root, "optional", f"max_batch_size: 0\n{FLOAT_IO}{optional}{ONE_CPU}", scaled())
    add(root, "first", f"max_batch_size: 8\n{FLOAT_IO}{ONE_CPU}", first())
    reshaped = (
        'input { name: "X" data_type: TYPE_FP32 dims: [2, 2] reshape { shape: 4 } }\n'
        'output { name: "Y" data_type: TYPE_FP32 dims: 4 reshape { shape: [2, 2] } }\n'
    )
    add(root, "reshape", f"max_batch_size: 8\n{reshaped}{ONE_CPU}", square())
    add(root, "two", f"max_batch_size: 8\n{FLOAT_IO}instance_group {{ count: 2 kind: KIND_CPU }}\n", double())
    add(root, "threads_1", threads(1), double())
    add(root, "threads_4", threads(4), double())
    named = f'default_model_filename: "network.onnx"\nmax_batch_size: 8\n{FLOAT_IO}{ONE_CPU}'
    add(root, "named", named, double(), "network.onnx")
    add(root, "folder", f"max_batch_size: 8\n{FLOAT_IO}{ONE_CPU}", double(), "model.onnx/model.onnx")
    add(root, "warm", f"max_batch_size: 8\n{LOOKUP_IO}{ONE_CPU}{warm_up('zero_data')}\n", lookup())
    add(root, "no_config", None, double())
    add(root, "no_io", "", square())
    add(root, "no_io_flat", "", flat())
    add(root, "no_io_scalar", "", mean())
    return root


@pytest.fixture(scope="module")
def server(repository) -> Iterator[Server]:
    with Server(ServerOptions(model_roots=[repository], http_port=0, grpc_port=0, metrics_port=0)) as running:
        yield running


class Http:
    """Calls over HTTP; a client a call, since a client belongs to one thread."""

    bad_request, internal, not_found = "400", "500", "404"

    def __init__(self, server: Server) -> None:
        self.url = server.http_url

    def __call__(self, model: str, inputs: dict, outputs: list[str] | None = None) -> dict[str, np.ndarray]:
        asked = [triton_http.InferRequestedOutput(name) for name in outputs] if outputs else None
        with triton_http.InferenceServerClient(self.url) as client:
            result = client.infer(model, tensors(triton_http, inputs), outputs=asked)
        return {output["name"]: result.as_numpy(output["name"]) for output in result.get_response()["outputs"]}


class Grpc:
    """Calls over gRPC."""

    bad_request, internal, not_found = (f"StatusCode.{name}" for name in ("INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND"))

    def __init__(self, server: Server) -> None:
        self.url = server.grpc_url

    def __call__(self, model: str, inputs: dict, outputs: list[str] | None = None) -> dict[str, np.ndarray]:
        asked = [triton_grpc.InferRequestedOutput(name) for name in outputs] if outputs else None
        with triton_grpc.InferenceServerClient(self.url) as client:
            result = client.infer(model, tensors(triton_grpc, inputs), outputs=asked)
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def tensors(module, arrays: dict[str, np.ndarray]) -> list:
    inputs = [
        module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)) for name, array in arrays.items()
    ]
    return [made.set_data_from_numpy(array) for made, array in zip(inputs, arrays.values(), strict=True)]


@pytest.fixture(params=[Http, Grpc], ids=["http", "grpc"])
def call(request, server):
    return request.param(server)


def floats(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_answers_and_only_what_is_asked(call):
    x = floats(3, 5)
    both = call("double", {"X": x})
    assert set(both) == {"Y", "Z"}
    np.testing.assert_array_equal(both["Y"], 2 * x)
    np.testing.assert_array_equal(both["Z"], x + 2)
    assert set(call("double", {"X": x}, ["Z"])) == {"Z"}


def test_no_columns(call):
    assert call("double", {"X": floats(2, 0)})["Y"].shape == (2, 0)


def test_every_type_there_and_back(call):
    answers = call("types", {f"IN_{name}": array for name, (_, array) in TYPES.items()})
    for name, (_, array) in TYPES.items():
        got = answers[f"OUT_{name}"]
        assert got.dtype == array.dtype, name
        if name == "STRING":
            assert got.tolist() == [[b"", "咖啡 ☕".encode()]]
        else:
            assert got.tobytes() == array.tobytes(), name


def test_scalar_takes_the_dims_of_the_configuration(call):
    np.testing.assert_array_equal(call("scalar", {"X": floats(5)})["MEAN"], [2.0])


def test_reshape(call):
    np.testing.assert_array_equal(call("reshape", {"X": floats(3, 2, 2)})["Y"], floats(3, 4))


def test_optional_input_falls_back_to_the_initializer(call):
    x = floats(4)
    np.testing.assert_array_equal(call("optional", {"X": x})["Y"], 3 * x)
    np.testing.assert_array_equal(call("optional", {"X": x, "SCALE": np.array([5], np.float32)})["Y"], 5 * x)


@pytest.mark.parametrize("model", ["named", "folder"])
def test_model_file_of_another_name(call, model):
    np.testing.assert_array_equal(call(model, {"X": floats(1, 2)})["Y"], [[0, 2]])


BAD_REQUESTS = {
    "unknown input": ("double", {"X": floats(1, 2), "Q": floats(1, 2)}, None, "Got input(s) ['Q','X']"),
    "missing input": ("types", {"IN_BOOL": TYPES["BOOL"][1]}, None, "expected 8 inputs but got 1"),
    "wrong dtype": (
        "double",
        {"X": np.zeros((1, 2), np.int64)},
        None,
        "data-type is 'INT64', but model 'double' expects",
    ),
    "wrong rank": ("double", {"X": floats(1, 2, 2)}, None, "unexpected shape for input 'X'"),
    "no batch dim": ("double", {"X": floats(2)}, None, "unexpected shape for input 'X'"),
    "wrong dim": ("reshape", {"X": floats(1, 2, 3)}, None, "unexpected shape for input 'X'"),
    "batch too large": ("double", {"X": floats(9, 2)}, None, "inference request batch-size must be <= 8"),
    "batch of none": ("double", {"X": floats(0, 2)}, None, "byte size mismatch for input 'X'"),
    "unknown output": ("double", {"X": floats(1, 2)}, ["W"], "unexpected inference output 'W'"),
    "not UTF-8": (
        "types",
        {f"IN_{n}": a for n, (_, a) in TYPES.items()} | {"IN_STRING": np.array([[b"\xff", b""]], object)},
        None,
        "a string of the request is not UTF-8",
    ),
}


@pytest.mark.parametrize("case", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_bad_request_is_refused(call, case):
    model, inputs, outputs, message = case
    with pytest.raises(InferenceServerException) as refused:
        call(model, inputs, outputs)
    assert refused.value.status() == call.bad_request
    assert message in refused.value.message()


def test_unknown_model(call):
    with pytest.raises(InferenceServerException) as refused:
        call("nothing", {"X": floats(1, 2)})
    assert refused.value.status() == call.not_found
    assert "unknown model: 'nothing'" in refused.value.message()


def test_failure_inside_the_run(call):
    with pytest.raises(InferenceServerException) as failed:
        call("lookup", {"X": np.array([[7]])})
    assert failed.value.status() == call.internal
    assert failed.value.message().startswith("onnx runtime error 2: Non-zero status code returned while running Gather")


def test_too_few_rows_are_noticed(call):
    assert call("first", {"X": floats(1, 3)})["Y"].shape == (1, 3)
    with pytest.raises(InferenceServerException) as failed:
        call("first", {"X": floats(4, 3)})
    assert failed.value.status() == call.internal
    assert "failed to split the output tensor 'Y'" in failed.value.message()


def test_requests_are_merged_into_one_run(server, call):
    before = statistics(server, "double")
    requests = [floats(1 + row % 2, 3) + 100 * row for row in range(12)]
    with ThreadPoolExecutor(12) as pool:
        outputs = [["Y"], ["Y", "Z"], ["Z"]]
        answers = list(pool.map(lambda row: call("double", {"X": requests[row]}, outputs[row % 3]), range(12)))
    for row, (x, answer) in enumerate(zip(requests, answers, strict=True)):
        assert set(answer) == set(outputs[row % 3])
        for name, got in answer.items():
            np.testing.assert_array_equal(got, 2 * x if name == "Y" else x + 2)
    after = statistics(server, "double")
    requests_done = after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"]
    assert requests_done == 12
    assert after["inference_count"] - before["inference_count"] == 18
    assert after["execution_count"] - before["execution_count"] < 12


def test_strings_are_merged_too(server, call):
    def ask(row: int) -> list:
        inputs = {f"IN_{name}": array for name, (_, array) in TYPES.items()}
        inputs["IN_STRING"] = np.array([[f"row {row}".encode(), b"x"]], object)
        return call("types", inputs, ["OUT_STRING"])["OUT_STRING"].tolist()

    before = statistics(server, "types")["execution_count"]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6))) == [[[f"row {row}".encode(), b"x"]] for row in range(6)]
    assert statistics(server, "types")["execution_count"] - before < 6


def test_bad_request_leaves_the_others_of_its_batch_alone(server, call):
    def ask(value: int) -> np.ndarray | InferenceServerException:
        try:
            return call("lookup", {"X": np.array([[value]])})["Y"]
        except InferenceServerException as error:
            return error

    before = statistics(server, "lookup")["execution_count"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, [0, 1, 7, 2, 3, 1]))
    assert statistics(server, "lookup")["execution_count"] - before < 6
    bad = answers.pop(2)
    assert isinstance(bad, InferenceServerException)
    assert bad.status() == call.internal
    assert [answer.item() for answer in answers] == [0, 1, 4, 9, 1]


def stubs(server: Server, model: str) -> list[psutil.Process]:
    """The processes that run a model: a stub's first argument is the model's file."""
    children = psutil.Process(server.pid).children()
    return [child for child in children if f"/{model}/1/" in child.cmdline()[1]]


def test_instance_count(server):
    assert [len(stubs(server, model)) for model in ("two", "double")] == [2, 1]


def test_default_instance_count_is_the_native_one(server):
    assert len(stubs(server, "no_io")) == 2


def test_thread_count(server):
    one, four = (stubs(server, model)[0].num_threads() for model in ("threads_1", "threads_4"))
    assert four == one + 3


def config_of(server: Server, model: str) -> dict:
    with triton_http.InferenceServerClient(server.http_url) as client:
        return client.get_model_config(model)


@pytest.mark.parametrize("model", ["no_config", "no_io"])
def test_completes_a_batching_model(server, model):
    config = config_of(server, model)
    assert config["max_batch_size"] == 4
    assert "dynamic_batching" in config
    described = [(io["name"], io["data_type"], io["dims"]) for io in config["input"] + config["output"]]
    if model == "no_config":
        assert described == [(name, "TYPE_FP32", [-1]) for name in ("X", "Y", "Z")]
    else:
        assert described == [("X", "TYPE_FP32", [4]), ("Y", "TYPE_FP32", [2, 2])]


def test_completes_a_model_that_cannot_batch(server, call):
    config = config_of(server, "no_io_scalar")
    assert config["max_batch_size"] == 0
    assert [(io["name"], io["dims"]) for io in config["input"] + config["output"]] == [("X", [-1]), ("MEAN", [1])]
    np.testing.assert_array_equal(call("no_io_scalar", {"X": floats(3)})["MEAN"], [1.0])


def test_completes_a_batch_of_single_numbers_with_a_reshape(server, call):
    config = config_of(server, "no_io_flat")
    assert [(io["dims"], io["reshape"]) for io in config["input"] + config["output"]] == [([1], {"shape": []})] * 2
    np.testing.assert_array_equal(call("no_io_flat", {"X": floats(3, 1)})["Y"], -floats(3, 1))


def io(kind: str, name: str, dtype: str, dims: str, more: str = "") -> str:
    return f'{kind} {{ name: "{name}" data_type: TYPE_{dtype} dims: {dims} {more} }}\n'


X, Y = io("input", "X", "FP32", "-1"), io("output", "Y", "FP32", "-1")
BAD_CONFIGS = {
    "unknown_input": (
        double,
        io("input", "Q", "FP32", "-1") + Y,
        "unexpected inference input 'Q', allowed inputs are: X",
    ),
    "unknown_output": (
        double,
        X + io("output", "W", "FP32", "-1"),
        "unexpected inference output 'W', allowed outputs are: Y, Z",
    ),
    "input_dtype": (
        double,
        io("input", "X", "INT64", "-1") + Y,
        "unable to load model 'input_dtype', configuration expects datatype TYPE_INT64 for input 'X',"
        " model provides TYPE_FP32",
    ),
    "output_dtype": (
        double,
        X + io("output", "Y", "FP16", "-1"),
        "unable to load model 'output_dtype', configuration expects datatype TYPE_FP16 for output 'Y',"
        " model provides TYPE_FP32",
    ),
    "rank": (
        double,
        io("input", "X", "FP32", "[2, 2]") + Y,
        "model 'rank', tensor 'X': the model expects 2 dimensions (shape [-1,-1]) but the model configuration specifies"
        " 3 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape,"
        " making complete shape [-1,2,2])",
    ),
    "input_dim": (
        square,
        io("input", "X", "FP32", "5") + io("output", "Y", "FP32", "[2, 2]"),
        "model 'input_dim', tensor 'X': the model expects 2 dimensions (shape [-1,4]) but the model configuration"
        " specifies 2 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor"
        " shape, making complete shape [-1,5])",
    ),
    "output_dim": (
        double,
        X + io("output", "Y", "FP32", "3"),
        "model 'output_dim', tensor 'Y': the model expects 2 dimensions (shape [-1,-1]) but the model configuration"
        " specifies 2 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor"
        " shape, making complete shape [-1,3])",
    ),
    "too_few_inputs": (
        types,
        io("input", "IN_BOOL", "BOOL", "-1") + io("output", "OUT_BOOL", "BOOL", "-1"),
        "unable to load model 'too_few_inputs', configuration expects 1 inputs, model provides 8",
    ),
    "optional_and_batches": (
        double,
        io("input", "X", "FP32", "-1", "optional: true") + Y,
        "unable to load model 'optional_and_batches', configuration expects 0 inputs, model provides 1",
    ),
    "cannot_batch": (
        mean,
        X + io("output", "MEAN", "FP32", "1"),
        "model 'cannot_batch', tensor 'X': for the model to support batching the shape should have at least 1 dimension"
        " and the first dimension must be -1; but shape expected by the model is [3]",
    ),
    "execution_mode": (
        double,
        X + Y + 'parameters { key: "execution_mode" value: { string_value: "2" } }',
        "Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got 2 .",
    ),
    "not_a_model": (lambda: b"\xff\xff not a model", X + Y, "onnx runtime error 7: "),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("bad")
    add(root, "good", f"max_batch_size: 8\n{X}{Y}{ONE_CPU}", double())
    for name, (model, config, _) in BAD_CONFIGS.items():
        made = model()
        if name == "cannot_batch":
            made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
        add(root, name, f"max_batch_size: 8\n{config}{ONE_CPU}", made)
    options = ServerOptions(model_roots=[root], models=["good"], http_port=0, grpc_port=0, metrics_port=0)
    with Server(options) as running:
        yield running


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_configuration_is_refused_at_load(refusals, name):
    with triton_grpc.InferenceServerClient(refusals.grpc_url) as client:
        with pytest.raises(InferenceServerException) as refused:
            client.load_model(name)
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
        index = {model.name: model for model in client.get_model_repository_index().models}
    assert index[name].state == "UNAVAILABLE"
    assert BAD_CONFIGS[name][2] in index[name].reason
    assert "Traceback" not in index[name].reason
    with pytest.raises(urllib.error.HTTPError) as refused_http:
        urllib.request.urlopen(f"http://{refusals.http_url}/v2/repository/models/{name}/load", data=b"{}")
    assert refused_http.value.code == 400
    assert name in json.loads(refused_http.value.read())["error"]


def test_not_ready_before_it_is_warm(tmp_path):
    """A warm-up that cannot succeed keeps the server from serving: so it was run (some of these crash Triton 24.10)."""
    config = io("input", "X", "INT64", "-1") + Y + ONE_CPU + warm_up("random_data")
    add(tmp_path, "cold", f"max_batch_size: 8\n{config}", lookup())
    with pytest.raises(ServerFailed, match="cold"):
        Server(ServerOptions(model_roots=[tmp_path], http_port=0, grpc_port=0, metrics_port=0)).start()

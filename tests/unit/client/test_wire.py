"""Requests as gRPC messages and HTTP bodies, and back, with tritonclient's own objects on the other side."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor
from vitrina_client import InvalidInput, Product, QueueFull, Sampling, ServerError, Timeout
from vitrina_client import _answers as answers
from vitrina_client import _requests as core
from vitrina_client import _wire_grpc as wire_grpc
from vitrina_client import _wire_http as wire_http

SAMPLING = Sampling(max_tokens=12, temperature=0.5, stop=("。", "\n\n"))
REQUEST = core.content(Product("Mug 杯 🫖"), {"IMAGE": b"\xff\xd8\x00"}, {"text", "embedding"}, {"sampling": SAMPLING})


def test_a_grpc_message_holds_every_tensor():
    message = wire_grpc.message(REQUEST, 1.5)
    assert message.model_name == "content_image"
    assert [output.name for output in message.outputs] == list(REQUEST.outputs)
    assert message.parameters["timeout"].int64_param == 1_500_000
    raw = {
        tensor.name: (tensor.datatype, list(tensor.shape), content)
        for tensor, content in zip(message.inputs, message.raw_input_contents, strict=True)
    }
    assert raw["TITLE"][:2] == ("BYTES", [1, 1])
    assert deserialize_bytes_tensor(raw["TITLE"][2])[0].decode() == "Mug 杯 🫖"
    assert deserialize_bytes_tensor(raw["IMAGE"][2])[0] == b"\xff\xd8\x00"
    assert raw["MAX_TOKENS"] == ("INT32", [1, 1], np.int32(12).tobytes())
    assert raw["STOP"][1] == [1, 2]


def test_without_a_limit_no_timeout_is_sent():
    assert "timeout" not in wire_grpc.message(REQUEST, None).parameters
    assert b'"timeout"' not in wire_http.infer(REQUEST, None).body


def test_a_grpc_answer_is_read_by_name():
    response = service_pb2.ModelInferResponse(model_name="content")
    response.outputs.add(name="EMBEDDING", datatype="FP32", shape=[1, 3])
    response.raw_output_contents.append(np.arange(3, dtype=np.float32).tobytes())
    arrays = wire_grpc.arrays(response, REQUEST)
    assert arrays.keys() == {"EMBEDDING"}
    assert arrays["EMBEDDING"].tolist() == [[0, 1, 2]]


def test_the_connect_limit_reaches_the_channel():
    assert ("grpc.min_reconnect_backoff_ms", 1500) in wire_grpc.channel_options(Timeout(connect=1.5))
    assert "grpc.min_reconnect_backoff_ms" not in dict(wire_grpc.channel_options(Timeout(connect=None)))


def test_an_http_body_is_json_then_binary():
    exchange = wire_http.infer(REQUEST, 1.5)
    assert exchange.path == "/v2/models/content_image/infer"
    length = int(exchange.headers["Inference-Header-Content-Length"])
    head = json.loads(exchange.body[:length])
    assert head["parameters"] == {"timeout": 1_500_000}
    assert [output["name"] for output in head["outputs"]] == list(REQUEST.outputs)
    sizes = [tensor["parameters"]["binary_data_size"] for tensor in head["inputs"]]
    assert sum(sizes) == len(exchange.body) - length
    assert exchange.body[length + 4 :].startswith("Mug 杯 🫖".encode())


def test_a_stream_request_is_flat_json():
    options = {"sampling": SAMPLING}
    request = core.decode({"PROMPT": np.array([["<p> 杯".encode()]], object)}, options).within(2.0)
    exchange = wire_http.stream(request)
    assert exchange.path == "/v2/models/text_decoder/generate_stream"
    assert json.loads(exchange.body) == {
        "PROMPT": "<p> 杯",
        "MAX_TOKENS": 12,
        "TEMPERATURE": 0.5,
        "STOP": ["。", "\n\n"],
        "TIMEOUT_MS": 2000,
    }


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b'{"error":"in ensemble \'content\', vitrina/queue_full TEXT: full"}', QueueFull),
        (400, b'{"error":"vitrina/invalid_input TITLE: empty"}', InvalidInput),
        (500, b"<html>proxy says no</html>", ServerError),
        (500, b"", ServerError),
        (500, b"\xff\xfe", ServerError),
        (500, b'"text"', ServerError),
        # The first error of a stream comes as 400 whatever it is, and in the stream's form.
        (400, b'data: {"error":"vitrina/queue_full PROMPT: full"}\n\n', QueueFull),
        (400, b'data: {"error":"out of memory"}\n\n', ServerError),
    ],
)
def test_http_answers_that_are_errors(status, body, kind):
    error = wire_http.error(status, body, "content")
    assert type(error) is kind
    assert error.model == "content"


def test_a_body_that_is_no_answer_is_a_server_error():
    with pytest.raises(ServerError, match="no inference answer"):
        wire_http.arrays(200, {}, b"hello", REQUEST)
    with pytest.raises(ServerError, match="no JSON"):
        wire_http.answer("metadata", 200, b"hello")


def event(**fields):
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


EVENTS = [
    event(TEXT="词 ", FINISH_REASON="", PROMPT_TOKENS=3, COMPLETION_TOKENS=1, TOKEN_IDS=[1, 2], model_name="x"),
    event(TEXT="b\n\nc", FINISH_REASON="eos", PROMPT_TOKENS=3, COMPLETION_TOKENS=2, TOKEN_IDS=[]),
]
DECODE = core.decode({"PROMPT": np.array([[b"p"]], object)}, {})


@given(st.lists(st.integers(0, len(b"".join(EVENTS))), max_size=20))
def test_events_are_read_however_the_network_cuts_them(cuts):
    data = b"".join(EVENTS)
    edges = [0, *sorted(cuts), len(data)]
    events = wire_http.Events(DECODE)
    read = [
        answers.piece(answers.check_rows(arrays, DECODE))
        for start, end in pairwise(edges)
        for arrays in events.feed(data[start:end])
    ]
    assert [(piece.text, piece.finish_reason, piece.completion_tokens) for piece in read] == [
        ("词 ", None, 1),
        ("b\n\nc", "eos", 2),
    ]


def test_an_error_among_the_events_keeps_its_place():
    piece, error = wire_http.Events(DECODE).feed(EVENTS[0] + event(error="vitrina/internal -: broke"))
    assert answers.piece(piece).text == "词 "
    assert (type(error), error.message) == (ServerError, "broke")
    (error,) = wire_http.Events(DECODE).feed(b"data: {nonsense\n\n")
    assert "no JSON" in error.message

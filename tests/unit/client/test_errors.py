"""From the server's words to the exception tree."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vitrina_client import (
    Blocked,
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    NotReady,
    QueueFull,
    ServerError,
    TooLarge,
    VitrinaError,
)
from vitrina_client._errors import disconnected, from_server, not_connected, recognised

from stages.errors import TRITON_CODE, StageError

KINDS = {
    "invalid_input": InvalidInput,
    "too_large": TooLarge,
    "blocked": Blocked,
    "queue_full": QueueFull,
    "not_ready": NotReady,
    "deadline_exceeded": DeadlineExceeded,
    "cancelled": Cancelled,
    "internal": ServerError,
}


def test_every_code_of_the_stages_has_its_exception():
    assert KINDS.keys() == TRITON_CODE.keys()


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize("wrapped", ["{}", "in ensemble 'content_image', {}", "[request id: 7] in ensemble 'a', {}"])
def test_the_wire_form_is_found_in_any_wrapping(code, wrapped):
    wire = StageError(code, "IMAGE", "3 bytes; send a JPEG: it is\nno picture").wire()
    error = from_server(wrapped.format(wire), "UNKNOWN", "content_image")
    assert type(error) is KINDS[code]
    assert error.message == "3 bytes; send a JPEG: it is\nno picture"
    assert (error.model, error.field) == ("content_image", "IMAGE")
    assert str(error) == "content_image IMAGE: 3 bytes; send a JPEG: it is\nno picture"


@given(st.sampled_from(sorted(KINDS)), st.from_regex(r"[A-Z_]{1,20}", fullmatch=True), st.text())
def test_what_a_stage_wrote_is_read_back(code, field, sentence):
    error = from_server("in ensemble 'x', " + StageError(code, field, sentence).wire(), None, "x")
    assert (type(error), error.field, error.message) == (KINDS[code], field, sentence)


@given(st.text(), st.sampled_from([None, "INTERNAL", "UNAVAILABLE", 200, 400, 418, 500]))
def test_any_message_makes_an_error_that_can_be_shown(message, status):
    assert str(from_server(message, status, "content"))


def test_a_dash_is_no_field():
    assert from_server(StageError("internal", "-", "broken").wire(), "INTERNAL", "generate").field is None


def test_a_code_of_a_newer_server_keeps_all_it_said():
    error = from_server("vitrina/too_funny TITLE: laugh", "INVALID_ARGUMENT", "content")
    assert type(error) is ServerError
    assert error.message == "vitrina/too_funny TITLE: laugh"


@pytest.mark.parametrize(
    ("message", "status", "kind"),
    [
        ("unexpected inference input 'TITEL' for model 'content'", "INVALID_ARGUMENT", InvalidInput),
        ("unexpected inference input 'TITEL' for model 'content'", None, InvalidInput),
        ("Request for unknown model: 'content' is not found", "NOT_FOUND", ModelNotFound),
        ("Request for unknown model: 'content' is not found", 404, ModelNotFound),
        ("Exceeds maximum queue size", "UNAVAILABLE", QueueFull),
        ("in ensemble 'content', Request timeout expired", 503, DeadlineExceeded),
        ("Server is stopping, scheduler for model has stopped", "UNAVAILABLE", NotReady),
        ("onnx runtime error 2: no", 500, ServerError),
        ("", 503, NotReady),
        ("too big", 413, TooLarge),
        ("teapot", 418, ServerError),
    ],
)
def test_words_of_triton_itself(message, status, kind):
    error = from_server(message, status, "content")
    assert type(error) is kind
    assert message in error.message


def test_only_what_left_nothing_behind_is_safe_to_retry():
    safe = {kind for kind in VitrinaError.__subclasses__() if kind.safe_to_retry}
    assert safe == {QueueFull}
    assert not_connected("h:1", "refused", None).safe_to_retry
    assert not disconnected("h:1", "reset", None).safe_to_retry
    assert not ConnectionFailed("?").safe_to_retry


def test_a_deadline_says_who_noticed():
    assert from_server("vitrina/deadline_exceeded TIMEOUT_MS: 5 ms", None, "m").where == "server"
    assert DeadlineExceeded("here").where == "client"


def test_other_words_are_not_taken_for_the_servers():
    assert recognised("failed to connect to all addresses", "content") is None


@pytest.mark.parametrize("error", [not_connected("h:1", "refused", "m"), InvalidInput("no", model="m", field="TITLE")])
def test_errors_travel_between_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))
    assert type(copy) is type(error)

"""Requests and answers as HTTP, with Triton's binary tensors and its event streams. Pure; no connection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import np_to_triton_dtype

from vitrina_client._errors import ServerError, VitrinaError, from_server
from vitrina_client._requests import Request
from vitrina_client._types import Array

_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Exchange:
    """One HTTP request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


#: Question of the transports → the exchange that asks it.
QUESTIONS = {
    "live": Exchange("GET", "/v2/health/live", {}, None),
    "ready": Exchange("GET", "/v2/health/ready", {}, None),
    "metadata": Exchange("GET", "/v2", {}, None),
    "index": Exchange("POST", "/v2/repository/index", {"Content-Type": "application/json"}, b"{}"),
    "content": Exchange("GET", "/v2/models/content", {}, None),
}


def infer(request: Request, seconds: float | None) -> Exchange:
    """A v2 inference; `seconds` becomes Triton's timeout for the queues."""
    inputs = []
    for name, array in request.inputs.items():
        tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    outputs = [InferRequestedOutput(name, binary_data=True) for name in request.outputs]
    timeout = None if seconds is None else max(1, int(seconds * 1e6))
    body, json_size = InferenceServerClient.generate_request_body(inputs, outputs=outputs, timeout=timeout)
    headers = {"Content-Type": "application/octet-stream"} | ({} if json_size is None else {_LENGTH: str(json_size)})
    return Exchange("POST", f"/v2/models/{quote(request.model)}/infer", headers, body)


def stream(request: Request) -> Exchange:
    """A generate_stream; its schema takes each tensor as one value or a flat list."""
    fields = {name: _plain(array) for name, array in request.inputs.items()}
    body = json.dumps(fields, ensure_ascii=False).encode()
    path = f"/v2/models/{quote(request.model)}/generate_stream"
    return Exchange("POST", path, {"Content-Type": "application/json"}, body)


def arrays(status: int, headers: Mapping[str, str], body: bytes, request: Request) -> Mapping[str, Array]:
    """The outputs of an inference's answer; raises the error it holds instead."""
    if status != 200:
        raise error(status, body, request.model)
    length = headers.get(_LENGTH)
    try:
        result = InferenceServerClient.parse_response_body(body, header_length=None if length is None else int(length))
    except Exception as failure:  # whatever a body that is no answer makes the parser say
        raise ServerError(f"no inference answer: {failure}", model=request.model) from failure
    return {name: array for name in request.outputs if (array := result.as_numpy(name)) is not None}


def answer(what: str, status: int, body: bytes) -> dict[str, Any]:
    """The answer to one of the questions, as a dict."""
    if what in ("live", "ready"):
        return {what: status == 200}
    if status != 200:
        raise error(status, body, None)
    try:
        said = json.loads(body)
    except ValueError as failure:
        raise ServerError(f"{what}: no JSON: {body[:80]!r}") from failure
    return {"models": said} if isinstance(said, list) else dict(said)


def error(status: int, body: bytes, model: str | None) -> VitrinaError:
    """Our error for an answer that is none."""
    text = body.decode(errors="replace")
    in_stream = text.startswith("data:")
    try:
        message = str(json.loads(text.removeprefix("data:"))["error"])
    except (ValueError, KeyError, TypeError):
        message = text.strip()[:500]
    # A stream's first error always comes as 400, whatever it is.
    return from_server(message, None if in_stream else status, model)


class Events:
    """An event stream, fed as it comes: gives the arrays of every whole event, or the error it holds."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._rest = b""

    def feed(self, data: bytes) -> list[Mapping[str, Array] | VitrinaError]:
        """What `data` completes, in order."""
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        return [self._event(event) for event in whole if event.strip()]

    def _event(self, event: bytes) -> Mapping[str, Array] | VitrinaError:
        try:
            said = json.loads(event.strip().removeprefix(b"data:"))
        except ValueError:
            return ServerError(f"an event that is no JSON: {event[:80]!r}", model=self._request.model)
        if "error" in said:
            return from_server(str(said["error"]), None, self._request.model)
        return {name: _row(said[name]) for name in self._request.outputs if name in said}


def _plain(array: Array) -> Any:
    values = [value.decode() if isinstance(value, bytes) else value for value in array.ravel().tolist()]
    return values[0] if len(values) == 1 else values


def _row(value: Any) -> Array:
    values = value if isinstance(value, list) else [value]
    if any(isinstance(each, str) for each in values):
        return np.array([[each.encode() for each in values]], np.object_)
    return np.array([values])

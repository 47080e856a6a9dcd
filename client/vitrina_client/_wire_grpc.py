"""Requests and answers as gRPC messages, and gRPC's errors as ours. Pure functions; no connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

from vitrina_client._errors import Cancelled, VitrinaError, disconnected, from_server, not_connected, recognised
from vitrina_client._requests import MAX_MESSAGE, Request
from vitrina_client._timeout import Deadline, Timeout
from vitrina_client._types import Array

#: What gRPC's library says where there was never a connection to send on.
_NEVER_SENT = ("failed to connect", "DNS resolution failed")

#: Question of the transports → (method of the stub, its request).
QUESTIONS: dict[str, tuple[str, Any]] = {
    "live": ("ServerLive", service_pb2.ServerLiveRequest()),
    "ready": ("ServerReady", service_pb2.ServerReadyRequest()),
    "metadata": ("ServerMetadata", service_pb2.ServerMetadataRequest()),
    "index": ("RepositoryIndex", service_pb2.RepositoryIndexRequest()),
    "content": ("ModelMetadata", service_pb2.ModelMetadataRequest(name="content")),
}


def channel_options(timeout: Timeout) -> list[tuple[str, int]]:
    """Options of a channel that this client owns alone."""
    options = [
        ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        # Else two clients of one process share one connection and its state.
        ("grpc.use_local_subchannel_pool", 1),
        # A refused connection is tried again this soon; gRPC's own second would outlast our retries.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if timeout.connect is not None:
        # gRPC has no option of its own for it: this is how long one attempt to connect is given.
        options.append(("grpc.min_reconnect_backoff_ms", max(1, int(timeout.connect * 1000))))
    return options


def message(request: Request, seconds: float | None) -> Any:
    """A `ModelInferRequest`; `seconds` becomes Triton's timeout for the queues."""
    made = service_pb2.ModelInferRequest(model_name=request.model)
    for name, array in request.inputs.items():
        made.inputs.add(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
        made.raw_input_contents.append(_raw(array))
    for name in request.outputs:
        made.outputs.add(name=name)
    if seconds is not None:
        made.parameters["timeout"].int64_param = max(1, int(seconds * 1e6))
    return made


def arrays(response: Any, request: Request) -> Mapping[str, Array]:
    """The outputs of a `ModelInferResponse`."""
    result = InferResult(response)
    return {name: array for name in request.outputs if (array := result.as_numpy(name)) is not None}


def streamed(response: Any, request: Request) -> Mapping[str, Array] | VitrinaError:
    """The outputs of a `ModelStreamInferResponse`, or the error that it holds instead."""
    if response.error_message:
        return from_server(response.error_message, None, request.model)
    return arrays(response.infer_response, request)


def answer(response: Any) -> dict[str, Any]:
    """The answer to one of the questions, as a dict."""
    said: dict[str, Any] = MessageToDict(response, preserving_proto_field_name=True)
    return said


def error(failure: Any, address: str, deadline: Deadline, model: str | None) -> VitrinaError:
    """Our error for a `grpc.RpcError`.

    gRPC does not tell a status that the server sent from one that its own library made, so the server's sentences
    are looked for first.
    """
    code, details = failure.code(), failure.details() or ""
    if said := recognised(details, model):
        return said
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return deadline.passed(model)
    if code is grpc.StatusCode.CANCELLED:
        return Cancelled("the call was given up", model=model)
    if code is grpc.StatusCode.UNAVAILABLE:
        if any(sign in details for sign in _NEVER_SENT):
            return not_connected(address, details.rsplit(": ", 1)[-1], model)
        return disconnected(address, details, model)
    return from_server(details, code.name, model)


def _raw(array: Array) -> bytes:
    if array.dtype == np.object_:
        packed = serialize_byte_tensor(array)
        return packed.item() if packed.size else b""
    return np.ascontiguousarray(array).tobytes()

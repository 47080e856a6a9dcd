"""The `onnxruntime` backend for a Triton that has no native one: serves an ONNX model from the same config.pbtxt.

Triton loads this file for every model whose configuration says ``backend: "onnxruntime"``, one process an instance.
It runs in the python stub: it imports onnxruntime, numpy and the file beside it, nothing of the repository.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import ort_config
import triton_python_backend_utils as pb_utils

ORT_ERROR = re.compile(r"^\[ONNXRuntimeError\] : (?P<code>\d+) : \w+ : (?P<text>.*)$", re.DOTALL)
PROVIDERS = ["CPUExecutionProvider"]


class TritonPythonModel:
    """One instance of one model: a session of its own."""

    @staticmethod
    def auto_complete_config(model_config: Any) -> Any:
        """Fills in what the configuration leaves out, from the model's file."""
        config = model_config.as_dict()
        if not ort_config.complete(config):
            with said_like_native():
                path = ort_config.model_path(config, version_folder())
                ort_config.auto_complete(config, ort.InferenceSession(str(path), providers=PROVIDERS))
        return model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model, and refuses a configuration that does not fit it."""
        config = json.loads(args["model_config"])
        with said_like_native():
            if args["model_instance_kind"] == "GPU":
                raise ort_config.Refused("GPU instances not supported")
            path = ort_config.model_path(config, Path(args["model_repository"]) / args["model_version"])
            options = ort_config.session_options(config)
            session = ort.InferenceSession(str(path), options, providers=PROVIDERS)
            ort_config.check(config, session)
        self.session = session
        # The public run() looks its inputs over in Python once more, which costs as much as a small model.
        self.run = session._sess.run
        self.run_options = ort_config.run_options(config)
        self.batches = config["max_batch_size"] > 0
        outputs = ort_config.tensors(session.get_outputs())
        inputs = ort_config.tensors(session.get_inputs()) | ort_config.tensors(session.get_overridable_initializers())
        self.scalar_inputs = {name for name, tensor in inputs.items() if not tensor.dims}
        self.scalar_outputs = {io["name"]: io["dims"] for io in config["output"] if not outputs[io["name"]].dims}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers a batch of requests with one run of the model.

        Where that run fails, each request is run by itself, so that a bad one does not take the others along (the
        native backend fails them all).
        """
        if len(requests) > 1 and self.batches:
            with contextlib.suppress(Exception):
                return self.answer(requests)
        return [self.answer_alone(request) for request in requests]

    def answer_alone(self, request: Any) -> Any:
        """The response to one request, or its error."""
        try:
            return self.answer([request])[0]
        except UnicodeDecodeError as error:
            code, text = pb_utils.TritonError.INVALID_ARG, f"a string of the request is not UTF-8: {error}"
        except Exception as error:
            code, text = pb_utils.TritonError.INTERNAL, native_text(error)
        return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(text, code))

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """The responses to requests whose inputs have the same shapes but for the batch dimension.

        Raises:
            Exception: what onnxruntime raised, or an output that has not one row an input row.
        """
        asked = [request.requested_output_names() for request in requests]
        names = asked[0] if len(asked) == 1 else list(dict.fromkeys(name for some in asked for name in some))
        feeds, rows = self.feeds(requests)
        outputs = dict(zip(names, self.run(names, feeds, self.run_options), strict=True))
        for name, dims in self.scalar_outputs.items():
            if name in outputs:
                outputs[name] = np.reshape(outputs[name], dims)
        if self.batches:
            check_rows(outputs, sum(rows))
        if len(requests) == 1:
            tensors = [pb_utils.Tensor(name, output) for name, output in outputs.items()]
            return [pb_utils.InferenceResponse(tensors)]
        responses, start = [], 0
        for some, count in zip(asked, rows, strict=True):
            part = slice(start, start := start + count)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name][part]) for name in some]))
        return responses

    def feeds(self, requests: Sequence[Any]) -> tuple[dict[str, np.ndarray], list[int]]:
        """The model's inputs for all requests together, and the rows that each request has."""
        first, *others = [
            {tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests
        ]  # views of shared memory: nothing is copied yet
        feeds, rows = {}, [1]
        for name, array in first.items():
            if others:
                parts = [array, *(other[name] for other in others)]
                rows = [len(part) for part in parts]
                array = np.concatenate(parts)
            elif array.ndim:
                rows = [len(array)]
            if array.dtype == np.object_:  # onnxruntime would take the bytes b"a" for the string "b'a'"
                array = np.array([value.decode() for value in array.flat], dtype=object).reshape(array.shape)
            feeds[name] = array.reshape(()) if name in self.scalar_inputs else array
        return feeds, rows


def check_rows(outputs: dict[str, np.ndarray], rows: int) -> None:
    """Every output has one row an input row: Triton does not notice if a python model gives fewer.

    Raises:
        ValueError: one has not.
    """
    for name, output in outputs.items():
        if output.ndim == 0 or len(output) != rows:
            raise ValueError(
                f"failed to split the output tensor '{name}' in responses: expected batch size of at least {rows} in"
                f" model output, got {len(output) if output.ndim else 0}"
            )


def version_folder() -> Path:
    """The folder of this model's version.

    Triton gives auto_complete_config no path, but names the model's file as the stub's first argument.
    """
    return Path(Path("/proc/self/cmdline").read_bytes().split(b"\0")[1].decode()).parent


def native_text(error: Exception) -> str:
    """An error in the words of the native backend."""
    match = ORT_ERROR.match(str(error))
    return f"onnx runtime error {match['code']}: {match['text']}" if match else str(error)


@contextlib.contextmanager
def said_like_native() -> Iterator[None]:
    """Turns an exception into one that Triton shows without a Python stack."""
    try:
        yield
    except Exception as error:
        raise pb_utils.TritonModelException(native_text(error)) from error

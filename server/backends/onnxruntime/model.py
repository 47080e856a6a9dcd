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
from numpy.typing import NDArray

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
        inputs = ort_config.tensors(session.get_inputs()) | ort_config.tensors(session.get_overridable_initializers())
        outputs = ort_config.tensors(session.get_outputs())
        self.strings = [name for name, tensor in inputs.items() if tensor.dtype == "TYPE_STRING"]
        self.scalar_inputs = [name for name, tensor in inputs.items() if not tensor.dims]
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
        # Views of shared memory: nothing is copied but where requests are merged, and where the answers are written.
        inputs = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        rows = [len(next(iter(own.values()))) for own in inputs] if self.batches else [1]
        if len(requests) == 1:
            names, feeds = asked[0], inputs[0]
        else:
            names = list(dict.fromkeys(name for own in asked for name in own))
            feeds = {name: np.concatenate([own[name] for own in inputs]) for name in inputs[0]}
        outputs = self.run(names, self.fit(feeds), self.run_options)
        if self.scalar_outputs:
            dims = self.scalar_outputs
            outputs = [
                np.reshape(out, dims[name]) if name in dims else out for name, out in zip(names, outputs, strict=True)
            ]
        if self.batches:
            check_rows(names, outputs, sum(rows))
        if len(requests) == 1:
            return [pb_utils.InferenceResponse(list(map(pb_utils.Tensor, names, outputs)))]
        found, responses, start = dict(zip(names, outputs, strict=True)), [], 0
        for own, count in zip(asked, rows, strict=True):
            part = slice(start, start := start + count)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor(name, found[name][part]) for name in own]))
        return responses

    def fit(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The inputs as onnxruntime wants them: text for strings, no dims for scalars; changes `feeds`.

        Raises:
            UnicodeDecodeError: a string is not UTF-8.
        """
        for name in self.strings:
            if name in feeds:  # onnxruntime would take the bytes b"a" for the string "b'a'"
                text = [value.decode() for value in feeds[name].flat]
                feeds[name] = np.array(text, dtype=object).reshape(feeds[name].shape)
        for name in self.scalar_inputs:
            if name in feeds:
                feeds[name] = feeds[name].reshape(())
        return feeds


def check_rows(names: Sequence[str], outputs: Sequence[NDArray[Any]], rows: int) -> None:
    """Every output has one row an input row: Triton does not notice if a python model gives fewer.

    Raises:
        ValueError: one has not.
    """
    for name, output in zip(names, outputs, strict=True):
        got = len(output) if output.ndim else 0
        if got != rows:
            raise ValueError(
                f"failed to split the output tensor '{name}' in responses: expected batch size of at least {rows} in"
                f" model output, got {got}"
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

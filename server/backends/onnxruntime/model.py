"""The `onnxruntime` backend for a Triton that has no native one: reads the same config.pbtxt."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        name = config["default_model_filename"] or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / name
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [entry["name"] for entry in config["input"]]
        self.batches = config["max_batch_size"] > 0

    def execute(self, requests):
        asked = set().union(*(request.requested_output_names() for request in requests))
        names = [output.name for output in self.session.get_outputs() if output.name in asked]
        feeds, rows = {}, []
        for name in self.inputs:
            arrays = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            feeds[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            rows = [len(array) for array in arrays]
        outputs = self.session.run(names, feeds)
        responses, start = [], 0
        for request, count in zip(requests, rows, strict=True):
            part = slice(start, start + count) if len(requests) > 1 else slice(None)
            start += count
            tensors = [
                pb_utils.Tensor(name, output[part])
                for name, output in zip(names, outputs, strict=True)
                if name in request.requested_output_names()
            ]
            responses.append(pb_utils.InferenceResponse(tensors))
        return responses

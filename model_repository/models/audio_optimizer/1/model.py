"""SAMPLES at SAMPLE_RATE → AUDIO, a WAV or OGG file at one loudness, and its SECONDS (see `stages.spoken`)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.speech import FORMATS, read_format
from stages.spoken import encode, level
from stages.triton import respond, value


class TritonPythonModel:
    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        samples = pb_utils.get_input_tensor_by_name(request, "SAMPLES").as_numpy()[0]
        rate = value(request, "SAMPLE_RATE")
        asked = value(request, "AUDIO_FORMAT") or FORMATS[0].encode()
        data = encode(level(samples, rate), rate, read_format(asked))
        tensors = {"AUDIO": np.array([[data]], object), "SECONDS": np.array([[len(samples) / rate]], np.float32)}
        return [pb_utils.Tensor(name, tensors[name]) for name in request.requested_output_names()]

"""Title, tags and what else the request says → PROMPT for the text decoder, and the sampling that suits the task."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.prompts import OPTIONAL_FIELDS, SAMPLING_FIELDS, messages, read_request, render, sampling
from stages.triton import each_row, field, respond


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.chat_template = (folder / "chat_template.jinja").read_text("utf-8")

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        titles = field(request, "TITLE")
        tags, scores = (pb_utils.get_input_tensor_by_name(request, n).as_numpy() for n in ("TAGS", "TAG_SCORES"))
        fields = {name: field(request, name) or [b""] * len(titles) for name in OPTIONAL_FIELDS}

        def read(row):
            asked = read_request(titles[row], tags[row], scores[row], {n: rows[row] for n, rows in fields.items()})
            return asked.task, render(messages(asked), self.chat_template).encode()

        tasks, prompts = zip(*each_row(range(len(titles)), read), strict=True)
        tensors = [pb_utils.Tensor("PROMPT", np.array(prompts, object).reshape(-1, 1))]
        for name, key in SAMPLING_FIELDS.items():
            given = pb_utils.get_input_tensor_by_name(request, name)
            dtype = np.int32 if name == "MAX_TOKENS" else np.float32
            suits = given.as_numpy() if given else np.array([[sampling(task)[key]] for task in tasks], dtype)
            tensors.append(pb_utils.Tensor(name, suits))
        return tensors

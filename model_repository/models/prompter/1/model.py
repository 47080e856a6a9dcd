"""Title, tags and what else the request says → PROMPT for the text decoder."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.prompts import OPTIONAL_FIELDS, messages, read_request, render
from stages.triton import each_row, field, respond


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.chat_template = (folder / "chat_template.jinja").read_text("utf-8")

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        titles = field(request, "TITLE")
        tags = pb_utils.get_input_tensor_by_name(request, "TAGS").as_numpy()
        fields = {name: field(request, name) or [b""] * len(titles) for name in OPTIONAL_FIELDS}

        def prompt(row):
            given = {name: values[row] for name, values in fields.items()}
            return render(messages(read_request(titles[row], tags[row], given)), self.chat_template).encode()

        prompts = each_row(range(len(titles)), prompt)
        return [pb_utils.Tensor("PROMPT", np.array(prompts, object).reshape(-1, 1))]

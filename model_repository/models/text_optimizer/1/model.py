"""What the text decoder wrote → TEXT as a shop may show it, and EDITS, what was done to it."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages import editing
from stages.prompts import Prompts
from stages.request import OPTIONAL_FIELDS, read_request
from stages.triton import lists, respond, text_rows


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.prompts = Prompts.load(folder / "prompts.json")
        editing.prepare()

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        rows = text_rows(request, "WRITTEN", "FINISHED", "TITLE", *OPTIONAL_FIELDS)
        orders = map(editing.read_orders, *(lists(request, name, len(rows)) for name in editing.FIELDS))
        texts, edits = [], []
        for row, order in zip(rows, orders, strict=True):
            written, finish = row["WRITTEN"].decode("utf-8"), row["FINISHED"].decode()
            asked = read_request((), (), row, self.prompts.languages)
            text, done = editing.edit(written, finish, asked, self.prompts, order)
            texts.append(text.encode("utf-8"))
            edits.append(json.dumps([edit._asdict() for edit in done], ensure_ascii=False).encode("utf-8"))
        columns = {"TEXT": texts, "EDITS": edits}
        return [
            pb_utils.Tensor(name, np.array(columns[name], object).reshape(-1, 1))
            for name in request.requested_output_names()
        ]

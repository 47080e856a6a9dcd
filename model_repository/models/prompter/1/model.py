"""Title, tags and what else the request says → PROMPT for the text decoder, sampling that suits the task; KEYWORDS.

REQUEST is what was read, for a stream's editor.
"""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages import editing
from stages.keywords import MOST, keywords
from stages.moderation import action
from stages.prompts import SAMPLING_FIELDS, Prompts
from stages.request import OPTIONAL_FIELDS, read_request
from stages.triton import each_row, field, lists, respond, text_rows


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.prompts = Prompts.load(folder / "prompts.json")

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        rows = text_rows(request, "TITLE", *OPTIONAL_FIELDS)
        tags, scores = (pb_utils.get_input_tensor_by_name(request, n).as_numpy() for n in ("TAGS", "TAG_SCORES"))
        edits = [lists(request, name, len(rows)) for name in editing.FIELDS]

        def read(row):
            editing.read_orders(*(column[row] for column in edits))  # refused here, before anything is written
            asked = read_request(tags[row], scores[row], rows[row], self.prompts.languages)
            words = [word.encode() for word in keywords(asked)]
            return asked.task, self.prompts.prompt(asked).encode(), words + [b""] * (MOST - len(words)), asked.dumps()

        stopped = [action(said) == "block" for said in field(request, "MODERATION") or []]
        tasks, prompts, words, requests = zip(*each_row(range(len(rows)), read), strict=True)
        tensors = [
            pb_utils.Tensor("PROMPT", np.array(prompts, object).reshape(-1, 1)),
            pb_utils.Tensor("KEYWORDS", np.array(words, object)),
            pb_utils.Tensor("REQUEST", np.array(requests, object).reshape(-1, 1)),
        ]
        for name, key in SAMPLING_FIELDS.items():
            given = pb_utils.get_input_tensor_by_name(request, name)
            dtype = np.int32 if name == "MAX_TOKENS" else np.float32
            by_task = [[self.prompts.sampling(task)[key]] for task in tasks]
            suits = given.as_numpy() if given else np.array(by_task, dtype)
            if name == "MAX_TOKENS" and any(stopped):  # what is written of it will not be shown
                suits = np.where(np.array(stopped)[:, None], np.int32(1), suits)
            tensors.append(pb_utils.Tensor(name, suits))
        return tensors

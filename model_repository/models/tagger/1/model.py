"""CONDITION → the words that name what it is about (see `stages.tags`)."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.tags import TagTable, tags
from stages.triton import respond


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.table = TagTable.load(folder / "tags.npz")

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        conditions = pb_utils.get_input_tensor_by_name(request, "CONDITION").as_numpy()
        rows = [tags(condition, self.table) for condition in conditions]
        words = np.array([[word.encode() for word in words] for words, _ in rows], object)
        scores = np.stack([scores for _, scores in rows])
        tensors = {"TAGS": words, "TAG_SCORES": scores, "TAGS_COPY": words, "TAG_SCORES_COPY": scores}
        asked = request.requested_output_names()
        return [pb_utils.Tensor(name, array) for name, array in tensors.items() if name in asked]

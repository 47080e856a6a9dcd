"""CONDITION → the words that name what it is about (see `stages.tags`)."""

from typing import Any

import numpy as np

from stages.tags import TagTable, tags
from stages.triton import Outputs, Step, tensor


class TritonPythonModel(Step):
    def set_up(self) -> None:
        self.table = TagTable.load(self.folder / "tags.npz")

    def answer(self, request: Any) -> Outputs:
        rows = [tags(condition, self.table) for condition in tensor(request, "CONDITION")]
        words = np.array([[word.encode() for word in words] for words, _ in rows], object)
        scores = np.stack([scores for _, scores in rows])
        return {"TAGS": words, "TAG_SCORES": scores, "TAGS_COPY": words, "TAG_SCORES_COPY": scores}

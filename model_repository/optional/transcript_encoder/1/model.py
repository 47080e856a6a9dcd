"""TRANSCRIPT → its embedding, as features for fusion; zeros where nobody speaks.

This step never fails, because others of its request are under way beside it, which Triton 24.10 does not bear: what
could not be heard has no embedding, and the moderator blocks it.
"""

import logging
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.errors import UNREADABLE
from stages.text import TitleTokenizer
from stages.triton import call, field, respond, sizes


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.tokenize = TitleTokenizer(folder / "tokenizer.json")
        self.shape = sizes(args)["features"]

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        texts = [text.decode() for text in field(request, "TRANSCRIPT")]
        features = np.zeros((len(texts), *self.shape), np.float32)
        spoken = [row for row, text in enumerate(texts) if text and text != UNREADABLE]
        if spoken:
            tokens = self.tokenize([texts[row] for row in spoken])
            inputs = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
            try:
                features[spoken, 0] = call("text_encoder", inputs, "sentence_embedding")
            except RuntimeError:
                logging.getLogger("vitrina").exception("a transcript could not be embedded")
        return [pb_utils.Tensor("features", features)]

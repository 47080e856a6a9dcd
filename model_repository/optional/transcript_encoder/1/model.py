"""TRANSCRIPT → its embedding, as features for fusion; zeros where nobody speaks.

This step never fails, because others of its request are under way beside it, which Triton 24.10 does not bear: what
could not be heard has no embedding, and the moderator blocks it.
"""

import logging
from typing import Any

import numpy as np

from stages.errors import UNREADABLE
from stages.text import TitleTokenizer
from stages.triton import Outputs, Step, call, field


class TritonPythonModel(Step):
    def set_up(self) -> None:
        self.tokenize = TitleTokenizer(self.folder / "tokenizer.json")

    def answer(self, request: Any) -> Outputs:
        texts = [text.decode() for text in field(request, "TRANSCRIPT") or ()]
        features = np.zeros((len(texts), *self.sizes["features"]), np.float32)
        spoken = [row for row, text in enumerate(texts) if text and text != UNREADABLE]
        if spoken:
            tokens = self.tokenize([texts[row] for row in spoken])
            inputs = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
            try:
                features[spoken, 0] = call("text_encoder", inputs, "sentence_embedding")
            except RuntimeError:
                logging.getLogger("vitrina").exception("a transcript could not be embedded")
        return {"features": features}

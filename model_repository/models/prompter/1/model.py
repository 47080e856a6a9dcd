"""Title, tags and what else the request says → PROMPT for the text decoder, sampling that suits the task; KEYWORDS.

REQUEST is what was read, by which the text is edited afterwards.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.brand import Brand
from stages.commands import is_command
from stages.keywords import MOST, keywords
from stages.moderation import action
from stages.prompts import SAMPLING_FIELDS, Prompts
from stages.request import OPTIONAL_FIELDS, Request, read_request
from stages.triton import Outputs, Step, array, each_row, field, lists, tensor, text_rows


class TritonPythonModel(Step):
    def set_up(self) -> None:
        self.prompts = Prompts.load(self.folder / "prompts.json")
        self.brand = Brand.in_force()
        is_command("mug")  # compiles its patterns, a second that the first request would wait for

    def answer(self, request: Any) -> Outputs:
        rows = text_rows(request, "TITLE", *OPTIONAL_FIELDS)
        tags, scores = (tensor(request, name).tolist() for name in ("TAGS", "TAG_SCORES"))
        limits, banned = (lists(request, name, len(rows)) for name in ("MAX_CHARACTERS", "BANNED_WORDS"))

        def read(row: int) -> tuple[Request, bytes, list[bytes]]:
            asked = read_request(
                tags[row], scores[row], rows[row], self.prompts.languages, limits[row], banned[row], self.brand
            )
            words = [word.encode() for word in keywords(asked)]
            return asked, self.prompts.prompt(asked).encode(), words + [b""] * (MOST - len(words))

        asked, prompts, words = zip(*each_row(range(len(rows)), read), strict=True)
        outputs: dict[str, np.ndarray | Sequence[bytes]] = {
            "PROMPT": prompts,
            "KEYWORDS": np.array(words, object),
            "REQUEST": [each.dumps() for each in asked],
        }
        stopped = [action(said) == "block" for said in field(request, "MODERATION") or []]
        for name, key in SAMPLING_FIELDS.items():
            dtype = np.int32 if name == "MAX_TOKENS" else np.float32
            suits = array(request, name)
            if suits is None:
                suits = np.array([[self.prompts.sampling(each.task)[key]] for each in asked], dtype)
            if name == "MAX_TOKENS" and any(stopped):  # what is written of it will not be shown
                suits = np.where(np.array(stopped)[:, None], np.int32(1), suits)
            outputs[name] = suits
        return outputs

"""What a request carries → what the encoders read, and the small zeros that stand in for an absent photo.

One step for all of it: see `_encode` in export/pipeline.py.
"""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.image import read_image
from stages.text import TitleTokenizer, read_title
from stages.triton import each_row, field, respond

#: Output → its shape without the batch axis. One zero token is the least that fusion can attend to.
ZEROS = {
    "NO_IMAGE_EMBEDDING": (1280,),
    "NO_IMAGE_TOKENS": (1, 320),
    "NO_IMAGE_SCORES": (1000,),
    "NO_IMAGE_MASK": (1,),
}


class TritonPythonModel:
    def initialize(self, args):
        self.tokenize = TitleTokenizer(Path(args["model_repository"]) / args["model_version"] / "tokenizer.json")

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        wanted = set(request.requested_output_names())
        titles = each_row(field(request, "TITLE"), read_title)
        tokens = self.tokenize(titles)
        outputs = {
            "INPUT_IDS": tokens.input_ids,
            "ATTENTION_MASK": tokens.attention_mask,
            "TEXT_MASK": tokens.text_mask,
        }
        outputs |= {
            name: np.zeros((len(titles), *shape), np.float32) for name, shape in ZEROS.items() if name in wanted
        }
        if (photos := field(request, "IMAGE")) is not None:
            outputs["PIXELS"] = np.stack(each_row(photos, read_image))
            outputs["IMAGE_MASK"] = np.ones((len(photos), 1), np.float32)
        return [pb_utils.Tensor(name, array) for name, array in outputs.items() if name in wanted]

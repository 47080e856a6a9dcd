"""What a shopper did → what the behaviour encoder reads, and how many products are asked for."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.errors import invalid
from stages.history import FIELD, ItemIndex, batch_events, read_count, read_history
from stages.triton import respond, value


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.items = ItemIndex.load(folder / "items.npz")

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        count = read_count(value(request, "COUNT"))
        events = read_history(value(request, "EVENTS"), self.items)
        if events.latest < 0:
            raise invalid(FIELD, "holds no event, so nothing can be said of this shopper; send one at least")
        outputs = batch_events([events])
        outputs |= {"LATEST": np.array([[events.latest]]), "SHOWN": np.array([[count]], np.int32)}
        return [pb_utils.Tensor(name, array) for name, array in outputs.items()]

"""The behaviour encoder's features → the products of the index that are likely to come next."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.history import ItemIndex, recommended
from stages.triton import respond, value


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.items = ItemIndex.load(folder / "items.npz")

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        shopper = pb_utils.get_input_tensor_by_name(request, "SHOPPER").as_numpy()[0]
        best = recommended(shopper[0], value(request, "LATEST"), value(request, "SHOWN"), self.items)
        tensors = {
            "ITEMS": np.array([[self.items.ids[row].encode() for row, _ in best]], object),
            "TITLES": np.array([[self.items.titles[row].encode() for row, _ in best]], object),
            "SCORES": np.array([[score for _, score in best]], np.float32),
        }
        return [pb_utils.Tensor(name, tensors[name]) for name in request.requested_output_names()]

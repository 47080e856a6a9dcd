"""IMAGE_SEED → the noise that a decoder of pictures starts from; one for each condition."""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.drawn import noise
from stages.triton import each_row, respond, sizes


class TritonPythonModel:
    def initialize(self, args):
        self.sizes = sizes(args)

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        rows = len(pb_utils.get_input_tensor_by_name(request, "CONDITION").as_numpy())
        seeds = pb_utils.get_input_tensor_by_name(request, "IMAGE_SEED")
        wanted = [None] * rows if seeds is None else seeds.as_numpy().reshape(-1).tolist()
        return [
            pb_utils.Tensor(name, np.stack(each_row(wanted, lambda seed, shape=self.sizes[name]: noise(seed, shape))))
            for name in request.requested_output_names()
        ]

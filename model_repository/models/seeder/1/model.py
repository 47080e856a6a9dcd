"""IMAGE_SEED → the noise that a decoder of pictures starts from; one for each condition."""

from functools import partial
from typing import Any

import numpy as np

from stages.drawn import noise
from stages.triton import Outputs, Step, array, each_row, tensor


class TritonPythonModel(Step):
    def answer(self, request: Any) -> Outputs:
        seeds = array(request, "IMAGE_SEED")
        wanted = [None] * len(tensor(request, "CONDITION")) if seeds is None else seeds.reshape(-1).tolist()
        return {
            name: np.stack(each_row(wanted, partial(noise, shape=self.sizes[name])))
            for name in request.requested_output_names()
        }

"""The behaviour encoder's features → the products of the index that are likely to come next."""

from typing import Any

import numpy as np

from stages.history import ItemIndex, recommended
from stages.triton import Outputs, Step, tensor, value


class TritonPythonModel(Step):
    def set_up(self) -> None:
        self.items = ItemIndex.load(self.folder / "items.npz")

    def answer(self, request: Any) -> Outputs:
        shopper = tensor(request, "SHOPPER")[0, 0]
        best = recommended(shopper, value(request, "LATEST"), value(request, "SHOWN"), self.items)
        return {
            "ITEMS": np.array([[self.items.ids[row].encode() for row, _ in best]], object),
            "TITLES": np.array([[self.items.titles[row].encode() for row, _ in best]], object),
            "SCORES": np.array([[score for _, score in best]], np.float32),
        }

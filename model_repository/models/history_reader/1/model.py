"""What a shopper did → what the behaviour encoder reads, and how many products are asked for."""

from typing import Any

import numpy as np

from stages.errors import invalid
from stages.history import FIELD, ItemIndex, batch_events, read_count, read_history
from stages.triton import Outputs, Step, value


class TritonPythonModel(Step):
    def set_up(self) -> None:
        self.items = ItemIndex.load(self.folder / "items.npz")

    def answer(self, request: Any) -> Outputs:
        count = read_count(value(request, "COUNT"))
        events = read_history(value(request, "EVENTS"), self.items)
        if events.latest < 0:
            raise invalid(FIELD, "holds no event, so nothing can be said of this shopper; send one at least")
        return batch_events([events]) | {
            "LATEST": np.array([[events.latest]]),
            "SHOWN": np.array([[count]], np.int32),
        }

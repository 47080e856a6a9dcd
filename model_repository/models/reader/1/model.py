"""What a request carries → what the encoders read, and the small zeros that stand in for what is absent.

One step for all of it: see `_encode` in graph/ensembles.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.audio import log_mels, read_audio
from stages.history import ItemIndex, batch_events, read_history
from stages.image import read_image
from stages.text import TitleTokenizer, read_title
from stages.triton import Outputs, Queued, each_row, field
from stages.video import read_video


class TritonPythonModel(Queued):
    def set_up(self) -> None:
        self.tokenize = TitleTokenizer(self.folder / "tokenizer.json")
        #: What stands in for a modality that is not there, in the least rows that fusion takes.
        self.zeros = {name: shape for name, shape in self.sizes.items() if name.startswith("NO_")}
        if "EVENTS" in self.sizes:
            self.items = ItemIndex.load(self.folder / "items.npz")
        #: Edge → (its place in PRESENCE, what makes the encoders' inputs of its rows).
        self.media = {
            "IMAGE": (1, self.pictures),
            "VIDEO": (2, self.clips),
            "AUDIO": (3, self.sounds),
            "EVENTS": (4, self.histories),
        }

    def answer(self, request: Any) -> Outputs:
        wanted = set(request.requested_output_names())
        titles = each_row(field(request, "TITLE") or (), read_title)
        tokens = self.tokenize(titles)
        presence = np.zeros((len(titles), *self.sizes["PRESENCE"]), np.float32)
        presence[:, 0] = tokens.text_mask[:, 0]
        outputs = {"INPUT_IDS": tokens.input_ids, "ATTENTION_MASK": tokens.attention_mask, "PRESENCE": presence}
        outputs |= {
            name: np.zeros((len(titles), *shape), np.float32) for name, shape in self.zeros.items() if name in wanted
        }
        for edge, (place, read) in self.media.items():
            if (rows := field(request, edge)) is not None:
                outputs |= read(rows)
                presence[:, place] = 1
        if "EVENT_MASK" in outputs:
            presence[:, 4] = outputs["EVENT_MASK"].any(1)  # a shopper without events says nothing
        return outputs

    def pictures(self, rows: Sequence[bytes]) -> dict[str, np.ndarray]:
        return {"PIXELS": np.stack(each_row(rows, lambda row: read_image(row, self.sizes["PIXELS"][0])))}

    def clips(self, rows: Sequence[bytes]) -> dict[str, np.ndarray]:
        return {"FRAMES": np.stack(each_row(rows, lambda row: read_video(row, self.sizes["FRAMES"][1])))}

    def sounds(self, rows: Sequence[bytes]) -> dict[str, np.ndarray]:
        return {"LOG_MEL": log_mels(each_row(rows, read_audio), self.sizes["LOG_MEL"][0])}

    def histories(self, rows: Sequence[bytes]) -> dict[str, np.ndarray]:
        return batch_events(each_row(rows, lambda row: read_history(row, self.items)))

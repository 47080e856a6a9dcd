"""IMAGE → LABEL_TEXT, what is printed on the product; and a copy of it for the next steps.

Each photo is read by three networks (BLS: how many lines it has, no ensemble can count out). With PRESENCE this step
runs beside others of its request and never fails, which Triton 24.10 does not bear: a photo that could not be read says
so, and the moderator blocks it. Alone it answers a bad photo with its typed error.
"""

import json
import logging
from typing import Any

import numpy as np

from stages.image import read_photo_and_scale
from stages.label import PHOTO_PX, LabelReader
from stages.label_text import LabelText, dumps
from stages.triton import Outputs, Step, array, call, call_for, each_row, field


class TritonPythonModel(Step):
    def set_up(self) -> None:
        characters = json.loads((self.folder / "characters.json").read_text("utf-8"))
        names = ("classified_height", "classified_width", "recognized_height")
        height, width, recognized = (int(self.parameters[name]) for name in names)
        self.read_label = LabelReader(detect, classify, recognize, characters, (height, width), recognized)

    def answer(self, request: Any) -> Outputs:
        beside_others = array(request, "PRESENCE") is not None
        labels = each_row(field(request, "IMAGE") or (), self.read_or_say_so if beside_others else self.read)
        rows = [dumps(label) for label in labels]
        return {"LABEL_TEXT": rows, "LABEL_TEXT_COPY": rows}

    def read(self, data: bytes) -> LabelText:
        return self.read_label(*read_photo_and_scale(data, PHOTO_PX))

    def read_or_say_so(self, data: bytes) -> LabelText:
        try:
            return self.read(data)
        except Exception:
            logging.getLogger("vitrina").exception("a label could not be read")
            return LabelText(failed=True)


def detect(view: np.ndarray) -> np.ndarray:
    return call("label_detector", {"pixels": view[None]}, "text")[0]


def classify(lines: np.ndarray) -> np.ndarray:
    return call("label_classifier", {"pixels": lines}, "directions")


def recognize(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    characters, probabilities, spaces = call_for(
        "label_recognizer", {"pixels": lines}, ("characters", "probabilities", "spaces")
    )
    return characters, probabilities, spaces

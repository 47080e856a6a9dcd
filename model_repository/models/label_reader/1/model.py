"""IMAGE → LABEL_TEXT, what is printed on the product; and a copy of it for the next steps.

Each photo is read by three networks (BLS: how many lines it has, no ensemble can count out). With PRESENCE this step
runs beside others of its request and never fails, which Triton 24.10 does not bear: a photo that could not be read says
so, and the moderator blocks it. Alone it answers a bad photo with its typed error.
"""

import json
import logging
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.image import read_photo_and_scale
from stages.label import PHOTO_PX, LabelReader
from stages.label_text import LabelText, dumps
from stages.triton import call, call_for, each_row, field, respond


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        characters = json.loads((folder / "characters.json").read_text("utf-8"))
        self.read_label = LabelReader(detect, classify, recognize, characters)

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        beside_others = pb_utils.get_input_tensor_by_name(request, "PRESENCE") is not None
        labels = each_row(field(request, "IMAGE"), self.read_or_say_so if beside_others else self.read)
        rows = np.array([dumps(label) for label in labels], object).reshape(-1, 1)
        return [pb_utils.Tensor(name, rows) for name in request.requested_output_names()]

    def read(self, data):
        return self.read_label(*read_photo_and_scale(data, PHOTO_PX))

    def read_or_say_so(self, data):
        try:
            return self.read(data)
        except Exception:
            logging.getLogger("vitrina").exception("a label could not be read")
            return LabelText(failed=True)


def detect(view):
    return call("label_detector", {"pixels": view[None]}, "text")[0]


def classify(lines):
    return call("label_classifier", {"pixels": lines}, "directions")


def recognize(lines):
    return call_for("label_recognizer", {"pixels": lines}, ("characters", "probabilities", "spaces"))

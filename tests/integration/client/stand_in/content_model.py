"""Stands in for the graph behind `content*` and `generate`, for `tagger` and `prompter`: same tensors, made-up values.

Words of the title steer the answer: ``wait:SECONDS`` answers that much later (sooner if the request is cancelled or its
TIMEOUT_MS passes), ``fail:CODE`` answers with the wire form of that code, ``raise`` with a fault of no form,
``once:CODE:KEY`` fails the first time that KEY is seen. What became of each request is appended to the journal.
"""

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.errors import StageError
from stages.triton import triton_error

TEXTS = ("TASK", "LANGUAGE", "TONE", "QUESTION", "HISTORY", "ATTRIBUTES", "STOP", "BANNED_WORDS")
NUMBERS = ("MAX_TOKENS", "TEMPERATURE", "TOP_P", "TOP_K", "REPETITION_PENALTY", "SEED", "TIMEOUT_MS", "MAX_CHARACTERS")

EVIDENCE = (
    b'{"facts": [{"number": 1, "source": "title", "name": "", "text": "Mug", "confidence": 1.0}], '
    b'"sentences": [{"text": "A mug.", "facts": [1]}]}'
)
LISTING = json.dumps(
    {
        **{"language": "en", "title": "Mug", "bullets": [{"text": "A mug.", "facts": [1]}], "description": "A mug."},
        **{"meta_title": "Mug", "meta_description": "A mug.", "keywords": ["mug"], "alt_text": "Mug"},
        **{"category": {"path": ["Home", "Mugs"], "confidence": 0.9}, "attributes": [], "missing": ["capacity"]},
        **{"colours": [], "faq": [], "warnings": [], "makers": [], "generated": {"by": "Vitrina"}},
    }
).encode()
CONFLICTS = b'[{"kind": "mass", "facts": [1, 2], "texts": ["Mug, 300 g", "0.4 kg"]}]'
ALLOWED = b'{"action": "allow", "findings": []}'
NO_LABEL = b'{"lines": [], "omitted": 0, "failed": false}'


def journal(model, title, what):
    with Path(os.environ["VITRINA_TEST_JOURNAL"]).open("a") as file:
        file.write(json.dumps({"model": model, "title": title, "what": what}) + "\n")


def texts(request, name):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else [value.decode() for value in tensor.as_numpy().ravel()]


def number(request, name):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy().ravel()[0].item()


class TritonPythonModel:
    def initialize(self, args):
        self.name = args["model_name"]
        self.seen = set()

    def execute(self, requests):
        # Answered from a thread each, so that a slow request holds up no other.
        for request in requests:
            threading.Thread(target=self.answer, args=(request, request.get_response_sender())).start()

    def answer(self, request, sender):
        titles = texts(request, "TITLE") or [""]
        journal(self.name, titles[0], "began")
        try:
            # The prompter passes the title on, and the stand-in of the decoder is steered by it in its turn.
            if self.name == "stand_in":
                self.behave(request, titles[0])
            response = pb_utils.InferenceResponse(output_tensors=self.outputs(request, titles))
            what = "finished"
        except Exception as error:
            what = getattr(error, "code", "internal")
            response = pb_utils.InferenceResponse(output_tensors=[], error=triton_error(error))
        journal(self.name, titles[0], what)
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def behave(self, request, title):
        for word in title.split():
            what, _, value = word.partition(":")
            if what == "fail":
                raise StageError(value, "TITLE", f"the title asked for it: {title!r}")
            if what == "once":
                code, _, key = value.partition(":")
                if key not in self.seen:
                    self.seen.add(key)
                    raise StageError(code, "TITLE", f"first time that {key!r} is seen")
            if what == "raise":
                raise RuntimeError("a fault inside the step")
            if what == "wait":
                self.wait(request, float(value))

    def wait(self, request, seconds):
        limit = number(request, "TIMEOUT_MS")
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if request.is_cancelled():
                raise StageError("cancelled", "-", "the caller went away")
            if limit is not None and time.monotonic() - begun > limit / 1000:
                raise StageError("deadline_exceeded", "TIMEOUT_MS", f"{limit} ms have passed")
            time.sleep(0.01)

    def outputs(self, request, titles):
        rows = len(titles)
        images = pb_utils.get_input_tensor_by_name(request, "IMAGE")
        sizes = [0] * rows if images is None else [len(value) for value in images.as_numpy().ravel()]
        sent = {name: texts(request, name) for name in TEXTS} | {name: number(request, name) for name in NUMBERS}
        # The text says what arrived, so that a test can read what the client sent.
        text = json.dumps({name: value for name, value in sent.items() if value is not None} | {"IMAGE": sizes[0]})
        ramp = np.arange(24, dtype=np.float32) + 1
        embedding = np.stack([np.roll(ramp, len(title) + size) for title, size in zip(titles, sizes, strict=True)])
        embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
        count = np.full((rows, 1), 1, np.int32)
        made = {
            "TEXT": np.array([[text.encode()]] * rows, dtype=np.object_),
            "FINISH_REASON": np.array([[b"eos"]] * rows, dtype=np.object_),
            "EDITS": np.array([[b"[]"]] * rows, dtype=np.object_),
            "EVIDENCE": np.array([[EVIDENCE]] * rows, dtype=np.object_),
            "LISTING": np.array([[LISTING]] * rows, dtype=np.object_),
            "CONFLICTS": np.array([[CONFLICTS]] * rows, dtype=np.object_),
            "MODERATION": np.array([[ALLOWED]] * rows, dtype=np.object_),
            "TEXT_MODERATION": np.array([[ALLOWED]] * rows, dtype=np.object_),
            "LABEL_TEXT": np.array([[NO_LABEL]] * rows, dtype=np.object_),
            "PROMPT_TOKENS": count * 7,
            "COMPLETION_TOKENS": count * 3,
            "CONDITION": np.repeat(embedding[:, None, :], 7, axis=1),
            "EMBEDDING": embedding,
            "TAGS": np.array([[b"mug", b"cup", b"", b"", b""]] * rows, dtype=np.object_),
            "TAG_SCORES": np.tile(np.array([[0.75, 0.25, 0, 0, 0]], np.float32), (rows, 1)),
            "PROMPT": np.array([[title.encode()] for title in titles], dtype=np.object_),
            "REQUEST": np.array([[b"{}"]] * len(titles), dtype=np.object_),
        }
        for name in ("MAX_TOKENS", "TEMPERATURE", "TOP_P", "REPETITION_PENALTY"):
            given = pb_utils.get_input_tensor_by_name(request, name)
            made[name] = (
                given.as_numpy() if given else np.ones((rows, 1), np.int32 if name == "MAX_TOKENS" else np.float32)
            )
        # A title may ask for a row less: Triton does not notice.
        kept = rows - 1 if "short" in titles[0].split() else rows
        return [pb_utils.Tensor(name, made[name][:kept]) for name in request.requested_output_names()]

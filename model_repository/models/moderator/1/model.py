"""Texts, a picture's class scores, a clip's frames → MODERATION, the shop's policy on them, and TEXT if it may appear.

Sentences are embedded by `text_encoder`, frames looked at by `image_encoder` (BLS: how many there are, no ensemble can
count out; which frames, this step decides). This step never fails, because others of its request are under way beside
it, which Triton 24.10 does not bear: what cannot be checked is blocked, and says so.
"""

import json
import logging
import os
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from PIL import Image

from stages import moderation
from stages.errors import UNREADABLE
from stages.image import for_encoder
from stages.text import TitleTokenizer
from stages.triton import call, field, parameter, respond

#: Input → the field that a finding names.
TEXTS = {name: name for name in ("TITLE", "ATTRIBUTES", "TRANSCRIPT", "SCRIPT", "CAPTION")}
TEXTS |= {"LABEL_TEXT": "LABEL", "WRITTEN": "TEXT"}
KEPT = Path(os.environ.get("VITRINA_CACHE") or Path.home() / ".cache" / "vitrina") / "moderation"
ROWS = 8  # that text_encoder and image_encoder take at once
SEEN = 3  # frames of a clip that are looked at


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.tokenize = TitleTokenizer(folder / "tokenizer.json")
        self.policy = moderation.Policy.in_force()
        self.side = int(parameter(args, "image_side"))
        self.names = tuple(json.loads((folder / "labels.json").read_text("utf-8")))
        self.likeness = None  # learnt at the first request: while models load, none can be called

    def execute(self, requests):
        return respond(requests, self.answer)

    def answer(self, request):
        columns = {name: rows for name in (*TEXTS, "FINISHED", "EARLIER") if (rows := field(request, name))}
        scores = pb_utils.get_input_tensor_by_name(request, "IMAGE_SCORES")
        scores = None if scores is None else scores.as_numpy()
        frames = pb_utils.get_input_tensor_by_name(request, "FRAMES")
        count = len(next(iter(columns.values()))) if columns else len(scores)
        try:
            found = self.check({name: columns[name] for name in TEXTS if name in columns}, scores, count)
            if frames is not None:
                found = [had + new for had, new in zip(found, self.watch(frames.as_numpy()), strict=True)]
        except Exception as error:
            logging.getLogger("vitrina").exception("the content check failed")
            found = [[moderation.unchecked(error)] for _ in range(count)]
        if "EARLIER" in columns:
            found = [moderation.loads(had) + new for had, new in zip(columns["EARLIER"], found, strict=True)]
        said = [moderation.dumps(findings) for findings in found]
        blocked = [moderation.action_of(findings) == "block" for findings in found]
        outputs = {"MODERATION": said, "MODERATION_COPY": said}
        for name, source, instead in (("TEXT", "WRITTEN", b""), ("FINISH_REASON", "FINISHED", b"blocked")):
            if source in columns:
                outputs[name] = [instead if no else row for no, row in zip(blocked, columns[source], strict=True)]
        return [
            pb_utils.Tensor(name, np.array(outputs[name], object).reshape(-1, 1))
            for name in request.requested_output_names()
        ]

    def check(self, texts, scores, count):
        """The findings of every row."""
        found = [[] for _ in range(count)]
        said, places = [], []
        for name, rows in texts.items():
            for row, data in enumerate(rows):
                text = moderation.readable(data, name)
                if text == UNREADABLE:
                    raise RuntimeError(f"what {name} is made of could not be read")
                found[row] += self.policy.worded(text, TEXTS[name])
                sentences = moderation.comparable(text)
                places.append((row, TEXTS[name], slice(len(said), len(said) + len(sentences))))
                said += sentences
        if said:
            if self.likeness is None:
                self.likeness = moderation.learn(self.policy, self.embed, KEPT)
            embeddings = self.embed(said)
            for row, name, place in places:
                alike = self.likeness(said[place], embeddings[place], name)
                # Lines of a label are fragments, which are a little like anything: three labels in forty were flagged.
                least = self.policy.sure_likeness if name == "LABEL" else 0
                found[row] += [finding for finding in alike if finding.score >= least]
        if scores is not None:
            for row in range(count):
                found[row] += self.policy.shown(scores[row], self.names, "IMAGE")
        return found

    def watch(self, clips):
        """What is found in clips uint8 [rows, frames, side, side, 3], of each category the worst; zeros are no clip."""
        chosen = clips[:, np.linspace(0, clips.shape[1] - 1, SEEN + 2).round().astype(int)[1:-1]]
        shown = [row for row in range(len(clips)) if chosen[row].any()]
        views = [for_encoder(Image.fromarray(frame), self.side) for row in shown for frame in chosen[row]]
        found = [[] for _ in clips]
        if shown:
            scores = few_at_once(look, views).reshape(len(shown), SEEN, -1)
            for row, of_frames in zip(shown, scores, strict=True):
                seen = (finding for each in of_frames for finding in self.policy.shown(each, self.names, "VIDEO"))
                worst_last = sorted(seen, key=lambda finding: finding.score)
                found[row] = list({finding.category: finding for finding in worst_last}.values())
        return found

    def embed(self, texts):
        """Sentence embeddings, float32 [texts, width]."""
        return few_at_once(self.encode, texts)

    def encode(self, texts):
        tokens = self.tokenize(texts)
        inputs = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
        return call("text_encoder", inputs, "sentence_embedding")


def look(views):
    """Class probabilities of pictures uint8 [side, side, 3]: float32 [pictures, classes]."""
    return call("image_encoder", {"pixels": np.stack(views)}, "class_scores")


def few_at_once(network, rows):
    """What a network gives for rows, asked for as many at once as it takes."""
    return np.concatenate([network(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)])

"""Texts, a picture's class scores, a clip's frames → MODERATION, the shop's policy on them, and TEXT if it may appear.

Sentences are embedded by `text_encoder`, frames looked at by `image_encoder` (BLS: how many there are, no ensemble can
count out; which frames, this step decides). This step never fails, because others of its request are under way beside
it, which Triton 24.10 does not bear: what cannot be checked is blocked, and says so.
"""

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stages import moderation
from stages.errors import UNREADABLE
from stages.image import for_encoder
from stages.text import TitleTokenizer
from stages.triton import Outputs, Step, array, call, field

#: Input → the field that a finding names.
TEXTS = {name: name for name in ("TITLE", "ATTRIBUTES", "TRANSCRIPT", "SCRIPT", "CAPTION")}
TEXTS |= {"LABEL_TEXT": "LABEL", "WRITTEN": "TEXT"}
KEPT = Path(os.environ.get("VITRINA_CACHE") or Path.home() / ".cache" / "vitrina") / "moderation"
ROWS = 8  # that text_encoder and image_encoder take at once
SEEN = 3  # frames of a clip that are looked at


class TritonPythonModel(Step):
    def set_up(self) -> None:
        self.tokenize = TitleTokenizer(self.folder / "tokenizer.json")
        self.policy = moderation.Policy.in_force()
        self.side = int(self.parameters["image_side"])
        self.names = tuple(json.loads((self.folder / "labels.json").read_text("utf-8")))
        #: Learnt at the first request: while models load, none can be called.
        self.likeness: moderation.Likeness | None = None

    def answer(self, request: Any) -> Outputs:
        columns = {name: rows for name in (*TEXTS, "FINISHED", "EARLIER") if (rows := field(request, name))}
        scores, frames = array(request, "IMAGE_SCORES"), array(request, "FRAMES")
        count = len(next(iter(columns.values()))) if columns else len(scores) if scores is not None else 0
        try:
            found = self.check({name: columns[name] for name in TEXTS if name in columns}, scores, count)
            if frames is not None:
                found = [had + new for had, new in zip(found, self.watch(frames), strict=True)]
        except Exception as error:
            logging.getLogger("vitrina").exception("the content check failed")
            found = [[moderation.unchecked(error)] for _ in range(count)]
        if "EARLIER" in columns:
            found = [moderation.loads(had) + new for had, new in zip(columns["EARLIER"], found, strict=True)]
        said = [moderation.dumps(findings) for findings in found]
        blocked = [moderation.action_of(findings) == "block" for findings in found]
        outputs: dict[str, Sequence[bytes]] = {"MODERATION": said, "MODERATION_COPY": said}
        for name, source, instead in (("TEXT", "WRITTEN", b""), ("FINISH_REASON", "FINISHED", b"blocked")):
            if source in columns:
                outputs[name] = [instead if no else row for no, row in zip(blocked, columns[source], strict=True)]
        return outputs

    def check(
        self, texts: dict[str, list[bytes]], scores: np.ndarray | None, count: int
    ) -> list[list[moderation.Finding]]:
        """The findings of every row."""
        found: list[list[moderation.Finding]] = [[] for _ in range(count)]
        said: list[str] = []
        places: list[tuple[int, str, slice]] = []
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

    def watch(self, clips: np.ndarray) -> list[list[moderation.Finding]]:
        """What is found in clips uint8 [rows, frames, side, side, 3], of each category the worst; zeros are no clip."""
        chosen = clips[:, np.linspace(0, clips.shape[1] - 1, SEEN + 2).round().astype(int)[1:-1]]
        shown = [row for row in range(len(clips)) if chosen[row].any()]
        views = [for_encoder(Image.fromarray(frame), self.side) for row in shown for frame in chosen[row]]
        found: list[list[moderation.Finding]] = [[] for _ in clips]
        if shown:
            scores = few_at_once(look, views).reshape(len(shown), SEEN, -1)
            for row, of_frames in zip(shown, scores, strict=True):
                seen = (finding for each in of_frames for finding in self.policy.shown(each, self.names, "VIDEO"))
                worst_last = sorted(seen, key=lambda finding: finding.score)
                found[row] = list({finding.category: finding for finding in worst_last}.values())
        return found

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Sentence embeddings, float32 [texts, width]."""
        return few_at_once(self.encode, texts)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        tokens = self.tokenize(texts)
        inputs = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
        return call("text_encoder", inputs, "sentence_embedding")


def look(views: Sequence[np.ndarray]) -> np.ndarray:
    """Class probabilities of pictures uint8 [side, side, 3]: float32 [pictures, classes]."""
    return call("image_encoder", {"pixels": np.stack(views)}, "class_scores")


def few_at_once(network: Callable[[Sequence[Any]], np.ndarray], rows: Sequence[Any]) -> np.ndarray:
    """What a network gives for rows, asked for as many at once as it takes."""
    return np.concatenate([network(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)])

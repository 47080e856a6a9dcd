"""The image towers of CLIP and SigLIP: a picture → its embedding in the space of the text tower, and class scores.

What the picture shows is told by its likeness to the names of the classes, which the same checkpoint's text tower
reads: the policy and the tags need no classifier. Source: Radford et al. 2021, CLIP (arXiv:2103.00020).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel

from families.common import hub
from families.common.slot import Slot
from families.text_encoder import clip as text
from graph.schema import Model
from stages.moderation import labels

ACCEPTS = text.ACCEPTS
accepts = text.accepts
PHRASE = "a photo of a {}."


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of what it reads, rows and width of the features, number of classes; the space of both towers."""
    config = hub.check(checkpoint, slot)
    named = text.facts(checkpoint, slot)
    side = vision(config)["image_size"]
    return {
        "side": side,
        "rows": 1,
        "least_rows": 1,
        "width": named["width"],
        "classes": len(labels()),
        "space": named["space"],
    }


def vision(config: dict) -> dict:
    """What a configuration says of its image tower, with what it leaves to transformers' defaults."""
    named = {name: value for name, value in config.items() if name != "model_type"}
    return AutoConfig.for_model(config["model_type"], **named).vision_config.to_dict()


class ImageTower(nn.Module):
    """pixels UINT8 [B, side, side, 3] → features FP32 [B, 1, width], of unit length, and class scores [B, classes].

    The normalisation is inside, so that steps hand on bytes and not floats.

    Args:
        network: both towers.
        mean, spread: of the pixels of the pictures that it was trained on, in 0..1, channel by channel.
        names: FP32 [classes, width], unit embeddings of the classes' names.
    """

    mean: Tensor
    spread: Tensor
    names: Tensor
    scale: Tensor

    def __init__(self, network: PreTrainedModel, mean: Tensor, spread: Tensor, names: Tensor) -> None:
        super().__init__()
        self.tower = network.get_submodule("vision_model")
        self.projection = getattr(network, "visual_projection", nn.Identity())
        scale = network.get_parameter("logit_scale").detach().exp().reshape(())  # how much a cosine counts in the logit
        for name, value in {"mean": mean, "spread": spread, "names": names, "scale": scale}.items():
            self.register_buffer(name, value)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        scaled = (pixels.to(torch.float32) / 255 - self.mean) / self.spread
        pooled = self.tower(pixel_values=scaled.permute(0, 3, 1, 2)).pooler_output
        embedding = nn.functional.normalize(self.projection(pooled), dim=-1)
        return embedding.unsqueeze(1), (self.scale * embedding @ self.names.T).softmax(-1)


def load(checkpoint: Path, slot: Slot, model: Model) -> ImageTower:
    """The image tower, and the embeddings of the classes' names by the other one."""
    network = text.towers(checkpoint, slot)
    said = hub.read_json(checkpoint, "preprocessor_config.json")
    mean, spread = (torch.tensor(said[name], dtype=torch.float32) for name in ("image_mean", "image_std"))
    tokenizer, names = text.read_tokenizer(checkpoint, slot), []
    tower = text.TextTower(network, (tokenizer.padding or {})["pad_id"])
    phrases = [PHRASE.format(name) for name in labels()]
    with torch.no_grad():
        for start in range(0, len(phrases), 100):
            batch = tokenizer.encode_batch(phrases[start : start + 100])
            names.append(tower(*(torch.tensor([getattr(row, n) for row in batch]) for n in ("ids", "attention_mask"))))
    return ImageTower(network, mean, spread, torch.cat(names)).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: smooth random pictures."""
    patch = -(-sizes["side"] // 7)
    coarse = rng.integers(0, 256, (sizes["batch"], 7, 7, 3), dtype=np.uint8)
    whole = coarse.repeat(patch, 1).repeat(patch, 2)[:, : sizes["side"], : sizes["side"]]
    return {"pixels": np.ascontiguousarray(whole)}


def sidecars(checkpoint: Path, slot: Slot, out: Path) -> None:
    """labels.json: the names of the classes, by which the policy knows them."""
    (out / "labels.json").write_text(json.dumps(labels(), ensure_ascii=False), encoding="utf-8")

"""Image models of the transformers library that share no space with a text encoder (ViT, DINOv2, ConvNeXt, ResNet, …):
a picture → features for a trained fusion, and class scores if the checkpoint is a classifier.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

from export import hub
from export.recipe import Slot
from export.slots.image_encoder.clip import sample
from graph.schema import Model
from networks import thumbnail
from networks.features import WIDTH, count_image_rows, count_rows, join_image
from networks.fusion import Shape

__all__ = ["accepts", "facts", "load", "sample", "sidecars"]
ACCEPTS = "a folder with config.json and preprocessor_config.json of an image network of transformers"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the folder is of this family."""
    if not checkpoint.is_dir() or hub.model_type(checkpoint) in ("clip", "siglip", None):
        return False
    return (checkpoint / "preprocessor_config.json").is_file()


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of what it reads; rows (at least) and width of the features; sizes of what these hold."""
    side = _side(checkpoint, slot)
    with torch.no_grad():
        pooled, tokens, scores = Network(checkpoint, slot).encode(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    shape = Shape(pooled=pooled.shape[1], spatial=tokens.shape[2], classes=scores.shape[1])
    rows = count_image_rows(shape, tokens.shape[1])
    # A token of several rows is never cut: no fewer rows than of a whole picture stand in for an absent one.
    least = count_image_rows(shape, 1) if count_rows(shape.spatial) == 1 else rows
    sizes = {"pooled": shape.pooled, "spatial": shape.spatial, "classes": shape.classes}
    return {"side": side, "rows": rows, "least_rows": least, "width": WIDTH, **sizes}


def _side(checkpoint: Path, slot: Slot) -> int:
    """Pixels a side that pictures are brought to before the network, which many networks leave open."""
    said = hub.read_json(checkpoint, "preprocessor_config.json")
    size = said.get("crop_size") or said.get("size") or hub.check(checkpoint, slot).get("image_size", 224)
    return int(max(size.values()) if isinstance(size, dict) else size)


class Network(nn.Module):
    """pixels UINT8 [B, side, side, 3] → features FP32 [B, R, 384] as `networks.features` lays out a picture, and the
    class scores [B, C], which sum to one; one class of score 1 where the checkpoint is no classifier."""

    def __init__(self, checkpoint: Path, slot: Slot) -> None:
        super().__init__()
        hub.check(checkpoint, slot)
        config = AutoConfig.from_pretrained(checkpoint, local_files_only=True)
        self.classifies = any("ForImageClassification" in name for name in config.architectures or ())
        kind = AutoModelForImageClassification if self.classifies else AutoModel
        self.network = kind.from_pretrained(checkpoint, local_files_only=True, dtype=torch.float32).eval()
        said = hub.read_json(checkpoint, "preprocessor_config.json")
        for name, known in (("image_mean", 0.5), ("image_std", 0.5)):
            self.register_buffer(name, torch.tensor(said.get(name, [known] * 3), dtype=torch.float32))

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled features [B, P], those of each place [B, T, S], class scores [B, C]."""
        scaled = (pixels.to(torch.float32) / 255 - self.image_mean) / self.image_std
        given = self.network(pixel_values=scaled.permute(0, 3, 1, 2), output_hidden_states=True)
        states = given.hidden_states[-1]
        if states.dim() == 4:  # a map of a convolutional network
            tokens = states.flatten(2).transpose(1, 2)
            pooled = tokens.mean(1)
        else:  # a sequence whose first state stands for the whole
            tokens, pooled = states[:, 1:], states[:, 0]
        scores = given.logits.softmax(-1) if self.classifies else pooled.new_ones((pooled.shape[0], 1))
        return pooled, tokens, scores

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        pooled, tokens, scores = self.encode(pixels)
        small = nn.functional.interpolate(
            pixels.to(torch.float32).permute(0, 3, 1, 2) / 255, (thumbnail.SIDE, thumbnail.SIDE), mode="area"
        )
        return join_image(pooled, tokens, scores, thumbnail.to_rows(small)), scores


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network of a checkpoint folder."""
    return Network(checkpoint, slot).eval()


def sidecars(checkpoint: Path, slot: Slot, out: Path) -> None:
    """labels.json: the names of the classes, by which the policy knows them."""
    network = Network(checkpoint, slot)
    named = network.network.config.id2label if network.classifies else {0: ""}
    names = [named[number].split(",")[0].strip() for number in range(len(named))]
    (out / "labels.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")

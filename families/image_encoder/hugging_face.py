"""Image models of the transformers library that share no space with a text encoder (ViT, DINOv2, ConvNeXt, ResNet, …):
a picture → features for a trained fusion, and class scores if the checkpoint is a classifier.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, PretrainedConfig

from families.common import hub
from families.common.slot import BuildError, Slot
from families.image_encoder.clip import sample
from graph.schema import Model
from networks import thumbnail
from networks.features import WIDTH, count_image_rows, count_rows, join_image
from networks.fusion import Shape
from stages.moderation import labels

__all__ = ["accepts", "facts", "load", "sample", "sidecars"]
ACCEPTS = "a folder with config.json and preprocessor_config.json of an image model of the transformers library"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the folder is of this family."""
    if not checkpoint.is_dir() or hub.model_type(checkpoint) in ("clip", "siglip", None):
        return False
    return (checkpoint / "preprocessor_config.json").is_file()


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of what it reads; rows (at least) and width of the features; sizes of what these hold.

    Raises:
        BuildError: the policy speaks of none of its classes, and the recipe does not say that this shall be so.
    """
    network, names = Network(checkpoint, slot), _class_names(checkpoint)
    if not slot.options.get("unjudged") and not set(names) & set(labels()):
        raise BuildError(
            f"{checkpoint}: none of its classes ({', '.join(names[:3]) or 'it has none'}) is one of "
            "ImageNet's, which the policy speaks of, so photos would not be judged; take a classifier of ImageNet, or "
            "set the slot's option unjudged: true"
        )
    with torch.no_grad():
        empty = torch.zeros(1, network.side, network.side, 3, dtype=torch.uint8)
        pooled, tokens, scores = network.encode(empty)
    shape = Shape(pooled=pooled.shape[1], spatial=tokens.shape[2], classes=scores.shape[1])
    rows = count_image_rows(shape, tokens.shape[1])
    # A token of several rows is never cut: no fewer rows than of a whole picture stand in for an absent one.
    least = count_image_rows(shape, 1) if count_rows(shape.spatial) == 1 else rows
    sizes = {"pooled": shape.pooled, "spatial": shape.spatial, "classes": shape.classes}
    return {"side": network.side, "rows": rows, "least_rows": least, "width": WIDTH, **sizes}


def _class_names(checkpoint: Path) -> list[str]:
    """The first name of each class; none where the checkpoint is no classifier."""
    config = AutoConfig.from_pretrained(checkpoint, local_files_only=True)
    if not _classifies(config):
        return []
    return [config.id2label[n].split(",")[0].strip() for n in range(config.num_labels)]


def _classifies(config: PretrainedConfig) -> bool:
    return any("ForImageClassification" in name for name in config.architectures or ())


class Network(nn.Module):
    """pixels UINT8 [B, side, side, 3] → features FP32 [B, R, 384] as `networks.features` lays out a picture, and the
    class scores [B, C], which sum to one; one class of score 1 where the checkpoint is no classifier.

    Attributes:
        side: pixels a side that pictures are brought to before the network, which many networks leave open.

    Raises:
        BuildError: weights are missing, or its pictures are prepared in a way that is not built here.
    """

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, checkpoint: Path, slot: Slot) -> None:
        super().__init__()
        configured = hub.check(checkpoint, slot)
        config = AutoConfig.from_pretrained(checkpoint, local_files_only=True)
        self.classifies = _classifies(config)
        kind = AutoModelForImageClassification if self.classifies else AutoModel
        network, report = kind.from_pretrained(
            checkpoint, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
        hub.check_weights(checkpoint, report, "pooler.")
        self.network = network.eval()
        parameters = [name.rsplit(".", 1)[-1] for name, _ in network.named_parameters()]
        #: States before those of places: what stands for the whole, and what only helps the network.
        self.whole = "cls_token" in parameters
        self.before = self.whole + ("distillation_token" in parameters) + getattr(config, "num_register_tokens", 0)
        said = hub.read_json(checkpoint, "preprocessor_config.json")
        if unknown := [name for name in ("rescale_offset", "include_top") if said.get(name)]:
            raise BuildError(f"{checkpoint}: preprocessor_config.json sets {unknown[0]}, which is not built here")
        crop = said.get("crop_size") if said.get("do_center_crop", True) else None
        size = crop or said.get("size") or configured.get("image_size", 224)
        self.side = int(max(size.values()) if isinstance(size, dict) else size)
        self.blue_first = bool(said.get("do_flip_channel_order"))
        scaled = said.get("do_normalize", "image_mean" in said)
        for name, plain in (("image_mean", 0.0), ("image_std", 1.0)):
            values = said.get(name, [0.5] * 3) if scaled else [plain] * 3
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled features [B, P], those of each place [B, T, S], class scores [B, C]."""
        scaled = (pixels.to(torch.float32) / 255 - self.image_mean) / self.image_std
        scaled = scaled.flip(3) if self.blue_first else scaled
        given = self.network(pixel_values=scaled.permute(0, 3, 1, 2), output_hidden_states=True)
        states = given.hidden_states[-1]
        if states.dim() == 4:  # a map of a convolutional network
            states = states.flatten(2).transpose(1, 2)
        tokens = states[:, self.before :]
        pooled = states[:, 0] if self.whole else tokens.mean(1)
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
    names = _class_names(checkpoint) or [""]
    (out / "labels.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")

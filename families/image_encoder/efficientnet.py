"""EfficientNet-Lite0 (Tan & Le 2019, without squeeze-excitation): picture → features for fusion, class scores."""

from __future__ import annotations

from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from families.common.slot import Slot
from families.image_encoder.clip import sample, sidecars
from graph.schema import Model
from networks import thumbnail
from networks.features import WIDTH, count_image_rows, join_image
from networks.fusion import Shape

__all__ = ["accepts", "facts", "load", "sample", "sidecars"]
#: The checkpoint was trained by TensorFlow's Lite recipe: pixels of 0..255 are brought to about -1..1.
MEAN, SCALE = 127.0, 128.0
SIDE, POSITIONS = 224, 49  # pixels a side of what it reads, places of its last map
ACCEPTS = "a .pth file of efficientnet-lite0"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.is_file() and checkpoint.suffix == ".pth"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of what it reads; rows (at least) and width of the features; sizes of what these hold."""
    shape = Shape()
    rows = {"rows": count_image_rows(shape, POSITIONS), "least_rows": count_image_rows(shape, 1), "width": WIDTH}
    return {"side": SIDE, **rows, "pooled": shape.pooled, "spatial": shape.spatial, "classes": shape.classes}


class ImageEncoder(nn.Module):
    """pixels UINT8 [B, 224, 224, 3] → FP32 [B, 81, 384], as `networks.features` lays out a picture with 49 tokens in
    raster order, and the class scores [B, 1000] by themselves, which sum to one.

    The normalisation is inside, so that steps hand on bytes and not floats: a quarter of the memory traffic.
    """

    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        net = self.network
        pixels = pixels.to(torch.float32)
        x = ((pixels - MEAN) / SCALE).permute(0, 3, 1, 2)
        x = net._swish(net._bn0(net._conv_stem(x)))
        for block in net._blocks:  # no stochastic depth: this is inference
            x = block(x)
        embedding = net._swish(net._bn1(net._conv_head(x))).mean((2, 3))
        scores = net._fc(embedding).softmax(-1)
        rows = thumbnail.to_rows(thumbnail.of_pixels(pixels))
        return join_image(embedding, x.flatten(2).transpose(1, 2), scores, rows), scores


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network of the package's .pth file."""
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return ImageEncoder(network).eval()

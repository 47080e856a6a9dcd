"""The video encoder: `networks.video_encoder` with the weights that `python -m training video` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from families.common.slot import Slot
from graph.schema import Model
from networks.features import ROWS, JoinedFeatures
from networks.video_encoder import SIDE, VideoEncoder

COARSE = 7
ACCEPTS = "a .safetensors file of `python -m training video`"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".safetensors"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of a frame; rows and width of the features."""
    return {"side": SIDE, "rows": ROWS, "width": _width(load_file(checkpoint))}


def _width(weights: dict[str, Tensor]) -> int:
    return len(weights["head.3.bias"])


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network; its file is half precision, the network float32."""
    weights = load_file(checkpoint)
    network = VideoEncoder(_width(weights))
    network.load_state_dict(weights)
    return JoinedFeatures(network).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: smooth random pictures, which reach the late layers where noise does not, changing in time."""
    ends = rng.integers(0, 256, (2, sizes["batch"], 1, COARSE, COARSE, 3)).astype(np.float32)
    time = np.linspace(0, 1, sizes["frames"], dtype=np.float32)[None, :, None, None, None]
    coarse = (ends[0] + (ends[1] - ends[0]) * time).astype(np.uint8)
    return {"frames": np.ascontiguousarray(coarse.repeat(SIDE // COARSE, 2).repeat(SIDE // COARSE, 3))}

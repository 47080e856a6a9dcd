"""The video encoder: `networks.video_encoder` with the weights that `python -m training video` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from export.recipe import Slot
from graph.schema import Model
from networks.features import ROWS, join_features
from networks.video_encoder import SIDE, WIDTH, VideoEncoder

COARSE = 7


class Served(nn.Module):
    """The network, what it gives in one tensor."""

    def __init__(self, network: VideoEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        """frames UINT8 [B, T, 112, 112, 3] → FP32 [B, 9, 384]."""
        return join_features(*self.network(frames))


ACCEPTS = "a .safetensors file of `python -m training video`"


def accepts(checkpoint: Path, slot: Slot) -> bool:
    """Whether the file is of this family."""
    return checkpoint.suffix == ".safetensors"


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of a frame; rows and width of the features."""
    return {"side": SIDE, "rows": ROWS, "width": WIDTH}


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The network; its file is half precision, the network float32."""
    network = VideoEncoder()
    network.load_state_dict(load_file(checkpoint))
    return Served(network).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: smooth random pictures, which reach the late layers where noise does not, changing in time."""
    ends = rng.integers(0, 256, (2, sizes["batch"], 1, COARSE, COARSE, 3)).astype(np.float32)
    time = np.linspace(0, 1, sizes["frames"], dtype=np.float32)[None, :, None, None, None]
    coarse = (ends[0] + (ends[1] - ends[0]) * time).astype(np.uint8)
    return {"frames": np.ascontiguousarray(coarse.repeat(SIDE // COARSE, 2).repeat(SIDE // COARSE, 3))}

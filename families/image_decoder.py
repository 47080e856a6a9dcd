"""The image decoder: a variant of `networks.image_decoder` with the weights of `python -m training pictures`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from families.common.slot import Slot
from graph.schema import Model
from networks import thumbnail
from networks.fusion import CONDITION_TOKENS
from networks.image_decoder import CONDITION_WIDTH, SIZE, ImageDecoder, Memory, Still, create


class Served(nn.Module):
    """Pictures as bytes, channels last: UINT8 [..., 64, 64, 3]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        pictures = self.network(condition, noise)
        return (pictures.movedim(-3, -1) * 255).round().clamp(0, 255).to(torch.uint8)


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels a side of the picture and of its noise."""
    return {"side": SIZE, "takes": {"fusion.tokens": CONDITION_TOKENS, "fusion.width": CONDITION_WIDTH}}


def decoder(path: Path, variant: str) -> ImageDecoder:
    """A variant; its file is half precision, the network float32."""
    network = create(variant)
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network


def memory(slot: Slot) -> Memory:
    """What the options `memory` and `memory_sha256` pin."""
    return Memory(**load_file(slot.file("memory")))


def load(checkpoint: Path, slot: Slot, model: Model) -> nn.Module:
    """The decoder as it is served: one picture. The option `variant` says what the checkpoint is of."""
    return Served(Still(decoder(checkpoint, str(slot.options["variant"])), memory(slot))).eval()


def sample(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for parity: every other row with a photo, the others with words alone."""
    batch = sizes["batch"]
    condition = rng.standard_normal((batch, CONDITION_TOKENS, CONDITION_WIDTH)).astype(np.float32)
    photo = torch.from_numpy(rng.random((batch, 3, 7, 7), np.float32).repeat(8, 2).repeat(8, 3))
    condition[:, -thumbnail.ROWS :] = thumbnail.to_rows(photo).numpy()
    condition[1::2, -thumbnail.ROWS :] = 0
    return {"condition": condition, "noise": rng.standard_normal((batch, 3, SIZE, SIZE)).astype(np.float32)}

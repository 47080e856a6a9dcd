"""The frame interpolator: the frame between two neighbours, for clips that are slowed down or miss a frame.

A small U-Net looks at both frames at 64 pixels and says where each place of the middle frame was in either of them and
which of the two to trust (the idea of voxel flow, Liu et al. 2017, arXiv:1702.02463); both are then bent at their own
size and blended, so that frames of any size keep their detail.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOOK = 64  # pixels a side at which motion is judged
CHANNELS = (32, 64, 96)
REACH = 0.5  # of the frame's half width: the farthest that a place may have come


class Layer(nn.Module):
    """Two convolutions of a U-Net's level, the first of which may halve the size."""

    def __init__(self, width_in: int, width_out: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width_in, width_out, 3, stride, 1),
            nn.GroupNorm(8, width_out),
            nn.SiLU(),
            nn.Conv2d(width_out, width_out, 3, padding=1),
            nn.GroupNorm(8, width_out),
            nn.SiLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class FrameInterpolator(nn.Module):
    """first and last [B, 3, H, W] in 0..1 → the frame between them [B, 3, H, W].

    Untrained, it is their mean.
    """

    def __init__(self) -> None:
        super().__init__()
        wide, wider, widest = CHANNELS
        self.down = nn.ModuleList([Layer(9, wide), Layer(wide, wider, 2), Layer(wider, widest, 2)])
        self.middle = Layer(widest, widest, 2)
        self.up = nn.ModuleList([Layer(2 * widest, widest), Layer(widest + wider, wider), Layer(wider + wide, wide)])
        self.motion = nn.Conv2d(wide, 5, 3, padding=1)
        for parameter in self.motion.parameters():
            nn.init.zeros_(parameter)

    def forward(self, first: Tensor, last: Tensor) -> Tensor:
        small = F.interpolate(torch.cat([first, last], 1), (LOOK, LOOK), mode="bilinear", align_corners=False)
        x = torch.cat([small, small[:, 3:] - small[:, :3]], 1)
        seen = []
        for layer in self.down:
            x = layer(x)
            seen.append(x)
        x = self.middle(x)
        for layer, before in zip(self.up, reversed(seen), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0), before], 1))
        said = F.interpolate(self.motion(x), first.shape[2:], mode="bilinear", align_corners=False)
        here = _places(first)
        came = said[:, :4].tanh() * REACH
        early = F.grid_sample(first, here + came[:, :2].permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
        late = F.grid_sample(last, here + came[:, 2:].permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
        trust = said[:, 4:].sigmoid()
        return early * trust + late * (1 - trust)


def _places(frame: Tensor) -> Tensor:
    """Where each pixel of [B, 3, H, W] is, in -1..1: [1, H, W, 2]."""
    height, width = frame.shape[2:]
    y = (torch.arange(height, device=frame.device) + 0.5) * 2 / height - 1
    x = (torch.arange(width, device=frame.device) + 0.5) * 2 / width - 1
    down, across = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([across, down], 2).unsqueeze(0)

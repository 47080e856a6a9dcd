"""A clip → its place in the sentence encoder's space: ``video_embedding`` [B, 384] and ``video_tokens`` [B, 8, 384].

A factorised 3-D CNN. Spatial convolutions see each frame; from there on every block is a spatial convolution followed
by one over time, with a non-linearity between (R(2+1)D, Tran et al. 2018, arXiv:1711.11248). Time is mixed in the top
layers only, which costs least and loses nothing (S3D's "top-heavy" networks, Xie et al. 2018, arXiv:1712.04851). The
spatial part has the shape of EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946, without squeeze-excitation) up to
its sixth stage, so that its weights can start from there.

The frames axis is free: convolutions over time keep its length, and the tokens are weighted means over all places and
times, whose weights depend on what is seen and on when in the clip it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 112
WIDTH = 384  # of the reference encoders' space
TOKENS = 8
#: Pixels of 0..255 to about -1..1, as EfficientNet-Lite0 was trained.
MEAN, SCALE = 127.0, 128.0

STEM = 32
#: EfficientNet-Lite0's stages: kernel, stride of the first block, expansion, channels, blocks.
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4))
CHANNELS = STAGES[-1][3]
GRID = 4  # height and width of the features of a frame
NARROW = 96
MOTION_BLOCKS = 2
HIDDEN = 512
DROPOUT = 0.3
PHASES = 3  # cosines of a frame's time that the tokens' weights may depend on


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, as TensorFlow's SAME puts them: the result has ceil(size / stride) places."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv(nn.Module):
    """A convolution with SAME padding for inputs of a fixed size [n, in, size, size]; bias instead of a norm."""

    def __init__(self, inputs: int, outputs: int, size: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        before, after = same_padding(size, kernel, stride)
        self.uneven = (before, after, before, after) if before != after else None
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, 0 if self.uneven else before, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, self.uneven) if self.uneven else x)


class Inverted(nn.Module):
    """Widen, convolve each channel, narrow; added to the input where shapes allow (MobileNetV2's block)."""

    def __init__(self, inputs: int, outputs: int, size: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = SameConv(inputs, inner, size, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, size, kernel, stride, groups=inner)
        self.project = SameConv(inner, outputs, -(-size // stride), 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.adds else y


class Spatial(nn.Module):
    """Frames one by one: frames UINT8 [n, 112, 112, 3] → [n, 192, 4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, SIDE, 3, 2)
        size, width = SIDE // 2, STEM
        blocks = []
        for kernel, first_stride, expansion, channels, count in STAGES:
            for index in range(count):
                stride = first_stride if index == 0 else 1
                blocks.append(Inverted(width, channels, size, kernel, stride, expansion))
                size, width = -(-size // stride), channels
        self.blocks = nn.Sequential(*blocks)

    def forward(self, frames: Tensor) -> Tensor:
        x = ((frames.to(torch.float32) - MEAN) / SCALE).permute(0, 3, 1, 2)
        return self.blocks(F.relu6(self.stem(x)))


class Motion(nn.Module):
    """A (2+1)D bottleneck added to its input [B, 192, T, 16]: narrow, over space, over time, widen; starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.narrow = nn.Conv2d(CHANNELS, NARROW, 1)
        self.space = nn.Conv2d(NARROW, NARROW, 3, padding=1)
        self.time = nn.Conv2d(NARROW, NARROW, (3, 1), padding=(1, 0))
        self.widen = nn.Conv2d(NARROW, CHANNELS, 1)
        for parameter in self.widen.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, frames, _ = x.shape
        y = F.relu(self.narrow(self.norm(x)))
        # One picture a frame for the convolution over space, then places side by side for the one over time.
        y = y.transpose(1, 2).reshape(batch * frames, NARROW, GRID, GRID)
        y = F.relu(self.space(y))
        y = y.reshape(batch, frames, NARROW, GRID * GRID).transpose(1, 2)
        return x + self.widen(F.relu(self.time(y)))


def unit(x: Tensor) -> Tensor:
    """`x` over its length along the last axis; zero stays zero."""
    return F.normalize(x, dim=-1, eps=1e-6)


class VideoEncoder(nn.Module):
    """frames UINT8 [B, T, 112, 112, 3] → video_embedding FP32 [B, D], unit, and video_tokens FP32 [B, 8, D].

    `width` is D, of the fused space.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.spatial = Spatial()
        self.motion = nn.Sequential(*(Motion() for _ in range(MOTION_BLOCKS)))
        self.norm = nn.LayerNorm(CHANNELS)
        self.attention = nn.Linear(CHANNELS, TOKENS)
        self.when = nn.Linear(PHASES, TOKENS, bias=False)
        self.head = nn.Sequential(
            nn.Linear(CHANNELS, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, width)
        )  # fmt: skip

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return self.mix(self.features(frames))

    def features(self, frames: Tensor) -> Tensor:
        """frames UINT8 [B, T, 112, 112, 3] → [B, T, 192, 16]: every frame by itself."""
        batch, count = frames.shape[:2]
        # Numbers before a new shape: TensorRT does not reshape bytes.
        seen = self.spatial(frames.to(torch.float32).reshape(batch * count, SIDE, SIDE, 3))
        return seen.reshape(batch, count, CHANNELS, GRID * GRID)

    def mix(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the frames [B, T, 192, 16] → video_embedding and video_tokens."""
        x = self.norm(self.motion(features.transpose(1, 2)).permute(0, 2, 3, 1))  # [B, T, 16, 192]
        logits = (self.attention(x) + self.when(self.phases(x)).unsqueeze(1)).flatten(1, 2)
        weights = logits.softmax(1)  # [B, T*16, 8]
        tokens = self.head(weights.transpose(1, 2) @ x.flatten(1, 2))
        summary = self.head(x.mean((1, 2))) + tokens.mean(1)
        return unit(summary), tokens

    def phases(self, x: Tensor) -> Tensor:
        """[T, 3]: cosines of each frame's time in 0..1, slow to fast."""
        ones = torch.ones_like(x[0, :, 0, 0])
        time = (ones.cumsum(0) - 0.5) / ones.sum()
        return torch.stack([torch.cos(torch.pi * (k + 1) * time) for k in range(PHASES)], -1)

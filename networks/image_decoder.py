"""The image decoder: condition and noise → a picture of the product as a studio shows it, from any side.

Three variants behind one contract:

====  =================================================================================================================
vae   a variational autoencoder's decoder (Kingma & Welling 2014, arXiv:1312.6114), conditioned
gan   the same network, trained on against a discriminator with the hinge loss (Lim & Ye 2017, arXiv:1705.02894)
flow  flow matching (Lipman et al. 2023, arXiv:2210.02747): four Euler steps in the graph
====  =================================================================================================================

All are one U-Net, :class:`Painter`. The colours of the photo's patches enter at their own resolution, the features of
the patches where it is narrowest, under attention; the fused embedding, the noise and the camera steer every block. The
camera is either the photo's (framed 1), which then matches the picture pixel by pixel, or the turntable's (framed 0),
whose turn counts from the side that the photo shows; where there is no photo, from the front.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.patches import COLOURS, GRID, to_thumbnail

SIZE = 64
CONDITION_WIDTH = 384
SPATIAL_ROWS = GRID * GRID  # the last rows of the condition
FEATURES = 320  # of a spatial row, followed by COLOURS
LATENT = 32  # numbers of the noise that the vae and the gan read
CHANNELS = (40, 80, 128)
STYLE = 192
HEADS = 4
FLOW_STEPS = 4
FRAMES = 24
ASIDE = math.radians(30)


class Block(nn.Module):
    """Two convolutions, each after a normalisation that the style scales and shifts."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in (width_in, width_out))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width_out, 3, padding=1) for width in (width_in, width_out))
        self.film = nn.Linear(STYLE, 2 * (width_in + width_out))
        self.widths = [2 * width_in, 2 * width_out]
        self.shortcut = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.zeros_(self.convolutions[1].weight)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = x
        films = self.film(style)[:, :, None, None].split(self.widths, 1)
        for norm, convolution, film in zip(self.norms, self.convolutions, films, strict=True):
            scale, shift = film.chunk(2, 1)
            y = convolution(F.silu(norm(y) * (1 + scale) + shift))
        return self.shortcut(x) + y


class Attention(nn.Module):
    """Every place looks at every place, and at `context` [B, N, C] where there is one."""

    def __init__(self, width: int, places: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.place = nn.Parameter(torch.randn(places, width) * 0.02)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        batch, width, height, across = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2) + self.place
        seen = tokens if context is None else torch.cat([tokens, context], 1)

        def heads(t: Tensor) -> Tensor:
            return t.reshape(batch, -1, HEADS, width // HEADS).transpose(1, 2)

        key, value = self.key_value(seen).chunk(2, -1)
        scores = heads(self.query(tokens)) @ heads(key).transpose(2, 3) * (width // HEADS) ** -0.5
        mixed = (scores.softmax(-1) @ heads(value)).transpose(1, 2).reshape(batch, -1, width)
        return x + self.out(mixed).transpose(1, 2).reshape(batch, width, height, across)


class Painter(nn.Module):
    """fused [B, 384], spatial [B, 49, 384], extra [B, E], camera [B, 2] → [B, 3, 64, 64], unbounded.

    A camera is its turn in radians and whether it is the photo's.

    Args:
        extra: numbers that steer it beside embedding and turn: the latent, or the flow's time.
        canvas: whether it also looks at a picture [B, 3, 64, 64] (the flow's).
    """

    def __init__(self, extra: int, canvas: bool = False) -> None:
        super().__init__()
        wide, wider, widest = CHANNELS
        self.style = nn.Sequential(
            nn.Linear(CONDITION_WIDTH + extra + 6, STYLE), nn.SiLU(), nn.Linear(STYLE, STYLE), nn.SiLU()
        )
        self.register_buffer("places", _places(SIZE // 2))
        self.stem = nn.Conv2d(3 + 1 + 4 + (12 if canvas else 0), wide, 3, padding=1)
        self.features = nn.Linear(FEATURES + COLOURS, widest)
        self.feature_place = nn.Parameter(torch.randn(SPATIAL_ROWS, widest) * 0.02)
        self.down = nn.ModuleList([Block(wide, wide), Block(wide, wider), Block(wider, widest)])
        self.middle = nn.ModuleList([Attention(widest, 64), Block(widest, widest), Attention(widest, 64)])
        self.up = nn.ModuleList([Block(2 * widest, widest), Block(widest + wider, wider), Block(wider + wide, wide)])
        self.across = Attention(wider, 256)
        self.last = nn.Conv2d(wide, 4 * 24, 3, padding=1)
        self.fine = nn.Conv2d(24, 24, 3, padding=1)
        self.paint = nn.Conv2d(24, 3, 3, padding=1)

    def forward(
        self, fused: Tensor, spatial: Tensor, extra: Tensor, camera: Tensor, canvas: Tensor | None = None
    ) -> Tensor:
        spatial = spatial[..., : FEATURES + COLOURS]
        # An absent photo's rows are zero; a photo's never are.
        there = (spatial.abs().amax((1, 2)) > 0).to(fused.dtype).unsqueeze(1)
        turn, framed = camera.split(1, 1)
        steer = [turn.sin(), turn.cos(), (2 * turn).sin(), (2 * turn).cos(), framed * there, there]
        # Unit vectors as they are would hardly be heard beside the rest.
        style = self.style(torch.cat([fused * math.sqrt(CONDITION_WIDTH), extra, *steer], 1))
        colours = to_thumbnail(spatial[..., FEATURES:])
        colours = F.interpolate(colours, (SIZE // 2, SIZE // 2), mode="bilinear", align_corners=False)
        batch = fused.shape[0]
        layers = [colours, there[:, :, None, None].expand(-1, 1, SIZE // 2, SIZE // 2)]
        layers.append(self.places.expand(batch, -1, -1, -1))
        if canvas is not None:
            layers.append(F.pixel_unshuffle(canvas, 2))
        context = (self.features(spatial) + self.feature_place) * there.unsqueeze(2)

        x = self.stem(torch.cat(layers, 1))
        fine = x = self.down[0](x, style)
        middle = x = self.down[1](F.avg_pool2d(x, 2), style)
        coarse = x = self.down[2](F.avg_pool2d(x, 2), style)
        x = self.middle[0](x, context)
        x = self.middle[2](self.middle[1](x, style), context)
        x = self.up[0](torch.cat([x, coarse], 1), style)
        x = self.up[1](torch.cat([F.interpolate(x, scale_factor=2.0), middle], 1), style)
        x = self.across(x)
        x = self.up[2](torch.cat([F.interpolate(x, scale_factor=2.0), fine], 1), style)
        x = F.pixel_shuffle(self.last(F.silu(x)), 2)
        x = x + self.fine(F.silu(x))
        return self.paint(F.silu(x))


def _places(side: int) -> Tensor:
    """Where a pixel is: [1, 4, side, side]."""
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, (math.pi * x).cos(), (math.pi * y).cos()]).unsqueeze(0)


class ImageDecoder(nn.Module):
    """What the variants share: condition FP32 [B, R, 384], noise FP32 [B, 3, 64, 64], camera FP32 [B, 2] → a picture.

    Of the condition the first row is read, the fused summary, and the last 49, the photo's patches (zeros without
    one). `forward` gives the picture [B, 3, 64, 64] in 0..1.
    """

    def split(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """The unit embedding [B, 384] and the spatial rows [B, 49, 384]."""
        return F.normalize(condition[:, 0], dim=-1, eps=1e-6), condition[:, -SPATIAL_ROWS:]


class LatentDecoder(ImageDecoder):
    """The vae's decoder and the gan's generator: one pass; the first 32 numbers of the noise are its latent."""

    def __init__(self) -> None:
        super().__init__()
        self.painter = Painter(LATENT)

    def forward(self, condition: Tensor, noise: Tensor, camera: Tensor) -> Tensor:
        fused, spatial = self.split(condition)
        return self.draw(fused, spatial, noise.flatten(1)[:, :LATENT], camera)

    def draw(self, fused: Tensor, spatial: Tensor, latent: Tensor, camera: Tensor) -> Tensor:
        """The picture for a latent [B, 32]."""
        return self.painter(fused, spatial, latent, camera).sigmoid()


class FlowDecoder(ImageDecoder):
    """Four Euler steps from the noise to the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.painter = Painter(2, canvas=True)

    def expected(self, x: Tensor, time: Tensor, fused: Tensor, spatial: Tensor, camera: Tensor) -> Tensor:
        """The picture [B, 3, 64, 64] in -1..1 that x, at a time [B, 1] from 0 (noise) to 1, is on its way to."""
        moment = torch.cat([time, (math.pi * time).cos()], 1)
        return self.painter(fused, spatial, moment, camera, x)

    def forward(self, condition: Tensor, noise: Tensor, camera: Tensor) -> Tensor:
        fused, spatial = self.split(condition)
        x = noise
        for step in range(FLOW_STEPS):
            time = torch.full_like(camera[:, :1], step / FLOW_STEPS)
            picture = self.expected(x, time, fused, spatial, camera)
            x = x + (picture - x) / (FLOW_STEPS - step)
        return (x / 2 + 0.5).clamp(0, 1)


class Posterior(nn.Module):
    """The vae's encoder: picture [B, 3, 64, 64] and embedding [B, 384] → mean and log variance [B, 32] each."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths[1:])
        self.out = nn.Linear(widths[-1] * 16 + CONDITION_WIDTH + 3, 2 * LATENT)

    def forward(self, picture: Tensor, fused: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
        x = picture * 2 - 1
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.silu(norm(layer(x)))
        turn, framed = camera.split(1, 1)
        both = torch.cat([x.flatten(1), fused * math.sqrt(CONDITION_WIDTH), turn.sin(), turn.cos(), framed], 1)
        mean, log_variance = self.out(both).chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)


class Discriminator(nn.Module):
    """The gan's judge: picture [B, 3, 64, 64] and embedding [B, 384] → a verdict for each patch [B, 8, 8].

    The embedding counts by projection (Miyato & Koyama 2018, arXiv:1802.05637).
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 96)
        self.layers = nn.ModuleList(nn.utils.spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairwise(widths))
        self.verdict = nn.utils.spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))
        self.subject = nn.utils.spectral_norm(nn.Linear(CONDITION_WIDTH, widths[-1]))

    def forward(self, picture: Tensor, fused: Tensor) -> Tensor:
        x = picture * 2 - 1
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        about = self.subject(fused * math.sqrt(CONDITION_WIDTH))
        return self.verdict(x)[:, 0] + (x * about[:, :, None, None]).mean(1)


VARIANTS: dict[str, type[ImageDecoder]] = {"vae": LatentDecoder, "gan": LatentDecoder, "flow": FlowDecoder}


def create(variant: str) -> ImageDecoder:
    """An untrained decoder.

    Raises:
        ValueError: no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"no image decoder {variant!r}; known: {', '.join(VARIANTS)}")
    return VARIANTS[variant]()


class Still(nn.Module):
    """condition [B, R, 384] and noise [B, 3, 64, 64] → the picture [B, 3, 64, 64]: framed as the photo is.

    Where there is no photo, the product is seen from the front and a little from its side.
    """

    def __init__(self, decoder: ImageDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        there = (condition[:, -SPATIAL_ROWS:].abs().amax((1, 2)) > 0).to(condition.dtype).unsqueeze(1)
        return self.decoder(condition, noise, torch.cat([ASIDE * (1 - there), there], 1))


class Turntable(nn.Module):
    """The image decoder led round the product: frames [B, 24, 3, 64, 64], a turn of 15 degrees from one to the next."""

    def __init__(self, decoder: ImageDecoder) -> None:
        super().__init__()
        self.decoder = decoder
        turns = torch.arange(FRAMES) * (2 * math.pi / FRAMES)
        self.register_buffer("cameras", torch.stack([turns, torch.zeros(FRAMES)], 1))

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        batch = condition.shape[0]
        each = condition.repeat_interleave(FRAMES, 0), noise.repeat_interleave(FRAMES, 0)
        frames = self.decoder(*each, self.cameras.repeat(batch, 1))
        return frames.reshape(batch, FRAMES, 3, SIZE, SIZE)

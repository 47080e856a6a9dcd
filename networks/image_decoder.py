"""The image decoder: condition and noise → a picture of the product as a studio shows it, framed as its photo is.

Three variants behind one contract:

====  =================================================================================================================
vae   a variational autoencoder's decoder (Kingma & Welling 2014, arXiv:1312.6114), conditioned
gan   the same network, trained on against a discriminator with the hinge loss (Lim & Ye 2017, arXiv:1705.02894)
flow  flow matching (Lipman et al. 2023, arXiv:2210.02747): four Euler steps in the graph
====  =================================================================================================================

All are one U-Net, :class:`Painter`. The photo's thumbnail is what it starts from: it cuts the product out of it, adds
what it lacks, and sets it before a ground of the noise's choice; the fused embedding and the noise steer every block.
Where there is no photo, the picture of a known product stands in: one of the nearest in the fused space, the noise's
choice again (:class:`Memory`; the idea of retrieval-augmented generation, Blattmann et al. 2022, arXiv:2204.11824).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks import thumbnail

SIZE = 64
CONDITION_WIDTH = 384
LATENT = 32  # numbers of the noise that the vae and the gan read
CHANNELS = (40, 80, 128)
STYLE = 192
HEADS = 4
FLOW_STEPS = 4
FINE = 24
#: How far the noise may prefer a product that is less near: a share of a cosine.
CHOICE = 0.03


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
        nn.init.zeros_(self.convolutions[1].get_parameter("weight"))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = x
        films = self.film(style)[:, :, None, None].split(self.widths, 1)
        for norm, convolution, film in zip(self.norms, self.convolutions, films, strict=True):
            scale, shift = film.chunk(2, 1)
            y = convolution(F.silu(norm(y) * (1 + scale) + shift))
        return self.shortcut(x) + y


class Attention(nn.Module):
    """Every place looks at every place."""

    def __init__(self, width: int, places: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.place = nn.Parameter(torch.randn(places, width) * 0.02)
        self.inner = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, across = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2) + self.place
        heads = self.inner(tokens).reshape(batch, -1, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        scores = query @ key.transpose(2, 3) * (width // HEADS) ** -0.5
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, -1, width)
        return x + self.out(mixed).transpose(1, 2).reshape(batch, width, height, across)


class Memory(nn.Module):
    """Known products that stand in for the photo that is not there.

    Args:
        keys: [N, 384], the products' unit embeddings.
        pictures: uint8 [N, 3, 56, 56], one of each.
    """

    keys: Tensor
    pictures: Tensor

    def __init__(self, keys: Tensor, pictures: Tensor) -> None:
        super().__init__()
        self.register_buffer("keys", keys.float())
        self.register_buffer("pictures", pictures)

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        """condition [B, R, 384], noise [B, 3, 64, 64] → the condition, its last 25 rows filled where nothing was."""
        fused, rows = split(condition)
        # The noise's last numbers, of which no decoder reads any for itself.
        chance = noise.flatten(1)[:, -1 - self.keys.shape[0] :]
        chosen = (fused @ self.keys.T + CHOICE * chance[:, 1:]).argmax(1)
        recalled = self.pictures[chosen].to(condition.dtype) / 255
        mirrored = chance[:, 0, None, None, None] > 0
        recalled = thumbnail.to_rows(torch.where(mirrored, recalled.flip(3), recalled))
        rows = torch.where(thumbnail.is_there(rows)[:, None, None], rows, recalled)
        return torch.cat([condition[:, : -thumbnail.ROWS], rows], 1)


def split(condition: Tensor) -> tuple[Tensor, Tensor]:
    """The unit embedding [B, 384] and the thumbnail's rows [B, 25, 384] of a condition [B, R, 384]."""
    return F.normalize(condition[:, 0], dim=-1, eps=1e-6), condition[:, -thumbnail.ROWS :]


@dataclass
class Layers:
    """A picture before it is put together: `product` [B, 3, 64, 64], its `opacity` [B, 1, 64, 64] and the `ground`."""

    product: Tensor
    opacity: Tensor
    ground: Tensor

    def together(self) -> Tensor:
        """The picture [B, 3, 64, 64], not yet held within 0..1."""
        return self.ground + (self.product - self.ground) * self.opacity


class UNet(nn.Module):
    """Three levels of blocks that a style steers, and attention where it is narrowest.

    Args:
        width_in: channels of what it looks at.
        side: pixels of that.
        extra: numbers that steer it beside the embedding.
        attentive: whether there is attention at half the size too, and twice where it is narrowest.
    """

    def __init__(self, width_in: int, side: int, extra: int = 0, attentive: bool = False) -> None:
        super().__init__()
        wide, wider, widest = CHANNELS
        self.style = nn.Sequential(
            nn.Linear(CONDITION_WIDTH + extra, STYLE), nn.SiLU(), nn.Linear(STYLE, STYLE), nn.SiLU()
        )
        narrow = (side // 4) ** 2
        self.stem = nn.Conv2d(width_in, wide, 3, padding=1)
        self.down = nn.ModuleList([Block(wide, wide), Block(wide, wider), Block(wider, widest)])
        self.middle = nn.ModuleList([Attention(widest, narrow), Block(widest, widest)])
        if attentive:
            self.middle.append(Attention(widest, narrow))
        self.up = nn.ModuleList([Block(2 * widest, widest), Block(widest + wider, wider), Block(wider + wide, wide)])
        self.across = Attention(wider, (side // 2) ** 2) if attentive else nn.Identity()

    def styled(self, fused: Tensor, *extra: Tensor) -> Tensor:
        """The style [B, S] of unit embeddings [B, 384], which as they are would hardly be heard beside the rest."""
        return self.style(torch.cat([fused * math.sqrt(CONDITION_WIDTH), *extra], 1))

    def look(self, layers: Tensor, style: Tensor) -> Tensor:
        """[B, width_in, side, side] → [B, 40, side, side]."""
        x = self.stem(layers)
        fine = x = self.down[0](x, style)
        middle = x = self.down[1](F.avg_pool2d(x, 2), style)
        coarse = x = self.down[2](F.avg_pool2d(x, 2), style)
        for layer in self.middle:
            x = layer(x, style) if isinstance(layer, Block) else layer(x)
        x = self.up[0](torch.cat([x, coarse], 1), style)
        x = self.up[1](torch.cat([F.interpolate(x, scale_factor=2.0), middle], 1), style)
        x = self.across(x)
        return self.up[2](torch.cat([F.interpolate(x, scale_factor=2.0), fine], 1), style)


class Painter(UNet):
    """fused [B, 384], photo [B, 3, 56, 56] in 0..1, extra [B, E] → :class:`Layers`.

    Args:
        extra: numbers that steer it beside the embedding: the latent, or the flow's time.
        canvas: whether it also looks at a picture [B, 3, 64, 64] (the flow's).
    """

    places: Tensor

    def __init__(self, extra: int, canvas: bool = False) -> None:
        super().__init__(12 + 4 + (12 if canvas else 0), SIZE // 2, extra, attentive=True)
        self.register_buffer("places", _places(SIZE // 2), persistent=False)
        self.last = nn.Conv2d(CHANNELS[0], 4 * FINE, 3, padding=1)
        self.fine = nn.Conv2d(FINE + 3, FINE, 3, padding=1)
        self.paint = nn.Conv2d(FINE, 5, 3, padding=1)
        self.ground = nn.Linear(STYLE, 6)
        nn.init.zeros_(self.paint.weight)
        with torch.no_grad():
            self.paint.get_parameter("bias").copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, 4.0]))

    def forward(self, fused: Tensor, photo: Tensor, extra: Tensor, canvas: Tensor | None = None) -> Layers:
        style = self.styled(fused, extra)
        photo = F.interpolate(photo, (SIZE, SIZE), mode="bicubic", align_corners=False) - 0.5
        layers = [F.pixel_unshuffle(photo, 2), self.places.expand(fused.shape[0], -1, -1, -1)]
        if canvas is not None:
            layers.append(F.pixel_unshuffle(canvas, 2))

        x = self.look(torch.cat(layers, 1), style)
        x = F.pixel_shuffle(self.last(F.silu(x)), 2)
        x = x + self.fine(torch.cat([F.silu(x), photo], 1))
        change, opacity, shade = self.paint(F.silu(x)).split([3, 1, 1], 1)
        top, bottom = self.ground(style).sigmoid()[:, :, None, None].chunk(2, 1)
        down = torch.linspace(0, 1, SIZE, device=x.device)[:, None]
        ground = (top * (1 - down) + bottom * down) * shade.sigmoid()
        return Layers(photo + 0.5 + change, opacity.sigmoid(), ground)


def _places(side: int) -> Tensor:
    """Where a pixel is: [1, 4, side, side]."""
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, (math.pi * x).cos(), (math.pi * y).cos()]).unsqueeze(0)


class ImageDecoder(nn.Module):
    """What the variants share: condition FP32 [B, R, 384], noise FP32 [B, 3, 64, 64] → :class:`Layers`.

    Of the condition the first row is read, the fused summary, and the last 25, the photo's thumbnail, which must be
    there: :class:`Memory` fills it in.
    """

    def layers(self, condition: Tensor, noise: Tensor) -> Layers:
        """The picture in layers."""
        raise NotImplementedError

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        """The picture [B, 3, 64, 64] in 0..1."""
        return self.layers(condition, noise).together().clamp(0, 1)


class LatentDecoder(ImageDecoder):
    """The vae's decoder and the gan's generator: one pass; the first 32 numbers of the noise are its latent."""

    def __init__(self) -> None:
        super().__init__()
        self.painter = Painter(LATENT)

    def layers(self, condition: Tensor, noise: Tensor) -> Layers:
        fused, rows = split(condition)
        return self.painter(fused, thumbnail.from_rows(rows), noise.flatten(1)[:, :LATENT])


class FlowDecoder(ImageDecoder):
    """Four Euler steps from the noise to the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.painter = Painter(2, canvas=True)

    def expected(self, x: Tensor, time: Tensor, fused: Tensor, photo: Tensor) -> Layers:
        """What x [B, 3, 64, 64] in -1..1, at a time [B, 1] from 0 (noise) to 1, is on its way to."""
        moment = torch.cat([time, (math.pi * time).cos()], 1)
        return self.painter(fused, photo, moment, x)

    def layers(self, condition: Tensor, noise: Tensor) -> Layers:
        fused, rows = split(condition)
        photo, x = thumbnail.from_rows(rows), noise
        for step in range(FLOW_STEPS):
            time = torch.full_like(fused[:, :1], step / FLOW_STEPS)
            expected = self.expected(x, time, fused, photo)
            x = x + (expected.together() * 2 - 1 - x) / (FLOW_STEPS - step)
        return expected


class Posterior(nn.Module):
    """The vae's encoder: picture [B, 3, 64, 64] and embedding [B, 384] → mean and log variance [B, 32] each."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths[1:])
        self.out = nn.Linear(widths[-1] * 16 + CONDITION_WIDTH, 2 * LATENT)

    def forward(self, picture: Tensor, fused: Tensor) -> tuple[Tensor, Tensor]:
        x = picture * 2 - 1
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.silu(norm(layer(x)))
        both = torch.cat([x.flatten(1), fused * math.sqrt(CONDITION_WIDTH)], 1)
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
    """condition [B, R, 384], with or without a thumbnail, and noise [B, 3, 64, 64] → picture [B, 3, 64, 64]."""

    def __init__(self, decoder: ImageDecoder, memory: Memory) -> None:
        super().__init__()
        self.decoder = decoder
        self.memory = memory

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        return self.decoder(self.memory(condition, noise), noise)

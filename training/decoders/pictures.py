"""Trains the image decoder's variants on photos of the catalogue and what they shall become.

A sample is a picture that may be trained on and its studio shot, or a turntable's frame for both, as
:class:`networks.image_decoder.Memory` recalls it. What a shop's photos vary in and products do not decide is drawn
anew: colours are changed in photo and target alike, so that a product's colour must come from its photo; both are
mirrored; some photos get the ground of another; the target's ground and light vary, which the noise has to explain.
None of the judges of `training/decoders/fidelity.py` takes part in the loss.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from networks.fusion import Fusion
from networks.image_decoder import (
    LATENT,
    SIZE,
    Discriminator,
    FlowDecoder,
    ImageDecoder,
    LatentDecoder,
    Layers,
    Memory,
    Posterior,
    create,
)
from networks.thumbnail import SIDE
from training.catalogue import studio, turntables
from training.catalogue.products import Product
from training.catalogue.views import view_path
from training.common.loop import Step, apply, optimizer_of
from training.common.loop import train as run_loop
from training.common.weights import restore
from training.encoders.features import TRAINED_VIEWS, Features, join, read
from training.encoders.fused import image_only, run, text_only, with_title
from training.encoders.served import TextEncoder, fit
from training.encoders.texts import embed, titles

SEED = 11
BATCH = 16
LEARNING_RATE = 1e-3
#: variant → steps.
STEPS = {"vae": 1800, "gan": 500, "flow": 500}
KL_WEIGHT = 1e-3
OPACITY_WEIGHT = 0.5
ADVERSARIAL_WEIGHT = 0.02
#: Shares of the samples: recalled ones, photos without a title, photos before another ground.
RECALLED_SHARE, PHOTO_ONLY_SHARE, OTHER_GROUND_SHARE = 0.2, 0.35, 0.2
RECOLOURED_SHARE, WHITE_GROUND_SHARE = 0.5, 0.4
#: The side of known products that stands in for a photo: a turntable's frame, 30 degrees from the front.
RECALLED_SIDE = 2
#: Among so many of the nearest, how far the product is whose title goes with a recalled one.
NEIGHBOURS = 10
#: What the loop trains: networks and their optimizers by name, and a step.
Parts = tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer], Step]


def thumbnail(picture: Image.Image) -> NDArray[np.uint8]:
    """uint8 [3, 56, 56]: what the condition holds of a picture."""
    pixels = fit(picture)
    small = pixels.reshape(SIDE, len(pixels) // SIDE, SIDE, -1, 3).mean((1, 3)).round()
    return np.ascontiguousarray(small.astype(np.uint8).transpose(2, 0, 1))


def thumbnails(product: Product, views: range) -> NDArray[np.uint8]:
    """uint8 [n, 3, 56, 56] of a product's pictures."""
    pictures = []
    for view in views:
        with Image.open(view_path(product, view)) as picture:
            pictures.append(thumbnail(picture))
    return np.stack(pictures)


def frames(product: Product) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The turntable at the decoder's size: uint8 [24, 64, 64, 3] on white, and its opacity [24, 64, 64]."""
    rgba = turntables.read_rgba(product)
    pictures, masks = [], []
    for frame in rgba:
        image = Image.fromarray(frame[..., :3]).resize((SIZE, SIZE), Image.Resampling.BOX)
        mask = Image.fromarray(frame[..., 3]).resize((SIZE, SIZE), Image.Resampling.BOX)
        pictures.append(np.asarray(image))
        masks.append(np.asarray(mask))
    return np.stack(pictures), np.stack(masks)


def embeddings(products: list[Product], fusion: Fusion, encoder: TextEncoder) -> tuple[Tensor, Tensor, Tensor]:
    """Unit embeddings of what may be trained on: of titles [P, T, 384], of pictures [P, V, 384] and of both."""
    kept = [p for p in products if not p.held_out]
    views = np.arange(TRAINED_VIEWS)
    features: Features = join([read(product)[views] for product in kept])
    forms = [titles(p) for p in kept]
    texts = torch.from_numpy(embed([t for f in forms for t in f], encoder))
    _, text = run(fusion, text_only(texts))
    _, image = run(fusion, image_only(features))
    which = np.random.default_rng(SEED).integers(len(forms[0]), size=(len(kept), len(views)))
    beside = texts.view(len(kept), -1, texts.shape[-1])[np.arange(len(kept))[:, None], which].flatten(0, 1)
    _, both = run(fusion, with_title(beside, features))
    text, image, both = (x.view(len(kept), -1, x.shape[-1]) for x in (text, image, both))
    return text, image, both


@dataclass
class Sample:
    """`fused` [n, 384], `photo` [n, 3, 56, 56], `target` [n, 3, S, S] and `mask` [n, 1, S, S]."""

    fused: Tensor
    photo: Tensor
    target: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> Sample:
        return Sample(*(t.to(device) for t in (self.fused, self.photo, self.target, self.mask)))


@dataclass
class Data:
    """Products to train on, in arrays.

    `thumbnails` uint8 [P, V, 3, 56, 56] of their pictures; the unit embeddings of titles [P, T, 384], of pictures
    [P, V, 384] and of both [P, V, 384]; `shots` [P, V, S, S, 3] and `shot_masks` [P, V, S, S]; of the side that can be
    recalled `frames` [P, S, S, 3], `masks` [P, S, S] and `frame_thumbnails` [P, 3, 56, 56]; `near` [P, N], the products
    whose embeddings are nearest.
    """

    thumbnails: NDArray[np.uint8]
    text: Tensor
    image: Tensor
    both: Tensor
    shots: NDArray[np.uint8]
    shot_masks: NDArray[np.uint8]
    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    frame_thumbnails: NDArray[np.uint8]
    near: NDArray[np.int64]

    @classmethod
    def read(cls, products: list[Product], fusion: Fusion, encoder: TextEncoder) -> Data:
        """Of the products among `products` that may be trained on."""
        kept = [p for p in products if not p.held_out]
        views = range(TRAINED_VIEWS)
        text, image, both = embeddings(products, fusion, encoder)
        shot = [studio.read(product) for product in kept]
        turned = [frames(product) for product in kept]
        keys = F.normalize(both.mean(1), dim=-1)
        return cls(
            thumbnails=np.stack([thumbnails(product, views) for product in kept]),
            text=text,
            image=image,
            both=both,
            shots=np.stack([pictures[: len(views)] for pictures, _ in shot]),
            shot_masks=np.stack([masks[: len(views)] for _, masks in shot]),
            frames=np.stack([pictures[RECALLED_SIDE] for pictures, _ in turned]),
            masks=np.stack([masks[RECALLED_SIDE] for _, masks in turned]),
            frame_thumbnails=np.stack(
                [thumbnail(Image.fromarray(turntables.read(product)[RECALLED_SIDE])) for product in kept]
            ),
            near=(keys @ keys.T).topk(NEIGHBOURS).indices.numpy(),
        )

    def memory(self) -> Memory:
        """What stands in for a photo that is not there: of products that were trained on only."""
        return Memory(F.normalize(self.both.mean(1), dim=-1), torch.from_numpy(self.frame_thumbnails))

    def draw(self, rng: np.random.Generator, count: int) -> Sample:
        """A batch, everything that varies drawn."""
        products = rng.integers(len(self.thumbnails), size=count)
        views = rng.integers(self.thumbnails.shape[1], size=count)
        way = rng.random(count)
        recalled, photo_only = way < RECALLED_SHARE, way > 1 - PHOTO_ONLY_SHARE
        other_ground = ~recalled & (rng.random(count) < OTHER_GROUND_SHARE)

        fused = self.both[products, views]
        fused = torch.where(torch.from_numpy(photo_only)[:, None], self.image[products, views], fused)
        asked = self.near[products, rng.integers(NEIGHBOURS, size=count)]
        title = self.text[asked, rng.integers(self.text.shape[1], size=count)]
        fused = torch.where(torch.from_numpy(recalled)[:, None], title, fused)
        fused = F.normalize(fused, dim=-1)

        rows = recalled[:, None, None]
        target = _pictures(np.where(rows[..., None], self.frames[products], self.shots[products, views]))
        opacity = np.where(rows, self.masks[products], self.shot_masks[products, views])
        mask = torch.from_numpy(opacity).float().div(255).unsqueeze(1)
        seen = np.where(rows[..., None], self.frame_thumbnails[products], self.thumbnails[products, views])
        photo = torch.from_numpy(seen).float() / 255
        photo = torch.where(torch.from_numpy(other_ground)[:, None, None, None], _elsewhere(rng, photo, mask), photo)
        recolour = torch.from_numpy(rng.random(count) < RECOLOURED_SHARE)[:, None, None, None]
        other, painted = _recoloured(rng, photo, target)
        # The ground stays white: it is the product that has another colour.
        target = torch.where(recolour, target * (1 - mask) + painted * mask, target)
        photo = torch.where(recolour, other, photo)
        flip = torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None]
        photo, target, mask = (torch.where(flip, x.flip(3), x) for x in (photo, target, mask))
        return Sample(fused, photo, _staged(rng, target, mask), mask)


def _pictures(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 [n, H, W, 3] → float32 [n, 3, H, W] in 0..1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def in_colours(pictures: Tensor, order: Tensor, gain: Tensor) -> Tensor:
    """Colours [n, 3, H, W] with their channels in another order [n, 3], then scaled by gain [n, 3]."""
    places = order[:, :, None, None].expand(-1, -1, *pictures.shape[2:])
    return pictures.gather(1, places) * gain[:, :, None, None]


def _recoloured(rng: np.random.Generator, photo: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Photos and frames in other colours, the same ones for both."""
    order = torch.from_numpy(np.stack([rng.permutation(3) for _ in range(len(photo))]))
    gain = torch.from_numpy(rng.uniform(0.6, 1.25, (len(photo), 3))).float()
    return in_colours(photo, order, gain).clamp(0, 1), in_colours(target, order, gain).clamp(0, 1)


def _elsewhere(rng: np.random.Generator, photo: Tensor, mask: Tensor) -> Tensor:
    """Photos [n, 3, 56, 56] with a piece of another one behind what `mask` [n, 1, S, S] shows."""
    inside = F.adaptive_avg_pool2d(mask, SIDE)
    others = photo[torch.from_numpy(rng.permutation(len(photo)))].flip(2)
    first, side = rng.integers(0, 20, 2), int(rng.integers(12, 37))
    piece = others[:, :, first[0] : first[0] + side, first[1] : first[1] + side]
    ground = F.interpolate(piece, photo.shape[2:], mode="bilinear", align_corners=False)
    return ground + (photo - ground) * inside


def _staged(rng: np.random.Generator, target: Tensor, mask: Tensor) -> Tensor:
    """Frames before a ground of another colour and under more or less light."""
    count = len(target)
    pale = 1 - rng.uniform(0, 0.35, (count, 3, 2)) * rng.uniform(0, 1, (count, 1, 2))
    pale[rng.random(count) < WHITE_GROUND_SHARE] = 1.0
    top, bottom = (torch.from_numpy(pale[..., i]).float()[:, :, None, None] for i in range(2))
    down = torch.linspace(0, 1, target.shape[2])[None, None, :, None]
    ground = top * (1 - down) + bottom * down
    light = torch.from_numpy(rng.uniform(0.85, 1.1, count)).float()[:, None, None, None]
    return target * ground * (1 - mask) + (target * light).clamp(0, 1) * mask


# ---------------------------------------------------------------------------------------------------------- losses


def unlike(layers: Layers, sample: Sample) -> Tensor:
    """How much of what is the product is not taken for it, and the other way round."""
    return (layers.opacity - sample.mask).abs().mean()


def likeness(picture: Tensor, sample: Sample) -> tuple[Tensor, Tensor]:
    """Mean absolute error, that of the product counting three times, and the same of the differences of neighbours."""
    weight = 1 + 2 * sample.mask
    error = ((picture - sample.target).abs() * weight).mean()

    def edges(axis: int) -> Tensor:
        apart = (picture.diff(dim=axis) - sample.target.diff(dim=axis)).abs()
        return (apart * weight.narrow(axis, 1, SIZE - 1)).mean()

    return error, edges(2) + edges(3)


def train(
    variant: str, data: Data, checkpoint: Path, report: Callable[[int, str], None], start: dict[str, Tensor] | None
) -> ImageDecoder:
    """The trained variant; goes on from `checkpoint`.

    Args:
        start: weights to begin with: the gan begins as the vae's decoder.
        report: told of each step: its number and the losses.
    """
    torch.manual_seed(SEED)
    decoder = create(variant)
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    if start is not None:
        decoder.load_state_dict(start)
    makers: dict[str, Callable[[Any, Data], Parts]] = {"vae": _vae, "gan": _gan, "flow": _flow}
    networks, optimizers, step_losses = makers[variant](decoder, data)
    weights = run_loop(
        networks,
        optimizers,
        step_losses,
        steps=STEPS[variant],
        seed=SEED,
        checkpoint=checkpoint,
        report=report,
    )
    trained = create(variant)
    trained.load_state_dict(weights["decoder"])
    return trained.eval()


def _vae(decoder: LatentDecoder, data: Data) -> Parts:
    posterior = Posterior()
    optimizer = optimizer_of(decoder, posterior, rate=LEARNING_RATE)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        sample = data.draw(rng, BATCH).to(device)
        mean, log_variance = posterior(sample.target, sample.fused)
        noise = torch.from_numpy(rng.standard_normal(mean.shape)).float().to(device)
        layers = decoder.painter(sample.fused, sample.photo, mean + (log_variance / 2).exp() * noise)
        error, edges = likeness(layers.together(), sample)
        opacity = unlike(layers, sample)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        apply(optimizer, error + 0.5 * edges + OPACITY_WEIGHT * opacity + KL_WEIGHT * divergence)
        return {"error": error, "edges": edges, "opacity": opacity, "kl": divergence}

    return {"decoder": decoder, "posterior": posterior}, {"decoder": optimizer}, step_losses


def _gan(decoder: LatentDecoder, data: Data) -> Parts:
    discriminator = Discriminator()
    painters = optimizer_of(decoder, rate=LEARNING_RATE / 4, betas=(0.5, 0.99))
    judges = optimizer_of(discriminator, rate=LEARNING_RATE, betas=(0.5, 0.99))
    # What it began as says which ground and light a latent stands for.
    first = copy.deepcopy(decoder).requires_grad_(False)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        first.to(device)
        sample = data.draw(rng, BATCH).to(device)
        latent = torch.from_numpy(rng.standard_normal((BATCH, LATENT))).float().to(device)
        layers = decoder.painter(sample.fused, sample.photo, latent)
        picture = layers.together()
        real, drawn = discriminator(sample.target, sample.fused), discriminator(picture.detach(), sample.fused)
        judged = F.relu(1 - real).mean() + F.relu(1 + drawn).mean()
        apply(judges, judged)
        adversarial = -discriminator(picture, sample.fused).mean()
        ground = first.painter(sample.fused, sample.photo, latent).ground
        staged = replace(sample, target=ground + (sample.target - ground) * sample.mask)
        error, edges = likeness(picture, staged)
        opacity = unlike(layers, sample)
        apply(painters, error + 0.5 * edges + OPACITY_WEIGHT * opacity + ADVERSARIAL_WEIGHT * adversarial)
        return {"error": error, "edges": edges, "generator": adversarial, "discriminator": judged}

    networks = {"decoder": decoder, "discriminator": discriminator}
    return networks, {"decoder": painters, "discriminator": judges}, step_losses


def _flow(decoder: FlowDecoder, data: Data) -> Parts:
    optimizer = optimizer_of(decoder, rate=LEARNING_RATE)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        sample = data.draw(rng, BATCH).to(device)
        picture = sample.target * 2 - 1
        noise = torch.from_numpy(rng.standard_normal(picture.shape)).float().to(device)
        # Most of the work is at the beginning, of which four steps see little otherwise.
        time = torch.from_numpy(rng.random((BATCH, 1)) ** 1.5).float().to(device)
        moment = time[:, :, None, None]
        x = moment * picture + (1 - moment) * noise
        layers = decoder.expected(x, time, sample.fused, sample.photo)
        error = ((layers.together() * 2 - 1 - picture) ** 2 * (1 + 2 * sample.mask)).mean()
        opacity = unlike(layers, sample)
        apply(optimizer, error + OPACITY_WEIGHT * opacity)
        return {"error": error, "opacity": opacity}

    return {"decoder": decoder}, {"decoder": optimizer}, step_losses


# ----------------------------------------------------------------------------------------------------------- files


def load(variant: str, path: Path) -> ImageDecoder:
    """A variant with the weights that `training.common.weights.save` wrote, in float32."""
    return restore(create(variant), path)


def load_memory(path: Path) -> Memory:
    """What `training.common.weights.save` wrote of a memory."""
    return Memory(**load_file(path))

"""Trains the image decoder's variants on photos of the catalogue and what they shall become.

Each sample is one of a product's pictures that may be trained on (or none: then its title alone speaks), and either its
studio shot or a turn and the turntable's frame at that turn from where the photo was taken. What a shop's photos vary
in and products do not decide is drawn anew: colours are changed in photo and target alike, so that a product's colour
must come from its photo; both are mirrored; the target's ground and light vary, which the noise has to explain. None of
the judges of `training/fidelity.py` takes part in the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from networks.fusion import Fusion
from networks.image_decoder import (
    FEATURES,
    FRAMES,
    LATENT,
    SIZE,
    Discriminator,
    FlowDecoder,
    ImageDecoder,
    LatentDecoder,
    Posterior,
    create,
)
from networks.patches import COLOURS, from_thumbnail, mirrored, to_thumbnail
from training import studio, turntables
from training.build import view_path
from training.catalogue import Product
from training.encoders import TextEncoder, fit
from training.features import TRAINED_VIEWS, Features, join, read
from training.fusion import image_only, text_only
from training.loop import train as run_loop
from training.recall import run, with_title
from training.texts import embed, titles

SEED = 11
BATCH = 16
LEARNING_RATE = 1e-3
#: variant → steps.
STEPS = {"vae": 2400, "gan": 400, "flow": 1500}
KL_WEIGHT = 1e-3
ADVERSARIAL_WEIGHT = 0.02
#: Shares of the samples: a title alone, a photo alone; the rest has both. And of those with a photo, the studio shots.
TEXT_ONLY_SHARE, PHOTO_ONLY_SHARE, STUDIO_SHARE = 0.2, 0.35, 0.6
RECOLOURED_SHARE, WHITE_GROUND_SHARE = 0.5, 0.4


def thumbnails(product: Product, views: range) -> NDArray[np.uint8]:
    """uint8 [n, 28, 28, 3]: what the condition holds of the colours of a product's pictures."""
    pictures = []
    for view in views:
        with Image.open(view_path(product, view)) as picture:
            pixels = fit(picture).astype(np.float32)
        pictures.append(pixels.reshape(28, 8, 28, 8, 3).mean((1, 3)).round())
    return np.stack(pictures).astype(np.uint8)


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


@dataclass
class Sample:
    """`fused` [n, 384], `spatial` [n, 49, 384], `camera` [n, 2], `target` [n, 3, S, S] and `mask` [n, 1, S, S]."""

    fused: Tensor
    spatial: Tensor
    camera: Tensor
    target: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> Sample:
        return Sample(*(t.to(device) for t in (self.fused, self.spatial, self.camera, self.target, self.mask)))


@dataclass
class Data:
    """Products to train on, in arrays.

    `tokens` [P, V, 49, 320] and `thumbnails` [P, V, 28, 28, 3] of their pictures, `azimuths` [P, V] in radians; the
    unit embeddings of titles [P, T, 384], of pictures [P, V, 384] and of both [P, V, 384]; `frames` [P, 24, S, S, 3]
    and `masks` [P, 24, S, S]; `shots` [P, V, S, S, 3] and `shot_masks` [P, V, S, S].
    """

    tokens: NDArray[np.float16]
    thumbnails: NDArray[np.uint8]
    azimuths: NDArray[np.float32]
    text: Tensor
    image: Tensor
    both: Tensor
    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    shots: NDArray[np.uint8]
    shot_masks: NDArray[np.uint8]

    @classmethod
    def read(cls, products: list[Product], fusion: Fusion, encoder: TextEncoder) -> Data:
        """Of the products among `products` that may be trained on."""
        kept = [p for p in products if not p.held_out]
        views = range(TRAINED_VIEWS)
        features: Features = join([read(product)[np.array(views)] for product in kept])
        forms = [titles(p) for p in kept]
        texts = torch.from_numpy(embed([t for f in forms for t in f], encoder))
        _, text = run(fusion, text_only(texts))
        _, image = run(fusion, image_only(features))
        which = np.random.default_rng(SEED).integers(len(forms[0]), size=(len(kept), len(views)))
        beside = texts.view(len(kept), -1, texts.shape[-1])[np.arange(len(kept))[:, None], which].flatten(0, 1)
        _, both = run(fusion, with_title(beside, features))
        turned, shot = [frames(product) for product in kept], [studio.read(product) for product in kept]
        shape = (len(kept), len(views))
        return cls(
            tokens=features.tokens[..., :FEATURES].reshape(*shape, -1, FEATURES),
            thumbnails=np.stack([thumbnails(product, views) for product in kept]),
            azimuths=np.stack([turntables.view_angles(product)[: len(views), 0] for product in kept]),
            text=text.view(len(kept), -1, text.shape[-1]),
            image=image.view(*shape, -1),
            both=both.view(*shape, -1),
            frames=np.stack([pictures for pictures, _ in turned]),
            masks=np.stack([masks for _, masks in turned]),
            shots=np.stack([pictures[: len(views)] for pictures, _ in shot]),
            shot_masks=np.stack([masks[: len(views)] for _, masks in shot]),
        )

    def draw(self, rng: np.random.Generator, count: int) -> Sample:
        """A batch, everything that varies drawn."""
        products = rng.integers(len(self.tokens), size=count)
        views = rng.integers(self.tokens.shape[1], size=count)
        way = rng.random(count)
        text_only_rows, photo_only = way < TEXT_ONLY_SHARE, way > 1 - PHOTO_ONLY_SHARE
        base = np.where(text_only_rows, 0.0, self.azimuths[products, views])
        framed = (rng.random(count) < STUDIO_SHARE) & ~text_only_rows
        chosen = rng.integers(FRAMES, size=count)
        turn = np.where(framed, 0.0, chosen * (2 * math.pi / FRAMES) - base)

        fused = self.both[products, views]
        fused = torch.where(torch.from_numpy(photo_only)[:, None], self.image[products, views], fused)
        title = self.text[products, rng.integers(self.text.shape[1], size=count)]
        fused = torch.where(torch.from_numpy(text_only_rows)[:, None], title, fused)
        fused = F.normalize(fused, dim=-1)

        inside = framed[:, None, None]
        pixels = np.where(inside[..., None], self.shots[products, views], self.frames[products, chosen])
        target = _pictures(pixels)
        opacity = np.where(inside, self.shot_masks[products, views], self.masks[products, chosen])
        mask = torch.from_numpy(opacity).float().div(255).unsqueeze(1)
        photo = _pictures(self.thumbnails[products, views])
        tokens = torch.from_numpy(self.tokens[products, views]).float()
        recolour = torch.from_numpy((rng.random(count) < RECOLOURED_SHARE) & ~text_only_rows)[:, None, None, None]
        photo, painted = _recoloured(rng, photo, target)
        # The ground stays white: it is the product that has another colour.
        target = torch.where(recolour, target * (1 - mask) + painted * mask, target)
        photo = torch.where(recolour, photo, _pictures(self.thumbnails[products, views]))
        spatial = torch.cat([tokens, from_thumbnail(photo - 0.5)], 2)
        spatial = F.pad(spatial, (0, fused.shape[1] - spatial.shape[2]))
        flip = torch.from_numpy(rng.random(count) < 0.5)
        turns = torch.from_numpy(turn).float() * (1 - 2 * flip.float())
        camera = torch.stack([turns, torch.from_numpy(framed).float()], 1)
        target, mask = (torch.where(flip[:, None, None, None], x.flip(3), x) for x in (target, mask))
        spatial = torch.where(flip[:, None, None], _mirrored(spatial), spatial)
        spatial = spatial * torch.from_numpy(~text_only_rows)[:, None, None]
        return Sample(fused, spatial, camera, _staged(rng, target, mask), mask)


def _pictures(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 [n, H, W, 3] → float32 [n, 3, H, W] in 0..1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def _mirrored(spatial: Tensor) -> Tensor:
    """The rows of the mirrored photo."""
    colours = from_thumbnail(to_thumbnail(spatial[..., FEATURES : FEATURES + COLOURS]).flip(3))
    rest = spatial[..., FEATURES + COLOURS :]
    return torch.cat([mirrored(spatial[..., :FEATURES]), colours, rest], 2)


def _recoloured(rng: np.random.Generator, photo: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Photos and frames in other colours, the same ones for both: channels change places and are scaled."""
    orders = torch.from_numpy(np.stack([rng.permutation(3) for _ in range(len(photo))]))
    gains = torch.from_numpy(rng.uniform(0.6, 1.25, (len(photo), 3))).float()[:, :, None, None]
    changed = []
    for pictures in (photo, target):
        places = orders[:, :, None, None].expand(-1, -1, *pictures.shape[2:])
        changed.append((pictures.gather(1, places) * gains).clamp(0, 1))
    return changed[0], changed[1]


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


def likeness(picture: Tensor, sample: Sample) -> tuple[Tensor, Tensor]:
    """Mean absolute error, that of the product counting three times, and the same of the differences of neighbours."""
    weight = 1 + 2 * sample.mask
    error = ((picture - sample.target).abs() * weight).mean()
    edges = sum(
        ((picture.diff(dim=axis) - sample.target.diff(dim=axis)).abs() * weight.narrow(axis, 1, SIZE - 1)).mean()
        for axis in (2, 3)
    )
    return error, edges


def train(
    variant: str, data: Data, checkpoint: Path, report: Callable[[int, str], None], start: dict[str, Tensor] | None
) -> ImageDecoder:
    """The trained variant; goes on from `checkpoint`.

    Args:
        start: weights to begin with: the gan begins as the vae's decoder.
        report: told of each step: its number and the losses.
    """
    torch.manual_seed(SEED)
    decoder = create(variant).to(memory_format=torch.channels_last)
    if start is not None:
        decoder.load_state_dict(start)
    maker = {"vae": _vae, "gan": _gan, "flow": _flow}[variant]
    networks, optimizers, step_losses = maker(decoder, data)
    weights = run_loop(
        f"image-{variant}",
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


def _adam(*networks: nn.Module, rate: float = LEARNING_RATE, betas: tuple[float, float] = (0.9, 0.99)):
    parameters = [p for network in networks for p in network.parameters()]
    return torch.optim.AdamW(parameters, rate, betas=betas, weight_decay=1e-4)


def _apply(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()


def _vae(decoder: LatentDecoder, data: Data):
    posterior = Posterior()
    optimizer = _adam(decoder, posterior)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        sample = data.draw(rng, BATCH).to(device)
        mean, log_variance = posterior(sample.target, sample.fused, sample.camera)
        noise = torch.from_numpy(rng.standard_normal(mean.shape)).float().to(device)
        picture = decoder.draw(sample.fused, sample.spatial, mean + (log_variance / 2).exp() * noise, sample.camera)
        error, edges = likeness(picture, sample)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        _apply(optimizer, error + 0.5 * edges + KL_WEIGHT * divergence)
        return {"error": error, "edges": edges, "kl": divergence}

    return {"decoder": decoder, "posterior": posterior}, {"decoder": optimizer}, step_losses


def _gan(decoder: LatentDecoder, data: Data):
    discriminator = Discriminator()
    painters = _adam(decoder, rate=LEARNING_RATE / 4, betas=(0.5, 0.99))
    judges = _adam(discriminator, betas=(0.5, 0.99))

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        sample = data.draw(rng, BATCH).to(device)
        latent = torch.from_numpy(rng.standard_normal((BATCH, LATENT))).float().to(device)
        picture = decoder.draw(sample.fused, sample.spatial, latent, sample.camera)
        real, drawn = discriminator(sample.target, sample.fused), discriminator(picture.detach(), sample.fused)
        judged = F.relu(1 - real).mean() + F.relu(1 + drawn).mean()
        _apply(judges, judged)
        adversarial = -discriminator(picture, sample.fused).mean()
        # Ground and light are the noise's to choose, so only the product is held to its likeness.
        error, edges = likeness(picture * sample.mask + sample.target * (1 - sample.mask), sample)
        _apply(painters, error + 0.5 * edges + ADVERSARIAL_WEIGHT * adversarial)
        return {"error": error, "edges": edges, "generator": adversarial, "discriminator": judged}

    networks = {"decoder": decoder, "discriminator": discriminator}
    return networks, {"decoder": painters, "discriminator": judges}, step_losses


def _flow(decoder: FlowDecoder, data: Data):
    optimizer = _adam(decoder)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        sample = data.draw(rng, BATCH).to(device)
        picture = sample.target * 2 - 1
        noise = torch.from_numpy(rng.standard_normal(picture.shape)).float().to(device)
        # Most of the work is at the beginning, of which four steps see little otherwise.
        time = torch.from_numpy(rng.random((BATCH, 1)) ** 1.5).float().to(device)
        moment = time[:, :, None, None]
        x = moment * picture + (1 - moment) * noise
        expected = decoder.expected(x, time, sample.fused, sample.spatial, sample.camera)
        error = ((expected - picture) ** 2 * (1 + 2 * sample.mask)).mean()
        _apply(optimizer, error)
        return {"error": error}

    return {"decoder": decoder}, {"decoder": optimizer}, step_losses


# ----------------------------------------------------------------------------------------------------------- files


def save(decoder: ImageDecoder, path: Path, metadata: dict[str, str]) -> None:
    """Writes the weights, halved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in decoder.state_dict().items()}, path, metadata)
    path.chmod(0o644)  # safetensors writes for the owner only


def load(variant: str, path: Path) -> ImageDecoder:
    """A variant with the weights that :func:`save` wrote, in float32."""
    decoder = create(variant)
    decoder.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return decoder.eval()

"""Trains a fusion variant on the frozen encoders' features so that text, picture and both land in one space.

Each step draws products, and for each a picture and two titles. A cross entropy over all names of the training
products pulls the picture alone, the title alone and both together towards the product's names, with a little of the
mass on names that mean nearly the same; InfoNCE in both directions (van den Oord et al. 2018, arXiv:1807.03748; CLIP,
arXiv:2103.00020) sets the single pictures and titles of a batch against each other; an anchor keeps texts where the
sentence encoder put them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from networks.fusion import CLASSES, POOLED, SPATIAL, WIDTH, Fusion, Projected, create, unit
from training.catalogue import Product
from training.encoders import TextEncoder
from training.features import TRAINED_ROWS, Features, join, read
from training.texts import NEUTRAL, embed, titles
from training.vocabulary import imagenet_labels

SEED = 7
STEPS = 400
CHECKPOINT_EVERY = 100
BATCH = 192
LEARNING_RATE = 1e-3
WARM_UP = 50
WEIGHT_DECAY = 0.05
TEMPERATURE = 0.05
#: Share of the target that goes to names of like meaning, and how alike they must be.
SOFT_SHARE, SOFT_TEMPERATURE = 0.25, 0.1
#: How often a title beside a picture says nothing, and how often one that says something has another's picture beside
#: it: the pictures of new products are read less well than those trained on, and then the title has to count.
NEUTRAL_SHARE, MISLEADING_SHARE = 0.3, 0.3
ANCHOR = 2.0


@dataclass
class Batch:
    """Fusion's inputs for n products; a modality is masked out by its mask [n, 1]."""

    text: Tensor
    text_mask: Tensor
    image: tuple[Tensor, Tensor, Tensor]
    image_mask: Tensor

    def inputs(self) -> tuple[Tensor, ...]:
        """In the order of `networks.fusion.INPUTS`."""
        return (self.text, self.text_mask, *self.image, self.image_mask)


def label_embeddings(encoder: TextEncoder) -> Tensor:
    """[1000, 384]: for each ImageNet class the mean embedding of its names."""
    labels = imagenet_labels()
    flat = torch.from_numpy(embed([name for names in labels for name in names], encoder))
    counts = [len(names) for names in labels]
    return torch.stack([part.mean(0) for part in flat.split(counts)])


def tensors(features: Features) -> tuple[Tensor, Tensor, Tensor]:
    """Fusion's image inputs, float32."""
    return tuple(torch.from_numpy(a).float() for a in (features.embedding, features.tokens, features.scores))


def image_only(features: Features) -> Batch:
    """Pictures without a title."""
    image = tensors(features)
    count = len(image[0])
    return Batch(torch.zeros(count, WIDTH), torch.zeros(count, 1), image, torch.ones(count, 1))


def text_only(text: Tensor) -> Batch:
    """Titles without a picture: one zero token stands for the absent ones."""
    count = len(text)
    image = torch.zeros(count, POOLED), torch.zeros(count, 1, SPATIAL), torch.zeros(count, CLASSES)
    return Batch(text, torch.ones(count, 1), image, torch.zeros(count, 1))


@dataclass
class Data:
    """Everything that the training draws from, in memory: about 40 kB a picture.

    P products with R pictures each and F titles each: `features` [P*R], `titles` [P, F, 384]; their N different names:
    `names` [N, 384], `name_of` [P] into them; `neutral` [len(NEUTRAL), 384].
    """

    features: Features
    titles: Tensor
    names: Tensor
    name_of: Tensor
    neutral: Tensor

    @classmethod
    def read(cls, products: list[Product], encoder: TextEncoder) -> Data:
        """Of the products that are trained on, what may be trained on."""
        kept = [p for p in products if not p.held_out]
        names = sorted({p.name for p in kept})
        forms = [titles(p) for p in kept]
        return cls(
            features=join([read(product)[TRAINED_ROWS] for product in kept]),
            titles=torch.from_numpy(embed([t for f in forms for t in f], encoder)).view(len(forms), -1, WIDTH),
            names=torch.from_numpy(embed(names, encoder)),
            name_of=torch.tensor([names.index(p.name) for p in kept]),
            neutral=torch.from_numpy(embed(list(NEUTRAL), encoder)),
        )

    def targets(self) -> Tensor:
        """[N, N]: for each name the names that it should be near: itself, and a little those that mean the same."""
        alike = (self.names @ self.names.T / SOFT_TEMPERATURE).softmax(-1)
        return (1 - SOFT_SHARE) * torch.eye(len(self.names)) + SOFT_SHARE * alike

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Batch, Tensor]:
        """Chosen products [n], a title of each [n, 384], another one or none beside a picture, and beside whose.

        The last [n] is a row's own number, or another's where the title says something and the picture shall mislead.
        """
        count = min(BATCH, len(self.titles))
        each = len(self.features) // len(self.titles)
        chosen = rng.choice(len(self.titles), count, replace=False)
        image = tensors(self.features[chosen * each + rng.integers(each, size=count)])
        one, two = (self.titles[chosen, rng.integers(self.titles.shape[1], size=count)] for _ in range(2))
        says_nothing = torch.from_numpy(rng.random(count) < NEUTRAL_SHARE)
        which = torch.from_numpy(rng.integers(len(NEUTRAL), size=count))
        beside = torch.where(says_nothing[:, None], self.neutral[which], two)
        mask = 1 - (says_nothing & (which == NEUTRAL.index(""))).float().unsqueeze(1)
        others = np.roll(np.arange(count), 1)
        misleads = (rng.random(count) < MISLEADING_SHARE) & ~says_nothing.numpy()
        whose = torch.from_numpy(np.where(misleads, others, np.arange(count)))
        return torch.from_numpy(chosen), one, Batch(beside * mask, mask, image, torch.ones(count, 1)), whose


def contrast(a: Tensor, b: Tensor, same: Tensor) -> Tensor:
    """InfoNCE of unit rows a, b [n, D] in both directions; rows of the same name [n, n] share the target."""
    target = same / same.sum(1, keepdim=True)
    logits = a @ b.T / TEMPERATURE
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def losses(network: Fusion, data: Data, targets: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """One step's terms, whose sum is minimised; `targets` as :meth:`Data.targets` gives them."""
    chosen, title, both, whose = data.draw(rng)
    names = data.name_of[chosen]
    text, beside = (network.projectors["text"](x) for x in (title, both.text))
    image = network.projectors["image"](*both.image)
    present, absent = torch.ones_like(both.text_mask), torch.zeros_like(both.text_mask)
    # A picture is projected once for all three ways to present a product.
    t = unit(network.combine([text, image], [present, absent])[0])
    i = unit(network.combine([beside, image], [absent, present])[0])
    shown = Projected(image.summary[whose], image.tokens[whose])
    b = unit(network.combine([beside, shown], [both.text_mask, present])[0])
    own = whose == torch.arange(len(whose))
    _, bank = network(*text_only(data.names).inputs())
    target = targets[names]
    same = (names[:, None] == names[None]).float()
    return {
        "image→name": F.cross_entropy(i @ bank.T / TEMPERATURE, target),
        "both→name": F.cross_entropy(b @ bank.T / TEMPERATURE, target),
        "text→name": 0.5 * F.cross_entropy(t @ bank.T / TEMPERATURE, target),
        "text↔image": 0.5 * contrast(t, i, same),
        "both↔image": 0.25 * contrast(b[own], i[own], same[own][:, own]),
        "anchor": ANCHOR * (1 - (t * title).sum(-1)).mean(),
    }


def learning_rate(step: int) -> float:
    """Share of the full rate: a short warm-up, then half a cosine."""
    return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / STEPS))


def train(variant: str, data: Data, labels: Tensor, checkpoint: Path, report: Callable[[int, str], None]) -> Fusion:
    """The trained network; goes on from `checkpoint`, which it writes every few hundred steps.

    Args:
        report: told of each step: its number and the losses.
    """
    torch.manual_seed(SEED)
    network = create(variant, labels)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate)
    targets = data.targets()
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        start = state["step"]
    for step in range(start, STEPS):
        terms = losses(network, data, targets, np.random.default_rng([SEED, step]))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report(step + 1, "  ".join(f"{name} {value.item():.2f}" for name, value in terms.items()))
        if (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < STEPS:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state | {"schedule": schedule.state_dict()}, checkpoint)
    checkpoint.unlink(missing_ok=True)
    return network.eval()


def save(network: Fusion, path: Path, metadata: dict[str, str]) -> None:
    """Writes the weights, halved: a few MB, and parity is measured after loading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, path, metadata)
    path.chmod(0o644)  # safetensors writes for the owner only


def load(variant: str, path: Path) -> Fusion:
    """A variant with the weights that :func:`save` wrote, in float32."""
    network = create(variant)
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.eval()

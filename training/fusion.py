"""Trains a fusion variant on the frozen encoders' features so that every modality and every subset lands in one space.

Each step draws products, and for each a picture, two titles, a clip, a spoken title and a session that led to it. A
cross entropy over all names of the training products pulls each of them alone, title and picture together, and a random
subset of all towards the product's names, with a little of the mass on names that mean nearly the same; InfoNCE in both
directions (van den Oord et al. 2018, arXiv:1807.03748; CLIP, arXiv:2103.00020) sets the single pictures and titles of a
batch against each other; an anchor keeps texts where the sentence encoder put them.
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

from networks.fusion import (
    ALIGNED,
    CLASSES,
    INPUTS,
    MODALITIES,
    POOLED,
    SPATIAL,
    TOKENS,
    WIDTH,
    Fusion,
    Projected,
    create,
    unit,
)
from training.catalogue import Product
from training.encoders import TextEncoder
from training.features import TRAINED_ROWS, Features, join, read
from training.modalities import Samples, samples
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
#: Of each of the terms that name a product by its clip, its spoken title, or what led a shopper to it.
ALIGNED_WEIGHT = 0.25


@dataclass
class Batch:
    """Fusion's inputs for n products, by name; what is absent is zero."""

    values: dict[str, Tensor]

    def inputs(self) -> tuple[Tensor, ...]:
        """In the order of `networks.fusion.INPUTS`."""
        return tuple(self.values[name] for name in INPUTS)


Aligned = tuple[Tensor, Tensor]


def batch(
    *,
    text: Tensor | None = None,
    image: Features | tuple[Tensor, ...] | None = None,
    video: Aligned | None = None,
    audio: Aligned | None = None,
    behavior: Aligned | None = None,
) -> Batch:
    """What is given of n products: titles' embeddings [n, 384], pictures' features, (embedding, tokens) of the rest."""
    given = {
        "text": None if text is None else (text,),
        "image": tensors(image) if isinstance(image, Features) else image,
        "video": video,
        "audio": audio,
        "behavior": behavior,
    }
    count = next(len(tensors[0]) for tensors in given.values() if tensors is not None)
    shapes = {
        "text": ((WIDTH,),),
        "image": ((POOLED,), (1, SPATIAL), (CLASSES,), (1, WIDTH)),
        **dict.fromkeys(ALIGNED, ((WIDTH,), (TOKENS, WIDTH))),
    }
    values = {}
    for modality, names in MODALITIES.items():
        there = given[modality] or tuple(torch.zeros(count, *shape) for shape in shapes[modality])
        values |= dict(zip(names, there, strict=True))
    presence = torch.tensor([[float(given[modality] is not None) for modality in MODALITIES]])
    return Batch(values | {"presence": presence.expand(count, -1)})


def label_embeddings(encoder: TextEncoder) -> Tensor:
    """[1000, 384]: for each ImageNet class the mean embedding of its names."""
    labels = imagenet_labels()
    flat = torch.from_numpy(embed([name for names in labels for name in names], encoder))
    counts = [len(names) for names in labels]
    return torch.stack([part.mean(0) for part in flat.split(counts)])


def tensors(features: Features) -> tuple[Tensor, ...]:
    """Fusion's image inputs, float32; what it only hands on, the thumbnail, is left empty."""
    seen = (torch.from_numpy(a).float() for a in (features.embedding, features.tokens, features.scores))
    return *seen, torch.zeros(len(features), 1, WIDTH)


def image_only(features: Features) -> Batch:
    """Pictures without a title."""
    return batch(image=features)


def text_only(text: Tensor) -> Batch:
    """Titles without a picture."""
    return batch(text=text)


@dataclass
class Drawn:
    """One step's products [n]: what each says in every modality, and which of them it has.

    `own` says where the picture beside the title is the product's own: elsewhere it shall mislead.
    """

    products: Tensor
    title: Tensor
    beside: Tensor
    says_something: Tensor
    image: tuple[Tensor, ...]
    whose: Tensor
    aligned: dict[str, tuple[Tensor, Tensor, Tensor]]
    subset: Tensor


@dataclass
class Data:
    """Everything that the training draws from, in memory: about 40 kB a picture.

    P products with R pictures each and F titles each: `features` [P*R], `titles` [P, F, 384]; their N different names:
    `names` [N, 384], `name_of` [P] into them; `neutral` [len(NEUTRAL), 384]; `aligned` samples by modality.
    """

    features: Features
    titles: Tensor
    names: Tensor
    name_of: Tensor
    neutral: Tensor
    aligned: dict[str, Samples]

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
            aligned=samples(kept, trained=True),
        )

    def targets(self) -> Tensor:
        """[N, N]: for each name the names that it should be near: itself, and a little those that mean the same."""
        alike = (self.names @ self.names.T / SOFT_TEMPERATURE).softmax(-1)
        return (1 - SOFT_SHARE) * torch.eye(len(self.names)) + SOFT_SHARE * alike

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Chosen products, each with two titles (the second often one that says nothing, or none) and a picture."""
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
        aligned = {modality: found.draw(chosen, rng) for modality, found in self.aligned.items()}
        has = torch.stack([mask[:, 0], torch.ones(count), *(aligned[m][2] for m in ALIGNED)], 1)
        subset = has * torch.from_numpy(rng.random(has.shape) < 0.5)
        # Nobody comes with nothing: then the picture is there.
        subset[:, 1] += (subset.sum(1) == 0).float()
        return Drawn(torch.from_numpy(chosen), one, beside * mask, mask, image, whose, aligned, subset)


def contrast(a: Tensor, b: Tensor, same: Tensor) -> Tensor:
    """InfoNCE of unit rows a, b [n, D] in both directions; rows of the same name [n, n] share the target."""
    target = same / same.sum(1, keepdim=True)
    logits = a @ b.T / TEMPERATURE
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def losses(network: Fusion, data: Data, targets: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """One step's terms, whose sum is minimised; `targets` as :meth:`Data.targets` gives them."""
    drawn = data.draw(rng)
    names = data.name_of[drawn.products]
    text, beside = (network.projectors["text"](x) for x in (drawn.title, drawn.beside))
    image = network.projectors["image"](*drawn.image[:3])
    rest = [network.projectors[modality](*drawn.aligned[modality][:2]) for modality in ALIGNED]
    present, absent = torch.ones_like(drawn.says_something), torch.zeros_like(drawn.says_something)
    zeros = absent.expand(-1, len(ALIGNED))

    def fuse(said: Projected, shown: Projected, *presence: Tensor) -> Tensor:
        return unit(network.combine([said, shown, *rest], torch.cat(presence, 1))[0])

    # Everything is projected once for all ways to present a product.
    t = fuse(text, image, present, absent, zeros)
    i = fuse(beside, image, absent, present, zeros)
    shown = Projected(image.summary[drawn.whose], image.tokens[drawn.whose])
    b = fuse(beside, shown, drawn.says_something, present, zeros)
    some = fuse(beside, image, drawn.subset)
    own = drawn.whose == torch.arange(len(drawn.whose))
    _, bank, _ = network(*text_only(data.names).inputs())
    target = targets[names]
    same = (names[:, None] == names[None]).float()

    def name(embedding: Tensor, there: Tensor | None = None) -> Tensor:
        each = F.cross_entropy(embedding @ bank.T / TEMPERATURE, target, reduction="none")
        return each.mean() if there is None else (each * there).sum() / there.sum().clamp(min=1)

    terms = {
        "image→name": name(i),
        "both→name": name(b),
        "text→name": 0.5 * name(t),
        "some→name": name(some),
        "text↔image": 0.5 * contrast(t, i, same),
        "both↔image": 0.25 * contrast(b[own], i[own], same[own][:, own]),
        "some↔image": 0.25 * contrast(some, i, same),
        "anchor": ANCHOR * (1 - (t * drawn.title).sum(-1)).mean(),
    }
    for place, modality in enumerate(ALIGNED):
        alone = F.one_hot(torch.tensor(place), len(ALIGNED)).float().expand(len(names), -1)
        embedding = fuse(beside, image, absent, absent, alone)
        terms[f"{modality}→name"] = ALIGNED_WEIGHT * name(embedding, drawn.aligned[modality][2])
    return terms


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

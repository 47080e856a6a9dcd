"""Trains a fusion variant on the frozen encoders' features so that every modality and every subset lands in one space.

Each step draws products, and for each a picture, two titles, a clip, a spoken title and a session that led to it. A
cross entropy over all names of the training products pulls each of them alone, title and picture together, and a random
subset of all towards the product's names, with a little of the mass on names that mean nearly the same; InfoNCE in both
directions (van den Oord et al. 2018, arXiv:1807.03748; CLIP, arXiv:2103.00020) sets the single pictures and titles of a
batch against each other; an anchor keeps texts where the sentence encoder put them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from networks.fusion import ALIGNED, WIDTH, Fusion, Projected, create, unit
from training.catalogue.products import Product
from training.catalogue.vocabulary import imagenet_labels
from training.common import embeddings
from training.common.embeddings import TEMPERATURE, contrast, name_targets
from training.common.files import REPOSITORY, digest
from training.common.loop import Plan, minimise
from training.encoders import fused
from training.encoders.features import TRAINED_ROWS, Features, join, read
from training.encoders.fused import tensors, text_only
from training.encoders.served import TextEncoder
from training.encoders.served import fingerprint as encoders_fingerprint
from training.encoders.texts import NEUTRAL, embed, titles
from training.fusion.modalities import Samples, samples

SEED = 7
STEPS = 400
CHECKPOINT_EVERY = 100
BATCH = 192
LEARNING_RATE = 1e-3
WARM_UP = 50
WEIGHT_DECAY = 0.05
#: How often a title beside a picture says nothing, and how often one that says something has another's picture beside
#: it: the pictures of new products are read less well than those trained on, and then the title has to count.
NEUTRAL_SHARE, MISLEADING_SHARE = 0.3, 0.3
ANCHOR = 2.0
#: Of each of the terms that name a product by its clip, its spoken title, or what led a shopper to it.
ALIGNED_WEIGHT = 0.25


def label_embeddings(encoder: TextEncoder) -> Tensor:
    """[1000, 384]: for each ImageNet class the mean embedding of its names."""
    labels = imagenet_labels()
    flat = torch.from_numpy(embed([name for names in labels for name in names], encoder))
    counts = [len(names) for names in labels]
    return torch.stack([part.mean(0) for part in flat.split(counts)])


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


def losses(network: Fusion, data: Data, targets: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """One step's terms, whose sum is minimised; `targets` as :func:`name_targets` gives them."""
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


def fingerprint() -> str:
    """Changes with what a training run depends on, so that a checkpoint of another one is not gone on with."""
    code = Path(__file__), Path(embeddings.__file__), Path(fused.__file__), REPOSITORY / "networks" / "fusion.py"
    return digest(*code, encoders_fingerprint())


def train(variant: str, data: Data, labels: Tensor, checkpoint: Path, report: Callable[[int, str], None]) -> Fusion:
    """The trained network; goes on from `checkpoint`. On the CPU, also where there is a GPU.

    Args:
        report: told of each step: its number and the losses.
    """
    torch.manual_seed(SEED)
    network, targets = create(variant, labels), name_targets(data.names)
    plan = Plan(STEPS, BATCH, LEARNING_RATE, WARM_UP, WEIGHT_DECAY, CHECKPOINT_EVERY, SEED, reseeds=False)
    return minimise(
        network,
        lambda network, rng, _: losses(network, data, targets, rng),
        plan,
        checkpoint,
        report,
        accelerator=Accelerator(cpu=True),
    )

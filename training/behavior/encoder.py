"""Trains the behaviour encoder on simulated sessions (`training.behavior.sessions`): which product comes next?

A product enters as its fused embedding, title and picture together, as the bundle's EMBEDDING output gives it. Each
product has several (other titles, other views), so that the network learns the space and not the 629 vectors. At each
event a cross entropy over all training products pulls the embedding to the next other product; at one event of each
history another one pulls the nearest of the eight tokens to each of the next few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from networks.behavior_encoder import MAX_EVENTS, BehaviorEncoder
from training.behavior import sessions
from training.behavior.sessions import Shop, Simulator
from training.catalogue.products import Product
from training.common.files import REPOSITORY, WEIGHTS, cache_folder, digest
from training.common.loop import Plan, minimise
from training.common.weights import restore
from training.encoders.served import TextEncoder
from training.encoders.texts import embed

FOLDER = WEIGHTS / "behavior_encoder"
SHOPPERS = 4000  # trained on; the next TESTED are the test's
TESTED = 600
PLAN = Plan(steps=400, batch=48, rate=2e-3, warm_up=40)
#: Events of a batch at which the next product is asked for: enough, at half the cost of all.
ASKED = 1200
#: The next few products that the tokens shall cover.
AHEAD = 4
AT_ONCE = 250  # shoppers in a file of the cache
#: The fused embeddings of every product, title and picture together, under several titles and views: the name with the
#: library's picture, then its other titles with rendered views. Made with fusion's first weights (text and picture).
ITEM_FORMS = FOLDER / "item_forms.npz"


def item_embeddings(products: list[Product]) -> NDArray[np.float32]:
    """Fused embeddings, float32 [products, forms, 384] of unit length; form 0 is the one to serve.

    They are read from a file that stays: later fusions take this encoder's answers in, so that they can't be what it
    is trained on.

    Raises:
        ValueError: a product is not among them.
    """
    with np.load(ITEM_FORMS) as file:
        row = {str(name): i for i, name in enumerate(file["ids"])}
        embeddings = file["embeddings"]
    missing = [p.id for p in products if p.id not in row]
    if missing:
        raise ValueError(f"{ITEM_FORMS.name} lacks {len(missing)} products, {missing[0]!r} among them")
    return embeddings[[row[p.id] for p in products]].astype(np.float32)


def name_embeddings(products: list[Product], encoder: TextEncoder) -> NDArray[np.float32]:
    """Sentence embeddings of the names, [products, 1, 384]: what the fused ones are compared with."""
    return embed([p.name for p in products], encoder)[:, None]


@dataclass
class Histories:
    """Events of many shoppers end to end: `items`, `kinds`, `visits` int [n], `times` float [n], `ranks` [n] (the
    simulator's rank of the event's product), `starts` [shoppers + 1] into them; `following` [n]: the next other
    product, -1 where none comes.
    """

    items: NDArray[np.int64]
    kinds: NDArray[np.int64]
    visits: NDArray[np.int64]
    times: NDArray[np.float64]
    ranks: NDArray[np.int64]
    starts: NDArray[np.int64]
    following: NDArray[np.int64]

    @classmethod
    def simulate(cls, shop: Shop, numbers: range, seed: int = sessions.SEED) -> Histories:
        """Of the shoppers with these numbers."""
        shoppers = list(Simulator(shop, seed).shoppers(numbers))
        following = []
        for s in shoppers:
            first = np.searchsorted(s.visit, s.visit + 1)  # first event of the next visit
            following.append(np.where(first < len(s.items), s.items[np.minimum(first, len(s.items) - 1)], -1))
        return cls(
            items=np.concatenate([s.items for s in shoppers]),
            kinds=np.concatenate([s.kinds for s in shoppers]),
            visits=np.concatenate([s.visit for s in shoppers]),
            times=np.concatenate([s.times for s in shoppers]),
            ranks=np.concatenate([s.rank[s.visit] for s in shoppers]),
            starts=np.cumsum([0, *(len(s.items) for s in shoppers)]),
            following=np.concatenate(following),
        )

    @classmethod
    def cached(cls, name: str, shop: Shop, numbers: range, seed: int = sessions.SEED) -> Histories:
        """As :meth:`simulate`, once for each state of the simulation; `name` tells shops apart."""
        state = digest(Path(sessions.__file__), sessions.MISSIONS)
        folder = cache_folder() / "sessions"
        folder.mkdir(parents=True, exist_ok=True)
        parts = []
        for start in range(numbers.start, numbers.stop, AT_ONCE):
            some = range(start, min(start + AT_ONCE, numbers.stop))
            path = folder / f"{name}-{some.start}-{some.stop}-{seed}-{state}.npz"
            if not path.exists():
                np.savez(path, **vars(cls.simulate(shop, some, seed)))
            with np.load(path) as file:
                parts.append(cls(**file))
        return cls.join(parts)

    @classmethod
    def join(cls, parts: list[Histories]) -> Histories:
        """The shoppers of all parts."""
        shifts = np.cumsum([0, *(len(p.items) for p in parts)])
        starts = [p.starts[:-1] + shift for p, shift in zip(parts, shifts, strict=False)]
        columns = {n: np.concatenate([getattr(p, n) for p in parts]) for n in vars(parts[0]) if n != "starts"}
        return cls(**columns, starts=np.concatenate([*starts, shifts[-1:]]))

    def ends(self) -> list[NDArray[np.int64]]:
        """For each shopper the events that end a visit and have another product after them."""
        ends = np.flatnonzero((np.r_[self.following[1:], -2] != self.following) & (self.following >= 0))
        return [ends[(ends >= a) & (ends < b)] for a, b in zip(self.starts, self.starts[1:], strict=False)]

    def window(self, ends: NDArray[np.int64], wait: NDArray[np.float64]) -> Window:
        """The last events up to `ends` [B], each looked at after a share `wait` [B] of the pause before the next."""
        start = self.starts[np.searchsorted(self.starts, ends, "right") - 1]
        rows = ends[:, None] + np.arange(1 - MAX_EVENTS, 1)
        mask = rows >= start[:, None]
        # To the front, so that the padding comes last; batches are cut to their longest.
        shift = (~mask).sum(1)
        longest = MAX_EVENTS - shift.min()
        rows = rows + shift[:, None]
        rows, mask = rows[:, :longest], rows[:, :longest] <= ends[:, None]
        rows = np.where(mask, rows, ends[:, None])
        pause = self.times[np.minimum(ends + 1, len(self.times) - 1)] - self.times[ends]
        now = self.times[ends] + np.clip(pause, 0, None) * wait
        return Window(
            torch.from_numpy(self.items[rows]),
            torch.from_numpy(self.kinds[rows]),
            torch.from_numpy((now[:, None] - self.times[rows]).astype(np.float32)),
            torch.from_numpy(mask.astype(np.float32)),
            torch.from_numpy(np.where(mask, self.following[rows], -1)),
        )


@dataclass
class Window:
    """A batch of histories, oldest event first, padded at the end: all [B, E]."""

    items: Tensor
    kinds: Tensor
    ages: Tensor
    mask: Tensor
    following: Tensor


@dataclass
class Data:
    """`items` [P, forms, 384]; `trained` [N] products that are trained on; `histories` and `ends` to draw from.

    `kinds`, `times`: False hides them from the network, for the ablations.
    """

    items: Tensor
    trained: Tensor
    histories: Histories
    ends: list[NDArray[np.int64]]
    kinds: bool = True
    times: bool = True

    @classmethod
    def create(cls, items: NDArray[np.float32], products: list[Product], histories: Histories) -> Data:
        trained = torch.tensor([i for i, p in enumerate(products) if not p.held_out])
        ends = [e for e in histories.ends() if len(e)]
        return cls(torch.from_numpy(items), trained, histories, ends)

    def hide(self, window: Window) -> tuple[Tensor, Tensor]:
        """Kinds and ages as the network shall see them."""
        kinds = window.kinds if self.kinds else torch.zeros_like(window.kinds)
        return kinds, window.ages if self.times else torch.zeros_like(window.ages)


class World:
    """The catalogue's products with their embeddings, and the histories of training and of both tests."""

    def __init__(self, products: list[Product], encoder: TextEncoder) -> None:
        self.products = products
        self.items = item_embeddings(products)
        self.names = name_embeddings(products, encoder)
        self.held_out = np.array([p.held_out for p in products])
        known, all_products = Shop.read(products), Shop.read(products, with_held_out=True)
        self.training = Histories.cached("known", known, range(SHOPPERS))
        self.tests = {
            "new shoppers": Histories.cached("known", known, range(SHOPPERS, SHOPPERS + TESTED)),
            "new shoppers, new products": Histories.cached("all", all_products, range(SHOPPERS, SHOPPERS + TESTED)),
        }

    def data(self, **changes: Any) -> Data:
        """What a variant is trained on."""
        items = self.names if changes.pop("items", None) == "names" else self.items
        return replace(Data.create(items, self.products, self.training), **changes)


class Objective(nn.Module):
    """The network with its losses, as one module so that it can be spread over devices."""

    def __init__(self, network: BehaviorEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        events: tuple[Tensor, Tensor, Tensor, Tensor],
        current: Tensor,
        following: Tensor,
        asked: Tensor,
        ahead: Tensor,
        bank: Tensor,
    ) -> dict[str, Tensor]:
        """`events` as the network takes them; `current`, `following` [B, E] into `bank` [N, 384], -1 for none;
        `asked` [n] of the flattened events; `ahead` [B, AHEAD] into the bank, -1 for none."""
        items, kinds, ages, mask = events
        network, batch = self.network, len(items)
        states = network.states(items, kinds, ages, mask)
        scale = network.scale.exp().clamp(max=60)
        embedding = network.following(states, items, mask).flatten(0, 1)[asked]
        logits = scale * embedding @ bank.T
        now = current.flatten()[asked]
        logits = logits - 1e4 * F.one_hot(now.clamp(min=0), len(bank)) * (now >= 0).unsqueeze(1)
        newest = mask.sum(1).long() - 1
        last = states[torch.arange(batch), newest]
        tokens = network.tokens(states, last, items, mask)
        nearest = scale * (tokens @ bank.T).amax(1)
        log = nearest.log_softmax(-1).gather(1, ahead.clamp(min=0))
        there = (ahead >= 0).float()
        return {
            "next": F.cross_entropy(logits, following.flatten()[asked]),
            "interests": -0.3 * (log * there).sum() / there.sum().clamp(min=1),
        }


def losses(data: Data) -> Callable[[nn.Module, np.random.Generator, torch.device], dict[str, Tensor]]:
    """One step's terms on shoppers drawn at random, each cut at one of the visits."""
    place = torch.full((len(data.items),), -1)
    place[data.trained] = torch.arange(len(data.trained))

    def draw(objective: nn.Module, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        chosen = rng.choice(len(data.ends), PLAN.batch, replace=len(data.ends) < PLAN.batch)
        # Late cuts, since every earlier event is asked about as well.
        ends = np.array([data.ends[i][-1 - int(len(data.ends[i]) * rng.random() ** 2 * 0.99)] for i in chosen])
        wait = np.where(rng.random(len(ends)) < 0.5, 1.0, rng.random(len(ends)))
        window = data.histories.window(ends, wait)
        form = torch.from_numpy(rng.integers(data.items.shape[1], size=window.items.shape))
        kinds, ages = data.hide(window)
        inputs = data.items[window.items, form], kinds, ages, window.mask
        possible = np.flatnonzero((window.following >= 0).numpy().ravel())
        asked = torch.from_numpy(rng.choice(possible, min(ASKED, len(possible)), replace=False))
        following = torch.where(window.following >= 0, place[window.following], -1)
        bank = data.items[data.trained, rng.integers(data.items.shape[1])]
        ahead = place[next_few(data.histories, ends)]
        tensors = place[window.items], following, asked, ahead, bank
        return objective(tuple(t.to(device) for t in inputs), *(t.to(device) for t in tensors))

    return draw


def next_few(histories: Histories, ends: NDArray[np.int64]) -> Tensor:
    """The products of the next few visits after each of `ends` [B]: [B, AHEAD]; the last repeats where fewer come."""
    shopper = np.searchsorted(histories.starts, ends, "right") - 1
    found = np.empty((len(ends), AHEAD), np.int64)
    for row, (end, who) in enumerate(zip(ends, shopper, strict=True)):
        stop = histories.starts[who + 1]
        visits = histories.visits[end + 1 : stop]
        items = histories.items[end + 1 : stop][np.r_[True, visits[1:] != visits[:-1]]][:AHEAD]
        found[row] = np.pad(items, (0, AHEAD - len(items)), mode="edge")
    return torch.from_numpy(found)


def train(
    network: BehaviorEncoder, data: Data, checkpoint: Path, report: Callable[[int, str], None], plan: Plan = PLAN
) -> BehaviorEncoder:
    """The trained network; goes on from `checkpoint`."""
    return minimise(Objective(network), losses(data), plan, checkpoint, report).network


def load(path: Path) -> BehaviorEncoder:
    """The network with the weights that `python -m training behavior` wrote, in float32."""
    return restore(BehaviorEncoder(), path)


def fingerprint() -> str:
    """Changes with what a training run depends on."""
    network = REPOSITORY / "networks" / "behavior_encoder.py"
    return digest(Path(__file__), Path(sessions.__file__), sessions.MISSIONS, network, ITEM_FORMS)

"""What the behaviour encoder gets right: the next other product among all of the catalogue, beside simple rules.

Every method scores all products; the product of the moment is left out. Hit@10 is the share of cases with the right
one among the first ten, NDCG@10 also counts its place (1 / log2(place + 1)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.behavior_encoder import HIDDEN, BehaviorEncoder
from training.behavior.encoder import Data, Histories

#: Cases of each test shopper.
CASES = 4
RECENT = 10  # products that co-occurrence looks back on
FADE = 0.8
CHUNK = 128


class RecurrentEncoder(BehaviorEncoder):
    """The same network with a GRU in place of attention between events (GRU4Rec, Hidasi et al. 2016,
    arXiv:1511.06939); only for the comparison, since its padding must come last."""

    def __init__(self, hidden: int = HIDDEN) -> None:
        super().__init__(hidden=hidden)
        self.layers = nn.ModuleList()
        self.recurrent = nn.GRU(hidden, 2 * hidden, batch_first=True)
        self.narrow = nn.Linear(2 * hidden, hidden)

    def sequence(self, x: Tensor, ages: Tensor, mask: Tensor) -> Tensor:
        return x + self.narrow(self.recurrent(x)[0])


@dataclass
class Cases:
    """`ends` [n]: events after which is asked; `target` and `current` [n] products; `bound` [n]: the simulator's own
    rank of the target."""

    histories: Histories
    ends: NDArray[np.int64]
    target: NDArray[np.int64]
    current: NDArray[np.int64]
    bound: NDArray[np.int64]

    @classmethod
    def create(cls, histories: Histories, seed: int = 3) -> Cases:
        rng = np.random.default_rng(seed)
        chosen = [rng.choice(e, min(CASES, len(e)), replace=False) for e in histories.ends() if len(e)]
        ends = np.sort(np.concatenate(chosen))
        return cls(histories, ends, histories.following[ends], histories.items[ends], histories.ranks[ends + 1])

    def seen(self, row: int) -> NDArray[np.int64]:
        """The products visited up to a case, oldest first."""
        end = self.ends[row]
        start = self.histories.starts[np.searchsorted(self.histories.starts, end, "right") - 1]
        visits = self.histories.visits[start : end + 1]
        return self.histories.items[start : end + 1][np.r_[True, visits[1:] != visits[:-1]]]


def ranks(scores: NDArray[np.float32], cases: Cases) -> NDArray[np.float64]:
    """The place of each target under scores [n, P], from 0; products of one score share the middle place."""
    scores = scores.copy()
    rows = np.arange(len(scores))
    scores[rows, cases.current] = -np.inf
    own = scores[rows, cases.target][:, None]
    return (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2


def figures(places: NDArray[np.float64]) -> dict[str, float]:
    """Hit and NDCG among the first ten."""
    hit = places < 10
    return {"hit@10": float(hit.mean()), "ndcg@10": float(np.where(hit, 1 / np.log2(places + 2), 0).mean())}


@torch.inference_mode()
def encode(
    network: BehaviorEncoder, data: Data, histories: Histories, ends: NDArray[np.int64], wait: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Embedding [n, 384] and tokens [n, 8, 384] after each of `ends`, `wait` of the pause later."""
    parts = []
    for start in range(0, len(ends), CHUNK):
        some = ends[start : start + CHUNK]
        window = histories.window(some, np.full(len(some), wait))
        kinds, ages = data.hide(window)
        parts.append(network(data.items[window.items, 0], kinds, ages, window.mask))
    embeddings, tokens = zip(*parts, strict=True)
    return torch.cat(embeddings), torch.cat(tokens)


class Rules:
    """The simple ways, fitted on the training histories: each gives scores [n, P]."""

    def __init__(self, items: NDArray[np.float32], histories: Histories) -> None:
        self.items = items[:, 0]
        count = len(items)
        self.visited = np.zeros(count)
        self.next = np.zeros((count, count))
        self.together = np.zeros((count, count))
        for start, stop in zip(histories.starts, histories.starts[1:], strict=False):
            visits = histories.visits[start:stop]
            products = histories.items[start:stop][np.r_[True, visits[1:] != visits[:-1]]]
            np.add.at(self.visited, products, 1)
            np.add.at(self.next, (products[:-1], products[1:]), 1)
            for gap in range(1, RECENT):
                one, other = products[:-gap], products[gap:]
                np.add.at(self.together, (one, other), FADE**gap)
                np.add.at(self.together, (other, one), FADE**gap)
        size = np.sqrt(self.visited + 1)
        self.alike = self.together / size[:, None] / size[None]

    def popularity(self, cases: Cases) -> NDArray[np.float64]:
        return np.tile(self.visited, (len(cases.ends), 1))

    def last(self, cases: Cases) -> NDArray[np.float64]:
        return self.items[cases.current] @ self.items.T

    def mean(self, cases: Cases) -> NDArray[np.float64]:
        return np.stack([self.items[cases.seen(row)].mean(0) for row in range(len(cases.ends))]) @ self.items.T

    def transitions(self, cases: Cases) -> NDArray[np.float64]:
        return self.next[cases.current] + 1e-3 * self.visited / self.visited.max()

    def cooccurrence(self, cases: Cases) -> NDArray[np.float64]:
        scores = np.zeros((len(cases.ends), len(self.items)))
        for row in range(len(scores)):
            recent = cases.seen(row)[::-1][:RECENT]
            scores[row] = FADE ** np.arange(len(recent)) @ self.alike[recent]
        return scores


RULES = {
    "popularity": Rules.popularity,
    "nearest to the last": Rules.last,
    "nearest to the mean": Rules.mean,
    "what followed the last (Markov)": Rules.transitions,
    "co-occurrence (item-kNN)": Rules.cooccurrence,
}


def compare(cases: Cases, scores: dict[str, NDArray], held_out: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
    """set → method → figures: over all cases and, where there are some, over those whose target is held out."""
    found = {}
    for name, rows in (("all", np.ones(len(cases.ends), bool)), ("held-out targets", held_out[cases.target])):
        if rows.any():
            by_method = {method: figures(ranks(s, cases)[rows]) for method, s in scores.items()}
            bound = {"the simulator itself (bound)": figures(cases.bound[rows].astype(float))}
            found[name] = {"cases": int(rows.sum()), "methods": by_method | bound}
    return found

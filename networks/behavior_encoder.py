"""Behaviour encoder: what a shopper did → the products that are likely to come next, in the fused space.

A causal transformer over events after SASRec (Kang & McAuley 2018, arXiv:1808.09781), with three differences: products
enter as embeddings and not as ids, so that products never trained on can be read and ranked; each event has a kind and
a time, from which come how long the shopper stayed and a bias that lets attention fade with time; and the answer is a
weighted sum of the products seen plus a learned step, so that it lies in the products' own space. The tokens are eight
interests, each an attention over the events (after ComiRec, Cen et al. 2020, arXiv:2005.09347).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 384  # of the reference encoders' space
TOKENS = 8
MAX_EVENTS = 64
KINDS = ("view", "click", "favourite", "cart", "buy")
HIDDEN = 128
HEADS = 4
LAYERS = 2
#: Knots over log(1 + seconds): the last is 36 days.
TIME_KNOTS = 16
#: What attention knows of two events: events between them, whether they are one or neighbours, time between them.
BIASES = 4
_FAR = 1e4  # taken off masked scores; finite, since a row of infinities would give NaN


def unit(x: Tensor) -> Tensor:
    """`x` over its length along the last axis; zero stays zero."""
    return F.normalize(x, dim=-1, eps=1e-6)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis where mask is one; zero where it is zero, also in rows that are all zero."""
    return (scores + (mask - 1) * _FAR).softmax(-1) * mask


class Layer(nn.Module):
    """Pre-norm causal attention with a bias for distance and time, then a feed-forward network."""

    def __init__(self, width: int = HIDDEN) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Linear(BIASES, HEADS, bias=False)
        self.drop = nn.Dropout(0.1)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, seen: Tensor, apart: Tensor) -> Tensor:
        """x [B, E, H]; `seen` [B, E, E] one where a row may look; `apart` [B, E, E, BIASES] what lies between."""
        batch, events, width = x.shape
        query, key, value = (
            part.reshape(batch, events, HEADS, width // HEADS).transpose(1, 2)
            for part in self.project(self.norm(x)).chunk(3, -1)
        )
        scores = query @ key.transpose(2, 3) / (width // HEADS) ** 0.5 + self.bias(apart).permute(0, 3, 1, 2)
        weights = self.drop(masked_softmax(scores, seen.unsqueeze(1)))
        x = x + self.drop(self.out((weights @ value).transpose(1, 2).reshape(batch, events, width)))
        return x + self.drop(self.feed(x))


class BehaviorEncoder(nn.Module):
    """Events, oldest first, → embedding [B, D] and tokens [B, 8, D], all of unit length.

    `width` is D, of the items' embeddings.
    """

    def __init__(self, width: int = WIDTH, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.item = nn.Linear(width, hidden)
        self.kind = nn.Embedding(len(KINDS), hidden)
        self.stay = nn.Linear(TIME_KNOTS, hidden, bias=False)
        self.layers = nn.ModuleList(Layer(hidden) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(hidden)
        self.copy_query = nn.Linear(hidden, HEADS * 32)
        self.copy_key = nn.Linear(hidden, HEADS * 32)
        self.copy_share = nn.Linear(hidden, HEADS)
        self.step = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, width))
        self.interests = nn.Parameter(torch.randn(TOKENS, hidden) * 0.3)
        self.interest_query = nn.Linear(hidden, hidden)
        self.interest_key = nn.Linear(hidden, hidden)
        self.interest_step = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, width))
        #: Logarithm of what dot products are scaled by where they are compared.
        self.scale = nn.Parameter(torch.tensor(2.7))

    def sequence(self, x: Tensor, ages: Tensor, mask: Tensor) -> Tensor:
        """x [B, E, H] → states [B, E, H], each knowing its own and earlier events only."""
        seen, distance = _order(mask)
        elapsed = (ages.unsqueeze(1) - ages.unsqueeze(2)).clamp(min=0).log1p()
        itself, neighbour = ((distance - far).abs() < 0.5 for far in (0, 1))
        apart = torch.stack([distance.log1p(), itself.to(x.dtype), neighbour.to(x.dtype), elapsed / 4], -1)
        for layer in self.layers:
            x = layer(x, seen, apart)
        return x

    def states(self, items: Tensor, kinds: Tensor, ages: Tensor, mask: Tensor) -> Tensor:
        """What each event means after those before it: [B, E, H]."""
        x = (
            self.item(items * items.shape[-1] ** 0.5 * 0.5)
            + self.kind(kinds.clamp(0, len(KINDS) - 1))
            + self.stay(_stay(ages, mask))
        )
        return self.norm(self.sequence(x, ages, mask))

    def following(self, states: Tensor, items: Tensor, mask: Tensor) -> Tensor:
        """The unit embedding [B, E, D] of what comes after each event."""
        batch, events, _ = states.shape
        query, key = (
            layer(states).reshape(batch, events, HEADS, 32).transpose(1, 2)
            for layer in (self.copy_query, self.copy_key)
        )
        weights = masked_softmax(query @ key.transpose(2, 3) / 32**0.5, _order(mask)[0].unsqueeze(1))
        shares = self.copy_share(states).transpose(1, 2).unsqueeze(-1)
        return unit((weights * shares).sum(1) @ items + self.step(states))

    def tokens(self, states: Tensor, last: Tensor, items: Tensor, mask: Tensor) -> Tensor:
        """Eight interests [B, 8, D] out of the events where `mask` [B, E] is one; `last` [B, H] is the newest's."""
        query = self.interests + self.interest_query(last).unsqueeze(1)
        scores = query @ self.interest_key(states).transpose(1, 2) / states.shape[-1] ** 0.5
        weights = masked_softmax(scores, mask.unsqueeze(1))
        return unit(weights @ items + self.interest_step(weights @ states + query))

    def forward(
        self, item_embeddings: Tensor, event_kinds: Tensor, event_ages: Tensor, event_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """item_embeddings [B, E, D], kinds int64, ages in seconds and mask [B, E] → [B, D] and [B, 8, D].

        Masked events may stand anywhere and change nothing; ages fall from event to event.
        """
        items, ages = item_embeddings * event_mask.unsqueeze(-1), event_ages * event_mask
        states = self.states(items, event_kinds, ages, event_mask)
        newest = (event_mask * (_order(event_mask)[1].amax(1) == 0)).unsqueeze(1)
        embedding = (newest @ self.following(states, items, event_mask)).squeeze(1)
        return unit(embedding), self.tokens(states, (newest @ states).squeeze(1), items, event_mask)


def _order(mask: Tensor) -> tuple[Tensor, Tensor]:
    """For mask [B, E]: what each event may look at [B, E, E], and how many events back it lies."""
    index = torch.arange(mask.shape[1], device=mask.device)
    before = (index.unsqueeze(1) >= index.unsqueeze(0)).to(mask.dtype)  # row may look at column
    number = mask @ before.T  # of an event among those that count
    distance = number.unsqueeze(2) - number.unsqueeze(1)
    seen = before * mask.unsqueeze(1) * mask.unsqueeze(2)
    return seen, distance * seen


def _stay(ages: Tensor, mask: Tensor) -> Tensor:
    """How long until the next event, or until now after the newest: [B, E, TIME_KNOTS], linear between knots."""
    index = torch.arange(ages.shape[1], device=ages.device)
    later = (index.unsqueeze(1) < index.unsqueeze(0)).to(ages.dtype) * mask.unsqueeze(1)
    until = (ages - (later * ages.unsqueeze(1)).amax(-1)).clamp(min=0).log1p()
    knots = torch.arange(TIME_KNOTS, device=ages.device, dtype=ages.dtype)
    return (1 - (until.clamp(max=TIME_KNOTS - 1).unsqueeze(-1) - knots).abs()).clamp(min=0) * mask.unsqueeze(-1)

"""Choosing the next token: greedy, or drawn with temperature, top-k and top-p from the request's own generator."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

import numpy as np

from stages.errors import StageError, invalid, too_large

MAX_TEMPERATURE = 5.0
MAX_PENALTY = 10.0
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Sampling:
    """How a request wants its tokens chosen. Checked when it is made.

    Args:
        temperature: 0 (greedy) to 5.
        top_p: above 0, to 1 (off): the fewest tokens whose probability reaches it (Holtzman et al. 2020).
        top_k: that many best tokens; 0 is off.
        repetition_penalty: above 0, to 10; 1 is off. Divides the logits of tokens that the answer already holds
            (Keskar et al. 2019). Tokens of the prompt are not counted: the copy is meant to name the product.
        seed: 0 to 2^63 - 1 of the request's own generator; None draws one.

    Raises:
        StageError: invalid_input or too_large, with the field and its limit.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _within("TEMPERATURE", self.temperature, 0.0, MAX_TEMPERATURE)
        _within("TOP_P", self.top_p, 0.0, 1.0, open_below=True)
        _within("REPETITION_PENALTY", self.repetition_penalty, 0.0, MAX_PENALTY, open_below=True)
        if self.top_k < 0:
            raise invalid("TOP_K", f"{self.top_k} is below 0; send a number of tokens, or 0 for all")
        if self.seed is not None and not 0 <= self.seed <= MAX_SEED:
            raise invalid("SEED", f"{self.seed} is outside 0 to {MAX_SEED}")


def _within(field: str, value: float, least: float, most: float, open_below: bool = False) -> None:
    span = f"{'above ' if open_below else ''}{least:g} to {most:g}"
    if not math.isfinite(value):
        raise invalid(field, f"{value} is not a finite number; send one from {span}")
    if value > most:
        raise too_large(field, f"{value:g} is over the limit; send a number from {span}")
    if value < least or (open_below and value == least):
        raise invalid(field, f"{value:g} is too small; send a number from {span}")


class Sampler:
    """One request's choices; holds its generator and the tokens it has written."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._rng = np.random.default_rng(seed)
        self._written: dict[int, None] = {}

    def pick(self, logits: np.ndarray) -> int:
        """The next token.

        Args:
            logits: FP32 [vocabulary]; may be changed.

        Raises:
            StageError: internal; the network gave NaN or Inf.
        """
        penalty = self.sampling.repetition_penalty
        if penalty != 1.0 and self._written:
            seen = list(self._written)
            values = logits[seen]
            logits[seen] = np.where(values > 0, values / penalty, values * penalty)
        best = int(logits.argmax())  # NaN counts as the largest
        if not math.isfinite(logits[best]):
            raise StageError("internal", "-", f"the network gave {logits[best]} as a logit")
        token = best if self.sampling.temperature == 0 else self._draw(logits, float(logits[best]))
        self._written[token] = None
        return token

    def _draw(self, logits: np.ndarray, best: float) -> int:
        """One draw among the tokens that top-k and then top-p leave."""
        options = self.sampling
        tokens = top(logits, options.top_k) if 0 < options.top_k < len(logits) else None
        exponents = ((logits if tokens is None else logits[tokens]) - best) / np.float32(options.temperature)
        weights = np.exp(exponents)
        if options.top_p < 1.0:
            kept = nucleus(exponents, weights, options.top_p)
            tokens = kept if tokens is None else tokens[kept]
            weights = weights[kept]
        bounds = np.cumsum(weights, dtype=np.float64)
        place = int(np.searchsorted(bounds, self._rng.random() * bounds[-1], side="right"))
        place = min(place, len(bounds) - 1)
        return place if tokens is None else int(tokens[place])


def nucleus(exponents: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """Places of the fewest weights whose sum is at least `share` of all, in no particular order.

    Sorting a whole vocabulary takes ten milliseconds where it is flat, for which every other row would wait. So the
    weights are put into bins by size, and only the bin that the share ends in is sorted.

    Args:
        exponents: FP32 [n], natural logarithms of the weights, 0 the largest.
        weights: FP32 [n].
    """
    bins, depth = 2048, 64.0  # beyond e^-64 nothing is left of a share
    place = np.minimum(exponents * np.float32(-bins / depth), bins - 1).astype(np.int32)
    sums = np.cumsum(np.bincount(place, weights, bins))
    edge = int(np.searchsorted(sums, share * sums[-1]))
    above = np.flatnonzero(place < edge)
    there = np.flatnonzero(place == edge)
    there = there[np.argsort(-weights[there], kind="stable")]
    short = share * sums[-1] - (sums[edge - 1] if edge else 0.0)
    return np.concatenate([above, there[: int(np.searchsorted(np.cumsum(weights[there]), short)) + 1]])


def top(logits: np.ndarray, many: int) -> np.ndarray:
    """The `many` best tokens, best first, the lower id first among equals.

    The `many`-th best of the blocks' maxima bounds the `many`-th best logit from below, so most of the vocabulary is
    put aside by one comparison: ten times faster than partitioning all of it.
    """
    block = 64
    whole = len(logits) // block * block
    if many >= whole // block:
        return np.argsort(-logits, kind="stable")[:many]
    maxima = logits[:whole].reshape(-1, block).max(1)
    tokens = np.flatnonzero(logits >= np.partition(maxima, -many)[-many])
    return tokens[np.argsort(-logits[tokens], kind="stable")[:many]]

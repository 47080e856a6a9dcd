"""Shopping sessions simulated from the catalogue: nobody's real behaviour, but with the traits that shops report.

A shopper has lasting tastes (errands they run often, colours, makers, a price level, how choosy they are) and an
errand of the moment out of `data/missions.yaml`. Within an errand they compare the goods of one step until one goes
into the cart or they give up, then turn to what goes with it (a desk, then a chair, then a lamp); they come back to
favourites, drop an errand for another, take it up again in a later session, and now and then open something that is
merely popular. Products differ in popularity by a power law (Zipf). Each visit to a product runs down the funnel
view → click → favourite or cart → buy as far as the product suits the shopper, who also stays longer on what suits.

So the last product alone does not tell what comes next (an errand moves on once something is in the cart), nor does
popularity; what was clicked rather than only seen tells the taste, and pauses tell where a new errand may begin.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import yaml
from numpy.typing import NDArray

from training.catalogue.products import Product
from training.catalogue.views import icon_picture
from training.common.files import DATA

MISSIONS = DATA / "missions.yaml"
KINDS = ("view", "click", "favourite", "cart", "buy")
VIEW, CLICK, FAVOURITE, CART, BUY = range(len(KINDS))

SEED = 11
ZIPF = 0.8  # popularity of the r-th product: r ** -ZIPF
NOISE = 0.07  # visits to something merely popular
RETURN = 0.12  # visits back to a favourite or a cart
SWITCH = 0.06  # an errand dropped within a session
RESUME = 0.6  # a later session takes up the errand where it stood
IN_ORDER = 0.7  # the next step is the one listed next; else any other step of the errand
VISITS = 7.0  # a session, on average
PATIENCE = 5  # goods of one step looked at before giving up becomes likely
HOUR, DAY = 3600.0, 86400.0

COLOURS = ("black", "white", "grey", "brown", "red", "yellow", "green", "blue")


def colour(product: Product) -> int:
    """The main colour of the library's picture, an index of :data:`COLOURS`."""
    pixels = np.asarray(icon_picture(product).resize((32, 32)), np.float64).reshape(-1, 3) / 255
    shown = pixels[(pixels < 0.97).any(1)]
    red, green, blue = shown.mean(0) if len(shown) else (1.0, 1.0, 1.0)
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if saturation < 0.15 or value < 0.2:
        return 0 if value < 0.35 else 2 if value < 0.7 else 1
    if hue < 0.12 or hue > 0.95:
        return 4 if saturation > 0.55 and value > 0.45 else 3
    return 5 if hue < 0.2 else 6 if hue < 0.45 else 7


@dataclass(frozen=True)
class Shop:
    """The catalogue as the simulation sees it.

    P products: `popularity` [P], `colours`, `makers` and `prices` int [P]; `missions`: for each errand its steps, each
    the products [n] in it; `open` [P]: which products are on offer.
    """

    popularity: NDArray[np.float64]
    colours: NDArray[np.int64]
    makers: NDArray[np.int64]
    prices: NDArray[np.int64]
    missions: tuple[tuple[NDArray[np.int64], ...], ...]
    open: NDArray[np.bool_]

    @classmethod
    def read(cls, products: list[Product], with_held_out: bool = False, zipf: float = ZIPF) -> Shop:
        """Of the catalogue's products; held-out ones are on offer only where asked for."""
        offered = np.array([with_held_out or not p.held_out for p in products])
        # By the key, so that it does not hang on the order of the catalogue.
        ranks = np.argsort(np.argsort([int(p.key, 16) for p in products]))
        libraries = sorted({p.library for p in products})
        texts = [f"{p.name}|{p.category}" for p in products]
        steps = [
            [[i for i, t in enumerate(texts) if offered[i] and re.search(pattern, t, re.IGNORECASE)] for pattern in m]
            for m in [list(s.values()) for s in yaml.safe_load(MISSIONS.read_text()).values()]
        ]
        met = {i for mission in steps for step in mission for i in step}
        by_category: dict[str, list[int]] = {}
        for i, product in enumerate(products):
            if offered[i] and i not in met:
                by_category.setdefault(product.category, []).append(i)
        steps += [[rest] for rest in by_category.values()]
        return cls(
            popularity=(ranks + 1.0) ** -zipf,
            colours=np.array([colour(p) for p in products]),
            makers=np.array([libraries.index(p.library) for p in products]),
            prices=np.array([int(p.key[-2:], 16) % 3 for p in products]),
            missions=tuple(tuple(np.array(s) for s in m if s) for m in steps),
            open=offered,
        )


@dataclass
class Shopper:
    """Events of one shopper, oldest first.

    `items`, `kinds` int [n], `times` float [n] in seconds since the first event; `visit` [n] counts the visits to
    products; `rank` [visits]: the place of the visited product when all others are ranked by the simulator's own
    probabilities, the errand of the moment known (an upper bound for any model).
    """

    items: NDArray[np.int64]
    kinds: NDArray[np.int64]
    times: NDArray[np.float64]
    visit: NDArray[np.int64]
    rank: NDArray[np.int64]


@dataclass
class _State:
    """Where a shopper stands in an errand."""

    mission: int = 0
    step: int = 0
    done: set[int] = field(default_factory=set)
    looked: int = 0
    kept: list[int] = field(default_factory=list)


class Simulator:
    """Shoppers of one shop; a shopper is fixed by the seed and its number."""

    def __init__(self, shop: Shop, seed: int = SEED) -> None:
        self.shop = shop
        self.seed = seed
        popular = shop.popularity * shop.open
        self.popular = NOISE * popular / popular.sum()

    def shopper(self, number: int) -> Shopper:
        """Simulates one shopper: two to eight sessions over some weeks."""
        rng = np.random.default_rng([self.seed, number])
        shop = self.shop
        liking = 1.0 * rng.standard_normal(len(COLOURS))[shop.colours]
        liking += 0.8 * rng.standard_normal(shop.makers.max() + 1)[shop.makers]
        liking += 0.5 * rng.standard_normal(3)[shop.prices]
        pull = shop.popularity * np.exp(liking) * shop.open
        errands = rng.dirichlet(np.full(len(shop.missions), 0.25))
        choosy = rng.normal(0.6, 0.4)
        log = _Log()
        state = self._begin(errands, rng)
        now = 0.0
        for session in range(rng.integers(2, 9)):
            if session and rng.random() > RESUME:
                state = self._begin(errands, rng)
            for _ in range(1 + rng.poisson(VISITS - 1)):
                if rng.random() < SWITCH:
                    state = self._begin(errands, rng)
                chances = self._chances(state, pull, log)
                item = int(np.searchsorted(np.cumsum(chances), rng.random() * chances.sum(), "right"))
                log.rank.append(int((chances > chances[item]).sum()))
                suits = 1 / (1 + np.exp(-(liking[item] - choosy + 0.7 * rng.standard_normal())))
                now = self._visit(item, suits, now, state, log, rng)
                self._move_on(state, rng)
            now += rng.lognormal(np.log(1.5 * DAY), 1.0)
        arrays = (np.array(x) for x in (log.items, log.kinds, log.times, log.visit, log.rank))
        return Shopper(*arrays)

    def shoppers(self, numbers: range) -> Iterator[Shopper]:
        """Many, in order."""
        return map(self.shopper, numbers)

    def _begin(self, errands: NDArray[np.float64], rng: np.random.Generator) -> _State:
        mission = int(rng.choice(len(errands), p=errands))
        steps = len(self.shop.missions[mission])
        step = 0 if rng.random() < IN_ORDER else int(rng.integers(steps))
        return _State(mission, step)

    def _chances(self, state: _State, pull: NDArray[np.float64], log: _Log) -> NDArray[np.float64]:
        """How likely [P] each product is to be visited next; the sum is about one."""
        shop = self.shop
        chances = self.popular.copy()
        kept = [i for i in state.kept if i != log.last]
        for item in kept:
            chances[item] += RETURN / len(kept)
        step = shop.missions[state.mission][state.step]
        weights = pull[step].copy()
        weights[[i in log.seen for i in step.tolist()]] *= 0.15
        weights[step == log.last] = 0
        share = 1 - NOISE - (RETURN if kept else 0)
        if weights.sum() > 0:
            chances[step] += share * weights / weights.sum()  # a product stands once in a step
        if log.last >= 0:
            chances[log.last] = 0
        return chances

    def _visit(self, item: int, suits: float, now: float, state: _State, log: _Log, rng: np.random.Generator) -> float:
        """Runs down the funnel as far as the product suits; returns the time at its end."""
        log.visits += 1
        log.add(item, VIEW, now)
        if rng.random() > 0.25 + 0.75 * suits:
            return now + rng.lognormal(np.log(3), 0.6)
        now += rng.lognormal(np.log(4), 0.6)
        log.add(item, CLICK, now)
        now += rng.lognormal(np.log(8 + 70 * suits), 0.6)
        if rng.random() < 0.45 * suits:
            log.add(item, FAVOURITE, now)
            state.kept.append(item)
            now += rng.lognormal(np.log(10), 0.6)
        wanted = suits * (1.6 if item in log.favourites else 1.0)
        if rng.random() < 0.5 * wanted:
            log.add(item, CART, now)
            now += rng.lognormal(np.log(15), 0.8)
            state.done.add(state.step)
            if rng.random() < 0.45:
                log.add(item, BUY, now)
                now += rng.lognormal(np.log(40), 0.6)
                state.kept = [i for i in state.kept if i != item]
            else:
                state.kept.append(item)
        return now

    def _move_on(self, state: _State, rng: np.random.Generator) -> None:
        """To the next step, where this one is done or patience is at its end."""
        state.looked += 1
        tired = state.looked >= PATIENCE and rng.random() < 0.4
        if state.step not in state.done and not tired:
            return
        steps = len(self.shop.missions[state.mission])
        state.looked = 0
        following = (state.step + 1) % steps
        left = [s for s in range(steps) if s not in state.done and s != state.step]
        if not left:
            state.done = {state.step}
            left = [s for s in range(steps) if s != state.step] or [state.step]
        state.step = following if following in left and rng.random() < IN_ORDER else int(rng.choice(left))


class _Log:
    """What happened so far."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.kinds: list[int] = []
        self.times: list[float] = []
        self.visit: list[int] = []
        self.rank: list[int] = []
        self.seen: set[int] = set()
        self.favourites: set[int] = set()
        self.visits = -1
        self.last = -1

    def add(self, item: int, kind: int, now: float) -> None:
        self.items.append(item)
        self.kinds.append(kind)
        self.times.append(now)
        self.visit.append(self.visits)
        self.seen.add(item)
        self.last = item
        if kind == FAVOURITE:
            self.favourites.add(item)

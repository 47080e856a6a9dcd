"""Every output of a product as a call of its own, begun as soon as what it is made of is there.

Both clients go by the same steps, `Vitrina` in threads and `AsyncVitrina` in tasks: the text comes before the clip, and
an output that fails takes along only what is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal

from vitrina_client import _flows as flows
from vitrina_client import _requests as core
from vitrina_client._errors import InvalidInput, VitrinaError
from vitrina_client._options import TextOptions
from vitrina_client._steps import CallPolicy, Flow
from vitrina_client._types import OUTPUTS, Array, Aspect, Background, Media, Output, Product, Result

Name = Output | Literal["condition"]


@dataclass(frozen=True)
class Step:
    """One call: it waits for `needs`, and fails with them; it waits for `after` too, and goes on without them."""

    make: Callable[[], Flow[Any]]
    needs: frozenset[Name] = frozenset()
    after: frozenset[Name] = frozenset()


@dataclass
class Work:
    """The steps of one product, and how far they are.

    Attributes:
        steps: those that have not begun, by name.
        made: values of those that have ended well.
        ended: names of all that have ended.
    """

    want: frozenset[Output]
    steps: dict[Name, Step] = field(default_factory=dict)
    made: dict[Name, Any] = field(default_factory=dict)
    ended: set[Name] = field(default_factory=set)
    began: float = field(default_factory=monotonic)

    def ready(self) -> list[tuple[Name, Flow[Any]]]:
        """The calls that can begin now."""
        names = [n for n, step in self.steps.items() if step.needs <= self.made.keys() and step.after <= self.ended]
        return [(name, self.steps.pop(name).make()) for name in names]

    def end(self, name: Name, value: Any, error: VitrinaError | None) -> list[Result]:
        """A step has ended: gives its result, and those of the steps that it takes along, where they were asked for."""
        self.ended.add(name)
        results = []
        if name != "condition" and name in self.want:
            results.append(Result(name, value, error, monotonic() - self.began))
        if error is None:
            self.made[name] = value
            return results
        for other in [other for other, step in self.steps.items() if name in step.needs]:
            if self.steps.pop(other, None) is not None:
                results += self.end(other, None, error)
        return results


def needed(want: Collection[Output]) -> set[Output]:
    """What is asked for, and the text that speech and posts are made of."""
    return {*want, "text"} if {"speech", "post"} & set(want) else set(want)


def plan(
    policy: CallPolicy,
    product: Product,
    want: Collection[Output],
    options: TextOptions,
    background: Background | None,
    aspect: Aspect,
) -> Work:
    """The calls that `want` takes.

    Raises:
        InvalidInput: `want` names something unknown, or there is no such product.
    """
    core.check_product(product)
    if isinstance(want, str) or not want or not set(want) <= set(OUTPUTS):
        raise InvalidInput(f"{want!r}: expected a set of some of {', '.join(OUTPUTS)}", field="want")
    outputs = needed(want)
    work = Work(frozenset(want))
    made, steps = work.made, work.steps

    def condition() -> Array | None:
        return made["condition"].condition if "condition" in made else None

    def written() -> Flow[Any]:
        said = core.told(options, made["condition"]) if "condition" in made else options
        return flows.generate(policy, product, {"listing", "tags", "keywords"}, condition(), said)

    def drawn(what: Output) -> Flow[bytes]:
        assert what in ("image", "video")
        listing = yield from flows.generate(policy, product, {what}, condition(), options)
        return (listing.image if what == "image" else listing.video) or b""

    def photo() -> Media:
        if product.image is None:
            raise InvalidInput("the product has no photo", field="IMAGE")
        return product.image

    def shot() -> Flow[Any]:
        return (yield from flows.studio(policy, photo(), background or "white", aspect, None, "jpeg", "natural"))

    def filmed() -> Flow[Any]:
        return (yield from flows.studio_video(policy, photo(), background or "white", aspect, None, "natural", None))

    def posted() -> Flow[Any]:
        voice = made["speech"].audio if "speech" in made else None
        given = Product(image=product.image, video=product.video, audio=voice)
        return (
            yield from flows.post(policy, given, made["text"].text, None, None, "burnt", background or "studio", aspect)
        )

    first: frozenset[Name] = frozenset()
    if len(outputs & {"text", "image", "video"}) > 1:  # encoded once for all
        steps["condition"] = Step(lambda: flows.encode(policy, product))
        first = frozenset({"condition"})
    if "text" in outputs:
        steps["text"] = Step(written, first)
    if "studio" in outputs:
        steps["studio"] = Step(shot)
    if "studio_video" in outputs:
        steps["studio_video"] = Step(filmed)
    for what in sorted(outputs & {"image", "video"}):
        steps[what] = Step(lambda what=what: drawn(what), first)  # type: ignore[misc]
    if "speech" in outputs:
        steps["speech"] = Step(
            lambda: flows.speak(policy, made["text"].text, None, None, None, "wav"), frozenset({"text"})
        )
    if "post" in outputs:  # aloud where speech was asked for and could be had
        steps["post"] = Step(posted, frozenset({"text"}), frozenset(outputs & {"speech"}))
    return work

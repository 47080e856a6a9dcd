"""`python -m samples.scenarios`: every scenario as one call, on a sample of its own, through a real Triton.

Prints what went in and what came out. The calls are the ones an application makes; copy them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from vitrina_client import Blocked, Listing, Message, Product, Sampling, StudioShot, Vitrina

from server import Server, ServerOptions

FOLDER = Path(__file__).resolve().parent
CUP = Product("Espresso cup and saucer, terracotta red", image=FOLDER / "espresso-cup.jpg")
SAME = Sampling(seed=7)
console = Console(highlight=False, soft_wrap=True)
Lines = Iterator[str]


def product_page(vitrina: Vitrina) -> Lines:
    """A product page: copy, tags and a studio shot, each as soon as it is there."""
    for result in vitrina.iter_results(CUP, {"text", "studio"}, sampling=SAME, tone="friendly"):
        if result.error is not None:
            yield f"{result.output}: {result.error}"
        elif isinstance(result.value, Listing):
            yield f"{result.value.text}  [{', '.join(tag.name for tag in result.value.tags or ())}]"
        elif isinstance(result.value, StudioShot):
            yield f"studio shot, {len(result.value.image):,} bytes of {result.value.mime}"


def recommendation(vitrina: Vitrina) -> Lines:
    """What a shopper who looked at these may like next, with a sentence on the first of them."""
    found = vitrina.recommend(json.loads((FOLDER / "history.json").read_text(encoding="utf-8")), count=3)
    yield ", ".join(f"{each.title} ({each.score:.2f})" for each in found)
    yield vitrina.generate(Product(found[0].title), task="recommendation", sampling=SAME).text or ""


def ad_creatives(vitrina: Vitrina) -> Lines:
    """Three ads of one product that differ."""
    made = vitrina.variants(CUP, 3, sampling=SAME)
    yield from (each.text or "" for each in made.listings)
    yield f"mean distance {made.diversity:.2f}"


def review_draft(vitrina: Vitrina) -> Lines:
    """A review for a customer to correct and sign."""
    yield vitrina.generate(CUP, task="review", sampling=SAME).text or ""


def question(vitrina: Vitrina) -> Lines:
    """An answer from the product's facts."""
    mug = Product("Enamel mug, blue", attributes={"volume": "350 ml", "dishwasher": "yes"})
    yield vitrina.generate(mug, task="question", question="How much does it hold?", sampling=SAME).text or ""


def customer_service(vitrina: Vitrina) -> Lines:
    """A reply that knows what was said before."""
    history: list[Message] = [
        {"role": "customer", "text": "Hello, my cup arrived yesterday."},
        {"role": "shop", "text": "We hope you like it!"},
        {"role": "customer", "text": "The saucer is broken."},
    ]
    yield vitrina.generate(CUP, task="reply", history=history, sampling=SAME).text or ""


def promotion(vitrina: Vitrina) -> Lines:
    """A coupon, with its own code and no other."""
    cup = Product(CUP.title, attributes={"offer": "$5 off until 1 December", "code": "CUP5"})
    yield vitrina.generate(cup, task="promotion", sampling=SAME).text or ""


def delivery_notice(vitrina: Vitrina) -> Lines:
    """That the parcel is on its way, with everything that is known of it."""
    parcel = Product(
        CUP.title, attributes={"carrier": "Blue Pigeon", "tracking number": "BP-20417", "arrives": "Monday"}
    )
    yield vitrina.generate(parcel, task="delivery", sampling=SAME).text or ""


def content_check(vitrina: Vitrina) -> Lines:
    """What the policy says before anything is made, and what happens if one asks all the same."""
    for title in (CUP.title, "Bottle of red wine", "AK-47 rifle with scope"):
        said = vitrina.check(Product(title))
        reasons = "; ".join(f"{each.category} by {each.by}: {each.evidence}" for each in said.findings)
        yield f"{title}: {said.action}  {reasons}"
    try:
        vitrina.generate(Product("AK-47 rifle with scope"))
    except Blocked as error:
        yield f"Blocked: {error.message}"


#: Name → the call. Together these are what a shop asks for day by day.
SCENARIOS: dict[str, Callable[[Vitrina], Lines]] = {
    made.__name__: made
    for made in (
        product_page,
        recommendation,
        ad_creatives,
        review_draft,
        question,
        customer_service,
        promotion,
        delivery_notice,
        content_check,
    )
}


def main() -> None:
    """Starts a server on free ports, runs every scenario, and stops it."""
    with console.status("starting Triton"):
        server = Server(ServerOptions(http_port=0, grpc_port=0, metrics_port=0))
        server.start()
    try:
        with Vitrina(f"grpc://{server.grpc_url}") as vitrina:
            for name, scenario in SCENARIOS.items():
                console.print(f"[bold]{name.replace('_', ' ')}[/]  [dim]{(scenario.__doc__ or '').splitlines()[0]}")
                for line in scenario(vitrina):
                    console.print("  " + line, markup=False)
    finally:
        server.stop()


if __name__ == "__main__":
    main()

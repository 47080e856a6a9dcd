"""`python -m benchmarks.speech_sentences`: writes the descriptions that `benchmarks.speech` has spoken.

One of the catalogue's names each, with what copy holds: sizes, weights, prices, percentages, years, power, capacity and
brand-like words, as they are written (`text`) and, independently of `stages.speech_text`, as a person would read them
(`words`). The same catalogue gives the same file.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

DATA = Path(__file__).parent / "data" / "speech.json"
COUNT = 100

BRANDS = ("Northwind", "Silverline", "Brightwell", "Oakridge", "Stonehill", "Maplewood", "Clearwater", "Redwood",
          "Summit", "Horizon", "Evergreen", "Blue Harbor", "Kingston", "Lighthouse", "Morning Star")  # fmt: skip
MATERIALS = ("solid oak", "brushed steel", "soft cotton", "recycled plastic", "tempered glass", "genuine leather",
             "bamboo", "cast iron", "fine wool", "white marble")  # fmt: skip
COLORS = ("deep blue", "warm white", "dark green", "bright red", "light gray", "matte black", "natural brown")
OPENINGS = (
    "The {brand} {name} is made of {material} and comes in {color}.",
    "Meet the new {name} by {brand}, now in {color}.",
    "This {color} {name} from {brand} is built to last.",
    "Our {name} in {color} fits every home & office.",
)
CLOSINGS = (
    "A great gift for friends and family.",
    "Easy to clean and easy to love!",
    "Order today and enjoy free delivery.",
    "Do you need more than one? Ask us for a better price.",
    "It is simple to set up, and no tools are needed.",
)


def facts(draw: random.Random) -> list[tuple[str, str]]:
    """Every kind of fact once: a sentence as it is written and as it is read."""
    a, b, c = draw.randint(20, 95), draw.randint(20, 240), draw.randint(5, 60)
    inches, feet = draw.randint(8, 70), draw.randint(3, 9)
    tenths, grams = draw.randint(12, 99) / 10, draw.choice((150, 250, 350, 500, 750))
    dollars, cents = draw.randint(5, 480), draw.choice((49, 95, 99))
    thousands, percent = draw.randint(1, 4) * 1000 + draw.randint(1, 9) * 100, draw.choice((10, 15, 20, 25, 30, 50))
    year, watts, battery = draw.randint(2015, 2025), draw.choice((40, 60, 800, 1200, 1500)), draw.choice((2200, 3500))
    liters, count, years = draw.choice((0.5, 1.5, 2.5)), draw.randint(3, 12), draw.randint(2, 10)
    model = f"{draw.choice(('X', 'R', 'B', 'K'))}{draw.choice((20, 45, 60, 80))}"
    return [
        (f"It measures {a} x {b} x {c} cm.", f"It measures {a} by {b} by {c} centimeters."),
        (f"It is {inches}\" wide and {feet} ft long.", f"It is {inches} inches wide and {feet} feet long."),
        (f"It weighs only {tenths} kg.", f"It weighs only {tenths} kilograms."),
        (f"Each pack holds {grams} g.", f"Each pack holds {grams} grams."),
        (f"Yours for ${dollars}.{cents}.", f"Yours for ${dollars}.{cents}."),
        (f"It costs ${thousands:,}.", f"It costs ${thousands}."),
        (f"Save {percent}% this week.", f"Save {percent}% this week."),
        (f"It was designed in {year}.", f"It was designed in {year}."),
        (f"The motor runs at {watts} W.", f"The motor runs at {watts} watts."),
        (f"The battery holds {battery} mAh.", f"The battery holds {battery} milliamp hours."),
        (f"It holds {liters} L of water.", f"It holds {liters} liters of water."),
        (f"There are {count} pcs in the box.", f"There are {count} pieces in the box."),
        (f"It comes with a {years}-year warranty.", f"It comes with a {years} year warranty."),
        (f"The model {model} charges over USB.", f"The model {model} charges over USB."),
        (f"Works from -{c} to {a} °C.", f"Works from minus {c} to {a} degrees Celsius."),
        (f"For ages {count}-{count + 5}.", f"For ages {count} to {count + 5}."),
    ]  # fmt: skip


def descriptions(names: list[str], count: int = COUNT) -> list[dict[str, str]]:
    """`count` descriptions of products of these names: ``text`` as written, ``words`` as read, ``name``."""
    draw = random.Random(5)
    chosen = draw.sample([name for name in names if name.replace(" ", "").isalpha() and name.isascii()], count)
    written = []
    for name in chosen:
        given = {"name": name.lower(), "brand": draw.choice(BRANDS), "material": draw.choice(MATERIALS)}
        opening = draw.choice(OPENINGS).format(**given, color=draw.choice(COLORS))
        said = draw.sample(facts(draw), 2)
        closing = draw.choice(CLOSINGS)
        text, words = (" ".join([opening, *(fact[i] for fact in said), closing]) for i in (0, 1))
        written.append({"name": name, "text": text, "words": words.replace("&", "and")})
    return written


def main() -> None:
    """Writes :data:`DATA`."""
    from training.catalogue.products import read_index

    found = descriptions(sorted({product.name for product in read_index()}))
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{DATA.name}: {len(found)} descriptions")


if __name__ == "__main__":
    main()

"""Which facts contradict each other, and which only say different things."""

import pytest

from stages.conflicts import conflicts
from stages.facts import known_facts
from stages.request import Request


def found(title, attributes=(), **more):
    return [(c.kind, c.facts) for c in conflicts(known_facts(Request(title=title, attributes=attributes, **more)))]


@pytest.mark.parametrize(
    ("title", "attributes", "more", "expected"),
    [
        ("Cotton shirt", (("material", "100% polyester"),), {}, [("material", (1, 2))]),
        ("Blue enamel mug", (("colour", "red"),), {}, [("colour", (1, 2))]),
        ("Frying pan, 26 cm", (("diameter", "28 cm"),), {}, [("length", (1, 2))]),
        ("Hand cream", (("net weight", "40 g"),), {"label": ("30 g",)}, [("mass", (3, 2))]),
        ("纯棉衬衫", (("材质", "聚酯纤维"),), {"language": "zh"}, [("material", (1, 2))]),
        ("挂面 500克", (("净含量", "1千克"),), {"language": "zh"}, [("mass", (1, 2))]),
    ],
)
def test_what_cannot_both_be_true_is_told(title, attributes, more, expected):
    assert found(title, attributes, **more) == expected


@pytest.mark.parametrize(
    ("title", "attributes", "more"),
    [
        ("Merino jumper", (("material", "wool"),), {}),
        ("Navy scarf", (("colour", "blue"),), {}),
        ("Leather belt", (("buckle", "brass"), ("colour", "brown")), {}),
        ("Pan, 0.5 l", (("capacity", "500 ml"),), {}),
        ("Desk 120", (("width", "140 cm"), ("height", "72 cm")), {}),
        ("Bookcase, 182 cm high", (("width", "80 cm"),), {}),
        ("Mug", (("colour", "red"),), {"question": "Is it blue?"}),
    ],
)
def test_what_goes_together_is_not(title, attributes, more):
    assert found(title, attributes, **more) == []

"""Sentences without adjectives of praise: still sentences, and with what the facts say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.praise import without_praise


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        (
            "The bag is a durable and water-resistant one with an effective strap.",
            "The bag is a water-resistant one with a strap.",
        ),
        ("A powerful, quiet drill.", "A drill."),
        ("It is stylish and durable.", "It is stylish."),
        ("A lovely, durable, and energy-efficient lamp.", "A lovely lamp."),
        ("It is durable.", "It is durable."),
        ("It is durable for years.", "It is durable for years."),
        ("A unique hour with an outdoor lamp", "An hour with a lamp"),
        ("Made of high-quality cotton.", "Made of cotton."),
        ("采用优质面料。", "采用面料。"),
        ("超轻便、高效率的角磨机", "角磨机"),
        ("机身轻便，好看。", "机身轻便，好看。"),
    ],
)
def test_what_can_be_left_out_goes(sentence, left):
    assert without_praise(sentence) == left


def test_an_adjective_of_the_facts_stays():
    assert without_praise("A durable mat of natural rubber.", "natural rubber mat") == "A mat of natural rubber."
    assert without_praise("优质的纯天然橡胶垫", "纯天然橡胶") == "纯天然橡胶垫"


@given(st.text(max_size=80))
def test_no_letter_is_added(text):
    left = without_praise(text)
    assert len(left) <= len(text) + text.casefold().count("a ")

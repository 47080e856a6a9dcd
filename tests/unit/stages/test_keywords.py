"""Words that a product is searched by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.keywords import MAX_LETTERS, MOST, keywords
from stages.request import Request


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("The Enamel mugs for your kitchen", ["enamel", "mugs", "kitchen"]),
        ("Mug and mugs, glass or glasses, boxes of a box", ["mug", "glass", "boxes"]),
        ("iPhone 15 Pro, USB-C, 128 GB", ["iphone", "pro", "usb-c", "128gb"]),
        ("不锈钢保温杯，适合您的厨房，500毫升", ["不锈钢", "保温杯", "适合", "厨房", "500毫升"]),
        ("iPhone手机", ["iphone", "手机"]),
        ("", []),
        ("12 345 — ! the of", []),
    ],
)
def test_they_are_a_title_s_words_without_stop_words(title, words):
    assert keywords(Request(title=title)) == words


def test_attributes_what_is_said_and_sure_tags_follow():
    request = Request(
        title="Enamel mug",
        attributes=(("material", "steel and enamel"), ("size", "10 x 8 cm")),
        transcript="This is a mug from Poland.",
        tags=("coffee mug", "cup"),
        scores=(0.8, 0.2),
    )
    assert keywords(request) == ["enamel", "mug", "steel", "8cm", "poland", "coffee"]


def test_there_are_not_too_many_nor_too_long_ones():
    long = "x" * (MAX_LETTERS + 1)
    found = keywords(Request(title=" ".join([long, *(f"word{chr(97 + i)}" for i in range(26))])))
    assert len(found) == MOST and long not in found


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_gives_words_of_its_own(title, said):
    found = keywords(Request(title=title, transcript=said))
    assert len(found) == len(set(found)) <= MOST and all(word and word == word.casefold() for word in found)

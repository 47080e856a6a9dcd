"""Figures of a text, in both languages, and whether facts support them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.facts import Fact
from stages.figures import KnownFigures, codes, figures


def known(title, attributes=()):
    facts = [("title", "", title), *(("attribute", *pair) for pair in attributes)]
    return KnownFigures(Fact(number, *fact) for number, fact in enumerate(facts, start=1))


def supports(facts, sentence):
    return all(facts.of_code(code) for code in codes(sentence, figures(sentence))) and all(
        facts.of_figure(figure, sentence) for figure in figures(sentence)
    )


def read(text):
    """(kind, number as it was written) of each figure."""
    return [(figure.kind, figure.number) for figure in figures(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10,000 mAh and 213 g", [("charge", 10_000), ("mass", 213)]),
        ("30 x 20 x 5 cm", [("length", 30), ("length", 20), ("length", 5)]),
        ("220-240V, 50/60 Hz", [("voltage", 220), ("voltage", 240), ("frequency", 50), ("frequency", 60)]),
        ("a two-year warranty on five shelves", [("time", 2), ("", 5)]),
        ("twenty-four pieces, one of a kind", [("", 24)]),
        ("only $1,299.99 or 1.299,00 €", [("money", 1299.99), ("money", 1299)]),
        ("25 in stock, 24in wide, 6.1-inch OLED", [("", 25), ("length", 24), ("length", 6.1)]),
        ("100% cotton at 30 degrees", [("percent", 100), ("celsius", 30)]),
        ("1万毫安时，2千瓦", [("charge", 10_000), ("power", 2_000)]),
        ("三层书架，一款，两升，十二个月质保，净重3公斤", [("", 3), ("volume", 2), ("time", 12), ("mass", 3)]),
        ("第二代，四季皆宜，独一无二", []),
        ("八折", [("discount", 8)]),
        ("0.125 kg, 1.125 kg, 0,5 l and 1,500 g", [("mass", 0.125), ("mass", 1.125), ("volume", 0.5), ("mass", 1500)]),
        ("110-120厘米", [("length", 110), ("length", 120)]),
        ("USB 3.0, 5G", [("", 3), ("", 5)]),
        ("no figures at all", []),
        (
            "three and a half metres, half a litre, a quarter of a kilo",
            [("length", 3.5), ("volume", 0.5), ("mass", 0.25)],
        ),
        ("four hundred and two pages, a hundred pieces, two dozen discs", [("", 402), ("", 100), ("", 24)]),
        ("half of it, one of a kind, a third hand", []),
        (
            "半升，一年半，一米二，一米零四宽，十二点五厘米",
            [("volume", 0.5), ("time", 1.5), ("length", 1.2), ("length", 1.04), ("length", 12.5)],
        ),
        ("七成羊毛，九成五是花生，二〇二七年三月", [("percent", 70), ("percent", 95), ("", 2027), ("time", 3)]),
    ],
)
def test_figures_are_read_with_their_units(text, found):
    assert read(text) == found


def test_a_letter_and_a_digit_make_a_code_unless_they_are_a_figure():
    text = "IP67, WPA3, V10, 5G, 24-piece, 220-240V, 10000mAh"
    assert codes(text, figures(text)) == {"ip67", "wpa3", "v10", "5g"}


@pytest.mark.parametrize(
    ("fact", "sentence"),
    [
        ("500 ml", "It holds 0.5 l."),
        ("1 kg", "1,000 grams"),
        ("2 years", "24 months"),
        ("10,000 mAh", "a 10Ah cell"),
        ("5 shelves", "five shelves"),
        ("500毫升", "容量0.5升"),
        ("3层", "三层设计"),
        ("213 g", "213"),
        ("30 °C", "wash at 30 degrees"),
        ("130 x 170 cm", "1.3 m by 170 cm"),
        ("190 cm", "nearly two metres"),
        ("870 g", "less than nine hundred grams"),
        ("416 pages", "four hundred pages and a few more"),
        ("960克", "不到两斤"),
        ("6 x 45 g", "270 g in all"),
        ("80抽×6包", "合计四百八十抽"),
    ],
)
def test_the_same_in_other_words_is_supported(fact, sentence):
    assert supports(known(fact), sentence)


@pytest.mark.parametrize(
    ("fact", "sentence"),
    [
        ("213 g", "213 mAh"),
        ("500 ml", "500 l"),
        ("2 years", "two months"),
        ("IP44", "IP67"),
        ("size 42", "42 cm"),
        ("5 shelves", "six shelves"),
        ("", "a 4-inch Liquid Retina display with 1920 x 1080"),
        ("100克", "200克"),
        ("", "质保一年"),
    ],
)
def test_another_figure_is_not(fact, sentence):
    assert not supports(known(fact), sentence)


BOOKCASE = known(
    "Bookcase Lund, range 5",
    [("width", "80 cm"), ("height", "180 cm"), ("depth", "30 cm"), ("maximum load", "25 kg"), ("weight (kg)", "41")],
)
CHINESE = known("书架", [("宽", "80厘米"), ("高", "180厘米"), ("深", "30厘米"), ("承重", "25公斤"), ("重量", "41公斤")])


@pytest.mark.parametrize(
    ("facts", "sentence", "supported"),
    [
        (BOOKCASE, "It is 80 cm wide, 180 cm high and 30 cm deep.", True),
        (BOOKCASE, "Width 80 cm, height 180 cm, weight 41 kg.", True),
        (BOOKCASE, "Each shelf holds up to 25 kg.", True),
        (BOOKCASE, "At 80 x 180 x 30 cm it fits any room.", True),
        (BOOKCASE, "It is 80 cm high.", False),
        (BOOKCASE, "With a height of 80 cm and a width of 180 cm.", False),
        (BOOKCASE, "It weighs 25 kg.", False),
        (CHINESE, "宽80厘米，高180厘米，深30厘米，重量41公斤。", True),
        (CHINESE, "高80厘米，宽180厘米。", False),
        (CHINESE, "重量25公斤。", False),
    ],
)
def test_a_figure_belongs_to_its_own_property(facts, sentence, supported):
    assert supports(facts, sentence) is supported


def test_a_word_of_the_title_names_no_property():
    facts = known("Cable reel", [("length", "25 m")])
    assert supports(facts, "A cable of 25 m.")


@given(st.text(max_size=200))
def test_any_text_has_figures_in_order_and_supports_itself(text):
    found = figures(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert supports(known(text), text) or any(figure.kind for figure in found)

"""Edits of what the decoder wrote: what goes, what stays, and that every edit is told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.editing import Orders, edited, read_orders
from stages.errors import StageError
from stages.prompts import Request

BIKE = Request(title="Folding bicycle Kånken, 11.5 kg", attributes=(("price", "499.00 EUR"), ("offer", "20% off")))


def edit(written, finish="eos", request=BIKE, **orders):
    text, edits = edited(written, finish, request, Orders(**orders))
    return text, [(e.kind, e.before, e.after) for e in edits]


def test_a_good_text_stays_as_it_is():
    written = "The Kånken folds in ten seconds, weighs 11.5 kg, and fits under a desk. Ride it every day!"
    assert edit(written) == (written, [])


def test_a_sentence_that_was_cut_off_goes_but_never_the_only_one():
    assert edit("It folds fast. It is light and you", "length") == (
        "It folds fast.",
        [("unfinished", "It is light and you", "")],
    )
    assert edit("It is light and you", "length")[0] == "It is light and you"
    assert edit("It folds fast. It is light", "stop")[0] == "It folds fast. It is light"


@pytest.mark.parametrize(
    "named",
    ["Only 499 EUR today.", "It costs 499.00 EUR.", "Yours for €499!", "Get 20% off this week.", "It weighs 11.5 kg."],
)
def test_a_price_that_the_request_names_stays(named):
    assert edit(named) == (named, [])


@pytest.mark.parametrize(
    "invented",
    ["Only 399 EUR today.", "It costs $1,299.99.", "Now at just £ 20!", "Get 50% off this week.", "仅需99元！"],
)
def test_a_price_that_nobody_named_goes_with_its_sentence(invented):
    assert edit(f"It folds fast. {invented}") == ("It folds fast.", [("price", invented, "")])


def test_a_promotion_says_the_request_s_offer_and_code_and_nobody_else_s():
    offer = Request(
        task="promotion", title="Espresso cup", attributes=(("offer", "$5 off until 1 December"), ("code", "CUP5"))
    )
    said = "Until 1 December: $5 off our espresso cup! Enter the code CUP5 when you order."
    assert edit(said, request=offer) == (said, [])
    for invented in ("Until December 15: $5 off!", "Enter the code EXTRA7 today.", "Until Sunday: $5 off our cup!"):
        assert edit(f"{invented} Enjoy your cup.", request=offer) == ("Enjoy your cup.", [("invented", invented, "")])
    plain = "Two cups in one box. Order until Sunday."  # of another task these are words like any other
    assert edit(plain, request=Request(title="Espresso cups")) == (plain, [])


def test_repetitions_go():
    said = "It folds in ten seconds and fits under a desk."
    assert edit(f"{said} Ride it. {said.upper()}") == (f"{said} Ride it.", [("repetition", said.upper(), "")])


def test_banned_words_go_as_whole_words_in_any_case():
    written = "The best bike. The bestseller of spring. It is cheap, they say."
    text, edits = edit(written, banned=("BEST", "Cheap"))
    assert text == "The bestseller of spring." and [kind for kind, *_ in edits] == ["banned", "banned"]
    chinese = Request(title="茶壶", language="zh")
    assert edit("白瓷茶壶。最好的选择！", request=chinese, banned=("最好",)) == (
        "白瓷茶壶。",
        [("banned", "最好的选择！", "")],
    )


def test_english_is_mended_but_no_word_of_the_request():
    text, edits = edit("This is an bicycle for for everyone. the Kånken is  beautifull, and its made of steel.")
    assert text == "This is a bicycle for everyone. The Kånken is beautiful, and it's made of steel."
    assert {kind for kind, *_ in edits} == {"grammar"} and ("grammar", "an", "a") in edits
    named = Request(title="teh Beautifull lampe")
    assert edit("The Beautifull lampe is here.", request=named) == ("The Beautifull lampe is here.", [])


def test_numbers_names_and_codes_are_not_spelled_anew():
    written = "The Fjällräven lamp takes an E27 bulb, is rated IP44, costs 499 EUR and comes from Älmhult."
    assert edit(written) == (written, [])


def test_a_limit_keeps_whole_sentences_and_cuts_only_the_first():
    written = "It folds fast. It is light. It fits under a desk."
    assert edit(written, max_characters=30) == (
        "It folds fast. It is light.",
        [("length", "It fits under a desk.", "")],
    )
    assert edit("It folds faster than any other bicycle.", max_characters=24)[0] == "It folds faster than…"
    assert (
        edit("这款茶壶采用优质白瓷烧制而成壶身圆润釉面光滑", max_characters=20)[0]
        == "这款茶壶采用优质白瓷烧制而成壶身圆润釉…"
    )


def test_a_delivery_notice_names_every_attribute_as_it_was_given():
    told = (("carrier", "DHL"), ("tracking number", "JD 01.46"), ("arrives", "on Monday"))
    order = Request(task="delivery", title="Tea pot", attributes=told)
    written = "Good news! Your tea pot left our warehouse today with DHL. You can follow it in your account."
    stated = "Tracking number: JD 01.46. Arrives: on Monday."
    assert edit(written, request=order) == (f"{written} {stated}", [("stated", "", stated)])
    text, edits = edit(written, request=order, max_characters=110)
    assert text == f"Good news! Your tea pot left our warehouse today with DHL. {stated}"
    assert [kind for kind, _, _ in edits] == ["length", "stated"]
    assert edit(written, request=order, max_characters=60)[0] == written[:58]  # no room for them
    assert "Monday" not in edit(written, request=order, banned=("Monday",))[0]
    assert edit(written, request=replace(order, task="description")) == (written, [])
    chinese = Request(task="delivery", title="茶壶", language="zh", attributes=(("承运", "顺丰"),))
    assert edit("您的茶壶今天已经发货。", request=chinese)[0] == "您的茶壶今天已经发货。承运：顺丰。"


def test_nothing_may_be_left():
    assert edit("Only 10 EUR!") == ("", [("price", "Only 10 EUR!", "")])
    assert edit("") == ("", [])


@given(st.text(max_size=300), st.sampled_from(["eos", "length"]), st.none() | st.integers(20, 200))
def test_any_text_is_edited_to_no_more_than_the_limit(written, finish, most):
    text, edits = edited(written, finish, Request(language="zh"), Orders(most, ("a", "的")))
    assert most is None or len(text) <= most
    assert "a" not in text.lower().split() and "的" not in text
    assert edits or text == written.strip()


@given(st.text(alphabet=st.sampled_from("Its an  the teh.,!?' 9$€\nÄ中"), max_size=120))
def test_any_english_is_mended_without_error(written):
    edited(written, "eos", Request(title="Lamp"), Orders())


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        (([19], []), "MAX_CHARACTERS", "is 19; send 20 to 10,000"),
        (([-1], []), "MAX_CHARACTERS", "send 20 to 10,000"),
        (([10_001], []), "MAX_CHARACTERS", "is 10,001"),
        (([], [b"a"] * 501), "BANNED_WORDS", "501 words, the limit is 500"),
        (([], [b"\xff"]), "BANNED_WORDS", "is not UTF-8"),
        (([], [b"a" * 257]), "BANNED_WORDS", "the limit is 256 bytes"),
    ],
)
def test_fields_out_of_bounds_are_refused(fields, field, said):
    with pytest.raises(StageError) as caught:
        read_orders(*fields)
    assert caught.value.field == field and said in caught.value.message


def test_fields_may_be_left_out():
    assert read_orders([], []) == Orders(None, ())
    assert read_orders([80], [b" cheap ", b""]) == Orders(80, ("cheap",))

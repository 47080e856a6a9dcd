"""Edits of what the decoder wrote: what goes, what stays, and that every edit is told."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages import request as requests
from stages.editing import Editor, StreamEditor, edit
from stages.errors import StageError
from stages.prompts import Prompts
from stages.request import read_banned, read_max_characters

WORDINGS = Path(__file__).resolve().parents[3] / "recipes" / "prompts"
SMOLLM2, QWEN = (
    Prompts("", {}, yaml.safe_load((WORDINGS / f"{name}.yaml").read_text("utf-8"))) for name in ("smollm2", "qwen2.5")
)
#: What else a sentence may not claim is test_claims.py's.
Request = partial(requests.Request, claims="free", task="ad")
BIKE = Request(
    title="Folding bicycle Kånken, 11.5 kg",
    attributes=(("price", "499.00 EUR"), ("offer", "20% off"), ("folding time", "10 seconds")),
)

POWER_BANK = Request(
    title="Power bank Volta", attributes=(("capacity", "10,000 mAh"), ("weight", "213 g"), ("ports", "2 x USB-A"))
)
CHOCOLATE = Request(
    title="Hazelnut chocolate", attributes=(("net weight", "100 g"), ("allergens", "milk, hazelnuts, soya"))
)
CHINESE = Request(language="zh", title="榛子巧克力", attributes=(("净含量", "100克"), ("过敏原", "含牛奶、榛子、大豆")))


def edits_of(written, finish="eos", request=BIKE, prompts=QWEN, **limits):
    text, edits = edit(written, finish, replace(request, **limits), prompts)
    return text, [(e.kind, e.before, e.after) for e in edits]


def test_a_good_text_stays_as_it_is():
    written = "The Kånken folds in ten seconds, weighs 11.5 kg, and fits under a desk. Ride it every day!"
    assert edits_of(written) == (written, [])


def test_a_sentence_that_was_cut_off_goes_but_never_the_only_one():
    assert edits_of("It folds fast. It is light and you", "length") == (
        "It folds fast.",
        [("unfinished", "It is light and you", "")],
    )
    assert edits_of("It is light and you", "length")[0] == "It is light and you"
    assert edits_of("It folds fast. It is light", "stop")[0] == "It folds fast. It is light"


def test_the_only_sentence_ends_at_its_last_comma_where_it_was_cut_off():
    written = "The Volta weighs 213 g, holds 10,000 mAh, and has two"
    assert edits_of(written, "length", POWER_BANK) == (
        "The Volta weighs 213 g, holds 10,000 mAh.",
        [("unfinished", written, "The Volta weighs 213 g, holds 10,000 mAh.")],
    )
    tea = Request(language="zh", title="高山乌龙茶礼盒")
    assert edits_of("高山乌龙茶礼盒，清香回甘，品质", "length", tea)[0] == "高山乌龙茶礼盒，清香回甘。"
    assert StreamEditor(Editor(tea, QWEN))("高山乌龙茶礼盒，清香回甘，品质", "length") == "高山乌龙茶礼盒，清香回甘。"
    assert edits_of("It holds 10,000 mAh and", "length", POWER_BANK)[0] == "It holds 10,000 mAh and"


def test_a_name_of_mixed_case_is_stated_as_it_is():
    serum = Request(title="Serum", attributes=(("pH", "3.5"), ("warning", "keep out of the eyes")))
    assert edits_of("It costs $5.", request=serum)[0] == "Serum. pH: 3.5. Warning: keep out of the eyes."


@pytest.mark.parametrize(
    "named",
    ["Only 499 EUR today.", "It costs 499.00 EUR.", "Yours for €499!", "Get 20% off this week.", "It weighs 11.5 kg."],
)
def test_a_price_that_the_request_names_stays(named):
    assert edits_of(named) == (named, [])


@pytest.mark.parametrize(
    "invented",
    ["Only 399 EUR today.", "It costs $1,299.99.", "Now at just £ 20!", "Get 50% off this week.", "仅需99元！"],
)
def test_a_price_that_nobody_named_goes_with_its_sentence(invented):
    assert edits_of(f"It folds fast. {invented}") == ("It folds fast.", [("price", invented, "")])


def test_a_promotion_says_the_request_s_offer_and_code_and_nobody_else_s():
    offer = Request(
        task="promotion", title="Espresso cup", attributes=(("offer", "$5 off until 1 December"), ("code", "CUP5"))
    )
    said = "Until 1 December: $5 off our espresso cup! Enter the code CUP5 when you order."
    assert edits_of(said, request=offer) == (said, [])
    for invented, kind in (
        ("Until December 15: $5 off!", "figure"),
        ("Enter the code EXTRA7 today.", "invented"),
        ("Until Sunday: $5 off our cup!", "invented"),
    ):
        found = edits_of(f"{invented} Enjoy your cup.", request=offer, prompts=SMOLLM2)
        assert found == ("Enjoy your cup.", [(kind, invented, "")])
    assert edits_of("Enter the code EXTRA7 today. Enjoy.", request=offer)[1][0][0] == "figure"  # without examples too


@pytest.mark.parametrize(
    ("request_", "sentence", "kind"),
    [
        (POWER_BANK, "It has a capacity of 213 mAh.", "figure"),
        (POWER_BANK, "It weighs 10,000 mAh.", "figure"),
        (POWER_BANK, "It charges twice as fast in 30 minutes.", "figure"),
        (POWER_BANK, "Built to IP67.", "figure"),
        (POWER_BANK, "It comes with a two-year warranty.", "figure"),
        (POWER_BANK, "It works with every phone.", "safety"),
        (CHOCOLATE, "It is dairy-free and contains no nuts.", "safety"),
        (CHOCOLATE, "Suitable for those who are allergic to milk, hazelnuts, or soya.", "safety"),
        (CHOCOLATE, "A healthy snack for the whole family.", "safety"),
        (CHOCOLATE, "There are no hazelnuts in it.", "safety"),
        (CHINESE, "这款巧克力不含坚果，老少皆宜。", "safety"),
        (CHINESE, "净含量200克。", "figure"),
    ],
)
def test_a_figure_or_statement_on_safety_that_no_fact_has_goes(request_, sentence, kind):
    text, edits = edits_of(f"Nice. {sentence}", request=request_)
    assert (kind, sentence) in [edit[:2] for edit in edits] and sentence not in text


def test_what_the_facts_say_stays():
    said = "The Volta power bank has a capacity of 10,000 mAh, weighs only 213 g and has two USB-A ports."
    assert edits_of(said, request=POWER_BANK) == (said, [])


def test_attributes_on_safety_stand_behind_every_text_as_they_were_given():
    stated = "Allergens: milk, hazelnuts, soya."
    for task in ("ad", "review", "recommendation"):
        found = edits_of("A creamy bar.", request=replace(CHOCOLATE, task=task))
        assert found == (f"A creamy bar. {stated}", [("stated", "", stated)])
    assert edits_of("香浓丝滑。", request=CHINESE)[0] == "香浓丝滑。过敏原：含牛奶、榛子、大豆。"


def test_a_warning_is_stated_even_where_its_words_stand_in_the_text_by_chance():
    bar = Request(title="Doughnuts", attributes=(("allergens", "nuts"),))
    assert edits_of("Six soft doughnuts.", request=bar)[0].endswith("Allergens: nuts.")
    once = "Allergens: nuts."
    assert edits_of("", request=bar) == (once, [("stated", "", once)])


def test_a_question_that_nothing_answers_is_answered_so():
    asked = Request(task="question", title="Bar", question="Does it contain nuts?")
    text, edits = edits_of("It contains no nuts.", request=asked)
    assert text.startswith("The product page does not say this.") and edits[0][0] == "safety"
    page = "The page does not say whether it contains nuts."
    assert edits_of(page, request=asked) == (page, [])


@pytest.mark.parametrize("about", ["The certificate is not provided in this data.", "The material is not specified."])
def test_a_sentence_about_the_data_goes_but_not_where_it_answers_a_question(about):
    assert edits_of(f"A fine bar. {about}", request=CHOCOLATE)[1][0] == ("invented", about, "")
    asked = Request(task="question", title="Bar", question="Which certificate and material?")
    assert edits_of(about, request=asked)[0] == about


def test_where_nothing_is_left_the_facts_are_given():
    text, edits = edits_of("It has 5,000 mAh.", request=POWER_BANK)
    assert text == "Power bank Volta. It weighs 213 g and has a capacity of 10,000 mAh. Ports: 2 x USB-A."
    assert [kind for kind, *_ in edits] == ["figure", "stated"]


def stream(pieces, finish="eos", request=CHOCOLATE):
    editor = StreamEditor(Editor(request, QWEN))
    given = [editor(piece, "") for piece in pieces]
    return [*given, editor("", finish)]


def test_a_stream_goes_out_sentence_by_sentence_without_those_that_may_not_stay():
    given = stream(["A creamy", " bar. It con", "tains no nuts. Melts", " on the tongue."])
    assert given == ["", "A creamy bar.", "", "", " Melts on the tongue. Allergens: milk, hazelnuts, soya."]
    assert "".join(given) == "A creamy bar. Melts on the tongue. Allergens: milk, hazelnuts, soya."
    assert "".join(stream(["It contains no nuts."])).startswith("Hazelnut chocolate. It has a net weight of 100 g.")
    assert "".join(stream(["A bar. It is ve"], "length")) == "A bar. Allergens: milk, hazelnuts, soya."
    assert "".join(stream(["A bar"], "length", BIKE)) == "A bar"
    assert "".join(stream(["香浓。不含坚果。", "丝滑"], request=CHINESE)) == "香浓。丝滑。过敏原：含牛奶、榛子、大豆。"


def test_repetitions_go():
    said = "It folds in ten seconds and fits under a desk."
    assert edits_of(f"{said} Ride it. {said.upper()}") == (f"{said} Ride it.", [("repetition", said.upper(), "")])
    tea = Request(title="茶壶", language="zh")
    assert edits_of("茶壶，白瓷，圆润，白瓷，圆润，白瓷，圆润，好看。", request=tea)[0] == "茶壶，白瓷，圆润，好看。"


def test_banned_words_go_as_whole_words_in_any_case():
    written = "The best bike. The bestseller of spring. It is cheap, they say."
    text, edits = edits_of(written, banned=("BEST", "Cheap"))
    assert text == "The bestseller of spring." and [kind for kind, *_ in edits] == ["banned", "banned"]
    chinese = Request(title="茶壶", language="zh")
    assert edits_of("白瓷茶壶。最好的选择！", request=chinese, banned=("最好",)) == (
        "白瓷茶壶。",
        [("banned", "最好的选择！", "")],
    )


def test_no_word_is_corrected():
    written = (
        "The chocolatey Fjällräven lamp, holding 2 kilocalories, takes an E27 bulb, is rated IP44, costs 499 EUR "
        "and comes from Älmhult."
    )
    facts = (("rating", "IP44"), ("price", "499 EUR"), ("energy", "2 kcal"))
    lamp = Request(title="Lamp E27", attributes=facts)
    assert edits_of(written, request=lamp) == (written, [])


def test_a_limit_keeps_whole_sentences_and_cuts_only_the_first():
    written = "It folds fast. It is light. It fits under a desk."
    assert edits_of(written, max_characters=30) == (
        "It folds fast. It is light.",
        [("length", "It fits under a desk.", "")],
    )
    assert edits_of("It folds faster than any other bicycle.", max_characters=24)[0] == "It folds faster than…"
    assert (
        edits_of("这款茶壶采用优质白瓷烧制而成壶身圆润釉面光滑", max_characters=20)[0]
        == "这款茶壶采用优质白瓷烧制而成壶身圆润釉…"
    )


def test_a_delivery_notice_names_every_attribute_as_it_was_given():
    told = (("carrier", "DHL"), ("tracking number", "JD 01.46"), ("arrives", "on Monday"))
    order = Request(task="delivery", title="Tea pot", attributes=told)
    written = "Good news! Your tea pot left our warehouse today with DHL. You can follow it in your account."
    stated = "Tracking number: JD 01.46; arrives: on Monday."
    assert edits_of(written, request=order) == (f"{written} {stated}", [("stated", "", stated)])
    text, edits = edits_of(written, request=order, max_characters=110)
    assert text == f"Good news! Your tea pot left our warehouse today with DHL. {stated}"
    assert [kind for kind, _, _ in edits] == ["length", "stated"]
    assert edits_of(written, request=order, max_characters=60)[0] == written[:58]  # no room for them
    assert "Monday" not in edits_of(written, request=order, banned=("Monday",))[0]
    assert edits_of(written, request=replace(order, task="ad")) == (written, [])
    chinese = Request(task="delivery", title="茶壶", language="zh", attributes=(("承运", "顺丰"),))
    assert edits_of("您的茶壶今天已经发货。", request=chinese)[0] == "您的茶壶今天已经发货。承运：顺丰。"


def test_nothing_may_be_left():
    assert edits_of("Only 10 EUR!", request=Request()) == ("", [("price", "Only 10 EUR!", "")])
    assert edits_of("", request=Request()) == ("", [])


@given(st.text(max_size=300), st.sampled_from(["eos", "length"]), st.none() | st.integers(20, 200))
def test_any_text_is_edited_to_no_more_than_the_limit(written, finish, most):
    text, edits = edit(written, finish, Request(language="zh", max_characters=most, banned=("a", "的")), QWEN)
    assert most is None or len(text) <= most
    assert "a" not in text.lower().split() and "的" not in text
    assert edits or text == written.strip()


@pytest.mark.parametrize(
    ("read", "given", "field", "said"),
    [
        (read_max_characters, [19], "MAX_CHARACTERS", "is 19; send 20 to 10,000"),
        (read_max_characters, [-1], "MAX_CHARACTERS", "send 20 to 10,000"),
        (read_max_characters, [10_001], "MAX_CHARACTERS", "is 10,001"),
        (read_banned, [b"a"] * 501, "BANNED_WORDS", "501 words, the limit is 500"),
        (read_banned, [b"\xff"], "BANNED_WORDS", "is not UTF-8"),
        (read_banned, [b"a" * 257], "BANNED_WORDS", "the limit is 256 bytes"),
    ],
)
def test_fields_out_of_bounds_are_refused(read, given, field, said):
    with pytest.raises(StageError) as caught:
        read(given)
    assert caught.value.field == field and said in caught.value.message


def test_fields_may_be_left_out():
    assert read_max_characters([]) is None and read_banned([]) == ()
    assert read_max_characters([80]) == 80 and read_banned([b" cheap ", b""]) == ("cheap",)


def test_a_description_tells_what_was_left_out_as_far_as_there_is_room():
    case = Request(
        task="description",
        title="Oak bookcase",
        attributes=(("height", "182 cm"), ("pockets", "3"), ("made in", "Poland"), ("warning", "fix it to the wall")),
    )
    warning = "Warning: fix it to the wall."
    text = edits_of("The bookcase is of oak.", request=case)[0]
    assert text.startswith("The bookcase is of oak. ") and all(
        each in text for each in ("182 cm", "3 pockets", "Poland")
    )
    assert text.endswith(warning)
    short = edits_of("The bookcase is of oak.", request=case, max_characters=75)[0]
    assert len(short) <= 75 and short.startswith("The bookcase is of oak.") and short.endswith(warning)


def test_where_only_the_name_is_left_the_facts_are_told():
    assert edits_of("The Volta, forged in Sweden! Power bank Volta.", request=replace(POWER_BANK, claims="strict"))[
        0
    ] == ("Power bank Volta. It weighs 213 g and has a capacity of 10,000 mAh. Ports: 2 x USB-A.")


def test_a_text_whose_first_sentence_went_names_its_product_all_the_same():
    wrong, right = "The Volta charges a phone 40 times.", "It weighs 213 g."
    assert edits_of(f"{wrong} {right}", request=POWER_BANK) == (
        f"Power bank Volta. {right}",
        [("figure", wrong, ""), ("stated", "", "Power bank Volta.")],
    )
    assert edits_of(f"{wrong} Order now!", request=POWER_BANK)[0] == (
        "Power bank Volta. It weighs 213 g and has a capacity of 10,000 mAh. Ports: 2 x USB-A. Order now!"
    )
    chocolate = replace(CHINESE, attributes=(("净含量", "100克"),))
    assert edits_of("这款榛子巧克力有500克。它净重100克。", request=chocolate)[0] == ("榛子巧克力。它净重100克。")
    stream = StreamEditor(Editor(POWER_BANK, QWEN))
    assert "".join([stream(f"{wrong} ", ""), stream(f"{right} And it ", ""), stream("is a Volta.", "eos")]) == (
        f"Power bank Volta. {right} And it is a Volta."
    )


def test_a_banned_word_of_the_title_does_not_come_back_with_it():
    written = "The power bank Volta is here. It weighs 213 g."
    assert edits_of(written, request=POWER_BANK, banned=("volta",))[0] == "It weighs 213 g."
    assert "Volta" not in edits_of("The Volta. Order!", request=POWER_BANK, banned=("volta",))[0]


def test_a_text_from_which_nothing_went_is_left_without_the_name():
    assert edits_of("It weighs 213 g.", request=POWER_BANK) == ("It weighs 213 g.", [])


PRODUCTS = yaml.safe_load((WORDINGS.parents[1] / "benchmarks" / "data" / "copy_en.yaml").read_text("utf-8"))[:20]


@pytest.mark.parametrize(("name", "prompts"), [("smollm2", SMOLLM2), ("qwen2.5", QWEN)])
@pytest.mark.parametrize("task", QWEN.wording.tasks)
def test_no_word_of_the_examples_alone_reaches_a_text(name, prompts, task):
    """As when a decoder repeats the answers that it was shown, for each of 20 products."""
    examples = prompts.wording.tasks[task].texts["en"].examples
    shown = " ".join(answer for each in examples for answer in (each.answer, *each.tones.values()))
    only = prompts.example_words(task, "en")
    assert name == "qwen2.5" or only & set(re.findall(r"\w+", shown.casefold())), "the examples name nothing to find"
    for product in PRODUCTS:
        facts = tuple(product["attributes"].items())
        request = Request(task=task, title=product["title"], attributes=facts, question="Is it good?")
        known = set(re.findall(r"\w+", " ".join(request.facts).casefold()))
        text, _ = edit(f"{product['title']} is here. {shown}", "eos", request, prompts)
        assert not (only - known) & set(re.findall(r"\w+", text.casefold()))
        stream = StreamEditor(Editor(request, prompts))
        streamed = "".join([stream(f"{product['title']} is here. ", ""), stream(shown, "eos")])
        assert not (only - known) & set(re.findall(r"\w+", streamed.casefold()))


@pytest.mark.parametrize(
    ("fields", "written", "text"),
    [
        (
            {"transcript": "Red leather handbag with a brass buckle."},
            "Made of solid platinum.",
            "Red leather handbag with a brass buckle.",
        ),
        ({"tags": ("teapot",), "scores": (0.9,)}, "Made of solid platinum.", "teapot."),
        ({"tags": ("teapot",), "scores": (0.2,)}, "Made of solid platinum.", ""),
        ({"title": "IMG_0042.jpg", "label": ("HALDEN", "OAT BAR")}, "Made of solid platinum.", "HALDEN OAT BAR."),
        (
            {"title": "Water carafe", "transcript": "It was blown in Portugal from recycled glass."},
            "Made of solid platinum.",
            "Water carafe. It is made of recycled glass. It comes from Portugal.",
        ),
        (
            {"title": "Water carafe", "label": ("750 ml",)},
            "Made of solid platinum.",
            "Water carafe. It has a capacity of 750 ml.",
        ),
    ],
)
def test_where_nothing_stays_note_label_and_photo_still_say_what_it_is(fields, written, text) -> None:
    assert edit(written, "eos", Request(**fields, claims="strict"), QWEN)[0] == text

"""The FAQ of a listing: sound questions, and answers that say what the shop said."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.faq import _load, ask, make_faq
from stages.plain import is_plural, tell

CLAIMS = Path(__file__).parents[3] / "benchmarks" / "data" / "claims"
TITLES = {"en": "Mug", "zh": "马克杯"}


def products(language):
    path = CLAIMS / f"{language}_tune.yaml"
    return yaml.safe_load(path.read_text("utf-8")) if path.exists() else []


PRODUCTS = [
    (language, product["title"], [(name, str(value)) for name, value in product["attributes"].items()])
    for language in TITLES
    for product in products(language)
]


def answer(name, value, language="en", title=None):
    faqs = make_faq([(name, value)], language, TITLES[language] if title is None else title)
    return faqs[0][1] if faqs else ""


@pytest.mark.parametrize(
    ("name", "value", "question"),
    [
        ("material", "stoneware", "What is it made of?"),
        ("Material:", "stoneware", "What is it made of?"),
        ("fabric", "linen", "What fabric is it made of?"),
        ("handle", "walnut", "What is the handle made of?"),
        ("legs", "solid oak", "What are the legs made of?"),
        ("sizes", "S to XL", "Which sizes does it come in?"),
        ("size", "M", "What size is it?"),
        ("size", "20 x 30 cm", "How big is it?"),
        ("dimensions (W x H)", "20 x 30 cm", "What are the dimensions?"),
        ("height", "20 cm", "How tall is it?"),
        ("weight (g)", "213", "How much does it weigh?"),
        ("weight of one bar", "45 g", "How much does one bar weigh?"),
        ("capacity", "22 l", "How much does it hold?"),
        ("capacity", "10,000 mAh", "What is the capacity?"),
        ("battery life", "6 h", "How long does the battery last?"),
        ("charging_time", "2 h", "How long does it take to charge?"),
        ("power", "800 W", "What is the power rating?"),
        ("power", "2 AAA batteries", "How is it powered?"),
        ("storage", "128 GB", "How much storage does it have?"),
        ("storage", "keep in a dry place", "How should it be stored?"),
        ("bluetooth", "5.3", "Which Bluetooth version does it use?"),
        ("USB-C ports", "2", "How many USB-C ports does it have?"),
        ("noise", "40 dB", "How loud is it?"),
        ("guarantee", "2 years", "How long is the guarantee?"),
        ("warranty", "2 years", "How long is the warranty?"),
        ("delivery", "3 to 5 working days", "How long does delivery take?"),
        ("delivery", "free over £50", "How much does delivery cost?"),
        ("colour", "black", "What colour is it?"),
        ("colours", "black, sand", "Which colours does it come in?"),
        ("scent", "fig leaf", "What does it smell of?"),
        ("cocoa", "70%", "How much cocoa does it contain?"),
        ("peanuts", "96%", "What is the peanut content?"),
        ("author", "Nora Whitlock", "Who is it written by?"),
        ("length", "416 pages", "How many pages does it have?"),
        ("length", "33 cm", "How long is it?"),
        ("use by", "12/2026", "What is the use-by date?"),
        ("maps", "41", "How many maps are there?"),
        ("Head Weight", "450 g", "What is the head weight?"),
        ("no-load speed", "1500 rpm", "What is the no-load speed?"),
    ],
)
def test_english_questions(name, value, question):
    assert ask(name, value, "en", "Mug") == question


@pytest.mark.parametrize(
    ("name", "value", "question"),
    [
        ("材质", "实木", "这款产品是什么材质的？"),
        ("面料", "棉麻", "用的是什么面料？"),
        ("手柄", "榉木", "手柄是什么材质的？"),
        ("颜色", "米灰", "是什么颜色的？"),
        ("颜色", "红、蓝", "有哪些颜色？"),
        ("尺码", "S至XL", "有哪些尺码？"),
        ("高度", "20厘米", "高度是多少？"),
        ("重量（克）", "213", "这款产品有多重？"),
        ("净含量", "200克", "净含量是多少？"),
        ("续航", "45小时", "续航有多久？"),
        ("充电时间", "2小时", "充满电要多久？"),
        ("接口", "1个Type-C", "有哪些接口？"),
        ("接口", "4分、6分", "接口是什么规格？"),
        ("保质期", "12个月", "保质期是多久？"),
        ("贮存", "阴凉干燥处", "应该怎么保存？"),
        ("产地", "福建安溪", "产地是哪里？"),
        ("作者", "林小禾", "作者是谁？"),
        ("页数", "312页", "一共有多少页？"),
        ("每箱", "16盒", "每箱有多少盒？"),
        ("整机质保", "24个月", "质保多久？"),
        ("折叠厚度", "7厘米", "折叠厚度是多少？"),
        ("发货时间", "48小时内", "多久能发货？"),
        ("退换", "7天无理由退换", "退换货政策是怎样的？"),
    ],
)
def test_chinese_questions(name, value, question):
    assert ask(name, value, "zh", "马克杯") == question


def test_english_agrees_with_title():
    assert ask("material", "leather", "en", "Walking boots") == "What are they made of?"
    assert ask("weight", "800 g", "en", "Walking boots") == "How much do they weigh?"
    assert ask("waterproof", "yes", "en", "Walking boots") == "Are they waterproof?"
    assert ask("published", "2021", "en", "Two novels") == "When were they published?"


@pytest.mark.parametrize(("language", "title", "attributes"), PRODUCTS)
def test_question_and_answer_have_one_number(language, title, attributes):
    wrong = r"\b(?:it|does|its)\b" if is_plural(title, language) else r"\b(?:they|they're)\b"
    for question, text, _ in make_faq(attributes, language, title, 99):
        assert language == "zh" or not re.search(wrong, re.sub("does (?:the|one|each|delivery) ", "", question)), (
            question
        )
        assert language == "zh" or not re.match(wrong, text, re.IGNORECASE), text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("dishwasher safe", "yes", "Yes, it is dishwasher safe."),
        ("dishwasher safe", "No", "No, it is not dishwasher safe."),
        ("dishwasher safe", "no, hand wash only", "No, hand wash only."),
        ("dishwasher safe", "yes (top rack)", "Yes (top rack)."),
        ("Bluetooth", "yes", "Yes, it does."),
        ("bluetooth", "✗", "No, it does not."),
        ("hood", "yes, detachable", "Yes, detachable."),
        ("assembly", "required", "Yes, assembly is required."),
        ("assembly required", "no", "No, assembly is not required."),
        ("batteries", "not included", "No, batteries are not included."),
        ("charger", "not included", "No, not included."),
        ("bulb included", "no", "No."),
    ],
)
def test_english_yes_or_no(name, value, text):
    assert re.match("Is|Are|Does", ask(name, value, "en", "Mug"))
    assert answer(name, value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("可机洗", "是", "可以。"),
        ("可机洗", "否", "不可以。"),
        ("洗碗机", "否，仅限手洗", "不可以，仅限手洗。"),
        ("烤箱", "可以（最高220℃）", "可以（最高220℃）。"),
        ("防水", "是", "是的，防水。"),
        ("防水", "不防水", "不防水。"),
        ("蓝牙", "支持", "是的，支持。"),
        ("快充", "支持，最高65W", "是的，支持，最高65W。"),
        ("无线充电", "支持15W", "是的，支持15W。"),
        ("无线充电", "无", "不支持。"),
        ("需要安装", "否", "不需要。"),
    ],
)
def test_chinese_yes_or_no(name, value, text):
    assert ask(name, value, "zh", "马克杯").endswith("吗？")
    assert answer(name, value, "zh") == text


@pytest.mark.parametrize(
    ("language", "name", "value"),
    [
        ("en", "", "stoneware"),
        ("en", "material", ""),
        ("en", "material", "see label"),
        ("en", "height", "various"),
        ("en", "care", "n/a"),
        ("en", "colour", "see pictures"),
        ("en", "material", "yes"),  # the question would be another one
        ("en", "dishwasher safe", "not recommended"),  # neither yes nor no
        ("en", "tray", "removable"),  # not what it is made of
        ("en", "use within", "6 weeks"),  # of what, it does not say
        ("en", "contents", "sugar, lemon juice"),  # ingredients
        ("en", "keeps", "fresh"),
        ("en", "extends", "all sets since 2019"),
        ("en", "features", "soft; absorbent"),
        ("en", "description", "A lovely mug."),
        ("en", "SKU", "83838"),
        ("en", "years", "2"),
        ("en", "price", "£5"),
        ("en", "材质", "实木"),
        ("en", "care", "wash " * 100),
        ("zh", "材质", "未知"),
        ("zh", "颜色", "见图"),
        ("zh", "产地", "进口"),
        ("zh", "特点", "轻便；耐磨"),
        ("zh", "档位", "3档"),
        ("zh", "食用方法", "每日2次，每次1粒"),  # a dose
        ("zh", "material", "cotton"),
    ],
)
def test_no_odd_question(language, name, value):
    assert ask(name, value, language, TITLES[language]) == ""
    assert make_faq([(name, value)], language, TITLES[language]) == []


def test_pieces_of_several_things_are_not_asked_about():
    assert ask("pieces", "6", "en", "Tea set") == "How many pieces are there?"
    assert ask("pieces", "6", "en", "Oat bars") == ""  # "They have 6 pieces."


def test_what_customers_ask_first_comes_first():
    attributes = [("weight", "2 kg"), ("guarantee", "2 years"), ("colour", "black"), ("material", "oak")]
    faqs = make_faq(attributes, "en", "Stool", 3)
    assert [names for *_, names in faqs] == [("material",), ("guarantee",), ("colour",)]
    assert faqs == make_faq(attributes[::-1], "en", "Stool", 3)


def test_dimensions_share_a_question():
    faqs = make_faq([("height", "20 cm"), ("material", "oak"), ("width", "30 cm")], "en", "Stool")
    assert faqs[1] == ("What are the dimensions?", "It is 20 cm high and 30 cm wide.", ("height", "width"))
    faqs = make_faq([("高度", "20厘米"), ("宽度", "30厘米")], "zh", "凳子")
    assert faqs == [("尺寸是多少？", "高20厘米，宽30厘米。", ("高度", "宽度"))]


def test_no_question_twice():
    faqs = make_faq([("material", "oak"), ("composition", "oak"), ("material", "pine")], "en", "Stool")
    assert faqs == [("What is it made of?", "It is made of oak.", ("material",))]


@pytest.mark.parametrize("language", TITLES)
def test_nothing_to_ask(language):
    assert make_faq([], language, "") == []
    assert make_faq([("material", "oak"), ("材质", "橡木")], language, "", 0) == []


@pytest.mark.parametrize(("language", "title", "attributes"), PRODUCTS)
def test_answers_say_what_the_shop_said(language, title, attributes):
    faqs = make_faq(attributes, language, title, 99)
    assert len({question for question, *_ in faqs}) == len(faqs)
    for question, text, names in faqs:
        pairs = [(name, value) for name, value in attributes if name in names]
        assert all(value.casefold() in text.casefold() for _, value in pairs)
        assert text == tell(pairs, language, title)[0][0]
        assert re.fullmatch(r"[A-Z][^{}?]+\?" if language == "en" else "[^{}？]+？", question)
    assert make_faq(attributes, language, title) == faqs[:5]


@pytest.mark.parametrize("language", TITLES)
def test_questions_can_be_written(language):
    """A question holds only words that its rule always gives."""
    rules = _load(language)
    known = {"name", *rules.forms["one"]}
    for rule in rules.rules:
        groups = {*rule.name.groupindex, *rule.value.groupindex}
        assert set(re.findall(r"{(\w+)}", rule.question)) <= known | groups, rule.question


@given(st.sampled_from(["en", "zh"]), st.lists(st.tuples(st.text(max_size=12), st.text(max_size=40)), max_size=4))
def test_any_attributes(language, attributes):
    for question, text, names in make_faq(attributes, language, "Mug"):
        assert question and text and names


@given(
    st.sampled_from(["material", "height", "dishwasher safe", "capacity", "材质", "防水", "重量", "pages"]),
    st.one_of(st.text(max_size=30), st.text("yesno是否,，()（）; -1", max_size=8)),
)
def test_any_value(name, value):
    for language in TITLES:
        assert len(make_faq([(name, value)], language, "Mug")) <= 1


def test_a_manufacturer_s_warranty_is_a_warranty() -> None:
    assert ask("manufacturer's warranty", "2 years", "en", "Drill") == "How long is the warranty?"

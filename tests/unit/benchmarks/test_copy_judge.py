"""What the judge finds wrong with copies, and what it lets be, in both languages."""

import pytest

from benchmarks.copy.judge import Examples, judge
from benchmarks.copy.products import load

PRODUCTS = {product.id: product for product in load()}


def wrong(name, text):
    return [finding.written for finding in judge(PRODUCTS[name], text).wrong]


def anothers(name, text):
    return [finding.written for finding in judge(PRODUCTS[name], text).anothers]


def unsupported(name, text):
    return [statement.cue for statement in judge(PRODUCTS[name], text).unsupported_safety]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("en-01", "The PB-21 holds 10,000 mAh at 213 g.", []),
        ("en-01", "The PB-21 holds 20,000 mAh.", ["20,000 mAh"]),
        ("en-01", "It has a capacity of 213 mAh.", ["213 mAh"]),
        ("en-01", "The Halvor PB-30 charges at 30 W.", ["PB-30", "30 W"]),
        ("en-01", "Three ports, one of them USB-C.", ["Three"]),
        ("en-21", "0.75 l of juice, 75 cl in a bottle.", []),
        ("en-45", "Its 288 pages were published in 2021.", []),
        ("en-45", "Published in 2022, it costs $12.", ["2022", "$12"]),
        ("en-32", "A desk from 72 to 120 cm high.", []),
        ("en-32", "A desk from 75 to 120 cm high.", ["75"]),
        ("en-13", "Two pairs of socks with 70% wool.", []),
        ("en-13", "Socks with 80% wool and a 2-year warranty.", ["80%", "2-year"]),
        ("en-03", "A monitor of 18 inches in height.", []),
        ("zh-01", "容量两万毫安时，重355克。", []),
        ("zh-01", "容量30000毫安时。", ["30000毫安时"]),
        ("zh-12", "五个口袋，防水8000mm。", []),
        ("zh-12", "六个口袋，三年质保。", ["六", "三年"]),
        ("zh-19", "净含量10斤，十二个月保质期。", []),
        ("zh-43", "2023年出版，312页。", ["2023"]),
    ],
)
def test_a_figure_must_be_a_facts(name, text, expected):
    assert wrong(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("en-03", "It is 61 cm wide, 46 cm high and 19 cm deep.", []),
        ("en-03", "It is 46 cm wide and 61 cm high.", ["46 cm", "61 cm"]),
        ("en-03", "It has a height of 61 cm.", ["61 cm"]),
        ("en-01", "It has a capacity of 213 g and weighs 10,000 mAh.", ["213 g", "10,000 mAh"]),
        ("en-01", "Input: 9 V, 2.2 A.", ["9 V"]),
        ("en-48", "The lid weighs 1.7 kg, the casserole weighs 5.4 kg.", []),
        ("en-48", "It weighs 1.7 kg.", ["1.7 kg"]),
        ("en-48", "The lid weighs 5.4 kg.", ["5.4 kg"]),
        ("en-32", "Its height goes from 72 cm to 120 cm.", []),
        ("en-32", "Its lowest height is 120 cm.", ["120 cm"]),
        ("en-56", "It keeps drinks cold for 12 h.", ["12 h"]),
        ("en-56", "It keeps drinks cold for 24 h and hot for 12 h.", []),
        ("zh-29", "高175厘米，宽60厘米，深30厘米。", []),
        ("zh-29", "高60厘米，宽175厘米。", ["60厘米", "175厘米"]),
        ("zh-01", "电池容量355克，重量20000mAh。", ["355克", "20000mAh"]),
        ("zh-54", "保温12小时，保冷6小时。", ["12小时", "6小时"]),
        ("zh-19", "净含量5公斤，毛重5.1公斤。", []),
        ("zh-19", "净含量5.1公斤。", ["5.1公斤"]),
        ("zh-30", "坐高82厘米。", ["82厘米"]),
        ("zh-17", "保质期长达24个月。", []),
        ("zh-51", "收纳长度和直径分别为42厘米和15厘米。", []),
        ("en-06", "Its battery lasts up to 40 hours.", []),
        ("en-48", "It holds up to 5 litres.", []),
        ("en-02", "The case brings a capacity of 28 hours.", []),
    ],
)
def test_a_figure_stays_with_its_attribute(name, text, expected):
    assert anothers(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "bad"),
    [
        ("en-16", "It is suitable for those who are allergic to milk, hazelnuts, or soya.", True),
        ("en-16", "A dairy-free treat.", True),
        ("en-16", "It contains no nuts.", True),
        ("en-16", "Contains milk, hazelnuts but not soya.", True),
        ("en-16", "Allergens: milk, hazelnuts, soya.", False),
        ("en-16", "Free delivery, hassle-free returns, rich cocoa.", False),
        ("en-57", "A grain-free recipe with salmon.", False),
        ("en-57", "Gluten-free food for healthy digestion.", True),
        ("en-57", "Suitable for adult dogs from 12 months.", False),
        ("en-57", "Suitable for puppies.", True),
        ("en-57", "Barkley Grain Free dog food, and you're free to choose.", False),
        ("en-29", "Effective in treating rickets.", True),
        ("en-17", "A tea rich in caffeine.", True),
        ("en-12", "It is suitable for daily wear.", False),
        ("en-04", "Its plugs suit sockets in the UK.", False),
        ("en-04", "It is suitable for all devices.", True),
        ("zh-21", "配料生牛乳，无过敏原。", True),
        ("en-02", "Compatible with iOS 14 or later and Android 9 or later.", False),
        ("en-02", "It works with any device.", True),
        ("en-11", "For babies from 3 to 6 months.", False),
        ("en-11", "Gentle on the skin.", True),
        ("en-52", "The mug is dishwasher safe.", False),
        ("en-52", "The mug is safe for children.", True),
        ("en-41", "Warning: small parts, choking hazard.", False),
        ("en-41", "Fun for all ages.", True),
        ("en-59", "Use it twice daily.", True),
        ("en-29", "It supports your bones.", True),
        ("en-60", "Its 24 l of soil and 6 l tank keep plants watered.", False),
        ("zh-15", "不含任何添加剂。", True),
        ("zh-15", "过敏原：花生、乳制品。", False),
        ("zh-15", "适合孩子食用。", True),
        ("zh-39", "含小零件，3岁以下禁用。", False),
        ("zh-39", "边角圆润，安全无毒。", True),
        ("zh-39", "适合送礼，桶高28厘米。", False),
        ("zh-06", "兼容所有手机。", True),
        ("zh-06", "兼容安卓6.0及以上，iOS 12及以上。", False),
        ("zh-23", "温和不刺激，敏感肌可用。", True),
        ("zh-22", "孕妇慎用。", False),
        ("zh-22", "适合孕妇饮用。", True),
        ("zh-28", "补钙强骨。", True),
    ],
)
def test_safety_is_told_in_the_facts_words(name, text, bad):
    assert bool(unsupported(name, text)) is bad


def test_one_sentence_does_not_taint_the_next():
    found = judge(PRODUCTS["en-16"], "Allergens: milk, hazelnuts, soya. It is dairy-free. Net weight 100 g.")
    assert [(s.cue, s.supported) for s in found.safety] == [("Allergens", True), ("dairy-free", False)]


def test_attributes_are_named_by_figures_and_words():
    text = "An oak bookcase, 1.82 m high, with five shelves. Each bears 25 kg."
    assert set(judge(PRODUCTS["en-30"], text).named) == {"height", "shelves", "load per shelf"}
    mixed = judge(PRODUCTS["en-30"], "It is 182 cm wide.")
    assert mixed.named == ()
    assert set(judge(PRODUCTS["zh-10"], "雾霾蓝羽绒服，衣长62厘米，填充90%白鸭绒。").named) == {
        "填充物",
        "衣长",
        "颜色",
    }


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("en-31", "The Wren three-seat sofa is covered with a linen blend.", True),
        ("en-31", "El sofá Wren es muy cómodo para toda la familia.", False),
        ("en-31", "这款沙发非常舒适。", False),
        ("en-31", "", False),
        ("zh-30", "安屿布艺双人沙发，坐感舒适。", True),
        ("zh-30", "A comfortable sofa for two.", False),
        ("zh-30", "安屿沙发 is very soft and comfortable for everyone at home", False),
        ("zh-57", "Tritan材质，轻便耐用。", True),
    ],
)
def test_the_language_is_that_of_the_facts(name, text, right):
    assert judge(PRODUCTS[name], text).language_right is right


def test_the_name_is_present_where_most_of_it_is():
    assert judge(PRODUCTS["en-24"], "Marlow oil for your beard.").name_present
    assert not judge(PRODUCTS["en-24"], "A fine oil.").name_present
    assert judge(PRODUCTS["zh-42"], "智拼拼图，江南春色尽收眼底，1000片。").name_present
    assert not judge(PRODUCTS["zh-42"], "好玩的游戏。").name_present


def test_words_that_only_the_examples_hold_are_found():
    wording = {
        "tasks": {
            "ad": {
                "texts": {
                    "en": {
                        "system": "You write for a shop that sells a blanket.",
                        "examples": [
                            {"name": "Alpine blanket", "facts": {"material": "polyester wool"}, "answer": "Warm."}
                        ],
                    },
                    "zh": {"examples": [{"name": "羊毛毯子", "answer": "温暖。"}]},
                }
            }
        }
    }
    examples = Examples.read(wording)
    phone = judge(PRODUCTS["en-07"], "A 100% polyester wool blanket.", examples)
    assert phone.leaks == ("polyester", "wool")
    assert judge(PRODUCTS["en-09"], "A jumper of merino wool.", examples).leaks == ()
    assert judge(PRODUCTS["zh-05"], "一条羊毛毯子。", examples).leaks
    assert judge(PRODUCTS["en-07"], "A 100% polyester wool blanket.").leaks == ()


def test_grammar_errors_are_counted_but_not_the_facts_words():
    product = PRODUCTS["en-03"]
    assert judge(product, "The Lumadesk monitor has a clear screen. Its colour is bright.").errors == ()
    assert judge(product, "It are a an good monitor for for work.").errors


def test_repetition_is_the_share_of_runs_that_stood_before():
    product = PRODUCTS["en-03"]
    assert judge(product, "one two three four five six").repetition == 0
    assert judge(product, "it is a good one. it is a good one. it is a good one.").repetition > 0.5
    assert judge(PRODUCTS["zh-05"], "风力强劲又安静。风力强劲又安静。").repetition > 0.2

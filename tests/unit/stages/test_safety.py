"""Statements on safety: those that the facts make stay, all others go, in both languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.request import Request
from stages.safety import Safety, is_safety_attribute, stated_attributes, told_attributes

BAR = Request(
    title="Hazelnut milk chocolate bar",
    attributes=(
        ("net weight", "100 g"),
        ("allergens", "milk, hazelnuts, soya"),
        ("storage", "cool and dry"),
        ("warning", "Not suitable for children under 3 years, choking hazard"),
    ),
)
MUG = Request(title="Children's mug", attributes=(("care", "dishwasher safe"), ("plastic", "BPA-free")))
CREAM = Request(title="Night cream", attributes=(("skin type", "dry"), ("ingredients", "aqua, glycerin")))
SHIRT = Request(
    language="zh",
    title="儿童纯棉短袖T恤",
    attributes=(
        ("面料", "100%棉"),
        ("适用身高", "110-120厘米"),
        ("执行标准", "GB 31701 B类"),
        ("注意事项", "远离火源"),
    ),
)
CHINESE_BAR = Request(language="zh", title="榛子巧克力", attributes=(("过敏原", "含牛奶、榛子、大豆"),))


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (BAR, "A creamy milk chocolate bar."),
        (BAR, "Keep it cool and dry."),
        (BAR, "Milk, hazelnuts, soya."),
        (BAR, "Not suitable for children under 3 years, choking hazard."),
        (MUG, "This children's mug is dishwasher safe and BPA-free."),
        (MUG, "It keeps your hands free, a hands-free joy."),
        (CREAM, "Night cream designed for dry skin."),
        (SHIRT, "这款儿童纯棉短袖T恤采用100%棉。"),
        (SHIRT, "适合身高110-120厘米的儿童。"),
        (SHIRT, "符合GB 31701 B类。"),
    ],
)
def test_what_the_facts_say_stays(request_, sentence):
    assert Safety(request_).allows(sentence)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (BAR, "Suitable for those who are allergic to milk, hazelnuts, or soya."),
        (BAR, "Made without milk, hazelnuts, or soya."),
        (BAR, "It contains no nuts."),
        (BAR, "There is no milk in it."),
        (BAR, "Hazelnut-free."),
        (BAR, "Free from milk, hazelnuts, soya."),
        (BAR, "Suitable for children under 3 years."),
        (BAR, "Don't worry about choking hazards."),
        (BAR, "A healthy, vegan snack."),
        (BAR, "Perfect for kids."),
        (MUG, "It is not dishwasher safe."),
        (MUG, "Non-toxic and safe for babies."),
        (CREAM, "It soothes dry skin."),
        (CREAM, "Dermatologically tested and hypoallergenic."),
        (CREAM, "Suitable for all skin types."),
        (CREAM, "Contains natural ingredients."),
        (Request(title="Phone case"), "Compatible with all phones."),
        (Request(title="Tea"), "Take it twice a day."),
        (SHIRT, "亲肤安全，不刺激皮肤。"),
        (SHIRT, "适合所有宝宝。"),
        (CHINESE_BAR, "不含坚果，过敏人群也可食用。"),
        (CHINESE_BAR, "不添加防腐剂，健康营养。"),
        (CHINESE_BAR, "没有大豆。"),
    ],
)
def test_what_they_do_not_say_goes(request_, sentence):
    assert not Safety(request_).allows(sentence)


def test_a_question_may_be_called_open_in_its_own_words():
    asked = Safety(Request(task="question", title="Bar", question="Is it safe for babies?"))
    assert asked.allows("The page does not say whether it is safe for babies.")
    assert not asked.allows("Yes, it is safe for babies.")
    assert not asked.allows("The page does not mention nuts, so it is safe for everyone.")


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("Allergens", True),
        ("recommended age", True),
        ("Safety warning", True),
        ("Ingredients (INCI)", True),
        ("compatibility", True),
        ("过敏原信息", True),
        ("适用年龄", True),
        ("注意事项", True),
        ("配料表", True),
        ("material", False),
        ("storage", False),
        ("language", False),
        ("适用身高", False),
        ("颜色", False),
    ],
)
def test_attributes_on_safety_are_known_by_name(name, stated):
    assert is_safety_attribute(name) is stated


def test_every_attribute_is_either_told_or_stated():
    assert [name for name, _ in told_attributes(BAR)] == ["net weight", "storage"]
    assert [name for name, _ in stated_attributes(BAR)] == ["allergens", "warning"]


@given(st.text(max_size=120), st.text(max_size=40), st.text(max_size=40))
def test_any_sentence_is_allowed_or_not(sentence, title, value):
    Safety(Request(title=title, attributes=(("allergens", value), ("a", value)))).allows(sentence)

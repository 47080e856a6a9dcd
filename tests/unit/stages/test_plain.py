"""Attributes in plain sentences: nothing left out, nothing added."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.figures import figures
from stages.plain import tell

CLAIMS = Path(__file__).parents[3] / "benchmarks" / "data" / "claims"
YES_OR_NO = {"yes", "no", "是", "否"}


def attributes_of(language):
    path = CLAIMS / f"{language}_tune.yaml"
    products = yaml.safe_load(path.read_text("utf-8")) if path.exists() else []
    return [[(name, str(value)) for name, value in product["attributes"].items()] for product in products]


PRODUCTS = {language: attributes_of(language) for language in ("en", "zh")}
MORE = {
    "en": [
        ("seat height", "43 to 53 cm"),
        ("weight (g)", "213"),
        ("USB-A ports", "3"),
        ("pockets", "1"),
        ("material", "Cotton"),
        ("colour", "red; blue"),
        ("made in", "Netherlands"),
        ("strap", "none"),
        ("BRIGHTNESS LEVELS", "3"),
        ("care", "Hand wash only."),
        ("材质", "实木"),
    ],
    "zh": [
        ("高度", "182厘米"),
        ("重量（克）", "213"),
        ("口袋", "2个"),
        ("材质", "不锈钢"),
        ("颜色", "红；蓝"),
        ("产地", "浙江义乌"),
        ("挂绳", "无"),
        ("亮度档位", "3"),
        ("洗涤", "仅限干洗。"),
        ("material", "cotton"),
    ],
}
POOL = {language: [pair for product in PRODUCTS[language] for pair in product] + MORE[language] for language in MORE}
LANGUAGES = st.sampled_from(["en", "zh"])
VALUES = st.one_of(
    st.text(max_size=60), st.text('ab.。;；,，!"“\n🙂 1', max_size=30), st.sampled_from(["x y. Z", "字" * 400])
)


def text_of(attributes, language, title=""):
    return [sentence for sentence, _ in tell(attributes, language, title)]


def holds(text, value):
    """Whether a value stands in a text, but for its full stop and the case of its first letter."""
    value = re.sub(r"(?<=[^.。])[.。]$", "", " ".join(value.split()))
    return value in text or value[:1].swapcase() + value[1:] in text


@pytest.mark.parametrize(
    ("attributes", "sentences"),
    [
        (
            [("height", "182 cm"), ("width", "80 cm"), ("depth", "30 cm")],
            ["It is 182 cm high, 80 cm wide and 30 cm deep."],
        ),
        (
            [("Weight (kg)", "28"), ("Colour", "Burnt orange"), ("Material", "Nylon")],
            ["It is made of nylon and comes in burnt orange.", "It weighs 28 kg."],
        ),
        ([("made in", "Poland")], ["It is made in Poland."]),
        ([("made in", "USA")], ["It is made in the USA."]),
        (
            [("brightness steps", "3"), ("burn-in", "40 h"), ("warmth", "3000 K")],
            ["Brightness steps: 3; burn-in: 40 h; warmth: 3000 K."],
        ),
        ([("pockets", "3"), ("USB-A ports", "1")], ["It has 3 pockets and 1 USB-A port."]),
        ([("shelves", "1")], ["It has 1 shelf."]),
        (
            [("operating temperature", "5 to 30 °C")],
            ["It has an operating temperature of 5 to 30 °C."],
        ),
        ([("removable", "yes")], ["It is removable."]),
        ([("legs", "solid ash"), ("lining", "felt")], ["The legs are solid ash and the lining is felt."]),
        ([("care", "hand wash only."), ("pH", "5.5")], ["Hand wash only.", "pH: 5.5."]),
        ([("fit", "It runs small. Order up.")], ["Fit: It runs small. Order up."]),
        ([("note", 'he said "good!"')], ['Note: he said "good!"']),
        ([("weight (g)", "about 213")], ["Weight (g): about 213."]),
        ([("", "two in one"), ("strap", "  ")], ["Two in one."]),
    ],
)
def test_english(attributes, sentences):
    assert text_of(attributes, "en", "Aldous oak bookcase") == sentences


@pytest.mark.parametrize(
    ("attributes", "sentences"),
    [
        ([("高度", "182厘米"), ("宽", "80厘米"), ("深度", "30厘米")], ["高182厘米，宽80厘米，深30厘米。"]),
        ([("材质", "实木"), ("颜色", "胡桃色")], ["材质为实木，颜色为胡桃色。"]),
        ([("净重", "2.1千克")], ["净重2.1千克。"]),
        ([("重量（克）", "213")], ["重213克。"]),
        ([("亮度", "三档"), ("灯光", "40小时")], ["亮度：三档；灯光：40小时。"]),
        ([("口袋", "2个"), ("件数", "68件")], ["有2个口袋，共68件。"]),
        ([("可拆洗", "是"), ("防水", "否")], ["可拆洗，不防水。"]),
        ([("洗涤", "仅限干洗。"), ("备注", "好用。很好！")], ["仅限干洗。", "备注：好用。很好！"]),
        (
            [("material", "cotton"), ("重量(g)", "213 g左右，不含盒")],
            ["material：cotton；重量(g)：213 g左右，不含盒。"],
        ),
    ],
)
def test_chinese(attributes, sentences):
    assert text_of(attributes, "zh", "橡木书架") == sentences


@pytest.mark.parametrize(
    ("title", "begin"),
    [
        ("The mat", "It is"),
        ("wellies", "They are"),
        ("boots for men", "They are"),
        ("Greaves & Mallow secateurs No. 7", "They are"),
        ("Kettleby ginger tea bags", "They are"),
        ("set of knives", "It is"),
        ("Levi's 501 jeans", "They are"),
        ("wine glass", "It is"),
        ("table, one drawer", "It is"),
    ],
)
def test_the_title_tells_it_from_they(title, begin):
    assert text_of([("thickness", "4 mm")], "en", title)[0].startswith(begin)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batteries", "4 AA, not included"),
        ("strap", "none"),
        ("lining", "no lining"),
        ("material", "not leather"),
        ("pockets", "0"),
        ("removable", "cover not removable"),
        ("电池", "4节AA，不含"),
        ("香精", "不添加"),
        ("材质", "非皮革"),
        ("口袋", "无"),
        ("抽屉", "0个"),
        ("可拆洗", "仅外套，内胆不可"),
    ],
)
def test_a_negative_value_stays_behind_its_name(language, name, value):
    (sentence,) = text_of([(name, value)], language)
    assert sentence in (f"{name[0].upper()}{name[1:]}: {value}.", f"{name}：{value}。")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("material", "made from cotton"),
        ("material", "waterproof"),
        ("colour", "changes to red when hot"),
        ("origin", "imported"),
        ("origin", "Italian"),
        ("made by", "hand"),
        ("scent", "fragrance-free"),
        ("width", "30"),
        ("room temperature", "16 to 20 °C"),
        ("drawers", "3, soft-closing"),
        ("output", "5 V, 2 A"),
        ("foldable", "in half"),
    ],
)
def test_a_value_that_fits_no_sentence_stays_behind_its_name(name, value):
    (sentence,) = text_of([(name, value)], "en")
    assert sentence == f"{name[0].upper()}{name[1:]}: {value}."


@given(st.data(), LANGUAGES)
def test_each_attribute_is_told_once_with_its_own_figures(data, language):
    attributes = data.draw(st.lists(st.sampled_from(POOL[language]), max_size=10, unique=True))
    sentences = tell(attributes, language)
    assert Counter(name for _, names in sentences for name in names) == Counter(name for name, _ in attributes)
    values = dict(attributes)
    if len(values) < len(attributes):
        return
    for sentence, names in sentences:
        given_figures = Counter()
        for name in names:
            unit = re.search(r"[（(](.+)[)）]$", name)
            value = values[name] + unit[1] if unit and values[name].isdigit() else values[name]
            given_figures.update((each.kind, each.value) for each in figures(value))
            assert values[name] in YES_OR_NO or holds(sentence, values[name])
        assert Counter((each.kind, each.value) for each in figures(sentence)) == given_figures


@given(st.data(), LANGUAGES, st.text(max_size=20))
def test_any_value_stands_letter_by_letter(data, language, title):
    names = st.one_of(st.sampled_from([name for name, _ in POOL[language]]), st.text(max_size=12))
    attributes = data.draw(st.lists(st.tuples(names, VALUES), max_size=5))
    sentences = tell(attributes, language, title)
    kept = [(name, value) for name, value in attributes if value.strip()]
    assert Counter(name for _, names in sentences for name in names) == Counter(name for name, _ in kept)
    text = " ".join(sentence for sentence, _ in sentences)
    for _, value in kept:
        assert value in YES_OR_NO or holds(text, value)
    assert all(re.search(r"[.!?…。！？][\"'”’)\]）」』]*$", sentence) for sentence, _ in sentences)

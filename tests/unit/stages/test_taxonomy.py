import pytest

from stages.taxonomy import TAXONOMY, Taxonomy

OWN = """
- path: {en: [Home, Cups], zh: [家居, 杯具]}
  words: {en: [mug, coffee cup], zh: [杯, 咖啡杯]}
  attributes: {en: [capacity], zh: [容量]}
- path: {en: [Food, Coffee], zh: [食品, 咖啡]}
  words: {en: [coffee], zh: [咖啡]}
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(OWN, "utf-8")
    return Taxonomy.load(file)


@pytest.mark.parametrize(
    ("title", "language", "path"),
    [
        ("Blue coffee cups, set of 4", "en", ("Home", "Cups")),
        ("Coffee, 250 g", "en", ("Food", "Coffee")),
        ("Mug for coffee", "en", ("Home", "Cups")),
        ("陶瓷咖啡杯", "zh", ("家居", "杯具")),
        ("现磨咖啡 250克", "zh", ("食品", "咖啡")),
        ("Blue coffee cup", "zh", ("家居", "杯具")),
    ],
)
def test_a_title_tells_the_category(own, title, language, path) -> None:
    category = own.classify(title, (), (), language)
    assert category is not None and category.path == path and 0.3 <= category.confidence <= 1


def test_where_the_title_tells_nothing_the_photo_does(own) -> None:
    category = own.classify("IMG 0042", ("mug", "plate"), (0.8, 0.1), "en")
    assert category == (("Home", "Cups"), 0.8, ("capacity",))
    assert own.classify("IMG 0042", ("mug",), (0.2,), "en") is None  # not sure enough
    assert own.classify("Something else", (), (), "en") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "the file"),
        ("- {path: {en: [Home]}}", "words"),
        ("- {path: {}, words: {en: [mug]}}", "path"),
        ("- {path: {en: [A]}, words: {en: [mug]}}\n- {path: {en: [B]}, words: {en: [mugs]}}", "'mugs' is listed under"),
        ("{", "cannot be read"),
    ],
)
def test_a_wrong_taxonomy_is_refused(tmp_path, content, said) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match=said):
        Taxonomy.load(file)


def test_the_default_taxonomy_has_every_leaf_in_both_languages() -> None:
    taxonomy = Taxonomy.load(TAXONOMY)
    for leaf in taxonomy.leaves:
        assert set(leaf.path) == set(leaf.words) == set(leaf.attributes) == {"en", "zh"}
        assert all(leaf.words.values()) and all(leaf.attributes.values())
    for language in ("en", "zh"):
        assert len({leaf.name(language) for leaf in taxonomy.leaves}) == len(taxonomy.leaves)


def test_the_default_taxonomy_puts_a_cup_by_its_use_among_cups() -> None:
    category = Taxonomy.load(TAXONOMY).classify("陶红色浓缩咖啡杯碟套装", (), (), "zh")
    assert category is not None and category.path == ("家居", "厨房", "杯具")

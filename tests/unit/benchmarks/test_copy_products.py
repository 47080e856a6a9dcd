"""The products that copy is judged on are what the judge needs, and no prompt knows them."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from benchmarks.copy.judge import judge
from benchmarks.copy.products import LANGUAGES, load
from benchmarks.copy.quantities import figures

PRODUCTS = load()
PROMPTS = Path(__file__).parents[3] / "recipes" / "prompts"
SAFETY = re.compile(
    "allergen|ingredient|warning|^age$|dosage|compatib|过敏原|配料|成分|警告|注意事项|用法用量|适用年龄|适宜人群|兼容"
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_sixty_a_language_with_what_tempts(language):
    own = [product for product in PRODUCTS if product.language == language]
    assert len(own) == 60 == len({product.title for product in own})
    assert {len(product.attributes) for product in own} <= set(range(4, 9))
    assert sum(any(SAFETY.search(name) for name in product.attributes) for product in own) >= 25
    alike = [
        Counter(figure.dimension for value in product.attributes.values() for figure in figures(value) if figure.unit)
        for product in own
    ]
    assert sum(max(counts.values(), default=0) >= 2 for counts in alike) >= 15
    assert len({product.kind for product in own}) >= 12


def test_ids_are_unique_and_limits_are_a_language():
    assert len({product.id for product in PRODUCTS}) == 120
    assert [product.id for product in load(2)] == ["en-01", "en-02", "zh-01", "zh-02"]


def test_no_prompt_holds_one_of_them():
    wordings = [path.read_text(encoding="utf-8") for path in sorted(PROMPTS.glob("*.yaml"))]
    assert wordings
    assert not [product.title for product in PRODUCTS for wording in wordings if product.title in wording]
    assert all(yaml.safe_load(wording) for wording in wordings)


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.id)
def test_its_facts_word_for_word_are_a_faultless_copy(product):
    lines = product.facts.splitlines()
    text = "\n".join(lines) if product.language == "zh" else "\n".join(f"{line}." for line in lines)
    found = judge(product, text)
    assert not found.wrong
    assert not found.anothers
    assert not found.unsupported_safety
    assert set(found.named) == set(product.attributes)
    assert found.name_present
    assert found.language_right

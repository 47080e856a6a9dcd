"""The sentences by which the claim check is judged, and the arithmetic of its figures."""

from collections import Counter

import pytest

from benchmarks.claims import LANGUAGES, SPLITS, Judged, Sentence, judge, read, summarise


@pytest.mark.parametrize("language", LANGUAGES)
def test_half_of_the_sentences_are_false_in_a_detail_that_stands_in_them(language):
    products = {split: read(language, split) for split in SPLITS}
    assert not {p.title for p in products["tune"]} & {p.title for p in products["held"]}
    every = [(product, sentence) for split in SPLITS for product in products[split] for sentence in product.sentences]
    false = [sentence for _, sentence in every if sentence.false]
    assert len(every) >= 400 and 0.45 < len(false) / len(every) < 0.55
    assert all(sentence.detail and sentence.detail in sentence.text for sentence in false)
    assert min(Counter(sentence.kind for sentence in false).values()) >= 8
    for product, sentence in every:
        assert set(sentence.facts) <= {"title", "label", "transcript", *product.attributes}, (product.id, sentence.text)


def test_figures_are_shares_of_the_false_and_of_the_true():
    def row(verdict, passed, kind=""):
        return Judged("p", Sentence(text="x", verdict=verdict, kind=kind), passed, ())

    rows = [
        row("contradicted", False, "figure"),
        row("contradicted", True, "figure"),
        row("unsupported", False, "award"),
        row("supported", True),
        row("no claim", False),
    ]
    assert summarise(rows) == {
        "false": 3,
        "true": 2,
        "recall": 0.667,
        "precision": 0.667,
        "true_passed": 0.5,
        "by_kind": {"award": "1/1", "figure": "1/2"},
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_levels_let_through_less_and_less(language):
    products = read(language, "tune")
    recalls = [summarise(judge(products, level))["recall"] for level in ("free", "balanced", "strict")]
    assert recalls == sorted(recalls) and recalls[-1] > 0.95

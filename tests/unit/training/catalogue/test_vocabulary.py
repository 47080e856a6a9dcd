"""Words: what names a product, what counts as naming it, which classes a word covers."""

import pytest

from training.catalogue.vocabulary import imagenet_labels, names_it, vocabulary, word_of


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Winchester sofa", "sofa"),
        ("Chair with cushion", "chair"),
        ("Coffee table", "coffee table"),
        ("Piano bench", "bench"),
        ("Peugeot 308 CC", "car"),
        ("Plate, glass and cutlery", "place setting"),
        ("Small step ladder", "ladder"),
        ("Quantum widget", None),
    ],
)
def test_a_name_is_brought_to_its_head_noun(name, word):
    found = word_of(name)
    assert (found.word if found else None) == word


def test_words_are_unique_and_classes_exist():
    words = [w.word.lower() for w in vocabulary()]
    assert len(words) == len(set(words))
    assert len(imagenet_labels()) == 1000
    assert all(0 <= c < 1000 for w in vocabulary() for c in w.classes)


def test_every_class_is_covered_by_a_word_or_named_like_one():
    covered = {c for w in vocabulary() for c in w.classes}
    names = {n for w in vocabulary() for n in w.names}
    assert [n for i, n in enumerate(imagenet_labels()) if i not in covered and n[0].lower() not in names] == []


def test_naming_takes_synonyms_and_plurals_but_no_parts_of_words():
    sofa = word_of("Winchester sofa")
    assert names_it("Two comfortable Couches for your home", sofa)
    assert names_it("This sofa is red.", sofa)
    assert not names_it("A sofabed-like thing", sofa)
    assert not names_it("A chair", sofa)

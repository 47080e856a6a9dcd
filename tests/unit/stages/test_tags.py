"""Tags: which words a condition gives, with which probabilities."""

import dataclasses

import numpy as np
import pytest

from stages.tags import CLASSES, FUSED, IMAGE, TAGS, TagTable, probabilities, tags

WIDTH = 40  # of the space; any other would do

WORDS = ("bench", "cat", "chair", "lamp", "sofa", "table", "vase")


def unit(rng, *shape):
    x = rng.standard_normal(shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    fused, named = unit(rng, len(WORDS), WIDTH), unit(rng, len(WORDS), WIDTH)
    return TagTable(WORDS, fused, named, image_scale=20, named_scale=20, text_scale=20, least=0.03)


def condition(**rows):
    made = np.zeros((7, WIDTH), np.float32)
    for row, value in rows.items():
        made[{"fused": FUSED, "classes": CLASSES, "image": IMAGE}[row]] = value
    return made


def test_the_picture_names_it_by_the_fused_space(table):
    words, scores = tags(condition(image=table.fused[4], classes=0 * table.named[0]), table)
    assert words[0] == "sofa"
    assert scores[0] > 0.9


def test_the_encoders_classes_name_what_the_catalogue_does_not_hold(table):
    nothing = unit(np.random.default_rng(5), WIDTH)
    words, _ = tags(condition(image=nothing, classes=0.9 * table.named[1]), table)
    assert words[0] == "cat"


def test_a_title_alone_names_it_whatever_its_length(table):
    for length in (0.3, 1.0, 7.0):
        words, scores = tags(condition(fused=length * table.fused[3]), table)
        assert words[0] == "lamp"
        assert scores[0] > 0.9


def test_a_neutral_title_does_not_speak_over_the_picture(table):
    words, _ = tags(condition(fused=table.fused[0], image=table.fused[4], classes=0.5 * table.named[4]), table)
    assert words[0] == "sofa"


def test_five_tags_always_improbable_ones_empty(table):
    words, scores = tags(condition(image=table.fused[2]), table)
    assert len(words) == len(scores) == TAGS
    assert words[0] == "chair"
    assert words[1:] == [""] * 4
    assert not scores[1:].any()
    assert scores.dtype == np.float32


def test_nothing_at_all_gives_finite_even_probabilities(table):
    probability = probabilities(np.zeros((7, WIDTH), np.float32), table)
    np.testing.assert_allclose(probability, 1 / len(WORDS), rtol=1e-5)


def test_a_title_that_says_nothing_gives_no_tags_but_a_dim_picture_its_best(table):
    strict = dataclasses.replace(table, least=0.9)
    blank = unit(np.random.default_rng(9), WIDTH)
    assert tags(condition(fused=blank), strict)[0] == [""] * TAGS
    words, scores = tags(condition(image=blank), strict)
    assert words[0] in WORDS
    assert 0 < scores[0] < 0.9


def test_probabilities_sum_to_one_and_best_comes_first(table):
    mixed = condition(image=table.fused[1] + 0.95 * table.fused[5])
    assert probabilities(mixed, table).sum() == pytest.approx(1)
    words, scores = tags(mixed, table)
    assert words[:2] == ["cat", "table"]
    assert (np.diff(scores) <= 0).all()


def test_a_table_comes_back_as_it_was_written(table, tmp_path):
    arrays = {n: getattr(table, n) for n in ("fused", "named", "image_scale", "named_scale", "text_scale", "least")}
    np.savez(tmp_path / "tags.npz", words=np.array(table.words), **arrays)
    back = TagTable.load(tmp_path / "tags.npz")
    assert back.words == table.words
    np.testing.assert_array_equal(back.fused, table.fused)
    assert back.least == table.least


def test_a_vocabulary_of_fewer_words_is_filled_up():
    few = TagTable(
        ("mug", "lamp"), np.eye(2, WIDTH, dtype=np.float32), np.eye(2, WIDTH, dtype=np.float32), 9, 0, 9, 0.0
    )
    made = np.zeros((7, WIDTH), np.float32)
    made[[FUSED, IMAGE], 1] = 1
    words, scores = tags(made, few)
    assert words == ["lamp", "mug", "", "", ""] and scores[2:].tolist() == [0, 0, 0] and scores[0] > 0.9

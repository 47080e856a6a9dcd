import json

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from stages import moderation
from stages.errors import StageError
from stages.moderation import Finding, Likeness, Policy

SMALL = {
    "version": 1,
    "likeness": 0.35,
    "sure_likeness": 0.5,
    "class_score": 0.5,
    "ordinary": ["a wooden chair"],
    "categories": {
        "weapons": {
            "action": "block",
            "words": {"en": ["gun", "throwing knife"], "zh": ["手枪"]},
            "examples": ["a pistol for sale", "box of bullets"],
            "unlike": ["glue gun", "a set of kitchen knives"],
            "classes": ["rifle", "revolver"],
        },
        "alcohol": {"action": "flag", "words": {"en": ["wine"]}, "unlike": ["wine glass", "酒架"]},
    },
}


@pytest.fixture(scope="module")
def small() -> Policy:
    return Policy.model_validate(SMALL)


def watched(policy, pieces):
    """What went out, and whether the stream was stopped."""
    watch, out = moderation.Watch(policy), ""
    for number, piece in enumerate(pieces):
        try:
            out += watch(piece, number + 1 == len(pieces))
        except StageError as error:
            assert (error.code, error.field) == ("blocked", "TEXT")
            return out, True
    return out, False


@pytest.mark.parametrize(
    ("pieces", "out", "stopped"),
    [
        (["A th", "rowing", " kni", "fe set"], "A ", True),
        (["A throw", "ing ", "knick-knack"], "A throwing knick-knack", False),
        (["A gu", "n"], "A ", True),
        (["A gu", "nny", " sack"], "A gunny sack", False),
        (["A glue", " gun", " and ", "more"], "A glue gun and more", False),
        (["A glue", " gun", " and a g", "un."], "A glue gun and a ", True),
        (["全新手", "枪出售"], "全新", True),
        (["全新手", "套"], "全新手套", False),
        (["red ", "wine"], "red wine", False),  # flagged, not blocked
        (["Guns", " here"], "", True),
        (["glue gun "] * 20 + ["Throwing glue"], "glue gun " * 20 + "Throwing glue", False),
        (["glue gun "] * 20 + ["guns"], "glue gun " * 20, True),
        (["漂亮的" * 60, "手枪", " 出售"], "漂亮的" * 60, True),
        (["漂亮的" * 60, "手", "套", " 出售"], "漂亮的" * 60 + "手套 出售", False),
    ],
)
def test_a_stream_stops_before_a_word_that_blocks(small, pieces, out, stopped):
    assert watched(small, pieces) == (out, stopped)


def test_what_can_begin_nothing_goes_out_at_once(small):
    watch = moderation.Watch(small)
    assert [watch(piece, False) for piece in ["A ", "red", " mug", " g", "lad"]] == ["A ", "red", " mug", " ", "glad"]


WORDS = st.lists(
    st.sampled_from(["gun", "glue", "Throwing", "knife", "a", "wine", "gunny", "手", "枪", "套", "-", "guns"])
)


@example(["glue", "gun"] * 7 + ["Throwing", "glue"], " ", [1])
@example(["gun", "手", "gun"], "", [1])
@given(WORDS, st.sampled_from([" ", "", "  "]), st.lists(st.integers(1, 5), min_size=1))
def test_a_stream_is_judged_as_its_whole_text_would_be(small, words, between, sizes):
    text = between.join(words)
    pieces, at = [], 0
    while at < len(text):
        pieces.append(text[at : at + sizes[len(pieces) % len(sizes)]])
        at += len(pieces[-1])
    out, stopped = watched(small, pieces or [""])
    blocks = any(finding.action == "block" for finding in small.worded(text, "TEXT"))
    assert stopped == blocks and text.startswith(out) and (stopped or out == text)
    assert not any(finding.action == "block" for finding in small.worded(out, "TEXT"))


def categories(findings):
    return [finding.category for finding in findings]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a GUN for sale", ["weapons"]),
        ("guns, two", ["weapons"]),
        ("ｇｕｎ", ["weapons"]),
        ("throwing-knife", ["weapons"]),
        ("漂亮的手枪套", ["weapons"]),
        ("gunny sack", []),
        ("begun", []),
        ("买gun吧", ["weapons"]),
        ("a glue gun", []),
        ("Glue-guns and a gun", ["weapons"]),
        ("wine glasses", []),
        ("wine in wine glasses, and a gun", ["weapons", "alcohol"]),
        ("", []),
    ],
)
def test_words_are_found_whole_in_plural_and_not_in_harmless_phrases(small, text, found):
    assert categories(small.worded(text, "TITLE")) == found


def test_a_sentence_like_the_examples_is_found_and_names_the_nearest(small):
    vectors = np.eye(6, dtype=np.float32)[: len(small.phrases)]
    likeness = Likeness(small, vectors)
    near = 0.95 * vectors[1] + 0.05 * vectors[0]
    said = np.stack([vectors[3], near / np.linalg.norm(near)])
    (found,) = likeness(["glue gun indeed", "fifty rounds"], said, "TEXT")
    assert found[:4] == ("weapons", "block", "TEXT", "likeness")
    assert found.evidence == "fifty rounds ≈ box of bullets"
    unsure = likeness(["some rounds"], 0.8 * vectors[1:2], "TEXT")
    assert [(each.action, each.score) for each in unsure] == [("flag", pytest.approx(0.4, abs=0.01))]
    assert likeness(["a chair"], vectors[2:3], "TEXT") == []
    assert likeness([], np.empty((0, 6), np.float32), "TEXT") == []


def test_embeddings_are_kept_for_the_next_start_unless_another_encoder_made_them(small, tmp_path):
    asked = []

    def encoder(first):
        def embed(texts):
            asked.append(len(texts))
            vectors = np.eye(6, dtype=np.float32)
            return np.stack([vectors[(small.phrases.index(text) + first) % 6] for text in texts])

        return embed

    count, said = len(small.phrases), ["x y"]
    for first, asked_for in ((0, [1, count - 1]), (0, [1]), (3, [1, count - 1]), (3, [1])):
        asked.clear()
        likeness = moderation.learn(small, encoder(first), tmp_path / "kept")
        assert asked == asked_for
        assert likeness(said, encoder(first)([small.phrases[0]]), "TEXT")[0].category == "weapons"
    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    asked.clear()
    moderation.learn(small, encoder(0), tmp_path / "kept")
    assert asked == [1, count - 1]
    (tmp_path / "file").touch()
    moderation.learn(small, encoder(0), tmp_path / "file" / "kept")


def test_a_picture_is_judged_by_the_sum_of_its_category_s_classes(small):
    scores = np.zeros(1000, np.float32)
    names = moderation.labels()
    assert small.shown(scores, names, "IMAGE") == []
    rifle, revolver = (names.index(name) for name in ("rifle", "revolver"))
    scores[rifle], scores[revolver] = 0.2, 0.35
    (found,) = small.shown(scores, names, "IMAGE")
    assert (found.by, found.evidence, found.score) == ("class", "revolver", pytest.approx(0.55))


def test_another_encoder_s_classes_stand_where_it_says(small):
    scores = np.array([0.1, 0.2, 0.7], np.float32)
    (found,) = small.shown(scores, ("mug", "lamp", "rifle"), "IMAGE")
    assert (found.evidence, found.score) == ("rifle", pytest.approx(0.7))
    assert small.shown(scores, ("rifle", "lamp", "mug"), "IMAGE") == []
    assert small.shown(scores, ("mug", "lamp", "chair"), "IMAGE") == []


def test_the_gravest_action_counts_and_the_tensor_reads_back():
    findings = [Finding("alcohol", "flag", "TITLE", "words", "wine", 1.0)]
    assert moderation.action_of([]) == "allow"
    assert moderation.action_of(findings) == "flag"
    moderation.refuse_blocked(moderation.dumps(findings))
    findings.append(Finding("weapons", "block", "IMAGE", "class", "rifle", 0.9))
    said = moderation.dumps(findings)
    assert json.loads(said)["action"] == "block"
    assert moderation.loads(said) == findings
    with pytest.raises(StageError, match=r"IMAGE shows 'rifle' \(weapons\)") as caught:
        moderation.refuse_blocked(said)
    assert (caught.value.code, caught.value.field) == ("blocked", "IMAGE")


def test_what_could_not_be_checked_is_blocked():
    said = moderation.dumps([moderation.unchecked(RuntimeError("no encoder"))])
    with pytest.raises(StageError, match="could not be checked: 'RuntimeError: no encoder'"):
        moderation.refuse_blocked(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"likeness": 2}, "likeness: Input should be less than or equal to 1"),
        ({"lkeness": 1}, "lkeness: Extra inputs are not permitted"),
        ({"version": 2}, "version: Input should be 1"),
        ({"categories": {"x": {"action": "hide"}}}, "categories.x.action"),
        ({"categories": {"x": {"action": "flag", "classes": ["no such"]}}}, "'no such' is no ImageNet class"),
        ({"categories": {"x": {"action": "flag", "words": {"en": [12]}}}}, "categories.x.words.en.0"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_place(tmp_path, change, said):
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(SMALL | change))
    with pytest.raises(ValueError, match=r"policy .*policy\.yaml: ") as caught:
        Policy.load(path)
    assert said in str(caught.value)


def test_a_policy_that_cannot_be_read_says_so(tmp_path):
    for data in (None, b"a: [", b"\xff"):
        path = tmp_path / "policy.yaml"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ValueError, match="cannot be read"):
            Policy.load(path)


def test_the_shipped_policy_has_every_kind_of_rule_and_no_rule_twice():
    policy = Policy.load(moderation.POLICY)
    assert {each.action for each in policy.categories.values()} == {"flag", "block"}
    for name, each in policy.categories.items():
        assert each.words["en"] and each.words["zh"] and len(each.examples) >= 8, name
        for words in (*each.words.values(), each.examples, each.unlike):
            assert len(set(words)) == len(words), (name, [word for word in words if words.count(word) > 1])
    assert len(set(policy.phrases)) == len(policy.phrases)


@given(st.text(max_size=200))
def test_any_text_is_judged(text):
    policy = Policy.load(moderation.POLICY)
    assert all(finding.evidence for finding in policy.worded(text, "TITLE"))
    assert len(moderation.comparable(text)) <= moderation.MAX_SENTENCES


def test_attributes_are_read_as_what_they_say():
    said = moderation.readable(b'{"material": "elephant ivory", "made_in": "Kenya"}', "ATTRIBUTES")
    assert said == "material: elephant ivory. made_in: Kenya"
    for broken in (b"[1]", b"{", b"\xff", b'{"a": {"b": "ivory"}}'):
        assert moderation.readable(broken, "ATTRIBUTES")
    assert moderation.readable(b'{"a": "b"}', "TITLE") == '{"a": "b"}'

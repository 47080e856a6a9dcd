"""The order in which a product's outputs are made, and what a failed one takes along."""

import pytest
from vitrina_client import InvalidInput, Listing, NotReady, Product, QueueFull, Speech, Timeout
from vitrina_client._results import plan
from vitrina_client._steps import CallPolicy
from vitrina_client._types import OUTPUTS

POLICY = CallPolicy(Timeout(), 0)
CUP = Product("Cup", b"JPEG")


def begun(work):
    return {name for name, _ in work.ready()}


def given(results):
    return {result.output: result.error or result.value for result in results}


def work(*want, product=CUP):
    return plan(POLICY, product, want, {}, "white", "1:1")


def test_everything_begins_as_soon_as_what_it_is_made_of_is_there():
    steps = work(*OUTPUTS)
    assert begun(steps) == {"condition", "studio", "studio_video"}
    assert steps.end("condition", Listing(condition=object()), None) == []
    assert begun(steps) == {"text", "image", "video"}
    copy = Listing(text="A cup.")
    assert given(steps.end("text", copy, None)) == {"text": copy}
    assert begun(steps) == {"speech"}
    steps.end("speech", Speech(b"RIFF", "audio/wav", 1.0), None)
    assert begun(steps) == {"post"} and not steps.steps


@pytest.mark.parametrize(
    ("want", "first"),
    [
        ("text", "text"),
        ("studio", "studio"),
        ("studio_video", "studio_video"),
        ("image", "image"),
        ("video", "video"),
        ("post", "text"),
        ("speech", "text"),
    ],
)
def test_one_output_takes_no_call_more_than_it_needs(want, first):
    steps = work(want)
    assert begun(steps) == {first} and steps.steps.keys() == {want} - {first}


def test_what_is_needed_but_not_asked_for_is_not_given():
    steps = work("post")
    begun(steps)
    assert steps.end("text", Listing(text="A cup."), None) == []
    assert begun(steps) == {"post"}


def test_a_failure_takes_along_what_is_made_of_it_alone():
    steps, error = work(*OUTPUTS), QueueFull("full")
    begun(steps)
    steps.end("condition", Listing(condition=object()), None)
    begun(steps)
    assert given(steps.end("text", None, error)) == dict.fromkeys(("text", "speech", "post"), error)
    assert given(steps.end("image", b"PNG", None)) == {"image": b"PNG"}
    assert begun(steps) == set()


def test_without_a_condition_all_that_begins_from_it_fails():
    steps, error = work(*OUTPUTS), QueueFull("full")
    begun(steps)
    assert given(steps.end("condition", None, error)).keys() == set(OUTPUTS) - {"studio", "studio_video"}


def test_a_post_goes_on_without_its_voice():
    steps = work("speech", "post")
    begun(steps)
    steps.end("text", Listing(text="A cup."), None)
    assert begun(steps) == {"speech"}
    assert given(steps.end("speech", None, NotReady("no phonemes"))).keys() == {"speech"}
    assert begun(steps) == {"post"}


@pytest.mark.parametrize("want", ["text", (), ("sound",), ("text", "tags")])
def test_an_unknown_output_is_refused(want):
    with pytest.raises(InvalidInput, match="expected a set of some of text, image") as caught:
        plan(POLICY, CUP, want, {}, "white", "1:1")
    assert caught.value.field == "want"

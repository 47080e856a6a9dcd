import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from decoding.stop import Detokenizer, StopText, check_stops
from stages.errors import StageError

FEW = st.text("ab#", max_size=30)  # few letters, so that stop strings do come up and overlap


def feed(pieces, stops):
    stop, given_out = StopText(stops), []
    for piece in pieces:
        given_out.append(stop.push(piece))
        if stop.stopped:
            return given_out, True
    return [*given_out, stop.flush()], False


@given(pieces=st.lists(FEW, max_size=12), stops=st.lists(st.text("ab#", min_size=1, max_size=4), max_size=3))
@settings(max_examples=500)
def test_text_ends_before_the_first_stop_string_however_it_is_cut(pieces, stops):
    given_out, stopped = feed(pieces, stops)
    text, seen = "".join(pieces), "".join(given_out)
    assert stopped == any(stop in text for stop in stops)
    assert text.startswith(seen)
    assert not any(stop in seen for stop in stops)
    if stopped:
        assert any(text.startswith(stop, len(seen)) for stop in stops)
    else:
        assert seen == text


@given(text=FEW, stop=st.text("ab#", min_size=2, max_size=4))
@settings(max_examples=300)
def test_no_beginning_of_a_stop_string_gets_out_before_it_is_ruled_out(text, stop):
    held = StopText([stop])
    seen = ""
    for place, letter in enumerate(text):
        seen += held.push(letter)
        if held.stopped:
            return
        so_far = text[: place + 1]
        beginnings = [n for n in range(1, len(stop)) if so_far.endswith(stop[:n])]
        assert len(so_far) - len(seen) == max(beginnings, default=0)


def test_without_stop_strings_nothing_is_held_back():
    assert feed(["a", "", "b"], []) == (["a", "", "b", ""], False)


@pytest.mark.parametrize(
    ("stops", "code", "limit"),
    [([""], "invalid_input", "1 to 64"), (["x" * 65], "too_large", "64"), (["x"] * 9, "too_large", "8")],
)
def test_stop_strings_have_limits(stops, code, limit):
    with pytest.raises(StageError, match=limit) as caught:
        check_stops(stops)
    assert (caught.value.code, caught.value.field) == (code, "STOP")


@pytest.fixture(scope="module")
def tokenizer(checkpoint) -> Tokenizer:
    return Tokenizer.from_file(str(checkpoint / "tokenizer.json"))


@given(text=st.text(max_size=20))
@settings(max_examples=300)
def test_characters_come_out_whole(tokenizer, text):
    detokenizer = Detokenizer(tokenizer)
    ids = tokenizer.encode(text).ids
    pieces = [detokenizer.push(token) for token in ids]
    if "\N{REPLACEMENT CHARACTER}" in text:
        return
    assert "".join(pieces) == tokenizer.decode(ids)
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_half_a_character_at_the_end_is_kept_in(tokenizer):
    detokenizer = Detokenizer(tokenizer)
    ids = tokenizer.encode("木").ids
    assert len(ids) == 3
    assert [detokenizer.push(token) for token in ids] == ["", "", "木"]
    assert detokenizer.push(ids[0]) == ""


def test_bytes_that_are_no_text_do_not_stop_what_follows(tokenizer):
    detokenizer = Detokenizer(tokenizer)
    broken = tokenizer.encode("木").ids[0]
    pieces = [detokenizer.push(token) for token in [broken, *tokenizer.encode("mug").ids]]
    assert "".join(pieces).endswith("mug")

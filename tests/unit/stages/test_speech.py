"""Copy as it is read aloud, its phonemes and ids, and the sentences joined."""

from __future__ import annotations

import builtins
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import speech
from stages.errors import StageError
from stages.speech import MissingExtraError, Phonemizer, join
from stages.speech_text import MAX_SENTENCE, sentences, words

SPOKEN = {
    "120 x 60 x 75 cm": "one hundred twenty by sixty by seventy-five centimeters",
    "40×40cm": "forty by forty centimeters",
    '24" wide and 30" tall': "twenty-four inches wide and thirty inches tall",
    "2 in the box, 4 in.": "two in the box, four inches.",
    "6 ft, 1 ft": "six feet, one foot",
    "1.5 L, 1 kg, 350 ml": "one point five liters, one kilogram, three hundred fifty milliliters",
    "5 m² rug": "five square meters rug",
    "a 2-year warranty": "a two-year warranty",
    "10-15 kg": "ten to fifteen kilograms",
    "220–240 V": "two hundred twenty to two hundred forty volts",
    "$49.99": "forty-nine dollars and ninety-nine cents",
    "$1,299": "one thousand two hundred ninety-nine dollars",
    "$1": "one dollar",
    "€20": "twenty euros",
    "20 €": "twenty euros",
    "USD 15": "fifteen dollars",
    "£3.01": "three pounds and one penny",
    "15% off": "fifteen percent off",
    "-5°C to 40 °C": "minus five degrees Celsius to forty degrees Celsius",
    "16:9 TV": "sixteen by nine T V",
    "RJ45 plug": "R J forty-five plug",
    "4K and MP3": "four K and M P three",
    "USB-C LED lamp": "U S B-C L E D lamp",
    "since 1998": "since nineteen ninety-eight",
    "in 2024": "in twenty twenty-four",
    "2000 W": "two thousand watts",
    "the 1st and 22nd": "the first and twenty-second",
    "½ cup, 1½ cups, 3/4 full": "one half cup, one and one half cups, three quarters full",
    "2x faster": "two times faster",
    "5000+ reviews": "five thousand plus reviews",
    "No. 5 and #1": "number five and number one",
    "home & office": "home and office",
    "red/blue": "red or blue",
    "Apple® and Lego™": "Apple and Lego",
    "nice — very nice 😀": "nice, very nice",
    "**Bold** `code`": "Bold code",
    "e.g. this w/ lid": "for example this with lid",
    "“quoted” ‘too’": "quoted 'too'",
    "don't": "don't",
}


@pytest.mark.parametrize("written", SPOKEN)
def test_everything_in_words(written: str) -> None:
    assert " ".join(sentences(written)) == SPOKEN[written]


def test_sentences_lists_and_headings_are_said_one_by_one() -> None:
    text = "# The lamp\n- It is red. It costs $5.50!\n2. Really? (Yes.) see www\n\n---\n"
    assert sentences(text) == [
        "The lamp", "It is red.", "It costs five dollars and fifty cents!", "Really?", "Yes. see www"
    ]  # fmt: skip


def test_a_long_sentence_is_cut_at_a_pause_or_between_words() -> None:
    pieces = sentences("and so on, " * 100) + sentences("word " * 200) + sentences("x" * 1000)
    assert all(0 < len(piece) <= MAX_SENTENCE for piece in pieces)
    assert pieces[0].endswith(",")
    assert sum(piece.count("word") for piece in pieces) == 200


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_said_without_digits(text: str) -> None:
    for sentence in sentences(text):
        assert not any(digit in sentence for digit in "0123456789")
        assert sentence == sentence.strip() != ""


def test_long_numbers_are_read_digit_by_digit() -> None:
    assert words("1234567890123").startswith("one two three")
    assert words("1,250.50") == "one thousand two hundred fifty point five zero"


@pytest.fixture
def config(tmp_path):
    """A voice's phonemes, with an id for each sign that English needs."""
    signs = "_^$ !'(),-.:;?abcdefhijklmnopqrstuvwxyzæðŋɐɑɒɔəɚɛɜɡɪɫɹɾʃʊʌʒˈˌːθᵻʔ"
    path = tmp_path / "speech.json"
    path.write_text(json.dumps({"espeak_voice": "en-us", "phoneme_ids": {sign: [i] for i, sign in enumerate(signs)}}))
    return path


def test_ids_begin_and_end_and_have_blanks_between(config) -> None:
    pytest.importorskip("piper")
    said = Phonemizer(config)("A red lamp. 3 cm!")
    assert len(said) == 2
    for ids in said:
        assert ids.dtype == np.int64
        assert ids[:2].tolist() == [1, 0]
        assert ids[-1] == 2
        assert (ids[3:-1:2] == 0).all()
    assert len(said[0]) != len(said[1])


def test_many_threads_get_the_same_ids(config) -> None:
    pytest.importorskip("piper")
    from concurrent.futures import ThreadPoolExecutor

    phonemize = Phonemizer(config)
    texts = [f"{random.Random(i).choice(('red', 'blue', 'old'))} lamp number {i}" for i in range(16)]
    alone = [phonemize(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(phonemize, texts))
    assert all((a == b).all() for x, y in zip(alone, together, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("text", ["", "  \n", "😀 *** —", "..."])
def test_nothing_to_say_is_refused(config, text: str) -> None:
    pytest.importorskip("piper")
    with pytest.raises(StageError) as caught:
        Phonemizer(config)(text, "SCRIPT")
    assert (caught.value.code, caught.value.field) == ("invalid_input", "SCRIPT")


def test_too_much_to_say_is_refused(config) -> None:
    pytest.importorskip("piper")
    with pytest.raises(StageError, match="2,001 characters to speak, the limit is 2,000"):
        Phonemizer(config)("x" * (speech.MAX_SCRIPT + 1))


def test_a_missing_extra_is_named(config, monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("piper"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"GPL-3\.0.*make speech"):
        Phonemizer(config)


def test_sentences_are_joined_with_a_pause_at_one_level() -> None:
    joined = join([np.full(100, 0.1, np.float32), np.full(50, -0.2, np.float32)], 1000)
    assert len(joined) == 100 + 250 + 50
    assert joined.dtype == np.float32
    assert np.abs(joined).max() == pytest.approx(0.95)
    assert not join([np.zeros(10, np.float32)], 1000).any()

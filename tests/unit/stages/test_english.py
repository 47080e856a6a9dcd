"""English words as phonemes: the dictionary's, those of compounds, and guesses."""

from __future__ import annotations

import pytest

from stages.english import pronounce

SAID = {
    "The red lamp.": "ðə ɹˈɛd lˈæmp.",
    "It is forty-five inches wide, and clean!": "ɪt ɪz fˈɔːɹɾifˈaɪv ˈɪntʃᵻz wˈaɪd, ænd klˈiːn!",
    "the egg, to add, over a": "ðɪ ˈɛɡ, tʊ ˈæd, ˌoʊvɚɹ ɐ",  # as they are said before a vowel
    "smartwatch": "smˈɑːɹtwˌɑːtʃ",  # of two words
    "A mug": "ɐ mˈʌɡ",
    "the U S B-A port": "ðə jˈuː ˈɛs bˈiːˈeɪ pˈɔːɹt",
    "xkcd": "ˈɛks kˈeɪ sˈiː dˈiː",  # nothing in it can be said but its letters
    "ﬁg café naïve": "fˈɪɡ kˈæfeɪ naɪˈiːv",
    "powerbanks'": "pˈaʊɚbˌæŋks",
}


@pytest.mark.parametrize("written", SAID)
def test_a_sentence_is_said(written: str) -> None:
    assert pronounce(written) == SAID[written]


@pytest.mark.parametrize(
    ("word", "ending"), [("kettle's", "z"), ("Bosch's", "ᵻz"), ("Uniqlo's", "z"), ("desk's", "s"), ("tripods", "z")]
)
def test_a_plural_and_a_possessive_follow_their_word(word: str, ending: str) -> None:
    assert pronounce(word).endswith(ending)


@pytest.mark.parametrize("brand", ["Uniqlo", "Nespresso", "Zuvorr", "Ærø", "Ωmega", "Łódź"])
def test_a_word_in_no_dictionary_is_guessed(brand: str) -> None:
    assert any(sign.isalpha() for sign in pronounce(brand))


@pytest.mark.parametrize("odd", ["a'" * 1_000 + "s", "'s", "o'clock's", "''", "a" * 2_000, "b" * 2_000])
def test_odd_words_are_no_fault(odd: str) -> None:
    assert isinstance(pronounce(odd), str)


@pytest.mark.parametrize("nothing", ["", " ", "-"])
def test_no_word_no_phonemes(nothing: str) -> None:
    assert pronounce(nothing) == ""

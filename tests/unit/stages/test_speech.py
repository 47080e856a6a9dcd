"""Copy as it is read aloud, its phonemes and ids, and the sentences joined."""

from __future__ import annotations

import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import speech
from stages.errors import StageError
from stages.kokoro import Kokoro, cut
from stages.speech import MAX_PHONEMES, Script, choose, encode_script, join, read_script
from stages.speech_text import MAX_SENTENCE, sentences, words
from stages.vits import Vits

SPOKEN = {
    "120 x 60 x 75 cm": "one hundred twenty by sixty by seventy-five centimeters",
    "40×40cm": "forty by forty centimeters",
    '24" wide and 30" tall': "twenty-four inches wide and thirty inches tall",
    "2 in the box, 4 in.": "two in the box, four inches.",
    "6 ft, 1 ft": "six feet, one foot",
    "1.5 L, 1 kg, 350 ml": "one point five liters, one kilogram, three hundred fifty milliliters",
    "200 g/m², matt": "two hundred grams per square meter, matt",
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
    "𝐁𝐨𝐥𝐝 ｗｉｄｅ ﬁt": "Bold wide fit",
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


@settings(max_examples=500)
@given(st.text(max_size=200))
def test_any_text_is_said_without_digits(text: str) -> None:
    for sentence in sentences(text):
        assert not any(digit in sentence for digit in "0123456789")
        assert sentence == sentence.strip() != ""


def test_long_numbers_are_read_digit_by_digit() -> None:
    assert words("1234567890123").startswith("one two three")
    assert words("1,250.50") == "one thousand two hundred fifty point five zero"


SIGNS = "_^$ !'(),-.:;?abcdefhijklmnopqrstuvwxyzæðŋɐɑɒɔəɚɛɜɡɪɫɹɾʃʊʌʒˈˌːθᵻʔ"


@pytest.fixture
def speakers(tmp_path):
    """A voice of each kind, with an id for every sign."""
    ids = {sign: [number] for number, sign in enumerate(SIGNS)}
    facts = {"sample_rate": 22_050, "voices": {"joe": "en"}, "phonemes": "dictionary", "espeak_voice": "en-us"}
    (tmp_path / "vits.json").write_text(json.dumps(facts | {"scales": [0.6, 1, 0.8], "phoneme_ids": ids}))
    signs = " ,.;:!?abdefhijklmnopstuvwxyzAIOWYTæðŋɑɔəɛɜɡɪɹʃʊʌʒˈˌθᵻᵊʤʧʨʦʰɕɥɨɤɻʂꭧ→↗↓↘"
    voices = {"xiao": "zh", "yun": "zh", "heart": "en"}
    facts = {"sample_rate": 24_000, "voices": voices, "phoneme_ids": {sign: n for n, sign in enumerate(signs, 1)}}
    (tmp_path / "kokoro.json").write_text(json.dumps(facts))
    np.save(tmp_path / "styles.npy", np.arange(3 * 510 * 256, dtype=np.float32).reshape(3, 510, 256))
    return [Vits(tmp_path), Kokoro(tmp_path)]


def said(speakers, text: str, voice: str | None = None, language: str | None = None) -> list[np.ndarray]:
    speaker, name = choose(speakers, Script(text, voice=voice, language=language))
    return encode_script(speaker, name, text)


def test_ids_begin_and_end_and_have_blanks_between(speakers) -> None:
    sentences = said(speakers, "A red lamp. 3 cm!")
    assert len(sentences) == 2
    for ids in sentences:
        assert ids.dtype == np.int64
        assert ids[:2].tolist() == [1, 0]
        assert ids[-1] == 2
        assert (ids[3:-1:2] == 0).all()


def test_a_style_is_of_the_voice_and_the_length(speakers) -> None:
    _, kokoro = speakers
    (ids,) = said(speakers, "红色的杯子")
    assert ids[0] == ids[-1] == 0 and (ids[1:-1] > 0).all()
    for number, voice in enumerate(("xiao", "yun", "heart")):
        inputs = kokoro.inputs(ids, voice, 1.25)
        assert inputs["tokens"].tolist() == [ids.tolist()] and inputs["speed"].tolist() == [1.25]
        assert inputs["style"].shape == (1, 256)
        assert inputs["style"][0, 0] == (number * 510 + len(ids) - 3) * 256


@pytest.mark.parametrize(
    ("script", "chosen"),
    [
        (Script("A red mug"), "joe"),
        (Script("红色 mug"), "xiao"),
        (Script("A red mug", language="zh"), "xiao"),
        (Script("红色", voice="yun"), "yun"),
        (Script("A red mug", voice="heart"), "heart"),
        (Script("", voice="yun", language="zh"), "yun"),
    ],
)
def test_the_voice_is_the_one_asked_for_or_the_languages_first(speakers, script, chosen) -> None:
    speaker, voice = choose(speakers, script)
    assert voice == chosen and chosen in speaker.voices


@pytest.mark.parametrize(
    ("script", "field", "told"),
    [
        (Script("x", language="fr"), "LANGUAGE", "'fr' has no voice; send en or zh"),
        (Script("x", voice="nobody"), "VOICE", "'nobody' is unknown; send one of joe, xiao, yun, heart"),
        (Script("x", voice="nobody", language="zh"), "VOICE", "'nobody' is unknown; send one of xiao, yun"),
        (Script("x", voice="joe", language="zh"), "VOICE", "'joe' speaks en, not zh; send one of xiao, yun"),
    ],
)
def test_a_voice_that_is_not_there_is_refused_with_those_that_are(speakers, script, field, told) -> None:
    with pytest.raises(StageError) as caught:
        choose(speakers, script)
    assert (caught.value.code, caught.value.field) == ("invalid_input", field) and told in caught.value.message


def test_many_threads_get_the_same_ids(speakers) -> None:
    texts = [
        f"{random.Random(i).choice(('red', 'blue', '旧的'))} qlamp number {i} zuvorr{'abcdef'[i % 6]}"
        for i in range(16)
    ]
    alone = [said(speakers, text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: said(speakers, text), texts))
    assert all((a == b).all() for x, y in zip(alone, together, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("text", ["", "  \n", "😀 *** —", "...", "。。。"])
def test_nothing_to_say_is_refused(speakers, text: str, language: str) -> None:
    with pytest.raises(StageError) as caught:
        said(speakers, text, language=language)
    assert (caught.value.code, caught.value.field) == ("invalid_input", "SCRIPT")


def test_too_much_to_say_is_refused(speakers) -> None:
    with pytest.raises(StageError, match="2,001 characters to speak, the limit is 2,000"):
        said(speakers, "x" * (speech.MAX_SCRIPT + 1))


@pytest.mark.parametrize("text", ["999,999,999,999 " * 120, "xkcd " * 390, "红色的杯子，" * 330])
def test_what_would_be_spoken_for_minutes_is_refused(speakers, text: str) -> None:
    with pytest.raises(StageError, match=rf"phonemes, the limit is {MAX_PHONEMES:,}") as caught:
        said(speakers, text)
    assert caught.value.code == "too_large"


def test_the_limit_is_of_phonemes_not_of_the_blanks_between_them(speakers) -> None:
    text = "777, " * 80
    assert MAX_PHONEMES / 2 < sum(map(len, speakers[0].sentences(text, "joe"))) <= MAX_PHONEMES
    assert sum(map(len, said(speakers, text))) > MAX_PHONEMES


def test_a_voice_of_another_language_reads_latin_letters(speakers, tmp_path) -> None:
    facts = json.loads((tmp_path / "vits.json").read_text())
    (tmp_path / "vits.json").write_text(json.dumps(facts | {"voices": {"thorsten": "de"}}))
    assert encode_script(Vits(tmp_path), "thorsten", "Eine Tasse")
    with pytest.raises(StageError, match=r"the voice thorsten \(de\) does not read; send Latin letters"):
        encode_script(Vits(tmp_path), "thorsten", "кружка")


@pytest.mark.parametrize(
    ("text", "letter", "language"),
    [
        ("红色的杯子", "红", "en"),
        ("A mug, кружка", "к", "en"),
        ("A mug, кружка", "к", "zh"),
        ("ﾏｸﾞ", "ﾏ", "en"),
        ("杯子 ﾏｸﾞ", "ﾏ", "zh"),
        ("كوب", "ك", "zh"),
    ],
)
def test_other_scripts_are_refused_by_their_first_letter(speakers, text: str, letter: str, language: str) -> None:
    with pytest.raises(StageError, match=f"has '{letter}' at character {text.index(letter)}") as caught:
        said(speakers, text, language=language)
    assert (caught.value.code, caught.value.field) == ("invalid_input", "SCRIPT")


@pytest.mark.parametrize("text", ["A café, 5 Ω, naïve Ærø", "\x00A\x07 mug\x1b[31m", "𝐁𝐨𝐥𝐝 mug", "[[h@l@U]] <break/>"])
def test_odd_characters_beside_words_are_no_fault(speakers, text: str) -> None:
    assert said(speakers, text) and said(speakers, text, language="zh")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=120), st.sampled_from(["joe", "xiao", "heart"]))
def test_any_text_gives_ids_or_a_typed_error(speakers, text: str, voice: str) -> None:
    try:
        assert all(3 <= len(ids) <= 2_000 for ids in said(speakers, text, voice))
    except StageError as error:
        assert (error.code, error.field) == ("invalid_input", "SCRIPT")


def test_a_long_sentence_is_cut_where_kokoro_can_take_it(speakers) -> None:
    pieces = said(speakers, "红色的杯子" * 60) + said(speakers, "红色的杯子，" * 60)
    assert len(pieces) > 2 and all(3 <= len(ids) <= 512 for ids in pieces)
    assert cut("abc " * 10, 10) == ["abc abc"] * 5
    assert cut("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]


def test_espeak_is_an_extra_that_is_named_where_it_is_missing(speakers, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "piper.phonemize_espeak", None)
    with pytest.raises(StageError, match=r"GPL-3\.0.*make speech") as caught:
        Vits(tmp_path, espeak=True)
    assert (caught.value.code, caught.value.field) == ("not_ready", "SCRIPT")


def test_espeak_says_nearly_what_the_dictionary_says(speakers, tmp_path) -> None:
    pytest.importorskip("piper", reason="the extra of `make speech`")
    assert Vits(tmp_path, espeak=True).sentences("A red lamp.", "joe") == speakers[0].sentences("A red lamp.", "joe")


def test_a_request_is_read_with_its_defaults() -> None:
    plain = read_script("Café".encode())
    assert (plain.text, plain.speed, plain.deadline) == ("Café", 1.0, None)
    plain.in_time()
    assert (plain.voice, plain.language) == (None, None)
    full = read_script("杯子".encode(), 0.5, b"OGG", 1000, b" ZF_Xiaoxiao ", b"ZH")
    assert (full.speed, full.voice, full.language) == (0.5, "zf_xiaoxiao", "zh")
    assert read_script(b"x", voice=b"", language=b" ").voice is None


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"speed": 0.0}, "SPEED", "0 is outside 0.5 to 2"),
        ({"speed": -1.0}, "SPEED", "-1 is outside"),
        ({"speed": float("nan")}, "SPEED", "nan is outside"),
        ({"speed": 1e30}, "SPEED", "1e+30 is outside"),
        ({"audio_format": b"mp3"}, "AUDIO_FORMAT", "'mp3' is unknown; send wav or ogg"),
        ({"audio_format": b"\xff" * 100}, "AUDIO_FORMAT", "is unknown"),
        ({"timeout_ms": 0}, "TIMEOUT_MS", "0 is outside 1 to"),
        ({"script": b"\xff\xfe"}, "SCRIPT", "is not UTF-8"),
    ],
)
def test_fields_out_of_range_are_named(wrong, field: str, said: str) -> None:
    with pytest.raises(StageError) as caught:
        read_script(**{"script": b"A mug.", **wrong})
    assert (caught.value.code, caught.value.field) == ("invalid_input", field)
    assert said in caught.value.message


def test_a_passed_deadline_ends_the_script() -> None:
    script = read_script(b"x", timeout_ms=1)
    time.sleep(0.002)
    with pytest.raises(StageError) as caught:
        script.in_time()
    assert (caught.value.code, caught.value.field) == ("deadline_exceeded", "TIMEOUT_MS")


def test_sentences_are_joined_with_a_pause() -> None:
    joined = join([np.full(100, 0.1, np.float32), np.full(50, -0.2, np.float32)], 1000)
    assert len(joined) == 100 + 250 + 50
    assert joined.dtype == np.float32
    assert not joined[100:350].any() and joined[0] == np.float32(0.1) and joined[-1] == np.float32(-0.2)

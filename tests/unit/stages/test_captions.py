"""Captions: sentences, signs that there are glyphs for, lines that fit, cards that can be read."""

import numpy as np
import pytest
from PIL import Image

from stages import captions, post
from stages.captions import Caption, card, sentences, timed


def test_a_text_is_told_by_its_sentences():
    assert sentences("A red mug! Costs 9.50 €.  真好看！买吧。") == (
        "A red mug!",
        "Costs 9.50 €.",
        "真好看！",
        "买吧。",
    )
    assert sentences("  ") == ()


@pytest.mark.parametrize("kept", ["🎉", "☕", "👩‍👩‍👧", "👍🏽", "🇨🇳", "❤️", "1️⃣", "★★★★☆", "✓", "→", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "½ price"])
def test_pictographs_stay(kept):
    assert sentences(f"A mug {kept} is red.") == (f"A mug {kept} is red.",)


def test_a_sign_without_a_glyph_is_left_out():
    assert sentences("A\U0001fae9\U0001f8ff mug \U0001f000.") == ("A mug .",)


def inked(text):
    """How much of a card's band is white, beside what an empty sign would leave."""
    picture = card(Caption((text,), 0, 1), (720, 720)).picture
    return np.asarray(picture.convert("RGB")).max(2) > 200


@pytest.mark.parametrize("letters", ["红色陶瓷杯", "¥€½é", "🎉☕🌹", "★✓"])
def test_every_letter_is_seen(letters):
    boxes = [inked(letter) for letter in letters]
    assert all(box.sum() > 40 for box in boxes)
    missing = captions._font(37).getmask("\U000fffff")
    for letter in letters:
        (piece, font), *more = captions._runs(letter, 37)
        assert piece == letter and not more and bytes(font.getmask(letter)) != bytes(missing)


def test_a_family_is_one_picture_not_three():
    assert captions._length("👩‍👩‍👧", 40) < 1.5 * captions._length("👩", 40)


@pytest.mark.parametrize("size", post.SIZES.values())
@pytest.mark.parametrize(
    "text",
    [
        "word " * 120,
        "x" * 300,
        "这款红色陶瓷咖啡杯色泽鲜亮手感舒适" * 8,
        "Mug 杯子 350 ml, ½ price! " * 9,
        "☕🌹 " * 60,
    ],
)
def test_lines_fit_into_the_picture_and_lose_no_letter(text, size):
    found = timed((text.strip(),), size, 10)
    assert all(len(caption.lines) <= captions.LINES for caption in found)
    letter = captions._letter(size)
    assert all(captions._length(line, letter) <= 0.83 * size[0] for caption in found for line in caption.lines)
    said = "".join(line for caption in found for line in caption.lines)
    assert said.replace(" ", "") == text.replace(" ", "")
    for caption in found:
        left, _, right, bottom = card(caption, size).place
        assert 0 <= left < right <= size[0] and bottom < size[1]


def test_captions_follow_each_other_for_their_share_of_the_time():
    found = timed(("Short.", "This is longer by far."), (720, 720), 14)
    assert [(c.lines, c.begins, c.ends) for c in found] == [
        (("Short.",), 0, 3),
        (("This is longer by far.",), 3, 14),
    ]
    assert timed((), (720, 720), 14) == []


def test_white_letters_have_a_contrast_of_7_on_their_band_over_white():
    made = card(Caption(("A red mug.",), 0, 1), (720, 720))
    band = Image.new("RGB", (720, 720), "white")
    band.paste(made.picture, made.place, made.picture)
    grey = band.getpixel((360, 720 - round(720 * 0.07) - 4))[0] / 255
    light = ((grey + 0.055) / 1.055) ** 2.4
    assert 1.05 / (light + 0.05) >= 7

"""Titles in: what people type comes out clean, what is no text is refused, and token ids equal transformers'."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from stages.errors import StageError
from stages.text import BUCKETS, MAX_TITLE_BYTES, TitleTokenizer, clean, read_title

MOST = 128  # tokens of the encoder; any other would do

#: Every script and trick of the bad-input list, and what a person would read.
READ = {
    "": "",
    "   \t\n ": "",
    "  Red\tshoes \n size\u00a042 ": "Red shoes size 42",
    "Re\u0301sume\u0301": "R\u00e9sum\u00e9",
    "½ m² felt, 100 ℃": "½ m² felt, 100 ℃",  # NFKC would split the half and the square
    "mug\x00\x07\x1b[31m": "mug[31m",
    "\u202eevil\u202c mug\u2066\u2069": "evil mug",
    "so\u00adfa\u200b\ufeff": "sofa",
    "\u200d": "",
    "👩‍👩‍👧 family mug ☕️": "👩‍👩‍👧 family mug ☕️",
    "كوب قهوة أحمر": "كوب قهوة أحمر",
    "می‌خواهم": "می‌خواهم",
    "红色 陶瓷咖啡杯": "红色 陶瓷咖啡杯",
    "tag\U000e0041\U000e0042": "tag",
}

TITLES = [
    "",
    "red mug",
    "Re\u0301sume\u0301 holder",
    "红色陶瓷咖啡杯",
    "كوب قهوة أحمر",
    "👩‍👩‍👧 mug ☕️",
    "[SEP] [CLS] [MASK] [PAD]",
    "a" * 300,
    *(" ".join(["mug"] * words) for words in (13, 14, 15, 29, 30, 31, 62, 63, 125, 126, 127, 4000)),
]


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer of the text encoder's kind over the characters of this file's titles.

    It asks for its own padding and truncation, as the checkpoint's file does.
    """
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted({c for title in TITLES for c in unicodedata.normalize("NFD", title.lower()) if not c.isspace()})
    words = [*special, "mug", "red", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"))
    tokenizer.enable_truncation(MOST)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.mark.parametrize(("most", "lengths"), [(24, {3: 16, 20: 24, 90: 24}), (700, {3: 16, 600: 700, 900: 700})])
def test_an_encoder_of_other_lengths_has_its_own_most(tokenizer_file: Path, tmp_path: Path, most, lengths) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(most)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenize = TitleTokenizer(tmp_path / "tokenizer.json")
    assert {words: tokenize(["mug " * words]).input_ids.shape[1] for words in lengths} == lengths


@pytest.mark.parametrize("title", READ)
def test_read_title(title: str) -> None:
    assert read_title(title.encode()) == READ[title]


def test_title_at_the_limit_and_over_it() -> None:
    assert read_title(b"a" * MAX_TITLE_BYTES) == "a" * MAX_TITLE_BYTES
    with pytest.raises(StageError) as caught:
        read_title(b"a" * 100_000)
    assert caught.value.wire() == (
        "vitrina/too_large TITLE: 100,000 bytes of text, the limit is 8,192 bytes; shorten it"
    )


def test_bytes_that_are_no_utf8() -> None:
    with pytest.raises(StageError) as caught:
        read_title("Café".encode("latin-1"))
    assert caught.value.wire().startswith("vitrina/invalid_input TITLE: is not UTF-8: byte 0xe9 at offset 3")


@pytest.mark.parametrize("title", TITLES)
def test_token_ids_equal_those_of_transformers(tokenizer_file: Path, title: str) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file), pad_token="[PAD]")
    tokens = TitleTokenizer(tokenizer_file)([title])
    length = tokens.input_ids.shape[1]
    expected = theirs(
        [title],
        padding="max_length",
        truncation=True,
        max_length=MOST,
        split_special_tokens=True,
        return_tensors="np",
    )
    assert length in BUCKETS
    assert (tokens.input_ids == expected["input_ids"][:, :length]).all()
    assert (tokens.attention_mask == expected["attention_mask"][:, :length]).all()
    assert not expected["attention_mask"][:, length:].any()


def test_lengths_go_to_the_smallest_bucket_that_fits(tokenizer_file: Path) -> None:
    tokenizer = TitleTokenizer(tokenizer_file)
    lengths = {
        words: tokenizer([" ".join(["mug"] * words)]).input_ids.shape[1] for words in (0, 14, 15, 30, 31, 126, 127)
    }
    assert lengths == {0: 16, 14: 16, 15: 32, 30: 32, 31: 64, 126: 128, 127: 128}


def test_rows_of_a_request_share_one_length(tokenizer_file: Path) -> None:
    tokens = TitleTokenizer(tokenizer_file)(["", "red mug", " ".join(["mug"] * 20)])
    assert tokens.input_ids.dtype == tokens.attention_mask.dtype == np.int64
    assert tokens.input_ids.shape == tokens.attention_mask.shape == (3, 32)
    assert tokens.attention_mask.sum(axis=1).tolist() == [2, 4, 22]
    assert tokens.text_mask.dtype == np.float32
    assert tokens.text_mask.tolist() == [[0.0], [1.0], [1.0]]


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        title = read_title(data)
    except StageError as error:
        assert (error.code, error.field) == ("invalid_input", "TITLE")
        with pytest.raises(UnicodeDecodeError):
            data.decode()
        return
    assert title == " ".join(title.split())


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_cleaning_is_stable_and_leaves_nothing_invisible(text: str) -> None:
    title = clean(text)
    assert clean(title) == title
    assert unicodedata.is_normalized("NFC", title)
    assert not {unicodedata.category(c) for c in title} & {"Cc", "Cs", "Co"}
    assert not any(c in title for c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_any_text_is_tokenised_within_a_bucket(tokenizer_file: Path, text: str) -> None:
    tokens = TitleTokenizer(tokenizer_file)([clean(text)])
    assert tokens.input_ids.shape[1] in BUCKETS
    assert tokens.attention_mask.sum() >= 2

"""Read the text a request carries and tokenise titles for the text encoder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from stages.errors import invalid, too_large

MAX_TITLE_BYTES = 8_192  # sixty times a long shop title; the encoder reads the first tokens of it
BUCKETS = (16, 32, 64, 128, 256, 512)  # padded lengths, so that requests of about one length share a batch

#: Chinese characters, for a class of a regular expression.
HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"

#: Format characters that spelling needs: the joiners of emoji families and of Persian and Indic words.
_JOINERS = "\u200c\u200d"
#: Joiners and variation selectors within words that need none: between letters of Latin, Greek, Cyrillic and Chinese.
_NEEDLESS = re.compile(
    rf"(?<=[A-Za-z0-9\u00c0-\u052f\u1e00-\u1fff\u3040-\u30ff\uac00-\ud7a3{HAN}])[{_JOINERS}]+"
    rf"|(?<=[A-Za-z\u00c0-\u052f\u1e00-\u1fff{HAN}])[\ufe00-\ufe0f\U000e0100-\U000e01ef]+"
)
#: Letters and marks that show nothing: Hangul fillers, Khmer and Mongolian marks, the joiner of marks, blank Braille.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800")
#: A control token of a chat template: <|im_end|>.
_CONTROL_TOKEN = re.compile(r"<([|｜][^<>|｜]{1,40}[|｜])>")
#: Dropped: controls, bidi overrides and other invisible format characters, surrogates, private use.
_DROPPED_CATEGORIES = {"Cc", "Cf", "Cs", "Co"}

#: A full stop that ends no sentence, behind a title.
_SHORT = "".join(rf"(?<!\b{short})" for short in ("Dr", "Mr", "Ms", "Mrs", "St", "vs"))
_SENTENCE = re.compile(rf".+?(?:{_SHORT}[.!?]+[\"'”’)\]]*(?=\s|$)|[。！？]+[”’）]*|\n+|$)\s*", re.DOTALL)


@dataclass(frozen=True)
class Tokens:
    """A batch of tokenised titles.

    Attributes:
        input_ids: int64 [rows, length], `length` one of :data:`BUCKETS` or the most that the encoder takes.
        attention_mask: int64 [rows, length], 1 for a token and 0 for padding.
        text_mask: float32 [rows, 1], 0 where the title is empty.
    """

    input_ids: np.ndarray
    attention_mask: np.ndarray
    text_mask: np.ndarray


def clean(text: str) -> str:
    """NFC text on one line: white space collapsed, invisible and control characters dropped.

    A control token of a chat template becomes plain text that a reader sees: ``[|im_end|]``.
    NFC rather than NFKC, because the copy repeats what the seller wrote (``½ m²`` stays ``½ m²``).
    """
    if text.isascii() and text.isprintable():
        return _CONTROL_TOKEN.sub(r"[\1]", " ".join(text.split()))
    text = unicodedata.normalize("NFC", text)
    kept = "".join(
        c
        for c in text
        if (c.isspace() or c in _JOINERS or unicodedata.category(c) not in _DROPPED_CATEGORIES) and c not in _BLANK
    )
    # A second pass of NFC: dropping a character may have put a combining mark beside a new base.
    text = unicodedata.normalize("NFC", _NEEDLESS.sub("", " ".join(kept.split())))
    text = _CONTROL_TOKEN.sub(r"[\1]", text)
    return text if text.strip(_JOINERS + " ") else ""


def sentences(text: str) -> list[str]:
    """The sentences of an English or Chinese text, a line break ending one too; joined, they are the text."""
    return _SENTENCE.findall(text)


def language_of(text: str) -> str:
    """``zh`` where at least half of the letters are Chinese, else ``en``; these two are told apart, no others."""
    letters = [c for c in text if c.isalpha()]
    chinese = sum("\u3400" <= c <= "\u9fff" for c in letters)
    return "zh" if chinese and 2 * chinese >= len(letters) else "en"


def decode_utf8(data: bytes, field: str, max_bytes: int) -> str:
    """The bytes of `field` as a str, as they came.

    Raises:
        StageError: ``too_large`` over `max_bytes`, ``invalid_input`` where the bytes are no UTF-8.
    """
    if len(data) > max_bytes:
        raise too_large(field, f"{len(data):,} bytes of text, the limit is {max_bytes:,} bytes; shorten it")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(
            field,
            f"is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start} ({error.reason}); "
            "encode the text as UTF-8",
        ) from error


def choice(field: str, value: bytes | None, known: Sequence[str], default: str | None = None) -> str:
    """One of the `known` names, in any case of letters; `default`, or else the first, where the field is left out.

    Raises:
        StageError: ``invalid_input`` on `field`.
    """
    if value is None:
        return default or known[0]
    name = value.decode("utf-8", "replace").lower()
    if name not in known:
        raise invalid(field, f"{name[:40]!r} is unknown; send {', '.join(known[:-1])} or {known[-1]}")
    return name


def read_title(data: bytes) -> str:
    """The clean title of a product; ``""`` is allowed and means that there is none.

    Args:
        data: UTF-8, at most :data:`MAX_TITLE_BYTES` bytes.

    Raises:
        StageError: on field ``TITLE``, ``too_large`` or ``invalid_input``.
    """
    return clean(decode_utf8(data, "TITLE", MAX_TITLE_BYTES))


class TitleTokenizer:
    """The text encoder's tokeniser.

    Args:
        path: a ``tokenizer.json`` of the HF `tokenizers` library; it says how many tokens the encoder takes, and what
            it takes for padding.
    """

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.encode_special_tokens = True  # a title holding "[SEP]" is text, not a separator
        truncation, padding = self._tokenizer.truncation, self._tokenizer.padding
        if truncation is None or padding is None:
            raise ValueError(f"{path} says no length or no padding; write it with `python -m export`")
        self._most, self._pad_id = int(truncation["max_length"]), int(padding["pad_id"])
        self._tokenizer.no_padding()  # the file's is the longest of a batch; ours goes to a bucket

    def __call__(self, titles: Sequence[str]) -> Tokens:
        """Tokenises clean titles, truncated and padded to a bucket that fits the longest."""
        rows = [self._tokenizer.encode(title).ids for title in titles]
        longest = max(len(ids) for ids in rows)
        length = min([self._most, *(bucket for bucket in BUCKETS if bucket >= longest)])
        input_ids = np.full((len(rows), length), self._pad_id, np.int64)
        attention_mask = np.zeros((len(rows), length), np.int64)
        for row, ids in enumerate(rows):
            input_ids[row, : len(ids)] = ids
            attention_mask[row, : len(ids)] = 1
        text_mask = np.array([[float(bool(title))] for title in titles], np.float32)
        return Tokens(input_ids, attention_mask, text_mask)

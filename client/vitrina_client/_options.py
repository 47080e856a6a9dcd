"""What a caller may set.

Generated from graph/tensors.py by `python -m export configs`; edit that, not this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from vitrina_client._types import Brand, ImageFormat, LabelText, Media, Message


class Field(NamedTuple):
    """A tensor that a request may leave out.

    Attributes:
        dtype: Triton's name of it.
        many: whether it holds several values.
        meaning: what it says.
        left_out: what is taken without it.
    """

    dtype: str
    many: bool
    meaning: str
    left_out: str


@dataclass(frozen=True)
class Sampling:
    """How the text is drawn; None leaves the server's default.

    Args:
        max_tokens: most tokens of the text, 1 to 1,024; by task if left out.
        temperature: 0 (greedy) to 5; by task if left out.
        top_p: share of probability to draw from, above 0 to 1; by task if left out.
        top_k: number of tokens to draw from; 0 for all; 0 if left out.
        repetition_penalty: above 1 makes repeats less likely, above 0 to 10; by task if left out.
        seed: the same seed gives the same text; another each time if left out.
        stop: up to 8 texts that end the copy.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()


class TextOptions(TypedDict, total=False):
    """What shapes what is made; keywords of ``generate`` and ``stream``.

    task: description, ad, review, question, reply, recommendation, promotion or delivery; description if left out.
    language: en or zh; the title's; of `speak` the script's if left out.
    tone: neutral, friendly, playful, formal or luxurious; neutral if left out.
    claims: what copy may say beyond the facts: strict (no word that nobody gave), balanced (no material, colour,
        place, part, certificate or promise) or free (no figure and no statement on safety); strict if left out.
    question: what the shopper asks, for task question; at most 1,000 bytes.
    history: the chat so far, for task reply: `[{"role": "customer", "text": "…"}, …]`.
    transcript: what is said of it, at most 4,096 bytes; with AUDIO it is written down from that.
    label_text: what is printed on it, as `read_label` gives it; with IMAGE it is read from that.
    brand: the shop's voice, which is never a fact: how it writes, words that it likes and words that it never uses:
        `{"style": "…", "words": ["…"], "never": ["…"]}`; the server's if left out.
    max_characters: of the text, 20 to 10,000; whole sentences where they fit; not for streams; no limit if left
        out.
    banned_words: a sentence with one of them is taken out; not for streams.
    image_seed: the same seed gives the same picture and clip; another each time if left out.
    image_format: jpeg, png or webp; jpeg; of a generated picture png if left out.
    music: a tune's file, as AUDIO, heard under a post or a clip.
    sampling: how the text is drawn.
    """

    task: str
    language: str
    tone: str
    claims: str
    question: str
    history: Sequence[Message]
    transcript: str
    label_text: LabelText
    brand: Brand
    max_characters: int
    banned_words: Sequence[str]
    image_seed: int
    image_format: ImageFormat
    music: Media
    sampling: Sampling


PROMPT_FIELDS = ("TASK", "LANGUAGE", "TONE", "CLAIMS", "QUESTION", "HISTORY", "ATTRIBUTES", "TRANSCRIPT", "LABEL_TEXT", "BRAND")
EDIT_FIELDS = ("MAX_CHARACTERS", "BANNED_WORDS")
TASK_SAMPLING = ("MAX_TOKENS", "TEMPERATURE", "TOP_P", "REPETITION_PENALTY")
FIELDS: dict[str, Field] = {
    'ASPECT': Field('BYTES', False, '1:1, 4:5, 9:16 or 16:9, width to height', '1:1; of a post 9:16'),
    'ATTRIBUTES': Field('BYTES', False, 'facts of the product, JSON object of strings: `{"colour": "red"}`', 'none'),
    'AUDIO_FORMAT': Field('BYTES', False, 'wav or ogg', 'wav'),
    'BACKGROUND': Field('BYTES', False, 'white, shadow, studio, transparent, or photo: nothing is cut out', 'white; of a post studio'),
    'BANNED_WORDS': Field('BYTES', True, 'a sentence with one of them is taken out; not for streams', 'none'),
    'BRAND': Field('BYTES', False, 'the shop\'s voice, which is never a fact: how it writes, words that it likes and words that it never uses, JSON: `{"style": "…", "words": ["…"], "never": ["…"]}`', "the server's"),
    'CAPTIONS': Field('BYTES', False, 'how: burnt into the pictures, or track, text that a player shows or not', 'burnt'),
    'CLAIMS': Field('BYTES', False, 'what copy may say beyond the facts: strict (no word that nobody gave), balanced (no material, colour, place, part, certificate or promise) or free (no figure and no statement on safety)', 'strict'),
    'COUNT': Field('INT32', False, 'how many products, 1 to 100', '10'),
    'HISTORY': Field('BYTES', False, 'the chat so far, for task reply, JSON: `[{"role": "customer", "text": "…"}, …]`', 'none'),
    'IMAGE_FORMAT': Field('BYTES', False, 'jpeg, png or webp', 'jpeg; of a generated picture png'),
    'IMAGE_SEED': Field('INT64', False, 'the same seed gives the same picture and clip', 'another each time'),
    'LABEL_TEXT': Field('BYTES', False, 'what is printed on it, as `read_label` gives it; with IMAGE it is read from that', 'none'),
    'LANGUAGE': Field('BYTES', False, 'en or zh', "the title's; of `speak` the script's"),
    'MAX_CHARACTERS': Field('INT32', False, 'of the text, 20 to 10,000; whole sentences where they fit; not for streams', 'no limit'),
    'MAX_TOKENS': Field('INT32', False, 'most tokens of the text, 1 to 1,024', 'by task'),
    'MUSIC': Field('BYTES', False, "a tune's file, as AUDIO, heard under a post or a clip", 'none'),
    'QUESTION': Field('BYTES', False, 'what the shopper asks, for task question; at most 1,000 bytes', 'none'),
    'REPETITION_PENALTY': Field('FP32', False, 'above 1 makes repeats less likely, above 0 to 10', 'by task'),
    'SEED': Field('INT64', False, 'the same seed gives the same text', 'another each time'),
    'SIZE': Field('INT32', False, 'pixels of the longer side, 256 to 2,048; of a clip to 1,080', '1,200; of a clip 720'),
    'SPEED': Field('FP32', False, "0.5 to 2 times the voice's own", '1'),
    'STOP': Field('BYTES', True, 'up to 8 texts that end the copy', 'none'),
    'STYLE': Field('BYTES', False, 'natural, vivid, soft, warm, cool or mono', 'natural'),
    'TASK': Field('BYTES', False, 'description, ad, review, question, reply, recommendation, promotion or delivery', 'description'),
    'TEMPERATURE': Field('FP32', False, '0 (greedy) to 5', 'by task'),
    'TIMEOUT_MS': Field('INT32', False, 'milliseconds until the request is given up, 1 to 600,000', 'no limit'),
    'TONE': Field('BYTES', False, 'neutral, friendly, playful, formal or luxurious', 'neutral'),
    'TOP_K': Field('INT32', False, 'number of tokens to draw from; 0 for all', '0'),
    'TOP_P': Field('FP32', False, 'share of probability to draw from, above 0 to 1', 'by task'),
    'TRANSCRIPT': Field('BYTES', False, 'what is said of it, at most 4,096 bytes; with AUDIO it is written down from that', 'none'),
    'VOICE': Field('BYTES', False, "a voice's name, see docs/speech.md", "the language's first"),
}

"""What a request says about a product, field by field: read, checked and clean."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from stages.brand import Brand
from stages.commands import honest_part, honest_parts, is_command
from stages.errors import invalid, too_large
from stages.label_text import prominent, read_label_text
from stages.text import clean, decode_utf8, language_of, read_title

TONES = ("neutral", "friendly", "playful", "formal", "luxurious")
#: How far copy may go beyond the facts: `strict` lets no word stand that nobody gave, `balanced` no claim that the
#: lexicon knows, `free` only figures, codes and statements on safety are held.
LEVELS = ("strict", "balanced", "free")
TASKS = ("description", "ad", "review", "question", "reply", "recommendation", "promotion", "delivery")

MAX_QUESTION_BYTES = 1_000
MAX_ATTRIBUTES_BYTES = 4_096
MAX_ATTRIBUTES = 20
MAX_TRANSCRIPT_BYTES = 4_096
MAX_LABEL_BYTES = 4_096  # of the lines of a label that are facts
MAX_HISTORY_BYTES = 16_384
MAX_TURNS = 64
MAX_TURN_BYTES = 1_000
MAX_CHARACTERS = (20, 10_000)
MAX_BANNED, MAX_BANNED_BYTES = 500, 256

#: Request tensors of one text each that a prompt can do without.
OPTIONAL_FIELDS = (
    *("TASK", "LANGUAGE", "TONE", "CLAIMS", "ATTRIBUTES", "QUESTION", "HISTORY", "TRANSCRIPT", "LABEL_TEXT"),
    "BRAND",
)


#: Fields of a request that hold several values, which JSON gives back as lists.
_LISTS = ("tags", "scores", "label", "banned", "words")


@dataclass(frozen=True)
class Request:
    """What a prompt is made of, checked and clean.

    Attributes:
        tags: words for what the product is, best first; `scores` their probabilities.
        history: (role, text) with roles ``customer`` and ``shop``, oldest first.
        transcript: what is said of it.
        label: the lines that are printed on it, the largest first.
        max_characters: of the whole text; None for any number.
        banned: words that no sentence may hold.
        style, words: of the shop's voice, see `stages.brand`; no facts.
    """

    task: str = TASKS[0]
    language: str = "en"
    tone: str = TONES[0]
    claims: str = LEVELS[0]
    title: str = ""
    tags: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    question: str = ""
    history: tuple[tuple[str, str], ...] = ()
    transcript: str = ""
    label: tuple[str, ...] = ()
    max_characters: int | None = None
    banned: tuple[str, ...] = ()
    style: str = ""
    words: tuple[str, ...] = ()

    @property
    def facts(self) -> tuple[str, ...]:
        """All that is known: title, attributes by name and value, question, chat, transcript and label."""
        pairs = (part for pair in (*self.attributes, *self.history) for part in pair)
        return self.title, *pairs, self.question, self.transcript, *self.label

    def without_commands(self, of_customers: bool = True) -> Request:
        """The request without text that tells the writer what to write (`stages.commands`).

        Args:
            of_customers: also without customers' commands; otherwise their words stay as they are, to be answered.
        """
        (_, title), *attributes = honest_parts((("", self.title), *self.attributes))
        lines = honest_parts([("", line) for line in self.label])
        drops = is_command if of_customers else str.isspace
        return replace(
            self,
            title=title,
            attributes=tuple((name, value) for name, value in attributes if value),
            transcript=honest_part(self.transcript),
            label=tuple(line for _, line in lines if line),
            question="" if drops(self.question) else self.question,
            history=tuple((role, text) for role, text in self.history if not drops(text)),
        )

    def dumps(self) -> bytes:
        """JSON, as it crosses from one step to another."""
        return json.dumps(asdict(self), ensure_ascii=False).encode("utf-8")

    @classmethod
    def loads(cls, data: bytes) -> Request:
        """What :meth:`dumps` wrote."""
        fields = json.loads(data)
        pairs = {name: tuple(map(tuple, fields[name])) for name in ("attributes", "history")}
        return cls(**fields | pairs | {name: tuple(fields[name]) for name in _LISTS})


def read_request(
    tags: Sequence[bytes],
    scores: Sequence[float],
    fields: Mapping[str, bytes],
    languages: Sequence[str],
    max_characters: Sequence[int] = (),
    banned: Sequence[bytes] = (),
    brand: Brand | None = None,
) -> Request:
    """One product's request, every field checked, also one that its task does not use.

    What tells the writer what to write is left out of title, attributes, transcript and label (`stages.commands`).

    Args:
        tags: words for what the product is, best first, empty ones as padding.
        scores: the probability of each.
        fields: ``TITLE`` and :data:`OPTIONAL_FIELDS` by name, UTF-8; an empty one counts as absent.
        languages: that the decoder writes.
        max_characters, banned: MAX_CHARACTERS and BANNED_WORDS; empty where they were left out.
        brand: the server's own voice.

    Raises:
        StageError: ``invalid_input`` or ``too_large`` on the field at fault.
    """
    title = read_title(fields["TITLE"])
    voice = (brand or Brand()).with_request(fields["BRAND"])
    transcript = clean(decode_utf8(fields["TRANSCRIPT"], "TRANSCRIPT", MAX_TRANSCRIPT_BYTES))
    request = Request(
        task=read_task(fields["TASK"]),
        language=read_language(fields["LANGUAGE"], title or transcript, languages),
        tone=_choice("TONE", clean(decode_utf8(fields["TONE"], "TONE", 64)).lower(), TONES),
        claims=_choice("CLAIMS", clean(decode_utf8(fields["CLAIMS"], "CLAIMS", 64)).lower(), LEVELS),
        title=title,
        tags=tuple(tag.decode("utf-8") for tag in tags),
        scores=tuple(float(score) for score in scores),
        attributes=read_attributes(fields["ATTRIBUTES"]),
        question=read_question(fields["QUESTION"]),
        history=read_history(fields["HISTORY"]),
        transcript=transcript,
        label=prominent(read_label_text(fields["LABEL_TEXT"]).sure, MAX_LABEL_BYTES),
        max_characters=read_max_characters(max_characters),
        banned=(*read_banned(banned), *voice.never),
        style=voice.style,
        words=voice.words,
    )
    return request.without_commands(of_customers=False)


def read_max_characters(given: Sequence[int]) -> int | None:
    """The most characters of a text; None where there is no limit.

    Raises:
        StageError: ``invalid_input`` on MAX_CHARACTERS.
    """
    least, most = MAX_CHARACTERS
    if outside := [number for number in given if not least <= number <= most]:
        raise invalid("MAX_CHARACTERS", f"is {outside[0]:,}; send {least} to {most:,}, or leave it out")
    return int(given[0]) if len(given) else None


def read_banned(given: Sequence[bytes]) -> tuple[str, ...]:
    """Words that no sentence may hold.

    Raises:
        StageError: ``invalid_input`` or ``too_large`` on BANNED_WORDS.
    """
    if len(given) > MAX_BANNED:
        raise too_large("BANNED_WORDS", f"{len(given)} words, the limit is {MAX_BANNED}; send the ones that matter")
    words = (clean(decode_utf8(word, "BANNED_WORDS", MAX_BANNED_BYTES)) for word in given)
    return tuple(word for word in words if word)


def read_task(data: bytes) -> str:
    """One of :data:`TASKS`; the first where the field is empty."""
    return _choice("TASK", clean(decode_utf8(data, "TASK", 64)).lower(), TASKS)


def read_language(data: bytes, text: str, languages: Sequence[str]) -> str:
    """One of `languages`, also from a tag with a region (``zh-CN``); where the field is empty, the language of `text`.

    Raises:
        StageError: ``invalid_input`` on ``LANGUAGE``: the decoder does not write that language well enough to be sold.
    """
    tag = clean(decode_utf8(data, "LANGUAGE", 64)).lower()
    language = re.split("[-_]", tag)[0] or language_of(text)
    if language not in languages:
        whose = f"{tag[:60]!r} is" if tag else f"the product is named in {language!r},"
        raise invalid(
            "LANGUAGE", f"{whose} not a language that this decoder is judged in; send one of: {', '.join(languages)}"
        )
    return language


def read_question(data: bytes) -> str:
    """The customer's question on one line; at most :data:`MAX_QUESTION_BYTES`."""
    return clean(decode_utf8(data, "QUESTION", MAX_QUESTION_BYTES))


def read_attributes(data: bytes) -> tuple[tuple[str, str], ...]:
    """Facts about the product from a JSON object of strings (numbers and true/false are taken as text)."""
    if not data.strip():
        return ()
    facts = _json(data, "ATTRIBUTES", MAX_ATTRIBUTES_BYTES)
    if not isinstance(facts, dict):
        raise invalid("ATTRIBUTES", f'is a JSON {_kind(facts)}; send an object of strings such as {{"colour": "red"}}')
    if len(facts) > MAX_ATTRIBUTES:
        raise too_large(
            "ATTRIBUTES", f"{len(facts)} attributes, the limit is {MAX_ATTRIBUTES}; send the ones that matter"
        )
    for key, value in facts.items():
        if not isinstance(value, str | int | float):
            raise invalid("ATTRIBUTES", f"{clean(key)[:60]!r} is a JSON {_kind(value)}; send a string")
    pairs = ((clean(key), clean(str(value))) for key, value in facts.items())
    return tuple((key, value) for key, value in pairs if key and value)


def read_history(data: bytes) -> tuple[tuple[str, str], ...]:
    """A chat from a JSON list of ``{"role": "customer" | "shop", "text": …}``, oldest first."""
    if not data.strip():
        return ()
    turns = _json(data, "HISTORY", MAX_HISTORY_BYTES)
    if not isinstance(turns, list):
        raise invalid("HISTORY", f'is a JSON {_kind(turns)}; send a list of {{"role": "customer", "text": "…"}}')
    if len(turns) > MAX_TURNS:
        raise too_large("HISTORY", f"{len(turns)} messages, the limit is {MAX_TURNS}; send the latest ones")
    return tuple(_turn(number, turn) for number, turn in enumerate(turns, start=1))


def _choice(field: str, value: str, known: tuple[str, ...]) -> str:
    if not value:
        return known[0]
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1, cutoff=0.0)[0]
        raise invalid(field, f"{value[:60]!r} is unknown; did you mean {near!r}? Known: {', '.join(known)}")
    return value


def _json(data: bytes, field: str, max_bytes: int) -> Any:
    text = decode_utf8(data, field, max_bytes)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(field, f"is not JSON: {error}; send JSON as UTF-8") from error


def _kind(value: Any) -> str:
    kinds = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


def _turn(number: int, turn: Any) -> tuple[str, str]:
    if not isinstance(turn, dict) or set(turn) != {"role", "text"}:
        raise invalid("HISTORY", f'message {number} must have exactly "role" and "text"')
    role, text = turn["role"], turn["text"]
    if role not in ("customer", "shop"):
        raise invalid("HISTORY", f"message {number} has the role {str(role)[:60]!r}; known: 'customer', 'shop'")
    if not isinstance(text, str):
        raise invalid("HISTORY", f"message {number} has a text that is a JSON {_kind(text)}; send a string")
    text = clean(text)
    size = len(text.encode("utf-8"))
    if size > MAX_TURN_BYTES:
        raise too_large(
            "HISTORY", f"message {number} has {size:,} bytes of text, the limit is {MAX_TURN_BYTES:,} bytes"
        )
    if not text:
        raise invalid("HISTORY", f"message {number} is empty; leave it out")
    return role, text

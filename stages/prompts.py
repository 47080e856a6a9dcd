"""From what a request says about a product to the text decoder's prompt. The wording lives in ``prompts.yaml``."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stages.errors import invalid, too_large
from stages.text import clean, decode_utf8, language_of, read_title, sentences

TONES = ("neutral", "friendly", "playful", "formal", "luxurious")
TASKS = ("description", "ad", "review", "question", "reply", "recommendation", "promotion", "delivery")
LANGUAGES = ("en", "zh")
DEFAULT_TASK, DEFAULT_LANGUAGE = TASKS[0], LANGUAGES[0]

MAX_QUESTION_BYTES = 1_000
MAX_ATTRIBUTES_BYTES = 4_096
MAX_ATTRIBUTES = 20
MAX_TRANSCRIPT_BYTES = 4_096
MAX_HISTORY_BYTES = 16_384
MAX_TURNS = 64
MAX_TURN_BYTES = 1_000

# What of it enters the prompt. A decoder's context holds about a token for every three bytes of English, one for
# every byte and a half of Chinese.
PROMPT_TITLE_BYTES = 240
PROMPT_FACTS_BYTES = 400
PROMPT_NOTE_BYTES = 300
SPOKEN_TITLE_BYTES = 80  # most of a sentence that names a product
PROMPT_HISTORY_BYTES = 1_200
PROMPT_KEYWORDS = 3

#: Blocks take no line of their own, as chat templates of the HF hub expect.
_ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
#: How chat templates write control tokens: ``<|im_end|>``, ``</s>``, ``<start_of_turn>``, ``[INST]``.
_CONTROL_TOKEN = re.compile(r"<(?=\S)|\[(?=/?INST\])")


@dataclass(frozen=True)
class Request:
    """What a prompt is made of, checked and clean.

    Attributes:
        tags: words for what the product is, best first; `scores` their probabilities.
        history: (role, text) with roles ``customer`` and ``shop``, oldest first.
        transcript: what is said of it.
    """

    task: str = DEFAULT_TASK
    language: str = DEFAULT_LANGUAGE
    tone: str = TONES[0]
    title: str = ""
    tags: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    question: str = ""
    history: tuple[tuple[str, str], ...] = ()
    transcript: str = ""


#: The least probability of a word that may stand beside a title that does not use it.
SURE = 0.5

#: What a task's sampling sets where the request does not: request tensor → key of `sampling`.
SAMPLING_FIELDS = {
    "MAX_TOKENS": "max_tokens",
    "TEMPERATURE": "temperature",
    "TOP_P": "top_p",
    "REPETITION_PENALTY": "repetition_penalty",
}

#: Request tensors that a prompt can do without.
OPTIONAL_FIELDS = ("TASK", "LANGUAGE", "TONE", "ATTRIBUTES", "QUESTION", "HISTORY", "TRANSCRIPT")


def read_request(tags: Sequence[bytes], scores: Sequence[float], fields: Mapping[str, bytes]) -> Request:
    """One product's request, every field checked, also one that its task does not use.

    Args:
        tags: words for what the product is, best first, empty ones as padding.
        scores: the probability of each.
        fields: ``TITLE`` and :data:`OPTIONAL_FIELDS` by name, UTF-8; an empty one counts as absent.

    Raises:
        StageError: ``invalid_input`` or ``too_large`` on the field at fault.
    """
    title = read_title(fields["TITLE"])
    return Request(
        task=read_task(fields["TASK"]),
        language=read_language(fields["LANGUAGE"], title),
        tone=_choice("TONE", clean(decode_utf8(fields["TONE"], "TONE", 64)).lower(), TONES),
        title=title,
        tags=tuple(tag.decode("utf-8") for tag in tags),
        scores=tuple(float(score) for score in scores),
        attributes=read_attributes(fields["ATTRIBUTES"]),
        question=read_question(fields["QUESTION"]),
        history=read_history(fields["HISTORY"]),
        transcript=clean(decode_utf8(fields["TRANSCRIPT"], "TRANSCRIPT", MAX_TRANSCRIPT_BYTES)),
    )


def read_task(data: bytes) -> str:
    """One of :data:`TASKS`; the first where the field is empty."""
    return _choice("TASK", clean(decode_utf8(data, "TASK", 64)).lower(), TASKS)


def read_language(data: bytes, title: str) -> str:
    """One of :data:`LANGUAGES`, also from a tag with a region (``zh-CN``); the title's where the field is empty."""
    tag = clean(decode_utf8(data, "LANGUAGE", 64)).lower()
    if not tag:
        return language_of(title)
    return _choice("LANGUAGE", re.split("[-_]", tag)[0], LANGUAGES)


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


def messages(request: Request) -> list[dict[str, str]]:
    """The chat to send to the decoder: ``{"role": "system" | "user" | "assistant", "content": …}``.

    Raises:
        StageError: ``invalid_input`` on ``QUESTION`` or ``HISTORY`` where the task needs one that is missing.
    """
    wording = _wording()
    needed = wording["tasks"][request.task].get("needs")
    if needed == "question" and not request.question:
        raise invalid("QUESTION", "is missing or empty; the task 'question' answers it")
    if needed == "history":
        _check_open(request.history)
    language = wording["languages"][request.language]
    template = wording["tasks"][request.task][request.language]
    name, keywords, note = _name(request, language["nothing_known"], frozenset(wording["neutral_words"]))
    order = language["tones"].get(request.tone, "")
    chat = [{"role": "system", "content": f"{template['system']} {order}".strip()}]
    facts = _within(request.attributes, PROMPT_FACTS_BYTES)
    if note:
        facts.append((language["note"], _cut(note, PROMPT_NOTE_BYTES)))
    alike = [each for each in template["examples"] if bool(each.get("facts")) == bool(facts)]
    for example in alike or template["examples"]:
        given = tuple(example.get("facts", {}).items())
        history = [(turn["role"], turn["text"]) for turn in example.get("history", [])]
        values = (example["name"], example.get("keywords", []), given, example.get("question", ""), history)
        chat.append({"role": "user", "content": _fill(language, template["user"], *values)})
        chat.append({"role": "assistant", "content": example.get("tones", {}).get(request.tone, example["answer"])})
    history = _within(request.history[::-1], PROMPT_HISTORY_BYTES)[::-1]
    user = _fill(language, template["user"], name, keywords, facts, request.question, history)
    chat.append({"role": "user", "content": _neutralised(user)})
    return chat


def render(chat: Sequence[Mapping[str, str]], chat_template: str) -> str:
    """The prompt: `chat` in the decoder's own form, ending where its answer begins.

    Args:
        chat_template: the checkpoint's ``chat_template.jinja``, run in a sandbox.
    """
    return _compiled(chat_template).render(messages=chat, add_generation_prompt=True)


@cache
def example_facts(task: str, language: str) -> frozenset[str]:
    """Names, codes and days, in lower case, of the facts that a task's examples give: no request's own."""
    values = [value for e in _wording()["tasks"][task][language]["examples"] for value in e.get("facts", {}).values()]
    words = re.findall(r"\w{4,}", " ".join(map(str, values)))
    return frozenset(word.casefold() for word in words if word[0].isupper() or re.search(r"\d", word))


def states_facts(task: str) -> bool:
    """Whether a task's text has to name every attribute."""
    return bool(_wording()["tasks"][task].get("states_facts"))


def sampling(task: str) -> dict[str, float]:
    """What suits a task: ``max_tokens``, ``temperature``, ``top_p`` and ``repetition_penalty``."""
    return dict(_wording()["tasks"][task]["sampling"])


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


def _check_open(history: tuple[tuple[str, str], ...]) -> None:
    if not history:
        raise invalid("HISTORY", "is missing or empty; the task 'reply' answers its last message")
    if history[-1][0] != "customer":
        raise invalid("HISTORY", "ends with the shop's own message; the task 'reply' answers a customer's")


def _name(request: Request, nothing_known: str, neutral_words: frozenset[str]) -> tuple[str, list[str], str]:
    """What to call the product, words that support the name, and what else is said of it.

    A title that says nothing gives way to the first sentence of what is said, if that is as short as a title, or else
    to what the photo shows. A title that already uses one of the photo's words
    needs no support, and other words would only distract from it ("missile" for a poster of a rocket); any other is
    supported by the words that are more likely right than not.
    """
    title = _cut(request.title, PROMPT_TITLE_BYTES)
    tags = [tag for tag in map(clean, request.tags) if tag]
    note = request.transcript
    if is_neutral(title, neutral_words):
        first, *others = sentences(note) or [""]
        if not 0 < len(first.encode("utf-8")) <= SPOKEN_TITLE_BYTES:
            return *((tags[0], tags[1 : 1 + PROMPT_KEYWORDS]) if tags else (title or nothing_known, [])), note
        title, note = first.strip(" .!?。！？"), "".join(others)
    if _stems([title]) & _stems(tags):
        return title, [], note
    sure = [tag for tag, score in zip(map(clean, request.tags), request.scores, strict=True) if tag and score >= SURE]
    return title, sure[:PROMPT_KEYWORDS], note


def is_neutral(title: str, neutral_words: frozenset[str]) -> bool:
    """Whether a title says nothing about the product: empty, or only numbers and neutral words ("IMG_0042.jpg")."""
    return set(re.findall(r"[^\W\d_]+", title.lower())) <= neutral_words


def _stems(texts: Sequence[str]) -> set[str]:
    """Lower-case words without a plural ending."""
    return {re.sub(r"(?<=\w\w)(?:es|s)$", "", word) for text in texts for word in re.findall(r"\w{3,}", text.lower())}


def _cut(text: str, max_bytes: int) -> str:
    """The beginning of a text, cut at a space where it has one."""
    if len(text.encode("utf-8")) <= max_bytes:
        return text
    kept = text.encode("utf-8")[:max_bytes].decode("utf-8", "ignore")
    return kept.rsplit(" ", 1)[0]


def _within(pairs: Sequence[tuple[str, str]], max_bytes: int) -> list[tuple[str, str]]:
    """As many of the first pairs as fit."""
    kept: list[tuple[str, str]] = []
    for first, second in pairs:
        max_bytes -= len(first.encode("utf-8")) + len(second.encode("utf-8"))
        if max_bytes < 0:
            break
        kept.append((first, second))
    return kept


def _fill(
    language: Mapping[str, Any],
    user: str,
    name: str,
    keywords: Sequence[str],
    facts: Sequence[tuple[str, str]],
    question: str,
    history: Sequence[tuple[str, str]],
) -> str:
    product = _compiled(language["product"]).render(name=name, keywords=keywords, facts=facts).strip()
    turns = [{"role": language["roles"][role], "text": text} for role, text in history]
    return _compiled(user).render(name=name, product=product, question=question, history=turns).strip()


def _neutralised(text: str) -> str:
    """The text with control tokens taken apart, so that no title can end its own turn."""
    return _CONTROL_TOKEN.sub(lambda match: match.group() + " ", text)


@cache
def _compiled(template: str) -> Template:
    return _ENVIRONMENT.from_string(template)


@cache
def _wording() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("prompts.yaml").read_text("utf-8"))

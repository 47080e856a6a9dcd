"""From a request to the text decoder's prompt, in the words that belong to that decoder.

The export writes ``prompts.json``: the checkpoint's chat template, what the template takes, and the recipe's wording
file (`recipes/prompts/`), so that all three change together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.chat import check_prompt, compiled, render
from stages.errors import invalid
from stages.facts import SURE
from stages.request import TASKS, Request
from stages.safety import told_attributes, told_label
from stages.text import clean, sentences

SPOKEN_TITLE_BYTES = 80  # most of a sentence that names a product
LABEL_NAME_LINES = 2  # the largest of a label that name a product: its brand and what it is
PROMPT_KEYWORDS = 3
#: A title of nothing but these words, numbers and file-name parts says nothing about the product.
NEUTRAL_WORDS = frozenset(
    (
        *("product", "products", "item", "items", "article", "thing", "untitled", "unnamed", "no", "name", "title"),
        *("test", "sample", "demo", "example", "new", "null", "none", "na", "unknown", "photo", "picture", "image"),
        *("img", "pic", "dsc", "dscn", "dcim", "pxl", "jpg", "jpeg", "png", "webp"),
        *("商品", "产品", "新品", "物品", "宝贝", "图片", "照片", "未命名", "测试", "样品"),
    )
)
#: What a task's sampling sets where the request does not: request tensor → key of `sampling`.
SAMPLING_FIELDS = {
    "MAX_TOKENS": "max_tokens",
    "TEMPERATURE": "temperature",
    "TOP_P": "top_p",
    "REPETITION_PENALTY": "repetition_penalty",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Strict):
    """Bytes of UTF-8 that enter the prompt: some three a token of English, one and a half a token of Chinese."""

    title: int
    facts: int
    note: int
    label: int
    history: int


class Language(_Strict):
    """How a language puts a product and its facts; `tones` and `voice` are what a tone and a shop's voice add to the
    system message.
    """

    nothing_known: str
    note: str
    printed: str
    product: str
    voice: str
    roles: dict[Literal["customer", "shop"], str]
    tones: dict[str, str]


class Example(_Strict):
    """A worked example: the values of a request, and the answer to it, in a tone where it has one."""

    name: str
    answer: str
    keywords: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    question: str = ""
    history: tuple[dict[Literal["role", "text"], str], ...] = ()
    tones: dict[str, str] = {}


class Text(_Strict):
    """A task in one language: system message, user message as a template, examples between them.

    Where nothing of an answer may stay, `fallback` is given, or the product's attributes where there is none.
    """

    system: str
    user: str
    examples: tuple[Example, ...] = ()
    fallback: str = ""


class Sampling(_Strict):
    """What suits a task."""

    max_tokens: int = Field(ge=1)
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    repetition_penalty: float = Field(gt=0)


class Task(_Strict):
    """A task: `needs` a field of the request; `states_facts` where every attribute has to be named."""

    sampling: Sampling
    texts: dict[str, Text]
    needs: Literal["question", "history"] | None = None
    states_facts: bool = False


class Wording(_Strict):
    """A file of `recipes/prompts/`."""

    template_arguments: dict[str, Any] = {}
    limits: Limits
    languages: dict[str, Language]
    tasks: dict[str, Task]


class Prompts:
    """What one decoder is asked.

    Args:
        chat_template: the checkpoint's.
        special_tokens: of the checkpoint, which a template may name: ``bos_token``, ``eos_token``.
        wording: a wording file's content.
    """

    def __init__(self, chat_template: str, special_tokens: Mapping[str, str], wording: Mapping[str, Any]) -> None:
        self.chat_template = chat_template
        self.special_tokens = dict(special_tokens)
        self.wording = Wording.model_validate(wording)

    @classmethod
    def load(cls, path: Path) -> Prompts:
        """Reads what :meth:`dumps` wrote."""
        return cls(**json.loads(path.read_text("utf-8")))

    def dumps(self) -> str:
        """JSON, for :meth:`load`."""
        fields = {"chat_template": self.chat_template, "special_tokens": self.special_tokens}
        return json.dumps(fields | {"wording": self.wording.model_dump(mode="json")}, ensure_ascii=False)

    def check(self) -> None:
        """Renders every task in every language.

        Raises:
            ValueError: the wording lacks a task or a language, or the chat template fails or makes a wrong prompt.
        """
        if missing := set(TASKS) - set(self.wording.tasks):
            raise ValueError(f"the wording has no task {', '.join(sorted(missing))}")
        for task, entry in self.wording.tasks.items():
            if set(entry.texts) != set(self.languages):
                raise ValueError(f"task {task} is worded in {sorted(entry.texts)}, not in {sorted(self.languages)}")
            for language in self.languages:
                request = Request(
                    task, language, title="Mug", attributes=(("size", "8 cm"),), question="Why?", history=_HELLO
                )
                chat = self.messages(request)
                try:
                    check_prompt(self.prompt(request), chat)
                except Exception as error:  # a template raises whatever it likes
                    raise ValueError(f"task {task}, language {language}: {error}") from error

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """That the decoder is judged in, by their tags."""
        return tuple(self.wording.languages)

    def sampling(self, task: str) -> dict[str, float]:
        """What suits a task: ``max_tokens``, ``temperature``, ``top_p`` and ``repetition_penalty``."""
        return self.wording.tasks[task].sampling.model_dump()

    def states_facts(self, task: str) -> bool:
        """Whether a task's text has to name every attribute."""
        return self.wording.tasks[task].states_facts

    def product_name(self, request: Request) -> str:
        """What the prompt calls the product; empty where nothing sure names it."""
        language = self.wording.languages[request.language]
        name = _name(request, language.nothing_known, self.wording.limits.title)[0]
        unsure = {tag for tag, score in zip(request.tags, request.scores, strict=True) if score < SURE}
        return "" if name == language.nothing_known or name in unsure else name

    def prompt(self, request: Request) -> str:
        """The prompt of a request; see :meth:`messages` for what it raises."""
        arguments = self.special_tokens | self.wording.template_arguments
        return render(self.messages(request), self.chat_template, arguments)

    def messages(self, request: Request) -> list[dict[str, str]]:
        """The chat to send to the decoder: ``{"role": "system" | "user" | "assistant", "content": …}``.

        Raises:
            StageError: ``invalid_input`` on ``QUESTION`` or ``HISTORY`` where the task needs one that is missing.
        """
        task, limits = self.wording.tasks[request.task], self.wording.limits
        if task.needs == "question" and not request.question:
            raise invalid("QUESTION", "is missing or empty; the task 'question' answers it")
        if task.needs == "history":
            _check_open(request.history)
        language, text = self.wording.languages[request.language], task.texts[request.language]
        name, keywords, note = _name(request, language.nothing_known, limits.title)
        tone = language.tones.get(request.tone, "")
        voice = ""
        if request.style or request.words:
            voice = compiled(language.voice).render(style=request.style, words=request.words)
        chat = [{"role": "system", "content": " ".join(f"{text.system} {tone} {voice}".split(" ")).strip()}]
        facts = _within(told_attributes(request), limits.facts)
        if note:
            facts.append((language.note, _cut(note, limits.note)))
        if lines := _within([(line, "") for line in told_label(request)], limits.label):
            facts.append((language.printed, "; ".join(line for line, _ in lines)))
        # A small decoder copies an example's carrier or code into a message that was told of none.
        alike = [each for each in text.examples if bool(each.facts) == bool(facts)]
        for example in alike or text.examples:
            history = [(turn["role"], turn["text"]) for turn in example.history]
            values = (example.name, example.keywords, tuple(example.facts.items()), example.question, history)
            chat.append({"role": "user", "content": _fill(language, text.user, *values)})
            chat.append({"role": "assistant", "content": example.tones.get(request.tone, example.answer)})
        history = _within(request.history[::-1], limits.history)[::-1]
        user = _fill(language, text.user, name, keywords, facts, request.question, history)
        return [*chat, {"role": "user", "content": user}]

    def example_words(self, task: str, language: str) -> frozenset[str]:
        """Words of the names of a task's examples, and names and codes of their facts: no other copy has them."""
        words: set[str] = set()
        for example in self.wording.tasks[task].texts[language].examples:
            words.update(re.findall(r"\w{4,}", " ".join((example.name, *example.keywords))))
            facts = re.findall(r"\w{4,}", " ".join(example.facts.values()))
            words.update(word for word in facts if word[0].isupper() or re.search(r"\d", word))
        return frozenset(word.casefold() for word in words)


_HELLO = (("customer", "Hello"),)


def _check_open(history: tuple[tuple[str, str], ...]) -> None:
    if not history:
        raise invalid("HISTORY", "is missing or empty; the task 'reply' answers its last message")
    if history[-1][0] != "customer":
        raise invalid("HISTORY", "ends with the shop's own message; the task 'reply' answers a customer's")


def _name(request: Request, nothing_known: str, most_bytes: int) -> tuple[str, list[str], str]:
    """What to call the product, words that support the name, and what else is said of it.

    A title that says nothing gives way to the first sentence of what is said, if that is as short as a title, or else
    to what is printed largest, or else to what the photo shows. A title that already uses one of the photo's words
    needs no support, and other words would only distract from it ("missile" for a poster of a rocket); any other is
    supported by the words that are more likely right than not.
    """
    title = _cut(request.title, most_bytes)
    tags = [tag for tag in map(clean, request.tags) if tag]
    note = request.transcript
    if is_neutral(title):
        first, *others = sentences(note) or [""]
        if not 0 < len(first.encode("utf-8")) <= SPOKEN_TITLE_BYTES:
            if printed := _cut(" ".join(told_label(request)[:LABEL_NAME_LINES]), SPOKEN_TITLE_BYTES):
                return printed, [], note
            return *((tags[0], tags[1 : 1 + PROMPT_KEYWORDS]) if tags else (title or nothing_known, [])), note
        title, note = first.strip(" .!?。！？"), "".join(others)
    if _stems([title]) & _stems(tags):
        return title, [], note
    sure = [tag for tag, score in zip(map(clean, request.tags), request.scores, strict=True) if tag and score >= SURE]
    return title, sure[:PROMPT_KEYWORDS], note


def is_neutral(title: str) -> bool:
    """Whether a title says nothing about the product: empty, or only numbers and neutral words ("IMG_0042.jpg")."""
    return set(re.findall(r"[^\W\d_]+", title.lower())) <= NEUTRAL_WORDS


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
    language: Language,
    user: str,
    name: str,
    keywords: Sequence[str],
    facts: Sequence[tuple[str, str]],
    question: str,
    history: Sequence[tuple[str, str]],
) -> str:
    product = compiled(language.product).render(name=name, keywords=keywords, facts=facts).strip()
    names = {str(role): name for role, name in language.roles.items()}
    turns = [{"role": names[role], "text": text} for role, text in history]
    return compiled(user).render(name=name, product=product, question=question, history=turns, facts=facts).strip()

"""Makes the FAQ of a listing by rule, in English or Chinese (`faq.yaml`): what customers ask about attributes.

An answer is the plain sentence of its attributes (`stages.plain`), so it says what the shop said and no more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stages.plain import compile_pattern, is_measure, is_plural, plain_attribute, tell

LONGEST = 240  # letters of a value that answers a question

_AXES = re.compile(r"\s*[(（][LWHDØ长宽高深厚\s×xX*]+[)）]$")  # of "dimensions (W x H)"
_ORDINARY_WORD = re.compile(r"(?<![\w-])(?!Ethernet\b|Zigbee\b|Thunderbolt\b)[A-Z][a-z]+(?![\w])")
_YES_NO = re.compile(r"(?:\{?(?:Is|Are|Does)\}?|Do|Can) .*|.*吗？")
#: The verb of a Chinese yes/no question, which also answers it: 可以机洗吗？ 可以。
_VERB = re.compile(r"(?P<verb>可以|支持|需要|带)?(?P<rest>.*)吗？")
#: Names that a question writes in one way, however the shop writes them.
_BRANDS = {"bluetooth": "Bluetooth", "wifi": "Wi-Fi", "wi-fi": "Wi-Fi"} | {
    name.lower(): name for name in ("USB", "HDMI", "LED", "RAM", "NFC", "GPS", "IP", "ISBN", "SPF")
}
_BRAND = re.compile(rf"(?<![\w-])(?:{'|'.join(_BRANDS)})(?![\w])", re.IGNORECASE)
#: Between a yes or no and what is said behind it.
_BEHIND = re.compile(r"\s*[,，;；:：–—]\s*|\s+-\s+|\s*(?=[(（])|$")
_PAUSE = " ,，;；:：.。–—-"


class Faq(NamedTuple):
    """A question, its answer and the names of the attributes that answer it."""

    question: str
    answer: str
    attributes: tuple[str, ...]


class _Rule(NamedTuple):
    question: str
    name: re.Pattern[str]
    value: re.Pattern[str]
    kind: re.Pattern[str]
    together: str = ""
    singular: bool = False


class _Match(NamedTuple):
    """A question of one attribute and the place of its rule among the rules."""

    place: int
    question: str
    together: str


def ask(name: str, value: str, language: str, title: str) -> str:
    """The question that a customer asks about an attribute.

    Args:
        name, value: of the attribute.
        language: ``en`` or ``zh``.
        title: of the product, which tells "it" from "they".

    Returns:
        The question, or "" where no rule fits.
    """
    match = _match(name, value, language, title)
    return match.question if match else ""


def make_faq(
    attributes: Sequence[tuple[str, str]], language: str, title: str, most: int = 5
) -> list[tuple[str, str, tuple[str, ...]]]:
    """The questions that customers ask most about a product, each with its answer.

    Args:
        attributes: (name, value), none of them on safety: the caller leaves those out.
        language: ``en`` or ``zh``.
        title: of the product.
        most: the greatest number of questions.

    Returns:
        (question, answer, names of the attributes), in the order of the rules of `faq.yaml`. No question comes twice.
    """
    asked: list[tuple[_Match, tuple[str, str]]] = []
    for attribute in attributes:
        match = _match(*attribute, language, title)
        if match:
            asked.append((match, attribute))
    faqs: dict[str, Faq] = {}
    done: set[tuple[str, str]] = set()
    for match, attribute in sorted(asked, key=lambda each: each[0].place):
        if attribute in done or match.question in faqs:
            continue
        sharers = [pair for other, pair in asked if match.together and other.together == match.together]
        faq = _answer_together(match.together, sharers, language, title)
        if faq is None or faq.question in faqs:
            faq = Faq(match.question, _answer(match.question, *attribute, language, title), (attribute[0],))
        else:
            done.update(sharers)
        faqs[faq.question] = faq
    return [(faq.question, faq.answer, faq.attributes) for faq in faqs.values()][: max(most, 0)]


def _answer_together(question: str, attributes: Sequence[tuple[str, str]], language: str, title: str) -> Faq | None:
    """One question of several attributes, such as height and width, where one sentence tells them all."""
    names = tuple(name for name, _ in attributes)
    if len(names) < 2 or len(set(names)) < len(names):
        return None
    sentences = tell(attributes, language, title)
    return Faq(question, sentences[0][0], names) if len(sentences) == 1 else None


def _answer(question: str, name: str, value: str, language: str, title: str) -> str:
    """The sentence that `tell` makes of an attribute; one that begins with yes or no for a yes/no question."""
    rules = _load(language)
    sentence = tell([(name, value)], language, title)[0][0]
    text = " ".join(value.split()).rstrip(".。 ")
    decision = rules.read_yes_no(text)
    if not decision or not _YES_NO.fullmatch(question):
        return sentence
    yes, word, rest = decision
    if language == "zh":
        return _answer_yes_no_zh(question, text, yes, word, rest)
    begin = "Yes" if yes else "No"
    if word and rest:
        return tell([("", f"{begin}{'' if rest[0] == '(' else ','} {rest}")], language)[0][0]
    if re.match(r"[\w' -]+: ", sentence):  # no rule of plain.yaml tells it
        short = re.match(r"(Is|Are|Does|Do) (it|they) ", question)
        if word:
            return f"{begin}, {short[2]} {short[1].lower()}{'' if yes else ' not'}." if short else f"{begin}."
        return f"{begin}, {text[0].lower()}{text[1:]}."
    return f"{begin}, {sentence[0].lower()}{sentence[1:]}"


def _answer_yes_no_zh(question: str, text: str, yes: bool, word: str, rest: str) -> str:
    """可以。 不支持。 是的，防水。 and, with more behind it, 不可以，仅限手洗。"""
    match = _VERB.fullmatch(question)
    verb = (match["verb"] or match["rest"]) if match else ""
    short = ("" if verb == "可以" else "是的，") + verb if yes else f"不{verb}"
    if word:
        return f"{short}{'' if rest[:1] in ('', '（', '(') else '，'}{rest}。"
    return f"是的，{text}。" if yes and not text.startswith("可以") else f"{text}。"


class _Rules:
    """The rules of one language."""

    def __init__(self, table: dict[str, Any], words: dict[str, str]) -> None:
        self._words = words | table["words"]
        self.forms: dict[str, dict[str, str]] = table["forms"]
        self._yes, self._no, self._affirmed, self._denied, self._empty = (
            self._compile(table[key]) for key in ("positive", "negative", "affirmed", "denied", "empty")
        )
        self._measure = self._compile(rf"(?:\s|{self._words['measure']})*")
        self.rules = [self._rule(**rule) for rule in table["rules"]]

    def _rule(self, question: str, name: str, value: str = ".*", kind: str = "", **more: Any) -> _Rule:
        return _Rule(question, self._compile(name), self._compile(value), self._compile(kind), **more)

    def _compile(self, pattern: str) -> re.Pattern[str]:
        return compile_pattern(pattern, self._words)

    def read_yes_no(self, value: str) -> tuple[bool, str, str] | None:
        """Whether a value says yes, the word that says so and what stands behind it; None where it says neither.

        ``no, hand wash only`` gives no, and so does ``not included``, which has no such word.
        """
        for yes, words, phrase in ((False, self._no, self._denied), (True, self._yes, self._affirmed)):
            word, rest = (part.strip(_PAUSE) for part in _BEHIND.split(value, maxsplit=1))
            if words.fullmatch(word):
                return yes, word, rest
            if phrase.match(value):
                return yes, "", value
        return None

    def fits(self, rule: _Rule, name: str, value: str) -> tuple[re.Match[str], re.Match[str]] | None:
        """The matches of a rule's name and value, where its question asks for this value."""
        named = rule.name.fullmatch(name)
        valued = named and rule.value.fullmatch(value)
        if not named or not valued:
            return None
        answer = self.read_yes_no(value)
        if _YES_NO.fullmatch(rule.question):
            return (named, valued) if answer else None
        if answer and answer[1]:
            return None
        fits = not rule.kind.pattern or is_measure(value, rule.kind, self._measure)
        return (named, valued) if fits else None

    def is_empty(self, value: str) -> bool:
        """Whether a value answers nothing, such as ``n/a``."""
        return self._empty.fullmatch(value) is not None and self.read_yes_no(value) is None


@cache
def _load(language: str) -> _Rules:
    """The rules, whose words are those of `plain.yaml` and more."""
    tables = (yaml.safe_load(Path(__file__).with_name(name).read_text("utf-8")) for name in ("plain.yaml", "faq.yaml"))
    plain, faq = (table[language] for table in tables)
    return _Rules(faq, plain["words"])


def _match(attribute: str, value: str, language: str, title: str) -> _Match | None:
    """The first rule that fits an attribute."""
    rules = _load(language)
    name, text = plain_attribute(attribute, value)
    name, text = _AXES.sub("", name), text.rstrip(".。 ")
    if not name or not text or len(text) > LONGEST or rules.is_empty(text):
        return None
    plural = is_plural(title, language)
    for place, rule in enumerate(rules.rules):
        if rule.singular and plural:
            continue
        matches = rules.fits(rule, name, text)
        if matches:
            words = rules.forms["several" if plural else "one"] | {"name": _write_small(name)}
            for match in matches:
                words |= {key: _write_small(group) for key, group in match.groupdict().items() if group}
            return _Match(place, rule.question.format(**words), rule.together)
    return None


def _write_small(name: str) -> str:
    """A name within a question, in lower case but for acronyms and brands: ``USB ports``, ``vitamin C``."""
    if len(name) > 5 and name.isupper():
        name = name.capitalize()
    name = _ORDINARY_WORD.sub(lambda word: word[0].lower(), name)
    return _BRAND.sub(lambda word: _BRANDS[word[0].lower()], name)

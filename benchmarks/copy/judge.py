"""How much of a copy its product's facts support."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import rjieba
from harper import Dialect, Linter

from benchmarks.copy.products import Product
from benchmarks.copy.properties import Fact, facts, is_anothers
from benchmarks.copy.quantities import Figure, figures, normal
from benchmarks.copy.safety import Statement, statements, stem

#: An attribute is named where this share of its value's words and figures is in the copy.
NAMED = 0.6
#: The name is present where this share of the title's words (English) or pairs of characters (Chinese) is in the copy.
PRESENT = {"en": 0.5, "zh": 0.4}
#: Harper's kinds that are taste, layout or dialect, not errors.
NO_ERRORS = frozenset(("Enhancement", "Formatting", "Readability", "Redundancy", "Regionalism", "Style"))
_FUNCTION_WORDS = frozenset(
    (
        *(
            "a",
            "an",
            "and",
            "are",
            "as",
            "at",
            "be",
            "but",
            "by",
            "can",
            "for",
            "from",
            "has",
            "have",
            "in",
            "is",
            "it",
        ),
        *("its", "not", "of", "on", "or", "our", "so", "that", "the", "their", "they", "this", "to", "was", "we"),
        *("which", "will", "with", "you", "your"),
    )
)
_HAN = re.compile(r"[一-鿿]")


@dataclass(frozen=True)
class Finding:
    """A place of the copy that the facts do not support, and why."""

    begin: int
    end: int
    written: str
    why: str


@dataclass(frozen=True)
class Judgement:
    """What is wrong with a copy, and what is right.

    Args:
        wrong: figures that no fact has.
        anothers: figures of the facts that the sentence gives to another property.
        safety: sentences on allergens, ingredients, health, safety, age, dose or compatibility; those that are
            `supported` are in the facts' own words.
        named: names of the attributes whose value the copy tells.
        leaks: words that the product's facts lack and the prompt's examples hold.
        errors: messages of grammar errors (English).
        words: of the copy; Chinese ones as segmented.
        repetition: share of four-word (Chinese: six-character) runs that stood before.
    """

    wrong: tuple[Finding, ...]
    anothers: tuple[Finding, ...]
    safety: tuple[Statement, ...]
    named: tuple[str, ...]
    attributes: int
    name_present: bool
    language_right: bool
    leaks: tuple[str, ...]
    errors: tuple[str, ...]
    words: int
    repetition: float
    characters: int

    @property
    def unsupported_safety(self) -> tuple[Statement, ...]:
        """Sentences on safety in other words than the facts'."""
        return tuple(statement for statement in self.safety if not statement.supported)


@dataclass(frozen=True)
class Examples:
    """Words of the worked examples in a prompt's wording, by language; empty where there are none."""

    words: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, wording: Any, products: Iterable[Product] = ()) -> Examples:
        """From a wording file's data, or an export's ``prompts.json``: names, facts and keywords of every `examples`.

        Words that the instructions hold too, or three of the `products`, are no sign of a leak and are left out.
        """
        held: list[str] = []
        told: list[str] = []
        _gather(wording, held, told)
        instructions = {word for text in told for word in content_words(text)}
        common = Counter(word for product in products for word in set(content_words(product.facts)))
        words = {word for text in held for word in content_words(text) if common[word] < 3} - instructions
        return cls(
            {
                "en": frozenset(word for word in words if word.isascii() and len(word) > 3),
                "zh": frozenset(word for word in words if _HAN.match(word) and len(word) > 1),
            }
        )


def _gather(node: Any, held: list[str], told: list[str]) -> None:
    """Texts of the examples' values, and all other texts."""
    if isinstance(node, str):
        told.append(node)
    elif isinstance(node, list):
        for part in node:
            _gather(part, held, told)
    elif isinstance(node, dict):
        for key, part in node.items():
            if key == "examples" and isinstance(part, list):
                for example in part:
                    held += _values(example)
            else:
                _gather(part, held, told)


def _values(example: Any) -> list[str]:
    """Texts that an example's request is made of; its answer is made of them and of common words."""
    if not isinstance(example, dict):
        return []
    known = [str(example.get("name", "")), *map(str, example.get("keywords") or ())]
    shown = example.get("facts") or {}
    return [*known, *(f"{name} {value}" for name, value in shown.items())] if isinstance(shown, dict) else known


def judge(product: Product, text: str, examples: Examples | None = None) -> Judgement:
    """Judges one copy of a product.

    Args:
        text: the copy, in any state.
        examples: of the prompt that it was written with; None for a prompt without any.
    """
    text = normal(text)
    found = figures(text)
    wrong, anothers = [], []
    for at, figure in enumerate(found):
        if not _is_known(product, figure):
            wrong.append(Finding(figure.begin, figure.end, figure.written, "no fact has this figure"))
        elif why := is_anothers(product, text, found, at):
            anothers.append(Finding(figure.begin, figure.end, figure.written, why))
    mixed_up = {finding.begin for finding in anothers}
    told = [figure for figure in found if figure.begin not in mixed_up]
    held = examples.words.get(product.language, frozenset()) if examples else frozenset()
    own = {stem(word) for word in content_words(product.facts)}
    leaks = sorted(
        {word for word in content_words(text) if word in held and stem(word) not in own and word not in product.facts}
    )
    return Judgement(
        wrong=tuple(wrong),
        anothers=tuple(anothers),
        safety=tuple(statements(product, text)),
        named=tuple(fact.name for fact in facts(product) if fact.name and is_named(fact, text, told)),
        attributes=len(product.attributes),
        name_present=is_present(product, text),
        language_right=is_in_language(product, text),
        leaks=tuple(leaks),
        errors=tuple(grammar_errors(text, product)) if product.language == "en" else (),
        words=len(all_words(text)),
        repetition=repetition(text, product.language),
        characters=len(text),
    )


def _is_known(product: Product, figure: Figure) -> bool:
    """Whether any fact has the figure; a bare number may be any number of the facts."""
    known = [other for fact in facts(product) for other in fact.figures]
    if figure.unit == "code":
        squeezed = re.sub(r"[\W_]", "", normal(product.facts)).casefold()
        return re.sub(r"[\W_]", "", figure.written).casefold() in squeezed
    if any(figure.equals(other) for other in known):
        return True
    if figure.unit and not figure.inherited:
        return False
    numbers = {other.value for other in known if other.unit != "code"}
    numbers |= {float(n) for other in known if other.unit == "code" for n in re.findall(r"\d+", other.written)}
    return figure.value in numbers


def is_named(fact: Fact, text: str, found: Iterable[Figure]) -> bool:
    """Whether the copy tells the attribute's value: its figures, normalised, and its words."""
    copies = list(found)
    wanted = figures(fact.value)
    hits = [
        any(one.equals(other) or (one.inherited and not other.unit and one.value == other.value) for other in copies)
        or (one.unit == "code" and one.written.casefold() in text.casefold())
        for one in wanted
    ]
    rest = fact.value
    for figure in reversed(wanted):
        rest = rest[: figure.begin] + " " + rest[figure.end :]
    stems = {stem(word) for word in content_words(text)}
    hits += [stem(word) in stems for word in content_words(rest) if word.isascii()]
    hits += [pair in text for pair in _pairs(rest)]
    if not hits:
        return fact.value.casefold() in text.casefold()
    return sum(hits) / len(hits) >= NAMED


def _pairs(text: str) -> list[str]:
    """Pairs of neighbouring Chinese characters; a lone character by itself."""
    runs = re.findall(r"[一-鿿]+", text)
    return [run[at : at + 2] for run in runs for at in range(max(1, len(run) - 1))]


def is_present(product: Product, text: str) -> bool:
    """Whether the copy names the product: enough of the title's words."""
    if product.language == "zh":
        parts = _pairs(product.title)
        hits = sum(pair in text for pair in parts)
    else:
        parts = [stem(word) for word in content_words(product.title)]
        stems = {stem(word) for word in content_words(text)}
        hits = sum(part in stems for part in parts)
    return hits >= PRESENT[product.language] * len(parts)


def is_in_language(product: Product, text: str) -> bool:
    """Whether the copy is in the language of its facts; an empty one is in none."""
    letters = [sign for sign in text if sign.isalpha()]
    if not letters:
        return False
    han = sum(bool(_HAN.match(sign)) for sign in letters) / len(letters)
    if product.language == "zh":
        latin = re.sub(r"[A-Za-z][A-Za-z0-9·.-]*", lambda m: "" if m[0] in product.facts else m[0], text)
        rest = [sign for sign in latin if sign.isalpha()]
        return han > 0 and sum(bool(_HAN.match(sign)) for sign in rest) >= 0.85 * len(rest)
    words = re.findall(r"[^\W\d_]+", text.casefold())
    plain = sum(sign.isascii() or sign in "éèüöµ" for sign in letters) / len(letters)
    own = set(re.findall(r"[^\W\d_]+", product.facts.casefold()))
    return plain >= 0.98 and sum(word in _FUNCTION_WORDS or word in own for word in words) >= len(words) / 4


def all_words(text: str) -> list[str]:
    """Words of a text: English ones by their letters, Chinese ones as segmented."""
    if _HAN.search(text):
        return [token.casefold() for token in rjieba.cut(text) if re.match(r"\w", token)]
    return re.findall(r"[a-z0-9][a-z0-9'-]*", text.casefold())


def content_words(text: str) -> list[str]:
    """Words that say something, lower case, without numbers; the parts of a hyphenated one by themselves."""
    latin = [part for word in re.findall(r"[a-z][a-z'-]*", text.casefold()) for part in word.split("-")]
    han = [token for token in rjieba.cut(text) if len(token) > 1 and _HAN.match(token)] if _HAN.search(text) else []
    return [word for word in latin if len(word) > 1 and word not in _FUNCTION_WORDS] + han


@cache
def _linters() -> tuple[Linter, ...]:
    return tuple(Linter(dialect=dialect) for dialect in (Dialect.AMERICAN, Dialect.BRITISH))


def grammar_errors(text: str, product: Product) -> list[str]:
    """Messages of Harper's findings that are errors in American and in British English and no word of the facts."""
    known = product.facts.casefold()
    both: list[dict[tuple[int, int], str]] = []
    for linter in _linters():
        rows = {}
        for lint in linter.lint(text):
            place = (lint.span.start, lint.span.end)
            word = text[place[0] : place[1]]
            kind = str(lint.lint_kind)
            if kind not in NO_ERRORS and word.casefold().removesuffix("'s").strip() not in known:
                rows[place] = f"{kind}: {word}"
        both.append(rows)
    return [message for place, message in both[0].items() if place in both[1]]


def repetition(text: str, language: str) -> float:
    """Share of the runs of four words (Chinese: six characters) that stood in the copy before; 0 to 1."""
    units: list[str] = re.findall(r"\w", text) if language == "zh" else re.findall(r"[\w']+", text.casefold())
    size = 6 if language == "zh" else 4
    runs = [tuple(units[at : at + size]) for at in range(len(units) - size + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0

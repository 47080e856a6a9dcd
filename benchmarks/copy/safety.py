"""Sentences on allergens, ingredients, health, safety, age, dose or compatibility that are not in the facts' own words.

`safety.yaml` holds two kinds of cue. A *claim* (`free from`, `safe`, `不含`) is in the facts' words only where the
facts hold it with the word beside it. A *name* (`allergens`, `for ages`, `成分`) may stand before the facts' words, and
before nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import rjieba
import yaml

from benchmarks.copy.products import Product
from benchmarks.copy.quantities import figures, normal

LEXICON = Path(__file__).with_suffix(".yaml")


def _lexicon() -> dict[str, list[str]]:
    """Lists of `safety.yaml` by name, {allergens} and {practical} filled in."""
    lists: dict[str, list[str]] = yaml.safe_load(LEXICON.read_text(encoding="utf-8"))
    allergens, practical = ("|".join(lists[name]) for name in ("allergens", "practical"))
    for name in ("claims", "names"):
        ways = (way.replace("{allergens}", allergens) for way in lists[name])
        lists[name] = [way.replace("{practical}", f"(?!(?:{practical})[- ]free)") for way in ways]
    return lists


_LISTS = _lexicon()
_CLAIM = re.compile("|".join(_LISTS["claims"]), re.IGNORECASE)
_NAME = re.compile("|".join(_LISTS["names"]), re.IGNORECASE)
_NEUTRAL = frozenset(_LISTS["neutral_en"])
_NEUTRAL_ZH = frozenset(_LISTS["neutral_zh"])
_NEGATION = re.compile(
    r"\b(?:no|not|never|without|free|neither|nor|cannot|can't|don't|doesn't)\b|[不无没未零]", re.IGNORECASE
)
_SENTENCE = re.compile(r"[^\n。！？!?.]+(?:\.(?=\d)[^\n。！？!?.]*|\.(?=[A-Za-z])[^\n。！？!?.]*)*[。！？!?.]*")


@dataclass(frozen=True)
class Statement:
    """A sentence on safety.

    Args:
        begin, end: of its characters.
        cue: the words that make it one.
        supported: the facts say so in these words.
    """

    begin: int
    end: int
    cue: str
    supported: bool


def statements(product: Product, text: str) -> list[Statement]:
    """The sentences of a text that speak of safety; one a sentence, by the first cue that the facts do not support."""
    found = []
    for sentence in _SENTENCE.finditer(text):
        cues = [(cue, False) for cue in _CLAIM.finditer(sentence[0])]
        cues += [(cue, True) for cue in _NAME.finditer(sentence[0]) if not _inside(cue, cues)]
        if not cues:
            continue
        bad = next((cue for cue, names in cues if not _supported(product, sentence[0], cue, names)), None)
        chosen = bad or cues[0][0]
        found.append(Statement(sentence.start(), sentence.end(), chosen[0], bad is None))
    return found


def _inside(cue: re.Match[str], others: list[tuple[re.Match[str], bool]]) -> bool:
    return any(other.start() <= cue.start() and cue.end() <= other.end() for other, _ in others)


def _supported(product: Product, sentence: str, cue: re.Match[str], names: bool) -> bool:
    facts = _plain(product.facts)
    if _verbatim(sentence, cue, facts):
        return True
    if not names:
        return False
    clause = _clause(sentence, cue)
    if any(sign[0].casefold() not in _words(facts) for sign in _NEGATION.finditer(clause)):
        return False
    return not foreign_words(product, clause)


def _plain(text: str) -> str:
    """Lower case, single spaces, no punctuation."""
    return " ".join(re.sub(r"[^\w%°+]", " ", normal(text).casefold()).split())


def _words(plain: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z'-]*|[一-鿿]", plain))


def _verbatim(sentence: str, cue: re.Match[str], facts: str) -> bool:
    """Whether the cue stands in the facts together with what stands beside it in the sentence."""
    if re.search(r"[一-鿿]", cue[0]):
        squeezed = facts.replace(" ", "")
        if re.sub(r"\W", "", cue[0]) not in squeezed:
            return False
        around = [sentence[max(0, cue.start() - 2) : cue.end()], sentence[cue.start() : cue.end() + 2]]
        around += [sentence[max(0, cue.start() - 1) : cue.end() + 1]]
        return any(len(part) > len(cue[0]) and re.sub(r"\W", "", part) in squeezed for part in around) or (
            len(cue[0]) >= 4 and cue[0] in squeezed
        )
    before, after = _plain(sentence[: cue.start()]).split()[-1:], _plain(sentence[cue.end() :]).split()[:1]
    word = _plain(cue[0]).split()
    padded = f" {facts} "
    if "-" in cue[0] and f" {' '.join(word)} " in padded:
        return True
    ways = [[*before, *word]] if before else []
    ways += [[*word, *after]] if after else []
    return any(f" {' '.join(way)} " in padded for way in ways) or (len(word) > 2 and f" {' '.join(word)} " in padded)


def _clause(sentence: str, cue: re.Match[str]) -> str:
    """From the last mark before the cue to the sentence's end, for what is named stands behind."""
    begin = max((m.end() for m in re.finditer(r"[;；:：，]|, (?:and|but) ", sentence[: cue.start()])), default=0)
    stop = re.search(r"[;；]|, (?:\w+ing|which|so|but)\b", sentence[cue.end() :])
    return sentence[begin : cue.end() + stop.start() if stop else len(sentence)]


def foreign_words(product: Product, text: str) -> list[str]:
    """Content words of a text that no fact of the product has; figures do not count, they are judged by themselves."""
    for figure in reversed(figures(text)):
        text = text[: figure.begin] + " " + text[figure.end :]
    facts = _plain(product.facts)
    stems = {stem(word) for word in re.findall(r"[a-z][a-z'-]*", facts)} | {
        stem(part) for word in re.findall(r"[a-z-]+", facts) for part in word.split("-")
    }
    latin = [w for w in re.findall(r"[a-z][a-z'-]*", text.casefold()) if w not in _NEUTRAL and stem(w) not in stems]
    chinese = "".join(re.findall(r"[一-鿿 ]|[^\w]", text))
    squeezed = facts.replace(" ", "")
    tokens = [token for token in rjieba.cut(chinese) if re.match(r"[一-鿿]", token)]
    foreign = [token for token in tokens if token not in _NEUTRAL_ZH and not _made_of(token, squeezed)]
    return latin + foreign


def _made_of(token: str, facts: str) -> bool:
    """Whether a Chinese word is in the facts, whole or, of more than two characters, but for one."""
    return token in facts or (len(token) > 2 and (token[:-1] in facts or token[1:] in facts))


def stem(word: str) -> str:
    """An English word without the endings of number, tense and adverb."""
    word = word.removesuffix("'s")
    for ending, least in (("ies", 2), ("ing", 4), ("ed", 4), ("es", 4), ("s", 3), ("ly", 4), ("e", 3), ("y", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            return word.removesuffix(ending)
    return word

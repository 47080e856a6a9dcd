"""What a product is searched by: the words that the shop and its photo say of it, without stop words.

Stop words are those that bm25s leaves out of an index; Chinese is parted into words by jieba.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import rjieba
from bm25s.stopwords import STOPWORDS_CHINESE, STOPWORDS_EN_PLUS

from stages.facts import SURE
from stages.request import Request
from stages.safety import told_attributes

MOST = 20
LABEL_LINES = 6  # of what is printed on the product, the largest
MAX_LETTERS = 40  # of a word; longer is a link or a serial number
_STOP_WORDS = frozenset((*STOPWORDS_EN_PLUS, *STOPWORDS_CHINESE))
_CHINESE = "\u2e80-\u2fff\u3400-\u9fff\uf900-\ufaff"
_UNITS = "ml|cl|dl|l|litres?|liters?|mm|cm|m|km|mg|g|kg|oz|lbs?|inch(?:es)?|in|ft|w|kw|v|mah|gb|tb|mb|hz|px|pcs"
_RUN = re.compile(
    rf"(?P<measure>\d+(?:[.,]\d+)?\s?(?:(?:{_UNITS})(?![^\W_])|毫升|厘米|毫米|千克|公斤|英寸|升|米|克|寸|瓦|件))"
    rf"|(?P<zh>[{_CHINESE}]+)|[^\W_{_CHINESE}]+(?:[-'’.][^\W_{_CHINESE}]+)*"
)
_PLURAL = re.compile(r"(?:(?<=[sxz])es|(?<=[cs]h)es|(?<=\w\w)(?<![su])s)$")


def keywords(request: Request) -> list[str]:
    """At most 20 words in lower case, none twice nor in plural beside its singular.

    The title's come first, then those of the attributes' values (but no warnings and addresses), of what is said, of
    what is printed large, and of the tags that are sure.
    """
    sure = (tag for tag, score in zip(request.tags, request.scores, strict=True) if score >= SURE)
    texts = (request.title, *(value for _, value in told_attributes(request)), request.transcript)
    texts += (*request.label[:LABEL_LINES], *sure)
    found: dict[str, str] = {}
    for text in texts:
        for word in _words(text):
            found.setdefault(_PLURAL.sub("", word), word)
    return list(found.values())[:MOST]


def _words(text: str) -> Iterator[str]:
    """The words of a text that say something: no stop words, single letters or numbers without a unit."""
    for run in _RUN.finditer(text.casefold()):
        if run["measure"]:
            yield "".join(run["measure"].split())
            continue
        for word in rjieba.cut(run["zh"]) if run["zh"] else (run[0],):
            if word in _STOP_WORDS or len(word) > MAX_LETTERS:
                continue
            if run["zh"] or (len(word) > 1 and any(letter.isalpha() for letter in word)):
                yield word

"""What is known of a product, fact by fact and numbered, so that a sentence can name what supports it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from stages.request import Request
from stages.text import sentences

#: The least probability of a tag that is a fact.
SURE = 0.5

Source = Literal["title", "attribute", "label", "transcript", "photo", "question", "chat"]


class Fact(NamedTuple):
    """A fact.

    Attributes:
        number: from 1.
        source: who says so: the shop (title, attribute), what is printed on the product (label), what was said of it
            (transcript), the photo's tags, or a customer (question, chat), whose words are known but not vouched for.
        name: of an attribute, or who speaks in a chat; empty for others.
        text: as it was given, without what tells the writer what to write.
        confidence: 0 to 1; below 1 for a tag.
    """

    number: int
    source: Source
    name: str
    text: str
    confidence: float = 1.0

    @property
    def is_customers(self) -> bool:
        """Whether a customer says so."""
        return self.source == "question" or (self.source == "chat" and self.name == "customer")


def known_facts(request: Request) -> tuple[Fact, ...]:
    """The facts of a request without commands: title, attributes, label, transcript, sure tags, question and chat."""
    return tuple(Fact(number, *row) for number, row in enumerate(_rows(request.without_commands()), start=1))


def _rows(request: Request) -> Iterator[tuple[Source, str, str, float]]:
    if request.title:
        yield "title", "", request.title, 1.0
    for name, value in request.attributes:
        yield "attribute", name, value, 1.0
    for line in request.label:
        yield "label", "", line, 1.0
    for sentence in sentences(request.transcript):
        yield "transcript", "", sentence.strip(), 1.0
    for tag, score in zip(request.tags, request.scores, strict=True):
        if tag and score >= SURE:
            yield "photo", "", tag, score
    if request.question:
        yield "question", "", request.question, 1.0
    for role, text in request.history:
        yield "chat", role, text, 1.0

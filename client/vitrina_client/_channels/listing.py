"""The fields of a structured listing, read from the server's JSON and written back to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self

from vitrina_client._errors import InvalidInput


class Bullet(NamedTuple):
    """A key point of the product, and the numbers of the facts that it rests on."""

    text: str
    facts: tuple[int, ...] = ()


class Category(NamedTuple):
    """Where the product belongs: `path` from the broadest to the narrowest; `confidence` 0 to 1."""

    path: tuple[str, ...]
    confidence: float


class Attribute(NamedTuple):
    """A property of the product.

    Attributes:
        value: as text, with its unit.
        number: the value as a number in `unit`; None if it is no number.
        unit: ``ml``, ``cm``, …; empty if there is none.
        source: where the fact was found, as of :class:`~vitrina_client.Fact`.
        confidence: 0 to 1.
        fact: the number of the fact.
    """

    name: str
    value: str
    number: float | None = None
    unit: str = ""
    source: str = ""
    confidence: float = 1.0
    fact: int = 0


class Question(NamedTuple):
    """A shopper's question and its answer, with the numbers of the facts that the answer rests on."""

    question: str
    answer: str
    facts: tuple[int, ...] = ()


class Statement(NamedTuple):
    """A warning or a maker's address, letter by letter as the shop gave it."""

    name: str
    value: str


@dataclass(frozen=True)
class ListingFields:
    """The fields of :class:`~vitrina_client.StructuredListing`, which says what they hold."""

    language: str
    title: str
    bullets: tuple[Bullet, ...] = ()
    description: str = ""
    meta_title: str = ""
    meta_description: str = ""
    keywords: tuple[str, ...] = ()
    alt_text: str = ""
    category: Category | None = None
    attributes: tuple[Attribute, ...] = ()
    missing: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    faq: tuple[Question, ...] = ()
    warnings: tuple[Statement, ...] = ()
    makers: tuple[Statement, ...] = ()
    generated: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def loads(cls, data: str | bytes) -> Self:
        """The listing of its JSON.

        Raises:
            InvalidInput: the JSON is broken, or lacks a field.
        """
        try:
            values = json.loads(data)
            return cls(**{each.name: _READ.get(each.name, _same)(values[each.name]) for each in fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"it is no listing: {type(error).__name__}: {error}; pass the JSON that the server gave",
                field="LISTING",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """The JSON's values: ``json.loads(data) == loads(data).to_dict()``."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def _same(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if hasattr(value, "_fields"):
        return {name: _plain(each) for name, each in zip(value._fields, value, strict=True)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value


def _read_all(kind: Any) -> Any:
    return lambda values: tuple(kind(**{name: _same(each) for name, each in value.items()}) for value in values)


#: Fields that are more than a text or a list of texts, and what reads them.
_READ: dict[str, Any] = {
    "bullets": _read_all(Bullet),
    "category": lambda value: value and Category(tuple(value["path"]), value["confidence"]),
    "attributes": _read_all(Attribute),
    "faq": _read_all(Question),
    "warnings": _read_all(Statement),
    "makers": _read_all(Statement),
    "generated": dict,
}

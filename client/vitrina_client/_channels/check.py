"""Rules of a channel, read from its file, and the check of fields against them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple, get_args

from vitrina_client._channels import text as texts
from vitrina_client._channels.values import is_gtin
from vitrina_client._errors import InvalidInput

Channel = Literal["jsonld", "google", "shopify", "amazon"]


class Breach(NamedTuple):
    """A rule of a channel that a value breaks.

    Attributes:
        field: the channel's name of it, with its place in a list (``product_highlight[2]``).
        rule: as its file names it (``max_chars``), with its limit.
        value: what breaks it; the words at fault where only they do.
        fix: what to do.
    """

    channel: str
    field: str
    rule: str
    value: str
    fix: str


@dataclass(frozen=True)
class Rule:
    """What a channel asks of a field; None and empty ask nothing.

    Attributes:
        required: it may not be empty.
        required_with: required if this other field is not empty.
        best_chars, max_chars, min_chars: count of characters; converters hold to the best.
        max_bytes: of UTF-8.
        min_items, max_items: of a list, or of the parts between `separator`; an empty list is not too short.
        separator: what separates the values of one text.
        max_repeats: how often a word may stand.
        characters: that may not stand.
        pattern: what the whole value must match.
        bans: names of `_BANS`.
    """

    required: bool = False
    required_with: str = ""
    best_chars: int | None = None
    max_chars: int | None = None
    min_chars: int | None = None
    max_bytes: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    separator: str = ""
    max_repeats: int | None = None
    characters: str = ""
    pattern: str = ""
    bans: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """The rules of a channel.

    Attributes:
        brand: the field whose value is exempt from characters and capitals.
        title: the field whose words keywords may not repeat.
        words: kind → phrases, for bans of that kind.
        fields: name → rule; ``*`` in a name stands for any characters, ``[]`` for every value of a list.
        units: unit → UN/CEFACT code.
    """

    channel: str
    fields: Mapping[str, Rule]
    words: Mapping[str, tuple[str, ...]]
    brand: str = ""
    title: str = ""
    units: Mapping[str, str] | None = None


@cache
def load(channel: str) -> Rules:
    """The rules of a channel's file.

    Raises:
        InvalidInput: the channel is unknown.
        ValueError: its file has a key that no rule has.
    """
    if channel not in get_args(Channel):
        raise InvalidInput(f"channel={channel!r} is unknown; it is one of {', '.join(get_args(Channel))}")
    read = tomllib.loads((files("vitrina_client._channels") / "rules" / f"{channel}.toml").read_text("utf-8"))
    known = {each.name for each in fields(Rule)}
    rules = {}
    for name, keys in read.pop("fields").items():
        if unknown := set(keys) - known or set(keys.get("bans", ())) - set(_BANS):
            raise ValueError(f"rules/{channel}.toml, {name}: unknown {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {**keys, "bans": tuple(keys.get("bans", ()))}
        rules[name] = Rule(**values)
    words = {kind: tuple(phrases) for kind, phrases in read.pop("words", {}).items()}
    return Rules(channel=channel, fields=rules, words=words, **read)


def check_fields(channel: Channel, fields: Mapping[str, Any]) -> tuple[Breach, ...]:
    """The rules of a channel that fields break, whoever made them; empty if there are none.

    Args:
        fields: for ``shopify`` and ``amazon`` column → text of one row, for ``google`` and ``jsonld`` the nested
            values that the converters give.

    Raises:
        InvalidInput: the channel is unknown, or fields is no mapping.
    """
    if not isinstance(fields, Mapping):
        raise InvalidInput(f"fields is a {type(fields).__name__}; pass a mapping of field name to value")
    return tuple(_breaches(load(channel), _by_type(fields) if channel == "jsonld" else fields))


def faults(rules: Rules, name: str, text: str, *, brand: str = "", title: str = "") -> Iterator[tuple[str, str, str]]:
    """What breaks the rule of a field in a text: the rule, the value at fault, what to do."""
    rule = rules.fields[name]
    if rule.max_chars is not None and len(text) > rule.max_chars:
        yield f"max_chars {rule.max_chars}", text, f"shorten it by {len(text) - rule.max_chars} characters"
    elif rule.best_chars is not None and len(text) > rule.best_chars:
        yield f"best_chars {rule.best_chars}", text, f"shorten it by {len(text) - rule.best_chars} characters"
    if rule.min_chars is not None and len(text) < rule.min_chars:
        yield f"min_chars {rule.min_chars}", text, "say more, or leave it out"
    if rule.max_bytes is not None and (size := len(text.encode("utf-8", "replace"))) > rule.max_bytes:
        yield f"max_bytes {rule.max_bytes}", text, f"shorten it by {size - rule.max_bytes} bytes"
    if rule.max_repeats is not None and (excess := texts.excess_words(text, rule.max_repeats)):
        yield f"max_repeats {rule.max_repeats}", excess[0][0], "say the word less often"
    bare = _without_brand(text, brand)
    if at_fault := "".join(each for each in rule.characters if each in bare):
        yield f"characters {rule.characters}", at_fault, "leave these characters out"
    if rule.pattern and not re.fullmatch(rule.pattern, text):
        yield f"pattern {rule.pattern}", text, "write it in the form that the channel asks for"
    for ban in rule.bans:
        if at_fault := _BANS[ban](bare, rules, title):
            yield ban, at_fault, _FIXES[ban]


def _breaches(rules: Rules, values: Mapping[str, Any]) -> Iterator[Breach]:
    brand = _first(values, rules.brand)
    title = _first(values, rules.title)
    for name, rule in rules.fields.items():
        entries = [(place, value) for place, value in _values_at(values, name) if value not in ("", None)]
        if not entries and (rule.required or (rule.required_with and _first(values, rule.required_with))):
            yield Breach(rules.channel, name, "required", "", "pass it; it cannot be made from the listing")
        if rule.separator:
            entries = [
                (place, part.strip())
                for place, value in entries
                for part in str(value).split(rule.separator)
                if part.strip()
            ]
        if rule.max_items is not None and len(entries) > rule.max_items:
            yield Breach(rules.channel, name, f"max_items {rule.max_items}", str(len(entries)), "leave the others out")
        if rule.min_items is not None and 0 < len(entries) < rule.min_items:
            yield Breach(rules.channel, name, f"min_items {rule.min_items}", str(len(entries)), "give more, or none")
        for place, value in entries:
            for at_fault in faults(rules, name, str(value), brand=brand, title=title):
                yield Breach(rules.channel, place, *at_fault)


def _values_at(values: Any, path: str, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value at a path like ``mainEntity[].name`` or ``bullet_point*``, with its place."""
    head, _, rest = path.partition(".")
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        if not fnmatchcase(str(name), head.removesuffix("[]")):
            continue
        here = f"{place}.{name}" if place else str(name)
        listed = isinstance(value, list | tuple) or head.endswith("[]")
        several = value if isinstance(value, list | tuple) else [value]
        for number, each in enumerate(several):
            at = f"{here}[{number}]" if listed else here
            if rest:
                yield from _values_at(each, rest, at)
            else:
                yield at, each


def _first(values: Mapping[str, Any], path: str) -> str:
    return next((str(value) for _, value in _values_at(values, path) if value), "") if path else ""


def _by_type(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes of a JSON-LD document by their type, so that a path can begin with it."""
    nodes = fields.get("@graph", [fields])
    return {str(node.get("@type", "")): node for node in nodes if isinstance(node, Mapping)}


def _without_brand(text: str, brand: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(brand)}(?!\w)", " ", text) if brand else text


def _match(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[0] if match else ""


def _in_words(kind: str) -> Callable[[str, Rules, str], str]:
    return lambda text, rules, title: _match(texts.phrases(rules.words.get(kind, ())), text)


def common_word(text: str, title: str) -> str:
    """The first word of a text that the title has too; Chinese words are looked for inside it."""
    title = title.casefold()
    known = {word.casefold() for word in re.findall(r"[^\W_]+", title)}
    for word in re.findall(r"[^\W_]+", text.casefold()):
        if word in known or (not word.isascii() and word in title):
            return str(word)
    return ""


def _html(text: str, *, line_breaks: bool = False) -> str:
    if line_breaks:
        text = texts.LINE_BREAK.sub(" ", text)
    return _match(texts.TAG, text) or next((match[0] for match in texts.entities(text)), "")


#: Ban → what finds it: the words at fault, empty if there are none.
_BANS: dict[str, Callable[[str, Rules, str], str]] = {
    "capitals": lambda text, rules, title: " ".join(texts.capital_words(text)) if texts.is_shouting(text) else "",
    "promotion": _in_words("promotion"),
    "placeholder": _in_words("placeholder"),
    "guarantee": _in_words("guarantee"),
    "subjective": _in_words("subjective"),
    "price": lambda text, rules, title: _match(texts.PRICE, text),
    "contact": lambda text, rules, title: _match(texts.CONTACT, text),
    "html": lambda text, rules, title: _html(text),
    "html_but_br": lambda text, rules, title: _html(text, line_breaks=True),
    "emoji": lambda text, rules, title: _match(texts.EMOJI, text),
    "end_punctuation": lambda text, rules, title: text[-1:] if texts.has_end(text) else "",
    "title_words": lambda text, rules, title: common_word(text, title),
    "gtin": lambda text, rules, title: "" if is_gtin(text) else text,
}
_FIXES = {
    "capitals": "write it in sentence case",
    "promotion": "leave the promotion out",
    "placeholder": "give the value, or leave the field out",
    "guarantee": "leave the guarantee out",
    "subjective": "leave the word out",
    "price": "leave the price out; it has its own field",
    "contact": "leave the link, address or number out",
    "html": "write plain text",
    "html_but_br": "write plain text; only <br> is allowed",
    "emoji": "leave the emoji out",
    "end_punctuation": "leave the punctuation at the end out",
    "title_words": "leave out the words that the title has",
    "gtin": "give a GTIN of 8, 12, 13 or 14 digits whose last is the check digit",
}

"""Texts that hold to a channel's rules: shortened, cleaned or dropped, never invented.

A warning or a maker's address never passes through here: each channel carries those in fields of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vitrina_client._channels import text as texts
from vitrina_client._channels.check import Rule, Rules, faults

if TYPE_CHECKING:
    from vitrina_client._channels.listing import ListingFields

_WORD_BANS = ("promotion", "placeholder", "guarantee", "subjective")


def fix_title(rules: Rules, name: str, text: str, *, brand: str = "") -> str:
    """A title without what the rule forbids, cut to its length; empty if nothing else is left.

    Args:
        brand: stands as it is written.
    """
    rule = rules.fields[name]
    for _ in range(len(text) + 2):  # every round but the last shortens it or lowers its capitals
        fixed = "".join(
            piece if place % 2 else _without_bans(rules, rule, piece)
            for place, piece in enumerate(re.split(rf"(?<!\w)({re.escape(brand)})(?!\w)" if brand else r"(?!)", text))
        )
        fixed = texts.tidy(fixed)
        if rule.max_repeats is not None:
            # What lies far behind the limit is cut anyway; it need not be searched for repetitions.
            fixed = texts.drop_excess_words(texts.cut(fixed, 10 * _limit(rule)), rule.max_repeats)
        fixed = texts.cut(fixed, _limit(rule))
        if "end_punctuation" in rule.bans:
            fixed = texts.strip_end(fixed)
        if not any(letter.isalnum() for letter in fixed):
            return ""
        if fixed == text:
            break
        text = texts.drop_dangling(fixed) if len(fixed) < len(text) else fixed
    return text


def fix_text(rules: Rules, name: str, text: str, *, brand: str = "", line_break: str = "\n") -> str:
    """A description without the sentences that break the rule, cut to its length at the end of one.

    Args:
        line_break: stands between paragraphs.
    """
    rule = rules.fields[name]
    copy = ""
    for line in texts.strip_html(texts.LINE_BREAK.sub("\n", text)).splitlines():
        is_started = False
        for sentence in texts.sentences(line):
            sentence = _cleaned(rule, sentence)
            if not any(letter.isalnum() for letter in sentence):
                continue
            longer = texts.join((copy, sentence)) if is_started or not copy else copy + line_break + sentence
            if len(longer) > _limit(rule):
                if copy:
                    return copy
                longer = texts.cut(sentence, _limit(rule))
            if not list(faults(rules, name, longer, brand=brand)):
                copy, is_started = longer, True
    return copy


def fix_points(rules: Rules, name: str, points: Iterable[str], *, most: int, brand: str = "") -> list[str]:
    """Bullets that hold to the rule, at most `most`.

    An overlong one is split into its sentences, short ones are joined, and one that still breaks a rule is dropped:
    part of a sentence could say the opposite.
    """
    rule = rules.fields[name]
    parts: list[str] = []
    for point in points:
        whole = _cleaned(rule, texts.strip_html(point))
        for part in [whole] if len(whole) <= _limit(rule) else texts.sentences(whole):
            part = _cleaned(rule, part)
            if any(letter.isalnum() for letter in part) and part not in parts:
                parts.append(part)
    parts = [part for part in parts if not _is_at_fault(rules, name, part, brand)]
    bullets: list[str] = []
    for part in parts:
        short = bullets and min(len(bullets[-1]), len(part)) < (rule.min_chars or 0)
        longer = _join_points(bullets[-1], part) if short else ""
        if longer and not _is_at_fault(rules, name, longer, brand):
            bullets[-1] = longer
        else:
            bullets.append(part)
    return [part for part in bullets if not list(faults(rules, name, part, brand=brand))][:most]


def without_statements(listing: ListingFields) -> str:
    """The description without the warnings and makers that stand in it: a field of their own carries them whole."""
    text = listing.description
    for name, value in (*listing.warnings, *listing.makers):
        if value.strip():
            # Only where a sentence ends with it: "Keep dry" is but a part of "Keep dry and away from fire".
            end = r"(?:[.。!！;；]|(?<=[.。!！?？;；])|[ \t]*(?=\n|\Z))"
            start = rf"(?:{re.escape(name)}\s*[:：]\s*|^[ \t]*)" if name else r"^[ \t]*"
            text = re.sub(rf"{start}{re.escape(value)}{end}", "\n", text, flags=re.M)
    return text


def statement(name: str, value: str, colon: str = ": ") -> str:
    """A warning or a maker's address, letter by letter behind its name."""
    return f"{name}{colon}{value}" if name else value


def _limit(rule: Rule) -> int:
    return min(limit for limit in (rule.best_chars, rule.max_chars, 10**9) if limit is not None)


def _without_bans(rules: Rules, rule: Rule, text: str) -> str:
    if "html" in rule.bans:
        text = texts.strip_html(text)
    if "contact" in rule.bans:
        text = texts.remove_contacts(text)
    for ban, pattern in (("emoji", texts.EMOJI), ("price", texts.PRICE)):
        if ban in rule.bans:
            text = texts.remove(pattern, text)
    for ban in _WORD_BANS:
        if ban in rule.bans:
            text = texts.remove(texts.phrases(rules.words.get(ban, ())), text)
    if rule.characters:
        text = texts.remove_characters(text, rule.characters)
    return texts.lower_capitals(text) if "capitals" in rule.bans and texts.is_shouting(text) else text


def _cleaned(rule: Rule, text: str) -> str:
    """A sentence without tags, emoji, capitals and marks, where taking them away changes no meaning."""
    if {"html", "html_but_br"} & set(rule.bans):
        text = texts.strip_html(text)
    if "emoji" in rule.bans:
        text = texts.remove(texts.EMOJI, text)
    if rule.characters:
        harmless = "".join(each for each in rule.characters if each in "™®©…†‡")
        text = re.sub(rf"[{re.escape(harmless)}]", "", text) if harmless else text
    if "capitals" in rule.bans and texts.is_shouting(text):
        text = texts.lower_capitals(text)
    text = texts.tidy(text)
    return texts.strip_end(text) if "end_punctuation" in rule.bans else text


def _is_at_fault(rules: Rules, name: str, text: str, brand: str) -> bool:
    """Whether more than its shortness breaks the rule."""
    return any(not rule.startswith("min_chars") for rule, _, _ in faults(rules, name, text, brand=brand))


def _join_points(first: str, second: str) -> str:
    mark = "；" if ord(first[-1]) >= 0x2E80 else "; "
    return texts.strip_end(first) + mark + second

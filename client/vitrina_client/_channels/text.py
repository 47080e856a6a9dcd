"""Patterns that channels forbid in a text, and repairs that neither invent nor falsify."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

_EMOJI = "\U0001f000-\U0001faff☀-➿⬀-⯿⌚-⏿"
EMOJI = re.compile(rf"[{_EMOJI}][\u200d\ufe0f{_EMOJI}]*|[\u20e3\ufe0f\U000e0020-\U000e007f]")
TAG = re.compile(r"</?[a-z][^<>]*>|<!--.*?-->", re.I | re.S)
LINE_BREAK = re.compile(r"<br\s*/?>", re.I)
ENTITY = re.compile(r"&(?:[a-z][a-z0-9]*|#[0-9]+|#x[0-9a-f]+);", re.I)
PRICE = re.compile(
    r"(?:[$€£¥￥¢]|\b(?:USD|EUR|GBP|RMB|CNY)\b)\s?[0-9][0-9.,]*"
    r"|[0-9][0-9.,]*\s?(?:[€£¥￥¢$]|(?:USD|EUR|GBP|RMB|CNY|dollars?|euros?)\b|元(?![素件器])|块钱|美元)",
    re.I,
)
CONTACT = re.compile(
    r"(?:https?://|www\.)\S+"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    r"|(?<![a-z0-9-])[a-z0-9-]{1,63}\.(?:com|net|org|cn|shop|store|eu|de|uk)\b(?:/\S*)?"
    r"|\+[0-9][0-9 ().-]{7,}[0-9]|\([0-9]{3}\)\s?[0-9]{3}[-. ][0-9]{4}|\b[0-9]{3}[-.][0-9]{3}[-.][0-9]{4}\b"
    r"|(?<![0-9])(?:1[3-9][0-9]{9}|400-[0-9]{3}-[0-9]{4}|0[0-9]{2,3}-[0-9]{7,8})(?![0-9])"
    r"|(?:\b(?:tel|phone|call|whatsapp|wechat)\b|电话|热线|微信|QQ)[.:： ]*\+?[0-9][0-9 -]{4,}",
    re.I,
)
#: A figure (number and unit) is one word, so that "10 cm x 10 cm x 5 cm" repeats nothing.
_FIGURE = r"[0-9][0-9.,/]*(?:\s?[a-zA-Zµ°%]+)?"
_WORD = re.compile(rf"(?P<figure>{_FIGURE})|(?P<word>[^\W_]+(?:['’-][^\W_]+)*)")
_SENTENCE = re.compile(r"[^。！？!?；\n]+?(?:[。！？!?；]+|\.(?=\s|$)|\n|$)|[。！？!?；\n]+")
_SEPARATOR = re.compile(r"[,;|、，；]|\s[-–—]\s")
_END = " \t\r\n.,;:!?…、。，；：！？"
#: Articles, prepositions and conjunctions: they may repeat, and no title ends with one.
SMALL_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the and or but nor so yet for of in on at by to from with without into onto over under above below "
        "between through during before after about as than per via plus 和 与 及 或 的 在 于 用 为",
    )
)
#: Words that turn the next or the one before into its opposite: neither may be left alone.
_NEGATIONS = frozenset(["no", "not", "non", "without", "never", "anti", "无", "不", "非"])
_DANGLING = "不无非未免含带的和与及或"
_QUALIFIERS = frozenset(["free", "proof", "resistant", "safe", "less", "friendly"])


@cache
def phrases(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the phrases, whole words only where they are of Latin letters."""
    bounded = (
        (r"(?<![a-z0-9])" if word[0].isascii() else "")
        + re.escape(word).replace(r"\ ", r"[\s-]+")
        + (r"(?![a-z0-9])" if word[-1].isascii() else "")
        for word in sorted(words, key=len, reverse=True)
    )
    return re.compile("|".join(bounded) or r"(?!)", re.I)


def entities(text: str) -> Iterator[re.Match[str]]:
    """The HTML entities that mean something."""
    return (match for match in ENTITY.finditer(text) if html.unescape(match[0]) != match[0])


def words(text: str) -> list[re.Match[str]]:
    """The words that may not repeat: no figures, no small words, no single letters."""
    found = (match for match in _WORD.finditer(text) if match["word"])
    return [match for match in found if len(match[0]) > 1 and match[0].casefold() not in SMALL_WORDS]


def excess_words(text: str, most: int) -> list[re.Match[str]]:
    """The words beyond the `most` times that each may stand."""
    counts: dict[str, int] = {}
    excess = []
    for match in words(text):
        word = match[0].casefold()
        counts[word] = counts.get(word, 0) + 1
        if counts[word] > most:
            excess.append(match)
    return excess


def capital_words(text: str) -> list[str]:
    """Words of four letters or more that are in capitals and could be written otherwise."""
    return [word for word in re.findall(r"[^\W\d_]{4,}", text) if word.isupper() and not word.capitalize().isupper()]


def is_shouting(text: str) -> bool:
    """Whether two words or more of four letters stand in capitals, and they are the most of such words."""
    capitals = capital_words(text)
    return len(capitals) > 1 and 2 * len(capitals) > len(re.findall(r"[^\W\d_]{4,}", text))


def tidy(text: str) -> str:
    """One space between words, no control characters, no punctuation that lost its words."""
    text = "".join(" " if unicodedata.category(each) in ("Cc", "Zs", "Zl", "Zp") else each for each in text)
    text = re.sub(r"[(\[（【]\s*[)\]）】]", " ", text)
    text = re.sub(r"\s+([,;:.)\]](?:\s|$))", r"\1", text)
    text = re.sub(r"([,;:、，；：-])(?:\s*[,;、，；])+", r"\1", text)
    return re.sub(r"\s+", " ", text).strip().lstrip(",;:、。，；： -").strip()


def strip_html(text: str) -> str:
    """The text without tags, its entities read, until neither is left."""
    while True:
        plain = ENTITY.sub(lambda match: html.unescape(match[0]), TAG.sub(" ", text))
        if plain == text:
            return text
        text = plain


def strip_end(text: str) -> str:
    """The text without punctuation at its end."""
    return text.rstrip(_END)


def has_end(text: str) -> bool:
    """Whether punctuation ends the text."""
    return text != strip_end(text)


def remove(pattern: re.Pattern[str], text: str) -> str:
    """The text without what the pattern finds, a space in its place."""
    return pattern.sub(" ", text)


def remove_contacts(text: str) -> str:
    """The text without links, addresses and numbers; the part between commas goes that leads to one."""
    while match := CONTACT.search(text):
        start, end = match.span()
        separators = list(_SEPARATOR.finditer(text[:start]))
        if separators:
            start = separators[-1].start()
            after = _SEPARATOR.search(text, end)
            end = after.start() if after else len(text)
        text = text[:start] + " " + text[end:]
    return text


def remove_characters(text: str, characters: str) -> str:
    """The text without the characters; a token where one joins figures ("10^3", "±2") goes whole."""
    marks = re.escape(characters)
    text = re.sub(rf"\S*[0-9][{marks}]+[0-9]\S*|(?<!\S)[{marks}]+[0-9]\S*", " ", text)
    return re.sub(rf"[{marks}]", " ", text)


def lower_capitals(text: str) -> str:
    """Words of four letters or more out of capitals, and small words; other short ones may be USB or LED."""
    capitals = set(capital_words(text))

    def lower(match: re.Match[str]) -> str:
        word = match[0]
        if word in capitals:
            return word.capitalize()
        return word.lower() if match.start() and word.casefold() in SMALL_WORDS | _NEGATIONS else word

    return re.sub(r"[^\W\d_]+", lower, text)


def drop_excess_words(text: str, most: int) -> str:
    """The text without the words that stand more than `most` times.

    The part between commas or dashes goes whole. In the first part the word goes alone; where that part denies
    something, it ends before the denial, because what is left of one could say the opposite.
    """
    while excess := excess_words(text, most):
        start, end = excess[0].span()
        separators = list(_SEPARATOR.finditer(text[:start]))
        denials = [match.start() for match in words(text[:end]) if match[0].casefold() in _NEGATIONS | _QUALIFIERS]
        if separators:
            start = separators[-1].start()
            after = _SEPARATOR.search(text, end)
            end = after.start() if after else len(text)
        elif denials:
            end = len(text)
            start = text.rstrip()[:start].rstrip().rfind(" ") if denials[-1] == start else min(start, denials[-1])
        text = drop_dangling(tidy(text[: max(start, 0)] + " " + text[end:]))
    return text


def cut(text: str, most: int) -> str:
    """At most `most` characters, ending with a whole word that is not left dangling.

    A text without spaces (Chinese) ends at its last punctuation if that keeps half of it, else at the limit.
    """
    if len(text) <= most:
        return text
    part = text[:most]
    if not text[most].isspace():
        spaced = re.search(r"^(.*\S)\s+\S*$", part, re.S)
        if spaced and _is_latin(text[most - 1]) and _is_latin(text[most]):
            part = spaced[1]
        elif _is_latin(text[most - 1]) and _is_latin(text[most]) and (letters := re.search(r"[\x21-\x7e]+$", part)):
            part = part[: letters.start()] or part
        else:
            stop = max(part.rfind(mark) for mark in ",;、。，； ")
            part = part[:stop] if stop * 2 >= most else part.rstrip(_DANGLING)
    following = re.match(r"\s*([a-zA-Z]+)", text[len(part) :])
    if following and following[1].casefold() in _QUALIFIERS:  # "sugar" of "sugar free" says the opposite
        part = re.sub(r"\s*\S+\s*$", "", part)
    return drop_dangling(part)


def drop_dangling(text: str) -> str:
    """The text without small words, joining signs and open brackets at its end."""
    while True:
        shorter = text.rstrip(" ,;:、，；：-–—/&+|(（[【\t\n")
        last = re.search(r"(?:^|\s)(\S+)$", shorter)
        if last and last[1].casefold() in SMALL_WORDS | _NEGATIONS and last.start():
            shorter = shorter[: last.start()]
        for left, right in ("()", "（）", "[]", "【】"):
            if shorter.count(left) > shorter.count(right):
                shorter = shorter[: shorter.rindex(left)]
        if shorter == text:
            return text
        text = shorter


def sentences(text: str) -> list[str]:
    """The sentences of a text with their punctuation, in both languages."""
    return [match[0].strip() for match in _SENTENCE.finditer(text) if match[0].strip()]


def join(parts: Iterable[str]) -> str:
    """Sentences as one text; no space between Chinese ones."""
    text = ""
    for part in parts:
        text += part if not text or not (_is_latin(text[-1]) or _is_latin(part[0])) else " " + part
    return text


def _is_latin(letter: str) -> bool:
    return ord(letter) < 0x2E80

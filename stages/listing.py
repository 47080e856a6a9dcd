"""A structured listing: what a shop's page or a channel's feed has of a product, field by field, all from the facts.

The decoder writes only the description, whose first sentences are the meta description too; both are held to the facts.
Bullets and answers are attributes in plain sentences (`stages.plain`); warnings and makers' addresses stay verbatim.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from typing_extensions import TypedDict

from stages.claims import Claims
from stages.extraction import Extract, extract, extract_of_facts, extraction_table, unit_of
from stages.facts import Fact
from stages.faq import make_faq
from stages.figures import figures, with_unit
from stages.keywords import keywords
from stages.lexicon import lexicon, mentions
from stages.plain import tell
from stages.request import Request
from stages.safety import is_maker_attribute, stated_attributes, told_attributes
from stages.taxonomy import Taxonomy
from stages.text import sentences

MOST_BULLETS = MOST_QUESTIONS = 5
#: Characters of a field.
MAX_TITLE, MAX_META_TITLE, MAX_META_DESCRIPTION, MAX_ALT_TEXT = 200, 60, 160, 125
#: Says that a machine wrote it, in the vocabulary of IPTC that search engines read.
GENERATED = {
    "by": "Vitrina",
    "source": "trainedAlgorithmicMedia",
    "uri": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}


class Bullet(TypedDict):
    """A bullet, and the numbers of the facts that it tells."""

    text: str
    facts: list[int]


class Question(TypedDict):
    """A question that customers ask, and the answer that the facts give."""

    question: str
    answer: str
    facts: list[int]


class Place(TypedDict):
    """Where in the taxonomy the product belongs; see `stages.taxonomy.Category`."""

    path: list[str]
    confidence: float


class Attribute(TypedDict):
    """An attribute and the fact that states it; `number` and `unit` of a value that is one figure."""

    name: str
    value: str
    number: float | None
    unit: str
    source: Literal["attribute", "title", "label", "transcript"]
    confidence: float
    fact: int


class Statement(TypedDict):
    """What stands letter by letter as the shop gave it."""

    name: str
    value: str


class ListingFields(TypedDict):
    """A listing as the tensor LISTING has it; docs/listing.md explains each field."""

    language: str
    title: str
    bullets: list[Bullet]
    description: str
    meta_title: str
    meta_description: str
    keywords: list[str]
    alt_text: str
    category: Place | None
    attributes: list[Attribute]
    missing: list[str]
    colours: list[str]
    faq: list[Question]
    warnings: list[Statement]
    makers: list[Statement]
    generated: dict[str, str]


#: Pictographs, and what joins or colours them.
_PICTOGRAPHS = re.compile("[\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\U0001f000-\U0001faff]+")
_SHOUTED = re.compile(r"[A-Z]{3,}")
#: Words that are always in capitals.
_ACRONYMS = frozenset(
    (
        *("USB", "LED", "LCD", "OLED", "QLED", "HDMI", "RAM", "SSD", "HDD", "GPS", "NFC", "RGB", "UHD", "FHD"),
        *("QHD", "IPS", "DAB", "RFID", "WIFI", "BPA", "PVC", "ABS", "TPE", "EVA", "SPF", "DIY", "XXL", "USA"),
    )
)
#: Words that a field does not end with.
_DANGLING = re.compile(
    r"(?:\s+(?:a|an|and|by|for|from|in|of|on|or|the|to|with|&|-)|[\s,;:，、；：(（\-–—|/]+)+$", re.IGNORECASE
)


def make_listing(request: Request, claims: Claims, text: str, taxonomy: Taxonomy) -> ListingFields:
    """The listing of a product, as the tensor LISTING has it.

    Args:
        claims: of the request.
        text: the copy, edited.
    """
    request = request.without_commands()
    language, title = request.language, _title(request)
    told = [pair for pair in told_attributes(request) if _may_stand(" ".join(pair), request)]
    attributes = list(_attributes(claims.facts, told, request))
    # What is extracted from a title may be a part's or a use's: it is listed, but no sentence tells it.
    numbers = {(each["name"], each["value"]): each["fact"] for each in attributes}
    bullets: list[Bullet] = [
        {"text": bullet, "facts": sorted({numbers[pair] for pair in told_by})}
        for bullet, told_by in _bullets(told, language, title)
    ]
    category = taxonomy.classify(request.title, request.tags, request.scores, language)
    stated = stated_attributes(request)  # whatever words the shop does not like
    given = (*numbers, *stated)
    names = {name.casefold() for name, _ in given}
    names.update(each.name for pair in told for each in extract(": ".join(pair), language))
    return {
        "language": language,
        "title": title,
        "bullets": bullets,
        "description": text,
        "meta_title": shorten(title, MAX_META_TITLE),
        "meta_description": _meta_description(title, text, [bullet["text"] for bullet in bullets], language),
        "keywords": [word for word in keywords(request) if _may_stand(word, request)],
        "alt_text": _alt_text(title, attributes, language),
        "category": {"path": list(category.path), "confidence": category.confidence} if category else None,
        "attributes": attributes,
        "missing": [each for each in category.attributes if not _is_given(each, names, given)] if category else [],
        "colours": _colours(attributes, language),
        "faq": [
            {
                "question": question,
                "answer": answer,
                "facts": sorted({numbers[pair] for pair in told if pair[0] in of}),
            }
            for question, answer, of in make_faq(told, language, title, MOST_QUESTIONS)
        ],
        "warnings": [{"name": name, "value": value} for name, value in stated if not is_maker_attribute(name)],
        "makers": [{"name": name, "value": value} for name, value in stated if is_maker_attribute(name)],
        "generated": GENERATED,
    }


def prepare_listing(taxonomy: Taxonomy) -> None:
    """Reads the rules of both languages, half a second that the first request would wait for."""
    for language in ("en", "zh"):
        request = Request(language=language, title="Mug", attributes=(("colour", "red"),))
        make_listing(request, Claims(request), "", taxonomy)


def shorten(text: str, most: int) -> str:
    """A text of at most `most` characters, cut behind a word, without a word that wants another."""
    if len(text) <= most:
        return text
    cut = text[:most]
    if " " in cut and text[most] != " " and text[most].isascii():
        cut = cut.rsplit(" ", 1)[0]
    return _DANGLING.sub("", cut)


def _title(request: Request) -> str:
    """The shop's title without pictographs; one mostly in capitals is put in title case."""
    words = " ".join(_PICTOGRAPHS.sub(" ", request.title).split())
    letters = [letter for letter in words if letter.isascii() and letter.isalpha()]
    if len(letters) > 8 and sum(map(str.isupper, letters)) > 0.8 * len(letters):
        words = _SHOUTED.sub(lambda word: word[0] if word[0] in _ACRONYMS else word[0].capitalize(), words)
    return shorten(words, MAX_TITLE)


def _may_stand(text: str, request: Request) -> bool:
    """Whether a fact may stand in a listing: it has no banned word."""
    folded = text.casefold()
    return not any(word.casefold() in folded for word in request.banned)


def _attributes(facts: Sequence[Fact], told: Sequence[tuple[str, str]], request: Request) -> Iterator[Attribute]:
    """The attributes: those that were given, and of other kinds those that title, label and note state."""
    for fact in facts:
        if fact.source == "attribute" and (fact.name, fact.text) in told:
            measure = with_unit(fact.name, fact.text)
            found = figures(measure)
            whole = len(found) == 1 and (found[0].start, found[0].end) == (0, len(measure))
            unit = unit_of(measure) if whole else ""
            yield _attribute(fact, Extract("", fact.name, fact.text, found[0].number if whole else None, unit))
    for fact, said in extract_of_facts(facts, request.language):
        if _may_stand(fact.text, request):
            yield _attribute(fact, said)


def _attribute(fact: Fact, said: Extract) -> Attribute:
    assert fact.source in ("attribute", "title", "label", "transcript")
    return {
        "name": said.name,
        "value": said.value,
        "number": said.number,
        "unit": said.unit,
        "source": fact.source,
        "confidence": fact.confidence,
        "fact": fact.number,
    }


def _bullets(
    pairs: Sequence[tuple[str, str]], language: str, title: str
) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """At most five bullets and the attributes that each tells: a sentence each, parted if fewer than five."""
    by_name = dict(pairs)
    groups = [tuple((name, by_name[name]) for name in names) for _, names in tell(pairs, language, title)]
    while len(groups) < MOST_BULLETS and (largest := max(groups, key=len, default=())) and len(largest) > 1:
        place = groups.index(largest)
        half = (len(largest) + 1) // 2
        groups[place : place + 1] = [largest[:half], largest[half:]]
    gap = "" if language == "zh" else " "
    return [(gap.join(text for text, _ in tell(group, language, title)), group) for group in groups[:MOST_BULLETS]]


def _meta_description(title: str, text: str, bullets: Sequence[str], language: str) -> str:
    """Whole sentences of the copy that fit, else the title and the bullets that do."""
    gap = "" if language == "zh" else " "
    for parts in (
        [each.strip() for each in sentences(text)],
        [f"{title}{'。' if language == 'zh' else '.'}", *bullets],
    ):
        kept = ""
        for part in parts:
            if len(kept) + len(gap) + len(part) > MAX_META_DESCRIPTION:
                break
            kept = f"{kept}{gap}{part}" if kept else part
        if kept:
            return kept
    return shorten(title, MAX_META_DESCRIPTION)


def _alt_text(title: str, attributes: Sequence[Attribute], language: str) -> str:
    """What the photo shows: the product by its title, and its colour where the title does not name it."""
    colour = extraction_table()["names"][language]["colour"]
    shown = [each["value"] for each in attributes if _is_colour(each["name"], colour)]
    for value in shown[:1]:
        longer = f"{title}{'，' if language == 'zh' else ', '}{value}"
        if value.casefold() not in title.casefold() and len(longer) <= MAX_ALT_TEXT:
            return longer
    return shorten(title, MAX_ALT_TEXT)


def _is_colour(name: str, colour: str) -> bool:
    return name.casefold().replace("color", "colour").removesuffix("s") == colour


def _colours(attributes: Sequence[Attribute], language: str) -> list[str]:
    """The colours of the attributes that are colours, by their names in the closed list."""
    table = extraction_table()
    named = table["names"][language]["colour"]
    found: list[str] = []
    for each in attributes:
        if not _is_colour(each["name"], named):
            continue
        for mention in mentions(each["value"], bare=True):
            for group in sorted(group for group in mention.groups if group[0] == "colour"):
                line = [name for _, name in lexicon().broader.get(group, frozenset())]
                listed = [table["listed_as"].get(name, name) for name in line]
                found += [table["colours"][language][name] for name in listed if name in table["colours"][language]]
    return list(dict.fromkeys(found))


def _is_given(wanted: str, names: set[str], given: Sequence[tuple[str, str]]) -> bool:
    """Whether an attribute of the category is there under its name, one that holds it (seat height) or as a value.

    A value has it as in ``care: dishwasher safe``.
    """
    folded = wanted.casefold()
    if any(folded in value.casefold() for _, value in given):
        return True
    return any(folded in name or name in folded for name in names)

"""Facts that contradict each other: a title of cotton over an attribute of polyester, a label of 30 g over 40 g.

Only what cannot both be true is told: two materials, colours or places where the attribute is the product's own, and a
figure of title, label or note where the attributes have others of its kind and none of them agrees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from stages.facts import Fact
from stages.figures import figures, properties, properties_at, with_unit
from stages.lexicon import Group, lexicon, mentions

#: Attributes that speak of the whole product, by the lexicon's kind.
_OWN = {
    "material": re.compile(r"(?:main |outer )?(?:material|fabric|composition)|材质|面料|材料|成分", re.IGNORECASE),
    "colour": re.compile(r"colou?r|颜色|色号", re.IGNORECASE),
    "origin": re.compile(r"(?:country of )?origin|made in|产地|原产国", re.IGNORECASE),
}
#: Kinds of figures that a product has one of.
_SINGLE = frozenset(("length", "mass", "volume", "charge", "power", "voltage", "data", "energy", "money"))
#: Whose figures are held against the attributes'.
_TELLERS = frozenset(("title", "label", "transcript"))


class Conflict(NamedTuple):
    """Two facts that cannot both be true.

    Attributes:
        kind: ``material``, ``colour``, ``origin``, or the kind of a figure (``mass``).
        facts: their numbers.
        texts: what each says.
    """

    kind: str
    facts: tuple[int, int]
    texts: tuple[str, str]


def conflicts(facts: Sequence[Fact]) -> list[Conflict]:
    """The conflicts of the facts that somebody vouches for, in their order."""
    vouched = [fact for fact in facts if fact.source in ("title", "attribute", "label", "transcript")]
    return [*_of_words(vouched), *_of_figures(vouched)]


def _of_words(facts: Sequence[Fact]) -> Iterator[Conflict]:
    for one, other in combinations(facts, 2):
        if "attribute" not in (one.source, other.source):
            continue
        for kind in _OWN:
            groups = [_own_groups(fact, kind) for fact in (one, other)]
            if all(groups) and not groups[0] & groups[1]:
                yield Conflict(kind, (one.number, other.number), (one.text, other.text))


def _own_groups(fact: Fact, kind: str) -> frozenset[Group]:
    """What a fact says the whole product is of a kind, with the broader groups; empty where it speaks of a part."""
    if fact.source == "attribute" and not _OWN[kind].fullmatch(fact.name):
        return frozenset()
    found = mentions(fact.text, bare=fact.source == "attribute")
    named = (group for mention in found for group in mention.groups if group[0] == kind)
    return frozenset(wider for group in named for wider in lexicon().broader.get(group, frozenset((group,))))


def _of_figures(facts: Sequence[Fact]) -> Iterator[Conflict]:
    known = [
        (figure, fact, properties(fact.name))
        for fact in facts
        if fact.source == "attribute"
        for figure in figures(with_unit(fact.name, fact.text))
    ]
    for fact in facts:
        if fact.source not in _TELLERS:
            continue
        for figure in figures(fact.text):
            said = properties_at(fact.text, figure)
            rivals = [(k, f) for k, f, names in known if k.kind == figure.kind and (not said or names & said)]
            if figure.kind in _SINGLE and len(rivals) == 1 and not rivals[0][0].equals(figure):
                yield Conflict(figure.kind, (fact.number, rivals[0][1].number), (fact.text, rivals[0][1].text))

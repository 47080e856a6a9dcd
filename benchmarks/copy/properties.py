"""Which property of a product a sentence gives a figure to: ``61 cm high`` where 61 cm is the width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.copy.products import Product
from benchmarks.copy.quantities import Figure, figures

#: Property → nouns and verbs that name it, before or behind a figure.
NAMES = {
    "height": r"\bheights?\b|高度|身高|坐高|座高|全高|桶高",
    "width": r"\bwidth\b|宽度|车宽|成品宽",
    "depth": r"\bdepth\b|深度|进深",
    "length": r"\blength\b|长度|全长|[刃线绳柄拍衣车盒品]长",
    "thickness": r"\bthickness\b|厚度|粗细|绳粗",
    "diameter": r"\bdiameter\b|直径|口径",
    "weight": r"\bweigh(?:s|ing|t)?\b|重量|净重|毛重|净含量|体重|克重|总重|重达|重约|仅重|重仅|重(?=\s*[为:：]?\s*\d)",
    "capacity": r"\bcapacity\b|电池容量|容量|\bbattery\b(?! life)|\bvolume\b|(?<!充)电池",
    "screen": r"\bscreen\b|\bdisplay\b|屏幕|屏(?!蔽)",
    "endurance": r"\bbattery\b|\bruntime\b|\bplay(?:time|back)\b|续航|电池(?!容量)",
    "charging": r"\bcharging time\b|\bcharges? (?:fully )?in\b|充电时间|充满",
    "power": r"\bpower\b(?! (?:bank|lines?))|功率",
    "voltage": r"\bvoltage\b|电压",
    "input": r"\binput\b|输入",
    "output": r"\boutput\b|输出",
    "load": r"\bload\b|\b(?:holds?|supports?|carr(?:y|ies)|bears?) up to\b|承重|载重|承载",
    "memory": r"\bmemory\b|\bRAM\b|内存",
    "storage": r"\bstorage\b|存储",
    "noise": r"\bnoise\b|噪音|噪声",
    "temperature": r"\btemperature\b|温度|水温",
    "age": r"\bage[sd]?\b|年龄|\byears old\b|周?岁",
    "shelf life": r"\bshelf life\b|保质期|\bkeeps for\b|\bbest before\b",
    "cold": r"\bcold\b|保冷",
    "hot": r"\bhot\b|保温|\bwarm\b",
}
#: Property → adjectives directly behind a figure (English), directly before or behind it (Chinese).
BEHIND = {
    "height": r"tall|high|in height|高(?![品质档级清])",
    "width": r"wide|in width|broad|宽(?![敞松])",
    "depth": r"deep|in depth|深(?!受)",
    "length": r"long|in length|长(?![久续])",
    "thickness": r"thick|厚(?!实)",
    "diameter": r"across|in diameter",
    "weight": r"in weight|heavy|重(?!新)",
    "capacity": r"in capacity|in volume",
}
BEFORE = {"height": "高", "width": "宽", "depth": "深", "length": "长", "thickness": "厚", "weight": "重"}
SPATIAL = frozenset(("height", "width", "depth", "length", "thickness", "diameter"))
#: Dimension → names that mean something else beside it: 长达 and 高达 say "up to" of any figure but a length, a battery
#: lasts hours and holds mAh, and what "holds up to" litres bears no load.
_OTHER_SENSE = {
    "[length]": frozenset(("load",)),
    "[time]": SPATIAL | {"capacity", "load"},
    "[length] ** 3": SPATIAL | {"load"},
    "[current] * [time]": SPATIAL | {"endurance", "load"},
}
#: Names and figures that stand in two lists of one sentence are not told apart.
_ENUMERATED = re.compile("respectively|分别", re.IGNORECASE)
#: What has both names in one trade or another.
KIN = (
    frozenset(("depth", "length", "width")),
    frozenset(("depth", "height")),
    frozenset(("length", "height")),
    frozenset(("thickness", "height", "depth")),
    frozenset(("diameter", "width")),
    frozenset(("capacity", "load")),
)
#: Words of an attribute's name that are no part of the product: ``weight of the lid``.
_SMALL = frozenset(("of", "the", "a", "an", "one", "with", "per", "in", "to", "total", "net", "from", "is"))
_CLAUSE = re.compile(
    r"[,;!?。，；！？、\n()（）]|\.(?!\d)|\b(?:and|while|with|plus|but|which)\b|(?<=[^\d])和", re.IGNORECASE
)


@dataclass(frozen=True)
class Fact:
    """A fact and what its figures mean.

    Args:
        name: of the attribute; empty for the title.
        value: as the shop wrote it.
    """

    name: str
    value: str

    @cached_property
    def figures(self) -> list[Figure]:
        """Of the name too: ``sugar per 100 ml``."""
        return figures(self.value) + figures(self.name)

    @cached_property
    def properties(self) -> frozenset[str]:
        """What the name says that the figures are; empty where it does not say."""
        said = {kind for kind, pattern in NAMES.items() if re.search(pattern, self.name, re.IGNORECASE)}
        said |= {kind for kind, sign in BEFORE.items() if self.name.endswith(sign)}
        if re.search("battery life", self.name):
            said.discard("capacity")
        if self.name in ("battery", "volume", "电池", "tank"):
            said.add("capacity")
        return frozenset(said)

    @cached_property
    def part(self) -> frozenset[str]:
        """Words that say which part of the product, or which end of a range."""
        rest = self.name.casefold()
        for pattern in NAMES.values():
            rest = re.sub(pattern, " ", rest, flags=re.IGNORECASE)
        latin = {word for word in re.findall(r"[a-z]{3,}", rest) if word not in _SMALL}
        return frozenset(
            latin | set(re.findall("最低|最高|最小|最大|折叠|收纳|内帐|单[拍双片包]|毛|坐|手柄", self.name))
        )


def facts(product: Product) -> list[Fact]:
    """The title, then the attributes."""
    return [Fact("", product.title), *(Fact(name, value) for name, value in product.attributes.items())]


@dataclass(frozen=True)
class Context:
    """A figure's surroundings: what its clause calls it."""

    clause: str
    properties: frozenset[str]


def context(text: str, found: Sequence[Figure], at: int) -> Context:
    """The clause of the figure `found[at]` and the properties that it names."""
    figure = found[at]
    ends = [(m.start(), m.end()) for m in _CLAUSE.finditer(text)]
    begin = max((end for _, end in ends if end <= figure.begin), default=0)
    stop = min((start for start, _ in ends if start >= figure.end), default=len(text))
    clause = text[begin:stop]
    before = text[max([begin, *(f.end for f in found[:at] if f.end <= figure.begin)]) : figure.begin]
    after = text[figure.end : min([stop, *(f.begin for f in found[at + 1 :])])]
    behind = {
        kind
        for kind, pattern in BEHIND.items()
        if re.match(rf"\s*(?:in total |or so )?-?(?:{pattern})(?![a-z])", after, re.IGNORECASE)
        and not re.match(rf"\s*{BEFORE.get(kind, '$')}\s*(?:约|为|达|仅)?\s*\d", text[figure.end :])
    }
    if behind:
        return Context(clause, frozenset(behind))
    close = {
        kind
        for kind, pattern in NAMES.items()
        if re.search(rf"(?:{pattern})\W*(?:\w+\W+){{0,2}}$|(?:{pattern})[为约达仅是有:：\s]*$", before, re.IGNORECASE)
    }
    close |= {
        kind for kind, sign in BEFORE.items() if re.search(rf"(?<![提较更最很超增]){sign}[为约达仅是:：\s]*$", before)
    }
    if close:
        return Context(clause, frozenset(close))
    first = before
    for pattern in BEHIND.values():  # an adjective belongs to the figure before it
        first = re.sub(rf"^\s*(?:{pattern})(?![a-z])", " ", first, flags=re.IGNORECASE)
    named = {kind for kind, pattern in NAMES.items() if re.search(pattern, f"{first} | {after}", re.IGNORECASE)}
    return Context(clause, frozenset(named))


def is_anothers(product: Product, text: str, found: Sequence[Figure], at: int) -> str | None:
    """Why the sentence gives a figure of the facts to another property than the facts do; None where it does not."""
    figure = found[at]
    known = facts(product)
    holders = [fact for fact in known if any(figure.equals(other) for other in fact.figures)]
    if not figure.unit or figure.unit == "code" or not holders or _ENUMERATED.search(text):
        return None
    said = context(text, found, at)
    said = Context(said.clause, said.properties - _OTHER_SENSE.get(figure.dimension, SPATIAL))
    if any(not holder.properties for holder in holders):
        return None
    meant = frozenset().union(*(holder.properties for holder in holders))
    if said.properties and not any(_are_kin(one, other, product) for one in said.properties for other in meant):
        return f"{figure.written} is {holders[0].name}, not {'/'.join(sorted(said.properties))}"
    rivals = [fact for fact in known if fact not in holders and fact.properties & meant & said.properties]
    clause = said.clause.casefold()
    named = [any(part in clause for part in holder.part) or not holder.part for holder in holders]
    for rival in rivals:
        taken = bool(rival.part) and any(part in clause for part in rival.part - holders[0].part)
        whole = not rival.part and not any(named)
        if (taken and not any(part in clause for holder in holders for part in holder.part)) or whole:
            return f"{figure.written} is {holders[0].name}, not {rival.name}"
    return None


def _are_kin(one: str, other: str, product: Product) -> bool:
    """Whether both are names of one property, in a product that does not tell them apart."""
    if one == other:
        return True
    pair = {one, other}
    told = set().union(*(fact.properties for fact in facts(product)))
    return any(pair <= kin for kin in KIN) and not pair <= told

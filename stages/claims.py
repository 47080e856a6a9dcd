"""What a sentence claims of a product, claim by claim, held against the numbered facts.

A claim is a figure or a code, a word of the lexicon (a material, a colour, a place, a certificate, a part, …), a
statement on safety, or, in the strict level, any word that neither the facts nor the list of neutral words have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stages.facts import Fact, known_facts
from stages.figures import KnownFigures, codes, figures, with_unit
from stages.lexicon import Group, Mention, lexicon, mentions, neutral_words, words
from stages.parts import Parts
from stages.request import LEVELS, Request
from stages.safety import Safety, deferred
from stages.text import HAN

#: Tasks whose words are all about the product.
WORDED_TASKS = ("description", "ad", "recommendation", "promotion")

#: Words of a parcel on its way, which a message about one may use.
UNDER_WAY = frozenset(
    (
        *("delivery", "delivered", "shipping", "shipped", "dispatch", "dispatched", "despatched", "posted"),
        *("发货", "寄出", "快递", "送达", "送货", "到货"),
    )
)

Verdict = Literal["supported", "unsupported", "contradicted"]


class Claim(NamedTuple):
    """A claim of a sentence.

    Attributes:
        kind: ``figure``, ``code``, ``safety``, ``word``, or a kind of the lexicon.
        text: the words that make it.
        facts: numbers of the facts that support it, or that contradict it.
    """

    kind: str
    text: str
    verdict: Verdict
    facts: tuple[int, ...] = ()


#: What turns a statement round, in front of what it turns; and behind it.
_NEGATION = re.compile(
    r"\b(?:no|not|never|without|nothing|neither|nor|none|zero|lacks?|cannot|free (?:of|from)|keep away from)\b|n['’]t\b"
    r"|[不无没未免](?![锈线锡敌限穷畏数缝论])|零(?=添加|蔗糖|糖|脂|酒精|香精)",
    re.IGNORECASE,
)
_TURNED_BEHIND = re.compile(
    r"^[\s-]*free\b|^[\s:-]*(?:is |are )?(?:not\s*[.,;]|sold separately"
    r"|not (?:included|supplied|required|needed|necessary|available|supported))"
    r"|^[:：]?\s?(?:不含|不包[含括]|不添加|不可用|不支持|不需要|不适用|需?另购|另售|除外|没有|无(?![线锈]))"
    r"|^\s?[：:]\s?(?:none|no)\b",
    re.IGNORECASE,
)
#: A value that denies its name.
_DENIAL = re.compile(
    r"\s*(?:none|no|not(?: \w+)?|sold separately|never|false|without|无|没有?|否|不|不[含带附能]"
    r"|不(?:添加|支持|可用?|需要?|包[含括]|适用)|未添加|无需|需?另购|另售)\s*",
    re.IGNORECASE,
)
#: Idioms that turn nothing round.
_NO_NEGATION = re.compile(
    r"\bno\.\s*\d|\b(?:not only|not just|no matter|no wonder|no doubt|nothing but|why not|no need to|"
    r"no (?:more|less|colder|warmer|lower|higher|longer) than)\b|不仅|不但|不只|不论|不管|不同|不断|不变|不愧|不妨|"
    r"不错|不少于|不超过|不到|不足|无论|无比|免费|没关系|未来|不二",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[;；。！？!?，]|,(?!\d)|\.(?!\d)|\bbut\b", re.IGNORECASE)
#: Kinds of which a product has few: another one contradicts, it is not merely unknown.
_CLOSED = frozenset(("material", "colour", "origin", "size"))
#: Cues that stand where the facts say the same in the same words; other cues, where the facts say anything of the kind.
_LITERAL = frozenset(("superlative", "approval", "exclusive", "universal", "award"))
#: Chinese characters that say something by themselves.
_SAYING = (
    "大强好亮优甜酸辣咸鲜香脆酥嫩软硬厚薄轻暖凉冷热快慢稳静透滑新真瘦碎坏牢臭干湿粗密纯净润紧松弹韧冰烫防抗耐治减降助护"
    "补杀菌毒老少久贵弱省尖"
)
#: Words that only have a place in the grammar: one letter, a Chinese character that praises nothing, a negation, ``一``
#: with a measure word.
_GRAMMATICAL = re.compile(f"[^{_SAYING}]|[不没无未][有会能用需必是]|[一二两三四五六七八九十][^一]")
#: Letters and digits of full width, as the half-wide ones that words and figures are read in.
_HALF_WIDE = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
#: Two letters or more of scripts other than Latin and Chinese.
_OTHER_LETTERS = re.compile(f"[^\\W\\d_\\u0000-\\u024f\\u1e00-\\u1eff{HAN}]{{2,}}")
#: Words letter by letter.
_SPELLED = re.compile(r"(?<!\w)[A-Za-z](?: {1,2}[A-Za-z](?!\w)){6,}")
#: Chinese with gaps between its characters.
_GAPS = re.compile(f"(?<=[{HAN}]) +(?=[{HAN}])")
#: Fewest of such gaps that are no slips.
_MOST_SLIPS = 3
#: Figures of a sentence beyond which a decoder is going round in circles.
MOST_FIGURES = 40
#: Share of an attribute's words by which a text names it.
NAMED = 0.75
#: What a material or colour belongs to: "mesh" of "black mesh" and of "the mesh is black", 接头 of 接头用塑料.
_OWNER_BEHIND = re.compile(r"[\s-]+((?!and |or |with |but )[A-Za-z]+)|的?([\u4e00-\u9fff]{2,4})")
_OWNER_BEFORE = re.compile(
    r"([A-Za-z]+)\s+(?:is|are|was|were|comes? in|made)\s+(?:(?:made|forged|cut)\s+)?(?:of|from|in|out of)?\s*"
    r"(?:solid |pure )?$"
    r"|([\u4e00-\u9fff]{2,4}?)(?:是|为|用|采用|由|选用|材质为)$",
    re.IGNORECASE,
)
#: Letters in common from which two words are forms of one: Portugal, Portuguese.
_COMMON_LETTERS = 5


@dataclass(frozen=True)
class _Clause:
    """A clause of a fact: its words and groups, those that it denies apart."""

    fact: int
    text: str
    stems: Mapping[str, bool]
    groups: Mapping[Group, bool]
    denied: bool

    def holds(self, word: str) -> bool | None:
        """Whether a word is denied; None where the clause does not have it, in one form or another."""
        if word in self.stems:
            return self.stems[word]
        if re.match(f"[{HAN}]", word):
            for part in _forms(word):
                if (place := self.text.find(part)) >= 0:
                    return self.denied or _is_negated(self.text, place, place + len(part))
            return None
        if len(word) <= _COMMON_LETTERS:
            return None
        alike = (denied for each, denied in self.stems.items() if _alike(each, word))
        return next(alike, None)


class Claims:
    """Holds the sentences of one request's text against its facts.

    Attributes:
        facts: numbered, without commands; a customer's words, which nobody vouches for, among them.
    """

    def __init__(self, request: Request) -> None:
        self.facts: tuple[Fact, ...] = known_facts(request)
        vouched = [fact for fact in self.facts if not fact.is_customers]
        others = [fact for fact in self.facts if fact.is_customers]
        self._figures, self._asked = KnownFigures(vouched), KnownFigures(others)
        self._parts = Parts(vouched)
        self._title = {fact.number for fact in vouched if fact.source == "title"}
        self._safety = Safety(request)
        self._clauses = [clause for fact in vouched for clause in _clauses(fact)]
        self._said = [clause for fact in others for clause in _clauses(fact)]
        self._kinds_of: dict[int, set[str]] = {fact.number: set() for fact in self.facts}
        for clause in self._clauses:
            self._kinds_of[clause.fact].update(kind for kind, _ in clause.groups)
        self._kinds = set().union(*self._kinds_of.values())
        self._worded = request.task in WORDED_TASKS
        self._liked = {word.stem for liked in request.words for word in words(liked)}
        self._harmless = UNDER_WAY if request.task in ("delivery", "reply") else frozenset()

    def of(self, sentence: str, level: str = LEVELS[0]) -> tuple[Claim, ...]:
        """The claims of a sentence that `level` holds against the facts."""
        sentence = _readable(sentence)
        defers = deferred(sentence)  # then it neither affirms nor denies what a customer asked for
        clauses = self._clauses + self._said if defers else self._clauses
        found, places = self._of_figures(sentence)
        if not self._safety.allows(sentence):
            found.append(Claim("safety", sentence.strip(), "unsupported"))
        if level == "free":
            return tuple(found)
        for mention in mentions(sentence):
            harmless = sentence[mention.start : mention.end].casefold() in self._harmless
            if not harmless and not _within((mention.start, mention.end), places):
                found.append(self._of_mention(sentence, mention, clauses, defers))
                places.append((mention.start, mention.end))
        if level == "strict" and self._worded:
            found += self._of_words(sentence, places, clauses, defers)
            found += self._of_other_letters(sentence)
        return tuple(found)

    def evidence(self, sentence: str) -> tuple[int, ...]:
        """Numbers of the facts that a sentence rests on: those of its claims, and those whose words it uses."""
        numbers = {number for claim in self.of(sentence) if claim.verdict == "supported" for number in claim.facts}
        for word in words(sentence):
            if word.stem not in neutral_words():
                numbers |= {number for number, _ in self._holders(word.stem, self._clauses)}
        return tuple(sorted(numbers))

    def _of_figures(self, sentence: str) -> tuple[list[Claim], list[tuple[int, int]]]:
        found: list[Claim] = []
        places: list[tuple[int, int]] = []
        every = figures(sentence)
        if len(every) > MOST_FIGURES:
            return [Claim("figure", sentence[every[0].start : every[-1].end], "unsupported")], [(0, len(sentence))]
        for figure in every:
            numbers = self._figures.of_figure(figure, sentence)
            if not numbers and not figure.kind:
                numbers = self._asked.of_figure(figure, sentence)
            verdict: Verdict = "supported" if numbers else "unsupported"
            if others := self._parts.another(sentence, figure.start, figure.end, numbers, figure.kind):
                verdict, numbers = "contradicted", others
            elif not numbers and figure.kind and self._figures.of_kind(figure):
                verdict = "contradicted"
            found.append(Claim("figure", sentence[figure.start : figure.end], verdict, numbers))
            places.append((figure.start, figure.end))
        for code in codes(sentence, every):
            numbers = self._figures.of_code(code) or self._asked.of_code(code)
            found.append(Claim("code", code, "supported" if numbers else "unsupported", numbers))
        return found, places

    def _of_mention(self, sentence: str, mention: Mention, clauses: Sequence[_Clause], defers: bool) -> Claim:
        kind = min(mention.groups)[0]
        written = sentence[mention.start : mention.end]
        cue = kind in lexicon().cues
        if cue and kind not in _LITERAL:
            holders = [(c.fact, False) for c in clauses if any(known == kind for known, _ in c.groups)]
        else:
            holders = [(c.fact, turned) for c in clauses for each, turned in c.groups.items() if each in mention.groups]
        if not holders:  # "made of glass" where the fact is "marbles: glass"
            parts = [word.stem for word in words(written) if word.stem not in neutral_words()]
            for clause in clauses:
                held = [clause.holds(part) for part in parts]
                if held and None not in held:
                    holders.append((clause.fact, any(held)))
        denied = None if cue or defers else _is_negated(sentence, mention.start, mention.end)
        claim = self._verdict(kind, written, holders, denied)
        owned = all(each in ("material", "colour") for each, _ in mention.groups)
        if claim.verdict == "supported" and owned and not defers:
            others = self._parts.another(sentence, mention.start, mention.end, claim.facts)
            if others := others or self._of_another_part(sentence, mention, kind, claim.facts):
                return Claim(kind, written, "contradicted", others)
        return claim

    def _of_another_part(self, sentence: str, mention: Mention, kind: str, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """The facts that give the part beside a mention something else of its kind: black mesh, where mesh is grey."""
        for word in _beside(sentence, mention.start, mention.end):
            holders = {number for number, _ in self._holders(word, self._clauses)} - self._title
            if holders and not holders & set(numbers):
                return tuple(number for number in sorted(holders) if kind in self._kinds_of[number])
        return ()

    def _of_words(
        self, sentence: str, places: Sequence[tuple[int, int]], clauses: Sequence[_Clause], defers: bool
    ) -> list[Claim]:
        found = []
        for word in words(sentence):
            plain = word.stem in neutral_words() or word.stem in self._liked or _GRAMMATICAL.fullmatch(word.stem)
            if plain or _within((word.start, word.end), places):
                continue
            holders = self._holders(word.stem, clauses)
            if not holders and re.match(f"[{HAN}]", word.stem):  # jieba joins what it does not know: 茶轴轴体
                holders = self._joined(word.stem, clauses)
            written = sentence[word.start : word.end]
            denied = None if defers else _is_negated(sentence, word.start, word.end)
            found.append(self._verdict("word", written, holders, denied))
        return found

    def _of_other_letters(self, sentence: str) -> Iterator[Claim]:
        """Words that no lexicon has: of other scripts, and letter by letter (g o l d)."""
        for written in (*_OTHER_LETTERS.findall(sentence), *_SPELLED.findall(sentence)):
            numbers = tuple(fact.number for fact in self.facts if written.casefold() in fact.text.casefold())
            yield Claim("word", written, "supported" if numbers else "unsupported", numbers)

    def _holders(self, word: str, clauses: Sequence[_Clause]) -> list[tuple[int, bool]]:
        """Number of the fact of each clause that has a word, and whether it denies it."""
        return [(clause.fact, held) for clause in clauses if (held := clause.holds(word)) is not None]

    def _joined(self, word: str, clauses: Sequence[_Clause]) -> list[tuple[int, bool]]:
        """The holders of a Chinese word's two parts, where each is a fact's or neutral."""
        for place in range(1, len(word)):
            parts = word[:place], word[place:]
            held = [[(0, False)] if part in neutral_words() else self._holders(part, clauses) for part in parts]
            if all(held):
                return [holder for each in held for holder in each]
        return []

    def _verdict(self, kind: str, written: str, holders: Sequence[tuple[int, bool]], denied: bool | None) -> Claim:
        """What holders (a fact's number, whether it denies) make of a claim; one of `denied` None agrees with any."""
        agreeing = [number for number, each in holders if denied is None or each == denied]
        if agreeing:
            return Claim(kind, written, "supported", tuple(dict.fromkeys(number for number in agreeing if number)))
        if holders:
            return Claim(kind, written, "contradicted", tuple(dict.fromkeys(number for number, _ in holders if number)))
        return Claim(kind, written, "contradicted" if kind in _CLOSED & self._kinds else "unsupported")


class Told:
    """What a text tells, by which it names attributes; read once."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        self._figures = figures(text)
        self._codes = codes(text, self._figures)
        self._stems = {word.stem for word in words(text)}
        self._groups = {group for mention in mentions(text) for group in mention.groups}

    def names(self, name: str, value: str) -> bool:
        """Whether the text tells an attribute's value: its figures, codes and most of its words."""
        if value.casefold() in self._text:
            return True
        given, bare = figures(with_unit(name, value)), figures(value)
        if not all(any(figure.equals(other) for other in self._figures) for figure in given):
            return False
        if codes(value, bare) - self._codes:
            return False
        spans = [(figure.start, figure.end) for figure in bare]
        wanted = [
            w.stem for w in words(value) if w.stem not in neutral_words() and not _within((w.start, w.end), spans)
        ]
        told = [mention for mention in mentions(value) if mention.groups & self._groups]
        alike = {word.stem for mention in told for word in words(value[mention.start : mention.end])}
        found = sum(self._has(each) or each in alike for each in wanted)
        return (bool(given) or bool(wanted)) and found >= NAMED * len(wanted)

    def _has(self, word: str) -> bool:
        return word in self._stems or (re.match(f"[{HAN}]", word) is not None and word in self._text)


def _clauses(fact: Fact) -> list[_Clause]:
    """A fact by its clauses; an attribute's name belongs to each."""
    named = f"{fact.name}: " if fact.source == "attribute" else ""
    found = []
    for part in _CLAUSE.split(fact.text):
        if not part.strip():
            continue
        text, broader = named + part, lexicon().broader
        denied = _DENIAL.fullmatch(part) is not None
        groups: dict[Group, bool] = {}
        for each in mentions(text, bare=fact.source == "attribute"):
            turned = denied or _is_negated(text, each.start, each.end)
            groups |= {wider: turned for group in each.groups for wider in broader.get(group, (group,))}
        stems = {
            word.stem: _is_negated(text, word.start, word.end) or (denied and word.end <= len(named))
            for word in words(text)
        }
        found.append(_Clause(fact.number, text.casefold(), stems, groups, denied))
    return found


def _is_negated(sentence: str, start: int, end: int) -> bool:
    """Whether what stands at a place is denied: a negation before it in its clause, or ``-free`` behind it."""
    if _TURNED_BEHIND.match(sentence[end:]):
        return True
    before = _CLAUSE.split(sentence[:start])[-1]
    return _NEGATION.search(_NO_NEGATION.sub(" ", before)) is not None


def _forms(word: str) -> list[str]:
    """A Chinese word, and it without what jieba may have joined to it: 防水型, 该款."""
    found = [word]
    if len(word) > 2 and word[-1] in "款型类式色性感器机品套装子时期":
        found.append(word[:-1])
    if len(word) > 2 and word[0] in "本该此每各这那可需":
        found.append(word[1:])
    return found


def _alike(one: str, other: str) -> bool:
    """Whether two stems are forms of one word: Portugal, Portuguese; but not transparent, transport."""
    if min(len(one), len(other)) <= _COMMON_LETTERS or one[: _COMMON_LETTERS + 1] != other[: _COMMON_LETTERS + 1]:
        return False
    return one[6:8] == other[6:8] or min(len(one), len(other)) <= 7


def _beside(sentence: str, start: int, end: int) -> list[str]:
    """The stems of the words that a material or colour belongs to: right behind it, or before ``is`` and the like."""
    behind = _OWNER_BEHIND.match(sentence[end:])
    before = _OWNER_BEFORE.search(sentence[:start])
    found = [word for part in (behind, before) if part for word in words(part[1] or part[2])]
    return [word.stem for word in found if word.stem not in neutral_words()]


def _readable(sentence: str) -> str:
    """A sentence in the letters that words and figures are read in."""
    sentence = sentence.translate(_HALF_WIDE)
    return _GAPS.sub("", sentence) if len(_GAPS.findall(sentence)) > _MOST_SLIPS else sentence


def _within(place: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return any(start <= place[0] and place[1] <= end for start, end in others)

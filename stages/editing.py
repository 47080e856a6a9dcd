"""Edits what the text decoder wrote, before a shop shows it: each edit is reported, nothing is made up.

What may not stay goes by sentences, or from the comma on where what is before it is a sentence of its own: a claim
that no fact supports (`stages.claims`), an unfinished end, a repetition, an offer, a word of the prompt's own examples,
a banned word, what is beyond the channel's length. What is left names the product all the same. Attributes on safety
are put behind the text as they were given; where a task has to name every attribute, the others are told in plain
sentences (`stages.plain`). No word is corrected: a checker of grammar took away more than it gave ("kilocalories"
became "calories").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from price_parser import Price

from stages.claims import Claims, Told
from stages.extraction import extract_of_facts
from stages.plain import tell
from stages.praise import without_praise
from stages.prompts import Prompts, is_neutral
from stages.request import MAX_CHARACTERS, Request
from stages.safety import stated_attributes, told_attributes
from stages.text import sentences

ALIKE = 0.85  # share of its words that a repetition has in common with an earlier sentence
_ENDED = re.compile(r"[.!?。！？…][\"'”’)\]）]*\s*$")
_WORD = re.compile(r"[⺀-鿿豈-﫿]|[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = r"\d[\d.,\s]*"
_CURRENCY = r"(?:[$€£¥₹]|USD|EUR|GBP|CNY|RMB|JPY|dollars?|euros?|yuan|美元|欧元|英镑|元)"
_AMOUNT = re.compile(
    rf"{_CURRENCY}\s?{_NUMBER}|{_NUMBER}{_CURRENCY}|"
    r"\d+\s?%(?=\s?(?:off|discount|less))|(?<=save )\d+\s?%|\d+(?:\.\d)?\s?折",
    re.IGNORECASE,
)
#: Offers without a figure.
_OFFER = re.compile(
    r"\b(?:discount\w*|special (?:offer|price)s?|on sale|free (?:shipping|delivery|gift|returns?)|limited[- ]time|"
    r"money[- ]back|best price|lowest price)|优惠|特价|折扣|包邮|免费|限时|促销|满减|赠送|买一送",
    re.IGNORECASE,
)
#: What speaks of the data, not of the product.
_ABOUT_DATA = re.compile(
    r"\bnot (?:provided|specified|given|mentioned|stated|known)\b"
    r"|\b(?:given|provided|product) data\b|\bin (?:this|the) data\b|资料|未提供|没有提供",
    re.IGNORECASE,
)
#: Quotation marks around a text, and marks of a format that a shop's page does not read. A digit before one is inches.
_MARKS = re.compile(r'(?<!\d)["“”]|\*\*|^#+\s+|[【】]')
#: Up to three clauses that follow themselves.
_LOOP = re.compile(r"((?:[^，,。.!！?？\n]{2,}[，,]){1,3})(?:\s?\1)+")
#: Where a sentence may end instead: a Chinese clause's end, or a comma before what is only added to it in English.
_COMMA = re.compile(
    r"[，；]|[,;](?=\s(?:\w+ing|which|perfect|ideal|suitable|great|so|whether|while|and (?:it|they|comes|is|are))\b)",
    re.IGNORECASE,
)
#: A part of a sentence that begins so is no sentence.
_FRAGMENT = re.compile(
    r"(?:with|made|crafted|designed|featuring|whether|perfect|ideal|for|from|in|at|on|by|measuring|weighing|if|when|while|"
    r"as|despite|thanks|built|available|equipped|a|an|and|or|but|however|additionally|moreover|also|plus)\b|无论|不管|如果|当|因为|虽然|凭借",
    re.IGNORECASE,
)
#: Fewest words (Chinese: characters) of a sentence that is left of one.
LEAST_WORDS = 5
#: Edits that a shorter sentence may do for.
_CLAIMED = ("claim", "figure", "safety")
#: Kinds of claims that are edits of their own.
_KINDS = {"figure": "figure", "code": "figure", "safety": "safety"}
_ANY_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?(?:\s?%)?")


class Edit(NamedTuple):
    """What was done.

    ``unfinished``, ``repetition``, ``price``, ``figure``, ``safety``, ``claim``, ``invented``, ``banned``, ``length``,
    ``format`` or ``stated``. `after` stands where `before` stood; `after` is empty where something was
    taken out, `before` where something was put before the text or behind it. `why` names the words that no fact
    supports.
    """

    kind: str
    before: str
    after: str = ""
    why: str = ""


class Editor:
    """Holds the sentences of one request's text against what the request says.

    Args:
        request: what was asked; its figures, prices and words may stand in the text, but for commands to the writer.
        prompts: of the decoder that writes, see `stages.prompts`.
        claims: of the request, where they were made already.
    """

    def __init__(self, request: Request, prompts: Prompts, claims: Claims | None = None) -> None:
        self.request = request = request.without_commands()
        self._text = prompts.wording.tasks[request.task].texts[request.language]
        self._answers = prompts.wording.tasks[request.task].needs is not None
        self._states_facts = prompts.states_facts(request.task)
        known = " ".join(request.facts)
        self._known = known.casefold()
        self._amounts = set(map(_amount, _ANY_NUMBER.findall(known)))
        self._foreign = prompts.example_words(request.task, request.language).difference(_words(known))
        self._claims = claims or Claims(request)
        self._name = prompts.product_name(request) if is_neutral(request.title) else request.title
        self._said: list[list[str]] = []

    def kept(self, sentence: str) -> tuple[str, Edit | None]:
        """What may stay of a sentence, and the edit where it is not all of it; later ones may not repeat it."""
        reason, why = self.objection(sentence)
        if not reason:
            return sentence, None
        tries = (without_praise(sentence, self._known), self._before_claim(sentence, why)) if reason in _CLAIMED else ()
        shorter = next(
            (each.strip() for each in tries if each not in ("", sentence) and not self.objection(each)[0]), ""
        )
        gap = sentence[len(sentence.rstrip()) :]
        return shorter and shorter + gap, Edit(reason, sentence.strip(), shorter, why)

    def _before_claim(self, sentence: str, claim: str) -> str:
        """A sentence up to the last comma before a claim, if that is a sentence; empty otherwise."""
        place = sentence.find(claim)
        commas = [match.start() for match in _COMMA.finditer(sentence[:place] if place > 0 else "")]
        for comma in reversed(commas):
            begun = sentence[:comma].rstrip()
            if len(_words(begun)) >= LEAST_WORDS and not _FRAGMENT.match(begun):
                return begun + self._stop
        return ""

    def objection(self, sentence: str) -> tuple[str, str]:
        """Why a sentence may not stay, as an edit's kind, and the words at fault; empty if it may."""
        words = _words(sentence)
        if len(words) >= 4 and any(_alike(words, earlier) >= ALIKE for earlier in self._said):
            return "repetition", ""
        for amount in _AMOUNT.findall(sentence):
            if _amount(amount) not in self._amounts:
                return "price", amount
        for offer in _OFFER.findall(sentence):
            if offer.casefold() not in self._known:
                return "price", offer
        for word in self.request.banned:
            if _has(sentence, word):
                return "banned", word
        if foreign := self._foreign.intersection(words):
            return "invented", min(foreign)
        if not self._answers and (about := _ABOUT_DATA.search(sentence)):
            return "invented", about[0]
        wrong = [claim for claim in self._claims.of(sentence, self.request.claims) if claim.verdict != "supported"]
        if wrong:
            return _KINDS.get(wrong[0].kind, "claim"), wrong[0].text
        self._said.append(words)
        return "", ""

    def stated(self, text: str, room: int | None = None) -> str:
        """What a text must tell and does not: attributes on safety as they were given, others in plain sentences.

        One on safety is told only by its whole sentence: "nuts" stands in "doughnuts" too. Of the plain sentences those
        are told that fit into `room` characters.
        """
        folded = text.casefold()
        whole = [pair for pair in stated_attributes(self.request) if self._sentences([pair]).casefold() not in folded]
        others = told_attributes(self.request) if self._states_facts else ()
        said = Told(text)
        told = self._told([pair for pair in others if not said.names(*pair)])
        safety = self._sentences(whole)
        while told and room is not None and len(self.join(*told, safety)) > room:
            told.pop()
        return self.join(*told, safety)

    def fallback(self) -> str:
        """What is said where nothing of a text may stay: the task's own sentence, or name and attributes.

        Among these are those that a label or a note states: "made of recycled glass".
        """
        if self._text.fallback:
            return self._text.fallback
        said = extract_of_facts(self._claims.facts, self.request.language, ("label", "transcript"))
        more = [(each.name, each.value) for _, each in said if each.value.casefold() not in self._name.casefold()]
        told = self._told([*told_attributes(self.request), *more])
        return self.join(self._title_sentence(), *told, self._sentences(stated_attributes(self.request)))

    def _told(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """Attributes in plain sentences; those that hold a banned word are left out."""
        kept = [pair for pair in pairs if not any(_has(" ".join(pair), word) for word in self.request.banned)]
        return [sentence for sentence, _ in tell(kept, self.request.language, self._name)]

    def names(self, text: str) -> bool:
        """Whether the text holds a third of the words of the product's name."""
        title = set(_words(self._name))
        return 3 * len(title.intersection(_words(text))) >= len(title)

    def says_nothing(self, text: str) -> bool:
        """Whether no more than the product's name is left."""
        return not set(_words(text)).difference(_words(self._name))

    def opening(self, text: str) -> str:
        """What stands before a text whose sentence with the product's name went: nothing where another one names it.

        Else the title, or all that :meth:`fallback` says where the text holds none of the facts either; where a task
        has to name every attribute, :meth:`stated` tells them.
        """
        if self._text.fallback or self.names(text):
            return ""
        if self._states_facts or any(value.casefold() in text.casefold() for _, value in self.request.attributes):
            return self._title_sentence()
        return self.fallback()

    def without_last_clause(self, sentence: str) -> str:
        """A sentence that was cut off, up to its last comma; as it is where it has none."""
        clauses = re.split(r"[，,；;](?=\s|[^\d\s])", sentence)
        return sentence if len(clauses) == 1 else sentence[: -len(clauses[-1]) - 1] + self._stop

    def closed(self, text: str) -> str:
        """A text with its full stop, behind which others may stand."""
        return text if not text or _ENDED.search(text) else text.rstrip(" ,，;；:：") + self._stop

    def join(self, *parts: str) -> str:
        """Parts of a text with the language's gap between them."""
        return ("" if self.request.language == "zh" else " ").join(part for part in parts if part)

    @property
    def _stop(self) -> str:
        return "。" if self.request.language == "zh" else "."

    def _title_sentence(self) -> str:
        """The name with a full stop; nothing where there is none, or a banned word stands in it."""
        title = self._name.rstrip(".。")
        return "" if not title or any(_has(title, word) for word in self.request.banned) else title + self._stop

    def _sentences(self, pairs: Iterable[tuple[str, str]]) -> str:
        colon = "：" if self.request.language == "zh" else ": "
        # pH stays pH.
        every = (
            f"{name if name[1:2].isupper() else name[:1].upper() + name[1:]}{colon}{value.rstrip('.。')}{self._stop}"
            for name, value in pairs
        )
        return self.join(*(each for each in every if not any(_has(each, word) for word in self.request.banned)))


def edit(
    written: str, finish: str, request: Request, prompts: Prompts, claims: Claims | None = None
) -> tuple[str, list[Edit]]:
    """The text as it may be shown, and what was done to it.

    Args:
        written: by the text decoder.
        finish: why it ended: ``length`` where it was cut off.
        claims: of the request, where they were made already.
    """
    editor = Editor(request, prompts, claims)
    edits: list[Edit] = []
    text = plain(written)
    if text != written.strip():
        edits.append(Edit("format", written.strip(), text))
    if (once := _LOOP.sub(r"\1", text)) != text:
        edits.append(Edit("repetition", text, once))
        text = once
    parts = sentences(text)
    if finish == "length" and parts and not _ENDED.search(parts[-1]):
        last = parts.pop().strip()
        begun = "" if parts else editor.without_last_clause(last)
        text = "".join(parts) or begun
        if begun != last:
            edits.append(Edit("unfinished", last, begun))
    kept: list[str] = []
    whole = sentences(text)
    for sentence in whole:
        stays, done = editor.kept(sentence)
        if done:
            edits.append(done)
        kept.append(stays)
    text, room = "".join(kept).strip(), request.max_characters
    if edits and editor.says_nothing(text) and (told := editor.fallback()):
        edits.append(Edit("stated", "", told))
        text = told
    elif editor.names("".join(whole)) and (opening := editor.opening(text)):
        edits.append(Edit("stated", "", opening))
        text = editor.join(opening, text)
    first = len(sentences(text)[0]) + 1 if text else 0
    stated = editor.stated(text, None if room is None else room - max(first, MAX_CHARACTERS[0]))
    if room is not None and stated:
        room -= len(stated) + 1
        if room < MAX_CHARACTERS[0]:
            stated, room = "", request.max_characters
    text, cut = _shorten(text, room)
    if not stated:
        return text, edits + cut
    text = editor.closed(text)
    return editor.join(text, stated), [*edits, *cut, Edit("stated", "", stated)]


def evidence(text: str, claims: Claims) -> dict[str, list[dict[str, Any]]]:
    """The facts, and for each sentence of an edited text the numbers of those that it rests on."""
    told = [{"text": each.strip(), "facts": claims.evidence(each)} for each in sentences(text) if each.strip()]
    return {"facts": [fact._asdict() for fact in claims.facts], "sentences": told}


def plain(text: str) -> str:
    """The text without quotation marks, emphasis and headings."""
    return "\n".join(_MARKS.sub("", line) for line in text.strip().split("\n")).strip()


class StreamEditor:
    """Lets a text through sentence by sentence while it is written."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._held = self._passed = self._gap = ""
        self._wrote = self._named = False

    def __call__(self, text: str, finish: str) -> str:
        """What may go out now that `text` has come.

        Args:
            finish: why the text has ended; empty while it goes on.
        """
        self._wrote |= bool(text)
        self._held += text
        *whole, last = sentences(self._held) or [""]
        self._held = last
        if finish:
            if finish == "length" and not _ENDED.search(last):
                last = "" if whole or self._passed else self._editor.without_last_clause(last.strip())
            whole.append(last)
            self._held = ""
        whole = [_LOOP.sub(r"\1", _MARKS.sub("", sentence)) for sentence in whole]
        passing = self._gap + "".join(self._editor.kept(sentence)[0] for sentence in whole if sentence)
        self._named |= bool(whole) and self._editor.names("".join(whole))
        if not self._passed:
            passing = passing.lstrip()
            if passing and self._named:
                passing = self._editor.join(self._editor.opening(passing), passing)
        # The gap behind a sentence goes out with the next one: there may be none.
        passing, self._gap = passing.rstrip(), passing[len(passing.rstrip()) :]
        self._passed += passing
        return passing + self._end() if finish else passing

    def _end(self) -> str:
        """What stands behind the last sentence."""
        begin = "" if self._passed or not self._wrote else self._editor.fallback()
        stated = self._editor.join(begin, self._editor.stated(self._passed + begin))
        if not stated or not self._passed:
            return stated
        stop = self._editor.closed(self._passed)[len(self._passed.rstrip(" ,，;；:：")) :]
        return stop + ("" if self._editor.request.language == "zh" else " ") + stated


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _alike(words: Sequence[str], others: Sequence[str]) -> float:
    return SequenceMatcher(None, words, others, autojunk=False).ratio()


def _amount(text: str) -> tuple[float | None, bool]:
    """The number and whether it is a share: ``1.299,00 €`` → (1299.0, False), ``20%`` → (20.0, True)."""
    return Price.fromstring(text.rstrip("% ")).amount_float, text.endswith("%")


def _has(sentence: str, word: str) -> bool:
    """Whether a word or phrase stands in the sentence: as a whole where its script puts spaces between words."""
    edges = [r"(?<!\w)" if word[0].isascii() else "", r"(?!\w)" if word[-1].isascii() else ""]
    return re.search(edges[0] + re.escape(word) + edges[1], sentence, re.IGNORECASE) is not None


def prepare() -> None:
    """Builds units, rules and Chinese dictionary, half a second that the first request would wait for."""
    Claims(Request(title="红杯 1 l")).of("健康，2 l of wool")


def _shorten(text: str, most: int | None) -> tuple[str, list[Edit]]:
    """The sentences that fit, or the words of the first one."""
    if most is None or len(text) <= most:
        return text, []
    kept = ""
    for sentence in sentences(text):
        if len((kept + sentence).rstrip()) > most:
            break
        kept += sentence
    if not kept:
        kept = text[: most - 1]
        if text[most - 1].isascii() and not text[most - 1].isspace() and " " in kept:
            kept = kept.rsplit(" ", 1)[0]
        kept = kept.rstrip(" ,;:") + "…"
        return kept, [Edit("length", text, kept)]
    return kept.rstrip(), [Edit("length", text[len(kept) :].strip())]

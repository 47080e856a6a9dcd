"""Edits what the text decoder wrote, before a shop shows it: each edit is reported, nothing is made up.

What may not stay goes by whole sentences: an unfinished end, a repetition, a price or a figure that no fact has or
that belongs to another attribute (`stages.figures`), a statement on safety that the facts do not make
(`stages.safety`), a word of the prompt's own examples, a banned word, what is beyond the channel's length. What is left
names the product all the same. Attributes on safety are put behind the text as they were given; where a task has to
name every attribute (a delivery's carrier and number), so are the others. No word is corrected: a checker of grammar
took away more than it gave ("kilocalories" became "calories").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

from price_parser import Price

from stages.errors import invalid, too_large
from stages.figures import Facts
from stages.prompts import Prompts
from stages.request import Request
from stages.safety import Safety, stated_attributes
from stages.text import clean, decode_utf8, sentences

MAX_CHARACTERS = (20, 10_000)
MAX_BANNED, MAX_BANNED_BYTES = 500, 256
#: The request's tensors, as :func:`read_orders` takes them.
FIELDS = ("MAX_CHARACTERS", "BANNED_WORDS")
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
#: A clause that follows itself.
_LOOP = re.compile(r"([^，,。.!！?？\n]{2,}[，,])(?:\s?\1)+")
_ANY_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?(?:\s?%)?")


class Edit(NamedTuple):
    """What was done.

    ``unfinished``, ``repetition``, ``price``, ``figure``, ``safety``, ``invented``, ``banned``, ``length``,
    ``format`` or ``stated``. `after` stands where `before` stood; `after` is empty where something was
    taken out, `before` where something was put before the text or behind it.
    """

    kind: str
    before: str
    after: str = ""


@dataclass(frozen=True)
class Orders:
    """What a channel asks of the text: at most so many characters, and none of these words."""

    max_characters: int | None = None
    banned: tuple[str, ...] = ()


NO_ORDERS = Orders()


def read_orders(max_characters: Sequence[int], banned: Sequence[bytes]) -> Orders:
    """The request's fields, as a row of their tensors has them: empty where they were left out.

    Raises:
        StageError: on ``MAX_CHARACTERS`` or ``BANNED_WORDS``.
    """
    least, most = MAX_CHARACTERS
    if outside := [number for number in max_characters if not least <= number <= most]:
        raise invalid("MAX_CHARACTERS", f"is {outside[0]:,}; send {least} to {most:,}, or leave it out")
    if len(banned) > MAX_BANNED:
        raise too_large("BANNED_WORDS", f"{len(banned)} words, the limit is {MAX_BANNED}; send the ones that matter")
    words = tuple(clean(decode_utf8(word, "BANNED_WORDS", MAX_BANNED_BYTES)) for word in banned)
    return Orders(max_characters[0] if max_characters else None, tuple(word for word in words if word))


class Editor:
    """Holds the sentences of one request's text against what the request says.

    Args:
        request: what was asked; its figures, prices and words may stand in the text.
        prompts: of the decoder that writes, see `stages.prompts`.
        orders: of the channel.
    """

    def __init__(self, request: Request, prompts: Prompts, orders: Orders = NO_ORDERS) -> None:
        self.request, self.orders = request, orders
        self._text = prompts.wording.tasks[request.task].texts[request.language]
        self._answers = prompts.wording.tasks[request.task].needs is not None
        self._states_facts = prompts.states_facts(request.task)
        known = " ".join(request.facts)
        self._known = known.casefold()
        self._amounts = set(map(_amount, _ANY_NUMBER.findall(known)))
        self._foreign = prompts.example_words(request.task, request.language).difference(_words(known))
        self._facts = Facts(
            (request.title, request.question, request.transcript, *request.label, *(t for _, t in request.history)),
            request.attributes,
        )
        self._safety = Safety(request)
        self._said: list[list[str]] = []

    def objection(self, sentence: str) -> str:
        """Why a sentence may not stay, as an edit's kind; empty if it may, and then later ones may not repeat it."""
        words = _words(sentence)
        if len(words) >= 4 and any(_alike(words, earlier) >= ALIKE for earlier in self._said):
            return "repetition"
        if any(_amount(amount) not in self._amounts for amount in _AMOUNT.findall(sentence)):
            return "price"
        if any(offer.casefold() not in self._known for offer in _OFFER.findall(sentence)):
            return "price"
        if any(_has(sentence, word) for word in self.orders.banned):
            return "banned"
        if self._foreign.intersection(words) or (not self._answers and _ABOUT_DATA.search(sentence)):
            return "invented"
        if not self._facts.supports(sentence):
            return "figure"
        if not self._safety.allows(sentence):
            return "safety"
        self._said.append(words)
        return ""

    def stated(self, text: str) -> str:
        """The attributes that a text must name and does not, a sentence each, but none with a banned word.

        One on safety is named only by its whole sentence: "nuts" stands in "doughnuts" too.
        """
        whole, text = set(stated_attributes(self.request)), text.casefold()
        pairs = self.request.attributes if self._states_facts else stated_attributes(self.request)
        return self._sentences(
            pair for pair in pairs if (self._sentences([pair]) if pair in whole else pair[1]).casefold() not in text
        )

    def fallback(self) -> str:
        """What is said where nothing of a text may stay: the task's own sentence, or title and attributes as given."""
        if self._text.fallback:
            return self._text.fallback
        return self.join(self._title_sentence(), self._sentences(self.request.attributes))

    def names(self, text: str) -> bool:
        """Whether the text holds a third of the title's words."""
        title = set(_words(self.request.title))
        return 3 * len(title.intersection(_words(text))) >= len(title)

    def opening(self, text: str) -> str:
        """What stands before a text whose sentence with the product's name went: nothing where another one names it.

        Else the title, or all that :meth:`fallback` says where the text holds none of the facts either.
        """
        if self._text.fallback or self.names(text):
            return ""
        if any(value.casefold() in text.casefold() for _, value in self.request.attributes):
            return self._title_sentence()
        return self.fallback()

    def without_last_clause(self, sentence: str) -> str:
        """A sentence that was cut off, up to its last comma; as it is where it has none."""
        clauses = re.split(r"[，,；;](?=\s|[^\d\s])", sentence)
        return sentence if len(clauses) == 1 else sentence[: -len(clauses[-1]) - 1] + self._stop

    def join(self, *parts: str) -> str:
        """Parts of a text with the language's gap between them."""
        return ("" if self.request.language == "zh" else " ").join(part for part in parts if part)

    @property
    def _stop(self) -> str:
        return "。" if self.request.language == "zh" else "."

    def _title_sentence(self) -> str:
        """The title with a full stop; nothing where there is none, or a banned word stands in it."""
        title = self.request.title.rstrip(".。")
        return "" if not title or any(_has(title, word) for word in self.orders.banned) else title + self._stop

    def _sentences(self, pairs: Iterable[tuple[str, str]]) -> str:
        colon = "：" if self.request.language == "zh" else ": "
        # pH stays pH.
        every = (
            f"{name if name[1:2].isupper() else name[:1].upper() + name[1:]}{colon}{value.rstrip('.。')}{self._stop}"
            for name, value in pairs
        )
        return self.join(*(each for each in every if not any(_has(each, word) for word in self.orders.banned)))


def edit(
    written: str, finish: str, request: Request, prompts: Prompts, orders: Orders = NO_ORDERS
) -> tuple[str, list[Edit]]:
    """The text as it may be shown, and what was done to it.

    Args:
        written: by the text decoder.
        finish: why it ended: ``length`` where it was cut off.
    """
    editor = Editor(request, prompts, orders)
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
        if reason := editor.objection(sentence):
            edits.append(Edit(reason, sentence.strip()))
        else:
            kept.append(sentence)
    text, room = "".join(kept).strip(), orders.max_characters
    if not text and edits and (text := editor.fallback()):
        edits.append(Edit("stated", "", text))
    elif editor.names("".join(whole)) and (opening := editor.opening(text)):
        edits.append(Edit("stated", "", opening))
        text = editor.join(opening, text)
    stated = editor.stated(text)
    if room is not None and stated:
        room -= len(stated) + 1
        if room < MAX_CHARACTERS[0]:
            stated, room = "", orders.max_characters
    text, cut = _shorten(text, room)
    if not stated:
        return text, edits + cut
    return editor.join(text, stated), [*edits, *cut, Edit("stated", "", stated)]


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
        passing = self._gap + "".join(
            sentence for sentence in whole if sentence and not self._editor.objection(sentence)
        )
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
        gap = " " if stated and self._passed and self._editor.request.language != "zh" else ""
        return gap + stated


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
    Facts(["1 l"])
    Safety(Request(title="红杯")).allows("健康")


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

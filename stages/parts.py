"""Which part of a product a phrase is about: the plastic of ``lid: plastic`` is not the base's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stages.facts import Fact
from stages.figures import figures, with_unit
from stages.lexicon import words
from stages.text import HAN

#: Between pieces of a sentence that are about different things.
_PIECE = re.compile(r"[,;:，；。、：]|\b(?:and|with|while|but|which|plus)\b|[和与及而且]", re.IGNORECASE)
#: Words of attributes' names that are of no part.
_GENERIC = frozenset(
    (
        *("colour", "color", "materi", "size", "type", "kind", "weight", "height", "width", "length", "capac", "volum"),
        *("of", "for", "the", "in", "from", "with", "keep", "includ", "contain", "use", "made"),
        *("颜色", "材质", "材料", "尺寸", "规格", "容量", "重量"),
    )
)


class Parts:
    """The parts that the attributes of a product name."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        attributes = [fact for fact in facts if fact.source == "attribute"]
        title = [fact.text for fact in facts if fact.source == "title"]
        self._title = {word.stem for text in title for word in words(text)}
        self._texts = {fact.number: f"{fact.name} {fact.text}".casefold() for fact in attributes}
        self._stems = {number: {word.stem for word in words(text)} for number, text in self._texts.items()}
        named = {fact.number: {word.stem for word in words(fact.name)} - self._title for fact in attributes}
        self._names = {number: stems for number, stems in named.items() if stems - _GENERIC}
        self._figures = {f.number: {each.kind for each in figures(with_unit(f.name, f.text))} for f in attributes}

    def another(
        self, sentence: str, start: int, end: int, numbers: Sequence[int], figure: str | None = None
    ) -> tuple[int, ...]:
        """Facts of the parts that a sentence names beside a phrase of the facts `numbers`, where none of these is
        about them; empty where all is well.

        Args:
            figure: the kind of the figure that the phrase is; only parts that have such a figure count.
        """
        if not numbers or any(number not in self._texts for number in numbers):
            return ()
        piece = self._piece(sentence, start, end)
        said = {word.stem for word in words(piece)}
        named = {number: stems for number, stems in self._names.items() if all(_has(piece, said, s) for s in stems)}
        # "Seat height" is meant where both it and "seat" are named.
        named = {n: stems for n, stems in named.items() if not any(stems < other for other in named.values())}
        if figure is not None:
            named = {number: stems for number, stems in named.items() if figure in self._figures[number]}
        if named.keys() & set(numbers):
            return ()
        about = any(
            all(_has(self._texts[number], self._stems[number], stem) for stem in stems)
            for number in numbers
            for stems in named.values()
        )
        return () if about else tuple(sorted(named))

    def _piece(self, sentence: str, start: int, end: int) -> str:
        """What stands around a phrase, without the phrase and without the title's words in Chinese."""
        begin, stop = 0, len(sentence)
        for edge in _PIECE.finditer(sentence):
            if edge.end() <= start:
                begin = edge.end()
            elif edge.start() >= end:
                stop = edge.start()
                break
        piece = f"{sentence[begin:start]} {sentence[end:stop]}".casefold()
        for word in self._title:
            if len(word) > 1 and re.match(f"[{HAN}]", word):
                piece = piece.replace(word, " ")
        return piece


def _has(text: str, stems: set[str], stem: str) -> bool:
    """Whether a text has a word: an English one by its stem, a Chinese one as a part of it."""
    return stem in stems or (re.match(f"[{HAN}]", stem) is not None and stem in text)

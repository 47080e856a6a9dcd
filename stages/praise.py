"""Takes adjectives of praise out of a sentence that can do without: "a powerful, quiet drill" is a drill."""

from __future__ import annotations

import re
from functools import cache

from stages.lexicon import lexicon

#: Behind these an adjective is what is said, and cannot be left out.
_LINKING = (
    *("is", "are", "be", "was", "were", "stays", "remains", "feels", "looks"),
    *("very", "so", "more", "most", "not", "and", "or"),
)
_VOWEL = re.compile(r"[aei]|o(?!ne|nce)|u(?!ni|s|t[ei])|hour|hono|heir", re.IGNORECASE)
_ARTICLE = re.compile(r"\b([Aa])n? (\w+)")


def without_praise(sentence: str, known: str = "") -> str:
    """A sentence without adjectives of `claims.yaml`'s `praise` that it can do without.

    Args:
        known: the facts, in lower case: an adjective that stands in them stays.
    """

    def drop(match: re.Match[str]) -> str:
        return match[0] if match["praise"].casefold() in known else ""

    text = sentence
    for pattern in _patterns():
        text = pattern.sub(drop, text)
    if text == sentence:
        return sentence
    return _ARTICLE.sub(lambda match: f"{match[1]}{'n' * bool(_VOWEL.match(match[2]))} {match[2]}", text)


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Chinese; "powerful, " and "powerful and "; ", powerful" and " and powerful"; "powerful "."""
    words = lexicon().praise
    english = "|".join(re.escape(word) for word in words if word.isascii())
    chinese = "|".join(word for word in words if not word.isascii())
    before = "".join(rf"(?<!\b{verb} )" for verb in _LINKING) + rf"\b(?P<praise>{english})"
    return (
        re.compile(f"(?<![很更最是为常分])[超极]?(?P<praise>{chinese})[、和且又]?的?(?=[\u4e00-\u9fff])(?![性度便])"),
        re.compile(rf"{before}(?:, and|,| and) (?=[a-z])", re.IGNORECASE),
        re.compile(rf"(?:, and| and|,) (?P<praise>{english})(?=[ ,.!])", re.IGNORECASE),
        # "A popular choice" says nothing without "popular".
        re.compile(
            rf"{before} (?=[a-z])(?!(?:and \w+ )?(?:choice|option|addition|pick|way|solution)\b)", re.IGNORECASE
        ),
    )

"""`python -m benchmarks.claims`: does the claim check tell true sentences of shop copy from false ones?

Sentences written by hand, half of them false in one detail (`benchmarks/data/claims/`), held against their product's
facts by each level of `stages.claims`. Those of `tune` were read while the rules were written, those of `held` not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer
import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter
from rich.console import Console
from rich.table import Table

from benchmarks.serving import JsonFile, write_json
from stages.claims import Claims
from stages.request import LEVELS, Request

DATA = Path(__file__).parent / "data" / "claims"
LANGUAGES = ("en", "zh")
SPLITS = ("tune", "held")
FALSE = ("contradicted", "unsupported")
console = Console()


class Sentence(BaseModel):
    """A sentence and what it is: of a false one, the kind of its false detail and the words of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    verdict: Literal["supported", "no claim", "contradicted", "unsupported"]
    facts: tuple[str, ...] = ()
    kind: str = ""
    detail: str = ""

    @property
    def false(self) -> bool:
        """Whether it may not be published."""
        return self.verdict in FALSE


class Product(BaseModel):
    """A product's facts, and sentences on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: str
    title: str
    attributes: dict[str, str]
    label: tuple[str, ...] = ()
    transcript: str = ""
    sentences: tuple[Sentence, ...]

    @property
    def request(self) -> Request:
        """What a shop would send."""
        return Request(
            language=self.id[:2],
            title=self.title,
            attributes=tuple(self.attributes.items()),
            label=self.label,
            transcript=self.transcript,
        )


class Judged(NamedTuple):
    """A sentence, and whether a level lets it through."""

    product: str
    sentence: Sentence
    passed: bool
    why: tuple[str, ...]


def read(language: str, split: str) -> list[Product]:
    """The products of a file."""
    data = yaml.safe_load((DATA / f"{language}_{split}.yaml").read_text("utf-8"))
    return TypeAdapter(list[Product]).validate_python(data)


def judge(products: Iterable[Product], level: str) -> list[Judged]:
    """Every sentence held against its product's facts."""
    found = []
    for product in products:
        claims = Claims(product.request)
        for sentence in product.sentences:
            wrong = [each for each in claims.of(sentence.text, level) if each.verdict != "supported"]
            why = tuple(f"{each.kind}: {each.text}" for each in wrong)
            found.append(Judged(product.id, sentence, not wrong, why))
    return found


def summarise(rows: Sequence[Judged]) -> dict[str, Any]:
    """Shares: of the false sentences those stopped (recall), of those stopped the false ones (precision), of the true
    ones those that passed; and recall by the kind of the false detail.
    """
    false = [row for row in rows if row.sentence.false]
    true = [row for row in rows if not row.sentence.false]
    stopped = sum(not row.passed for row in rows)
    caught = sum(not row.passed for row in false)
    every, kinds = Counter(row.sentence.kind for row in false), Counter(r.sentence.kind for r in false if not r.passed)
    return {
        "false": len(false),
        "true": len(true),
        "recall": round(caught / len(false), 3),
        "precision": round(caught / stopped, 3) if stopped else None,
        "true_passed": round(sum(row.passed for row in true) / len(true), 3),
        "by_kind": {kind: f"{kinds[kind]}/{every[kind]}" for kind in sorted(every)},
    }


def main(
    split: Annotated[str, typer.Option(help="tune or held")] = "held",
    show: Annotated[bool, typer.Option(help="Print the sentences that are judged wrong.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Prints a row a language and level."""
    if split not in SPLITS:
        raise typer.BadParameter(f"{split!r} is no set; take one of {', '.join(SPLITS)}")
    found = {(lang, level): judge(read(lang, split), level) for lang in LANGUAGES for level in LEVELS[::-1]}
    table = Table("language", "level", "false", "recall", "precision", "true", "of them passed")
    for (language, level), rows in found.items():
        figures = summarise(rows)
        cells = (figures[key] for key in ("false", "recall", "precision", "true", "true_passed"))
        table.add_row(language, level, *map(str, cells))
    console.print(table)
    for language in LANGUAGES:
        kinds = summarise(found[language, "strict"])["by_kind"]
        console.print(f"{language}, strict, stopped by kind: " + ", ".join(f"{k} {v}" for k, v in kinds.items()))
    if show:
        for (language, level), rows in found.items():
            for row in rows:
                if row.passed == row.sentence.false:
                    said = f"passed, false: {row.sentence.detail}" if row.passed else f"stopped: {'; '.join(row.why)}"
                    console.print(f"{language} {level} {row.product} {row.sentence.text} ({said})", soft_wrap=True)
    if json_file:
        write_json({f"{lang} {level}": summarise(rows) for (lang, level), rows in found.items()}, json_file)


if __name__ == "__main__":
    typer.run(main)

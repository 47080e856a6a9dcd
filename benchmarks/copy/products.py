"""The products that copy is judged on, as `benchmarks/data/copy_*.yaml` has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

DATA = Path(__file__).resolve().parent.parent / "data"
LANGUAGES = ("en", "zh")
TASKS = ("description", "ad")


class Product(BaseModel):
    """A product and its facts.

    Args:
        id: language and number, such as ``en-07``.
        kind: of goods, such as ``food``.
        attributes: name → value, as a shop writes them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: str
    title: str
    attributes: dict[str, str]

    @property
    def language(self) -> Literal["en", "zh"]:
        """The language of its facts."""
        return "zh" if self.id.startswith("zh-") else "en"

    @property
    def facts(self) -> str:
        """Title and attributes as one text, a fact a line."""
        return "\n".join([self.title, *(f"{name}: {value}" for name, value in self.attributes.items())])


@dataclass(frozen=True)
class Copy:
    """A text of a product, and what it cost.

    Args:
        task: ``description`` or ``ad``.
        raw: as the decoder wrote it.
        edited: after the text optimizer; None where nothing edited it.
        edits: what the text optimizer did, as its EDITS has it.
        prompt_seconds, write_seconds, edit_seconds: time of each step, with other requests in flight.
        error: why there is no text.
    """

    product: str
    task: str
    raw: str = ""
    edited: str | None = None
    edits: tuple[dict[str, str], ...] = ()
    finish: str = ""
    tokens: int = 0
    seed: int = 0
    prompt_seconds: float = 0.0
    write_seconds: float = 0.0
    edit_seconds: float = 0.0
    error: str | None = None


def load(limit: int | None = None) -> list[Product]:
    """The products of all languages, with a limit the first so many of each."""
    chosen: list[Product] = []
    for language in LANGUAGES:
        rows = yaml.safe_load((DATA / f"copy_{language}.yaml").read_text(encoding="utf-8"))
        chosen += TypeAdapter(list[Product]).validate_python(rows)[:limit]
    return chosen

"""What a family is told of the slot that it fills."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Slot(Protocol):
    """One entry of a recipe, as far as a family reads it.

    Attributes:
        sha256: of the checkpoint.
        precision: ``fp32``, ``fp16``, ``int8`` or ``int4``, of the exported network.
        options: what the recipe sets besides.
    """

    @property
    def sha256(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def options(self) -> Mapping[str, str | int | float | bool]: ...

    def file(self, option: str) -> Path:
        """The checked local file of another checkpoint, whose source an option names and ``<option>_sha256`` pins."""
        ...


class BuildError(RuntimeError):
    """A slot that cannot be built; the message says why and what to do."""

"""The shop's own voice: how it writes, words that it likes, words that it never uses. None of it is a fact.

A server has one (`python -m server --brand FILE`, YAML), a request may bring its own as BRAND (JSON).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from stages.errors import invalid
from stages.text import clean, decode_utf8

MAX_BYTES = 16_384  # of BRAND
MAX_STYLE, MAX_WORD, MAX_WORDS = 400, 64, 200  # characters of each, and how many words


_Word = Annotated[str, Field(min_length=1, max_length=MAX_WORD), AfterValidator(clean)]


class Brand(BaseModel):
    """A shop's voice.

    Attributes:
        style: how it writes and how it speaks to its customers, in a sentence or two.
        words: that it likes: copy may use them though no fact has them; they are still held to the facts where they
            are a material, a place, a certificate or another claim.
        never: words that no copy has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    style: Annotated[str, Field(max_length=MAX_STYLE), AfterValidator(clean)] = ""
    words: Annotated[tuple[_Word, ...], Field(max_length=MAX_WORDS)] = ()
    never: Annotated[tuple[_Word, ...], Field(max_length=MAX_WORDS)] = ()

    @classmethod
    def in_force(cls) -> Brand:
        """The voice that this server was started with: of the file that VITRINA_BRAND names, or none.

        Raises:
            ValueError: the file cannot be read, or has what no voice has; the message names the place.
        """
        path = os.environ.get("VITRINA_BRAND")
        if not path:
            return cls()
        try:
            return cls.model_validate(yaml.safe_load(Path(path).read_text("utf-8")))
        except ValidationError as error:
            raise ValueError(f"brand {path}: {_first(error)}") from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"brand {path} cannot be read: {error}") from error

    def with_request(self, data: bytes) -> Brand:
        """This voice, with what a request's BRAND says instead; the words of both that are never used.

        Raises:
            StageError: ``invalid_input`` or ``too_large`` on BRAND.
        """
        text = decode_utf8(data, "BRAND", MAX_BYTES)
        if not text.strip():
            return self
        try:
            given = Brand.model_validate(json.loads(text))
        except ValidationError as error:
            raise invalid("BRAND", _first(error)) from error
        except (ValueError, RecursionError) as error:
            raise invalid("BRAND", f"is not JSON: {error}; send JSON as UTF-8") from error
        said: dict[str, Any] = {name: getattr(given, name) for name in given.model_fields_set}
        return self.model_copy(update=said | {"never": (*self.never, *given.never)})


def _first(error: ValidationError) -> str:
    """The first thing that is wrong: where, what, and the form that is right."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "top level"
    return f'{place}: {first["msg"]}; write {{"style": "short and warm", "words": ["cosy"], "never": ["cheap"]}}'

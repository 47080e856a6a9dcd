"""A prompt's token ids: control tokens where the chat template has them, never where people's text has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tokenizers import Tokenizer

from stages.chat import TEXT_BEGINS, TEXT_ENDS
from stages.errors import invalid

_PARTS = re.compile(f"[{TEXT_BEGINS}{TEXT_ENDS}]")
_WELL_FORMED = re.compile(
    f"(?:[^{TEXT_BEGINS}{TEXT_ENDS}]*{TEXT_BEGINS}[^{TEXT_BEGINS}{TEXT_ENDS}]*{TEXT_ENDS})*[^{TEXT_BEGINS}{TEXT_ENDS}]*"
)


class PromptTokenizer:
    """Reads a prompt as `stages.chat.render` writes it.

    Args:
        path: a ``tokenizer.json`` of the HF `tokenizers` library.

    Attributes:
        whole: the tokenizer with its control tokens, which decodes too.
    """

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text(encoding="utf-8"))
        self.whole = Tokenizer.from_file(str(path))
        # Without its added tokens it knows no control token, special or not; text is read by the vocabulary alone.
        self._text = Tokenizer.from_str(json.dumps(data | {"added_tokens": []}))

    def __call__(self, prompt: str) -> list[int]:
        """The ids.

        Raises:
            StageError: ``invalid_input`` on ``PROMPT``: its marks do not come in pairs.
        """
        if _WELL_FORMED.fullmatch(prompt) is None:
            raise invalid("PROMPT", "the marks around texts (U+E000, U+E001) do not come in pairs; leave them out")
        ids: list[int] = []
        for number, part in enumerate(_PARTS.split(prompt)):
            tokenizer = self._text if number % 2 else self.whole
            ids += tokenizer.encode(part, add_special_tokens=False).ids
        return ids

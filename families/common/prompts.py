"""The prompts of a text decoder: a recipe's wording with the checkpoint's chat template, as the steps read them.

They are kept with the network's export but not part of its key: another wording costs no export of a network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from families.common.slot import BuildError, Slot
from stages.prompts import Prompts

FILE, DIGEST = "prompts.json", "prompts.digest"
_REPOSITORY = Path(__file__).resolve().parents[2]
WORDINGS = _REPOSITORY / "recipes" / "prompts"


def render(chat_template: str, special_tokens: Mapping[str, str], slot: Slot) -> str:
    """prompts.json, every task rendered once.

    Args:
        slot: its option `prompts` names a file of `recipes/prompts/`, without its ending.

    Raises:
        BuildError: there is no such file, or the chat template does not suit it.
    """
    path = _wording(slot)
    try:
        prompts = Prompts(chat_template, dict(special_tokens), yaml.safe_load(path.read_text("utf-8")))
        prompts.check()
    except ValueError as error:
        raise BuildError(f"text_decoder: {path.name} does not suit the checkpoint's chat template: {error}") from error
    return prompts.dumps()


def _wording(slot: Slot) -> Path:
    path = WORDINGS / f"{slot.options.get('prompts', '')}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in WORDINGS.glob("*.yaml")))
        raise BuildError(f"text_decoder: option prompts is {slot.options.get('prompts')!r}; name one of {known}")
    return path


def refresh(folder: Path, slot: Slot) -> None:
    """Renders the prompts of an export anew where the wording, or what renders it, has changed.

    Raises:
        BuildError: as :func:`render`.
    """
    code = [Path(module).read_bytes() for module in _CODE]
    digest = hashlib.sha256(b"\0".join([_wording(slot).read_bytes(), *code])).hexdigest()
    marker = folder / DIGEST
    if marker.is_file() and marker.read_text() == digest:
        return
    had = json.loads((folder / FILE).read_text(encoding="utf-8"))
    rendered = render(had["chat_template"], had["special_tokens"], slot)
    for path, text in ((folder / FILE, rendered), (marker, digest)):
        fresh = path.with_name(f".{path.name}.new")  # a served file is a link to the old one, which stays as it is
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


_CODE = [_REPOSITORY / "stages" / f"{name}.py" for name in ("chat", "prompts")]

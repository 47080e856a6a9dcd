"""client/vitrina_client/_options.py: what a caller may set, from the rows of `graph.tensors`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap

from graph import tensors
from graph.schema import Tensor

MODULE = Path(__file__).resolve().parent.parent / "client" / "vitrina_client" / "_options.py"
#: What the product itself says, and what every call has.
_ELSEWHERE = ("ATTRIBUTES", "TIMEOUT_MS")
_TYPES = {"BYTES": "str", "INT32": "int", "INT64": "int", "FP32": "float"}
#: Of a text, a picture and a clip.
_TEXT = (*tensors.PROMPT_FIELDS, *tensors.EDIT_FIELDS, tensors.IMAGE_SEED, tensors.IMAGE_FORMAT, tensors.MUSIC)
_OTHERS = (*tensors.STUDIO_FIELDS, *tensors.SPEECH_FIELDS, tensors.CAPTIONS, tensors.COUNT)

_BEGIN = '''"""What a caller may set.

Generated from graph/tensors.py by `python -m export configs`; edit that, not this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

if TYPE_CHECKING:
    from vitrina_client._types import Brand, ImageFormat, LabelText, Media, Message


class Field(NamedTuple):
    """A tensor that a request may leave out.

    Attributes:
        dtype: Triton's name of it.
        many: whether it holds several values.
        meaning: what it says.
        left_out: what is taken without it.
    """

    dtype: str
    many: bool
    meaning: str
    left_out: str


'''


def render() -> str:
    """The module's source text."""
    text = [tensor for tensor in _TEXT if tensor.name not in _ELSEWHERE]
    sampling = [tensor for tensor in tensors.SAMPLING_FIELDS if tensor.name not in _ELSEWHERE]
    lines = [
        "@dataclass(frozen=True)",
        "class Sampling:",
        '    """How the text is drawn; None leaves the server\'s default.',
    ]
    lines += ["", "    Args:", *_described(sampling, "        "), '    """', ""]
    lines += [f"    {tensor.name.lower()}: {_type(tensor)} | None = None" for tensor in sampling if not _many(tensor)]
    lines += [f"    {tensor.name.lower()}: {_type(tensor)} = ()" for tensor in sampling if _many(tensor)]
    lines += ["", "", "class TextOptions(TypedDict, total=False):"]
    lines += ['    """What shapes what is made; keywords of ``generate`` and ``stream``.', ""]
    lines += [*_described(text, "    "), "    sampling: how the text is drawn.", '    """', ""]
    lines += [f"    {tensor.name.lower()}: {_type(tensor)}" for tensor in text] + ["    sampling: Sampling"]
    lines += [
        "",
        "",
        f"PROMPT_FIELDS = {_names(tensors.PROMPT_FIELDS)}",
        f"EDIT_FIELDS = {_names(tensors.EDIT_FIELDS)}",
    ]
    lines += [f"TASK_SAMPLING = {_names(t for t in sampling if t.name in tensors.TASK_SAMPLING)}"]
    lines += ["FIELDS: dict[str, Field] = {"]
    for name, tensor in sorted({t.name: t for t in (*_TEXT, *sampling, *_OTHERS)}.items()):
        lines.append(
            f"    {name!r}: Field({tensor.dtype!r}, {_many(tensor)}, {tensor.meaning!r}, {tensor.left_out!r}),"
        )
    return _BEGIN + "\n".join([*lines, "}", ""])


def _described(rows: Iterable[Tensor], indent: str) -> list[str]:
    """A line or several a row: what it says, and what is taken without it."""
    lines: list[str] = []
    for tensor in rows:
        left_out = "" if tensor.left_out == "none" else f"; {tensor.left_out} if left out"
        said = f"{tensor.name.lower()}: {tensor.meaning.replace(', JSON: ', ': ')}{left_out}."
        lines += wrap(said, 116, initial_indent=indent, subsequent_indent=indent + "    ")
    return lines


def _many(tensor: Tensor) -> bool:
    return tensor.dims != (1,)


def _type(tensor: Tensor) -> str:
    if tensor.client_type:
        return tensor.client_type
    return f"Sequence[{_TYPES[tensor.dtype]}]" if _many(tensor) else _TYPES[tensor.dtype]


def _names(rows: Iterable[Tensor]) -> str:
    return repr(tuple(tensor.name for tensor in rows)).replace("'", '"')

"""What a request says, checked, as tensors of one row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vitrina_client._errors import InvalidInput
from vitrina_client._options import EDIT_FIELDS, FIELDS, PROMPT_FIELDS, Sampling, TextOptions
from vitrina_client._types import Array, LabelText, Product


def events_json(given: Sequence[Mapping[str, str | float]]) -> bytes:
    """EVENTS."""
    try:
        return json.dumps([dict(event) for event in given], allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"cannot be written as JSON: {error}", field="EVENTS") from error


def encode_text(product: Product, options: TextOptions | None) -> dict[str, Array]:
    """All that a text is made of, beside the title."""
    options = options or {}
    limits = _encode_given({name: options.get(name.lower()) for name in EDIT_FIELDS})
    return encode_prompt(product, options) | encode_sampling(options.get("sampling", Sampling())) | limits


def encode_prompt(product: Product, options: TextOptions) -> dict[str, Array]:
    """What shapes the prompt."""
    given: dict[str, object] = {name: options.get(name.lower()) for name in PROMPT_FIELDS}
    return _encode_given(given | {"ATTRIBUTES": product.attributes})


def encode_facts(product: Product, options: TextOptions | None) -> dict[str, Array]:
    """What is said of the product beside its title."""
    every = encode_prompt(product, options or {})
    return {name: every[name] for name in ("ATTRIBUTES", "TRANSCRIPT", "LABEL_TEXT") if name in every}


def encode_sampling(sampling: Sampling) -> dict[str, Array]:
    """What shapes the sampling; what is left out suits the task."""
    if not isinstance(sampling, Sampling):
        raise InvalidInput(f"expected a Sampling, got {type(sampling).__name__}", field="sampling")
    return _encode_given({each.name.upper(): getattr(sampling, each.name) for each in fields(sampling)})


def _encode_given(values: Mapping[str, object]) -> dict[str, Array]:
    """:func:`encode` of those that are there: not None, and not empty where they hold several."""
    return {
        name: encode(name, value)
        for name, value in values.items()
        if value is not None and (value or name not in _SEVERAL)
    }


def encode(name: str, value: object) -> Array:
    """A request's optional tensor, as its row says: BYTES, INT32, INT64 or FP32 [1, 1], or [1, n] of several.

    Raises:
        InvalidInput: the value is of another kind, or does not fit.
    """
    row = FIELDS[name]
    if row.many:
        several = [value] if isinstance(value, str) else list(cast("Sequence[object]", value))
        return texts(name, several).reshape(1, -1)
    if row.dtype == "FP32":
        return number(name, value)
    if row.dtype in ("INT32", "INT64"):
        return integer(name, value, np.int32 if row.dtype == "INT32" else np.int64)
    if name in _JSON:
        return texts(name, [as_json(name, _JSON[name](value))])
    return texts(name, [value])


def _label(value: object) -> dict[str, object]:
    if not isinstance(value, LabelText):
        raise InvalidInput(f"expected a LabelText, got {type(value).__name__}", field="LABEL_TEXT")
    return {"lines": [line._asdict() for line in value.lines], "omitted": value.omitted, "failed": False}


#: Tensors that hold several values, in JSON too.
_SEVERAL = {name for name, row in FIELDS.items() if row.many} | {"HISTORY", "ATTRIBUTES"}
#: Tensors that hold JSON, and what makes it of what a caller gives.
_JSON: dict[str, Callable[[Any], object]] = {"HISTORY": list, "ATTRIBUTES": dict, "BRAND": dict, "LABEL_TEXT": _label}


def texts(name: str, values: Sequence[object]) -> Array:
    """BYTES [1, n] of texts."""
    return rows([utf8(name, value) for value in values])


def rows(values: Sequence[bytes]) -> Array:
    """BYTES [N, 1]."""
    rows = np.empty((len(values), 1), np.object_)
    rows[:, 0] = values
    return rows


def utf8(name: str, value: object) -> bytes:
    """A text as UTF-8."""
    if not isinstance(value, str):
        raise InvalidInput(f"expected text, got {type(value).__name__} {value!r:.40}", field=name)
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"not valid Unicode: {error}", field=name) from error


def as_json(name: str, value: object) -> str:
    """A value as JSON."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"cannot be written as JSON: {error}", field=name) from error


def integer(name: str, value: object, dtype: type[np.signedinteger[Any]]) -> Array:
    """`dtype` [1, 1] of a whole number that fits it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidInput(f"expected a whole number, got {type(value).__name__} {value!r:.40}", field=name)
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise InvalidInput(f"{value} does not fit {dtype.__name__}", field=name)
    return np.array([[value]], dtype)


def number(name: str, value: object) -> Array:
    """FP32 [1, 1] of a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise InvalidInput(f"expected a number, got {type(value).__name__} {value!r:.40}", field=name)
    return np.array([[value]], np.float32)


def condition(condition: Array) -> NDArray[np.float32]:
    """FP32 [1, rows, width]."""
    try:
        array = np.asarray(condition, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"expected float32 [rows, width] as a listing has it: {error}", field="CONDITION") from error
    if array.ndim != 2:
        raise InvalidInput(
            f"expected float32 [rows, width] as a listing has it, got {list(array.shape)}", field="CONDITION"
        )
    return array[None]

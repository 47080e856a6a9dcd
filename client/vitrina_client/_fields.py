"""What a request says, checked, as tensors of one row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vitrina_client._errors import InvalidInput
from vitrina_client._types import (
    Array,
    LabelText,
    Product,
    Sampling,
    TextOptions,
)


def events_json(given: Sequence[Mapping[str, str | float]]) -> bytes:
    """EVENTS."""
    try:
        return json.dumps([dict(event) for event in given], allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"cannot be written as JSON: {error}", field="EVENTS") from error


def encode_text(product: Product, options: TextOptions | None) -> dict[str, Array]:
    """All that a text is made of, beside the title."""
    options = options or {}
    sampling = encode_sampling(options.get("sampling", Sampling()))
    return encode_prompt(product, options) | sampling | encode_limits(options)


def encode_limits(options: TextOptions) -> dict[str, Array]:
    """What a channel asks of a whole text."""
    fields: dict[str, Array] = {}
    if (most := options.get("max_characters")) is not None:
        fields["MAX_CHARACTERS"] = np.array([[integer("MAX_CHARACTERS", most, np.int32)]], np.int32)
    if words := options.get("banned_words"):
        fields["BANNED_WORDS"] = texts("BANNED_WORDS", [words] if isinstance(words, str) else words).reshape(1, -1)
    return fields


def encode_prompt(product: Product, options: TextOptions) -> dict[str, Array]:
    """What shapes the prompt."""
    plain = ("task", "language", "tone", "question", "transcript")
    fields: dict[str, object] = {key.upper(): options.get(key) for key in plain}
    for name, value in (("HISTORY", options.get("history")), ("ATTRIBUTES", product.attributes)):
        if value:
            fields[name] = as_json(name, list(value) if name == "HISTORY" else dict(cast("Mapping[str, str]", value)))
    if (label := options.get("label_text")) is not None:
        if not isinstance(label, LabelText):
            raise InvalidInput(f"expected a LabelText, got {type(label).__name__}", field="LABEL_TEXT")
        lines = [line._asdict() for line in label.lines]
        fields["LABEL_TEXT"] = as_json("LABEL_TEXT", {"lines": lines, "omitted": label.omitted, "failed": False})
    return {name: texts(name, [value]) for name, value in fields.items() if value is not None}


def encode_facts(product: Product, options: TextOptions | None) -> dict[str, Array]:
    """What is said of the product beside its title."""
    every = encode_prompt(product, options or {})
    return {name: every[name] for name in ("ATTRIBUTES", "TRANSCRIPT", "LABEL_TEXT") if name in every}


def encode_sampling(sampling: Sampling) -> dict[str, Array]:
    """What shapes the sampling; what is left out suits the task."""
    if not isinstance(sampling, Sampling):
        raise InvalidInput(f"expected a Sampling, got {type(sampling).__name__}", field="sampling")
    integers: dict[str, type[np.signedinteger[Any]]] = {"MAX_TOKENS": np.int32, "TOP_K": np.int32, "SEED": np.int64}
    numbers = ("TEMPERATURE", "TOP_P", "REPETITION_PENALTY")
    fields: dict[str, Array] = {}
    for name, dtype in integers.items():
        if (value := getattr(sampling, name.lower())) is not None:
            fields[name] = np.array([[integer(name, value, dtype)]], dtype)
    for name in numbers:
        if (value := getattr(sampling, name.lower())) is not None:
            fields[name] = np.array([[number(name, value)]], np.float32)
    if sampling.stop:
        stops = [sampling.stop] if isinstance(sampling.stop, str) else list(sampling.stop)
        fields["STOP"] = texts("STOP", stops).reshape(1, -1)
    return fields


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


def integer(name: str, value: object, dtype: type[np.signedinteger[Any]]) -> int:
    """A whole number that fits `dtype`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidInput(f"expected a whole number, got {type(value).__name__} {value!r:.40}", field=name)
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise InvalidInput(f"{value} does not fit {dtype.__name__}", field=name)
    return int(value)


def number(name: str, value: object) -> float:
    """A number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise InvalidInput(f"expected a number, got {type(value).__name__} {value!r:.40}", field=name)
    return float(value)


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

"""Read what a shopper did: a JSON list in, the events that the behaviour encoder wants out.

``[{"item": "SKU-1", "event": "click", "age_s": 90},
{"item": "SKU-2", "event": "cart", "time": "2026-05-01T12:00:00Z"}]``
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from stages.errors import StageError, invalid
from stages.text import decode_utf8

FIELD = "EVENTS"
MAX_BYTES = 256_000
MAX_EVENTS = 64  # the latest are kept
MAX_AGE_S = 10 * 365.25 * 86_400  # more is a mistake of the clock or the unit
CLOCK_SKEW_S = 300.0  # a shop's clock may be so far ahead; such events count as now
DEFAULT_COUNT, MAX_COUNT = 10, 100
#: In the order of the network's numbers.
KINDS = ("view", "click", "favourite", "cart", "buy")
_KEYS = ("item", "event", "age_s", "time")


@dataclass(frozen=True)
class Events:
    """A shopper's latest events, oldest first; where there are none, one row of zeros that is masked.

    Attributes:
        item_embeddings: float32 [events, width], unit length.
        kinds: int64 [events], an index of :data:`KINDS`.
        ages: float32 [events], seconds before now.
        mask: float32 [events], 1 for an event.
        latest: row of the product of the latest event in the index; -1 where there is no event.
    """

    item_embeddings: np.ndarray
    kinds: np.ndarray
    ages: np.ndarray
    mask: np.ndarray
    latest: int = -1


class ItemIndex:
    """The products that a history may name, with their embeddings.

    Args:
        ids: the shop's ids, all different.
        embeddings: [len(ids), width], unit length.
        titles: of the products, as a text about them wants them; none where they are not known.
    """

    def __init__(self, ids: list[str], embeddings: np.ndarray, titles: Sequence[str] = ()) -> None:
        if embeddings.ndim != 2 or len(embeddings) != len(ids):
            raise ValueError(f"{len(ids)} ids stand beside embeddings {embeddings.shape}")
        self._row = {name: row for row, name in enumerate(ids)}
        if len(self._row) != len(ids):
            raise ValueError(f"{len(ids) - len(self._row)} ids stand there twice")
        if titles and len(titles) != len(ids):
            raise ValueError(f"{len(titles)} titles stand beside {len(ids)} ids")
        self.ids = ids
        self.titles = list(titles) or [""] * len(ids)
        self.embeddings = embeddings.astype(np.float32)

    @classmethod
    def load(cls, path: Path) -> ItemIndex:
        """From an npz with `ids`, perhaps `titles` (text), and `embeddings` (float16).

        `python -m training behavior` writes one of the reference catalogue.
        """
        with np.load(path) as file:
            titles = file["titles"].tolist() if "titles" in file else ()
            return cls(file["ids"].tolist(), file["embeddings"], titles)

    def row(self, name: str) -> int | None:
        """The row of a product, None where it is not known."""
        return self._row.get(name)


def read_history(data: bytes, index: ItemIndex, now: float | None = None) -> Events:
    """Reads and checks a history; its events may come in any order.

    Args:
        data: a UTF-8 JSON list of objects with ``item``, ``event`` and one of ``age_s`` (seconds before now) and
            ``time`` (ISO 8601 with its offset, or seconds since 1970). An empty list is a shopper that nobody knows.
        now: seconds since 1970, for ``time``; the clock's where it is left out.

    Raises:
        StageError: on field ``EVENTS``, ``too_large`` or ``invalid_input``; it names the event at fault.
    """
    document = _parse(decode_utf8(data, FIELD, MAX_BYTES))
    if not isinstance(document, list):
        raise invalid(FIELD, f"is a JSON {_json_type(document)}, expected a list of events")
    clock = time.time() if now is None else now
    events = [_event(entry, place, index, clock) for place, entry in enumerate(document)]
    if not events:
        zeros = np.zeros(1, np.float32)
        return Events(np.zeros((1, index.embeddings.shape[1]), np.float32), np.zeros(1, np.int64), zeros, zeros.copy())
    # Stable: events of one age keep the document's order.
    events = sorted(events, key=lambda event: -event[2])[-MAX_EVENTS:]
    rows, kinds, ages = zip(*events, strict=True)
    return Events(
        index.embeddings[list(rows)],
        np.array(kinds, np.int64),
        np.array(ages, np.float32),
        np.ones(len(events), np.float32),
        rows[-1],
    )


def read_count(count: int | None) -> int:
    """How many products are asked for; :data:`DEFAULT_COUNT` where it is left out.

    Raises:
        StageError: on ``COUNT``.
    """
    if count is not None and not 1 <= count <= MAX_COUNT:
        raise invalid("COUNT", f"is {count:,}; send 1 to {MAX_COUNT}, or leave it out")
    return DEFAULT_COUNT if count is None else count


def recommended(embedding: np.ndarray, latest: int, count: int, index: ItemIndex) -> list[tuple[int, float]]:
    """Rows of the `count` products that are likely to come next and their scores, best first.

    Args:
        embedding: float32 [width], what the behaviour encoder made of the events.
        latest: the product of the latest event, which is left out.
        count: as :func:`read_count` gave it; fewer come back where the index has no more.
    """
    scores = index.embeddings @ embedding
    order = np.argsort(-scores, kind="stable")
    return [(int(row), float(scores[row])) for row in order[order != latest][:count]]


def batch_events(histories: Sequence[Events]) -> dict[str, np.ndarray]:
    """Histories as one batch, masked to the longest: the behaviour encoder's inputs by their names in upper case."""
    longest = max(len(events.mask) for events in histories)
    columns = {
        "ITEM_EMBEDDINGS": [events.item_embeddings for events in histories],
        "EVENT_KINDS": [events.kinds for events in histories],
        "EVENT_AGES": [events.ages for events in histories],
        "EVENT_MASK": [events.mask for events in histories],
    }
    return {
        name: np.stack([np.pad(row, [(0, longest - len(row)), *[(0, 0)] * (row.ndim - 1)]) for row in rows])
        for name, rows in columns.items()
    }


def _parse(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise invalid(FIELD, f"holds {constant}, which JSON does not have; write a number")

    try:
        return json.loads(text, parse_constant=refuse)
    except StageError:
        raise
    except json.JSONDecodeError as error:
        raise invalid(FIELD, f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists within lists
        raise invalid(FIELD, f"is not a list of events: {type(error).__name__} while reading it as JSON") from error


def _event(entry: Any, place: int, index: ItemIndex, now: float) -> tuple[int, int, float]:
    """Row of the product, number of the kind, age in seconds."""
    where = f"event {place}"
    if not isinstance(entry, dict):
        raise invalid(FIELD, f"{where} is a JSON {_json_type(entry)}, expected an object with {', '.join(_KEYS)}")
    unknown = sorted(set(entry) - set(_KEYS))
    if unknown:
        raise invalid(FIELD, f"{where} has the unknown key {_short(unknown[0])}; known: {', '.join(_KEYS)}")
    item, kind = entry.get("item"), entry.get("event")
    if not isinstance(item, str):
        raise invalid(FIELD, f"{where} needs `item`, the product's id as text, and has {_short(item)}")
    row = index.row(item)
    if row is None:
        raise invalid(FIELD, f"{where} names the item {_short(item)}, which the catalogue index does not have")
    if not isinstance(kind, str) or kind not in KINDS:
        raise invalid(FIELD, f"{where} has the event {_short(kind)}; known: {', '.join(KINDS)}")
    if ("age_s" in entry) == ("time" in entry):
        raise invalid(FIELD, f"{where} needs either `age_s` or `time`, and one only")
    age = _number(entry["age_s"], where, "age_s") if "age_s" in entry else _age_of(entry["time"], where, now)
    if age < 0:
        raise invalid(FIELD, f"{where} lies {-age:.0f} s in the future; ages are seconds before now")
    if age > MAX_AGE_S:
        raise invalid(FIELD, f"{where} is {age:.3g} s old, the limit is {MAX_AGE_S:.3g} s (ten years); leave it out")
    return row, KINDS.index(kind), age


def _number(value: Any, where: str, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(FIELD, f"{where} has `{key}` {_short(value)}, expected a number of seconds")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):  # 1e999 is read as infinity
        raise invalid(FIELD, f"{where} has a `{key}` beyond any number of seconds")
    return number


def _age_of(value: Any, where: str, now: float) -> float:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise invalid(FIELD, f"{where} has the time {_short(value)}, which is not ISO 8601") from error
        try:
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, ValueError) as error:
            raise invalid(FIELD, f"{where} has the time {_short(value)}, which no clock shows") from error
    else:
        seconds = _number(value, where, "time")
    age = now - seconds
    return 0.0 if -CLOCK_SKEW_S <= age < 0 else age


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")


def _short(value: Any) -> str:
    """The value as JSON, cut to what fits a message."""
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}…"

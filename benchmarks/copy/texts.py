"""Copies from a file: a CSV of any writer, or an earlier run whose copies are judged anew."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.copy.products import TASKS, Copy, Product

COLUMNS = ("id", "task", "text")


def read_texts(file: Path, products: Mapping[str, Product]) -> list[Copy]:
    """The copies of a CSV with the columns id, task and text; a column `seconds` may hold each one's time.

    Raises:
        ValueError: not UTF-8, a column lacks, an id or task is unknown, or `seconds` is no number; the line is named.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source, strict=True)
            lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                raise ValueError(f"{file} lacks the column {lacking[0]!r}; its columns must be {', '.join(COLUMNS)}")
            copies = [_copy(row, f"{file}, line {reader.line_num}", products) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is no CSV in UTF-8: {error}") from error
    if not copies:
        raise ValueError(f"{file} holds no text; give a line for each product and task")
    return copies


def _copy(row: Mapping[str, str | None], place: str, products: Mapping[str, Product]) -> Copy:
    name, task, text = ((row.get(column) or "").strip() for column in COLUMNS)
    if name not in products:
        raise ValueError(f"{place}: no product has the id {name!r}; ids are such as {next(iter(products))}")
    if task not in TASKS:
        raise ValueError(f"{place}: unknown task {task!r}; known: {', '.join(TASKS)}")
    try:
        seconds = float(row.get("seconds") or 0)
    except ValueError as error:
        raise ValueError(f"{place}: seconds {row['seconds']!r} is no number") from error
    return Copy(name, task, raw=text, seed=1, write_seconds=seconds)


def read_run(file: Path, products: Mapping[str, Product]) -> tuple[str, list[Copy]]:
    """The decoder's name and the copies of a file that ``--json`` wrote.

    Raises:
        ValueError: the file is no such run, or has a product that is not known.
    """
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        copies = [Copy(**{key: value for key, value in row.items() if key != "judged"}) for row in run["copies"]]
        name = str(run["decoder"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is no run that `python -m benchmarks.copy --json` wrote: {error!r}") from error
    if unknown := [copy.product for copy in copies if copy.product not in products]:
        raise ValueError(f"{file}: no product has the id {unknown[0]!r}")
    return name, copies

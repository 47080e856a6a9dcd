"""`vitrina batch`: a table of products in, a folder a product out. It goes on where it was stopped.

A product's folder holds ``record.json`` (what went in, what came out, what failed and why) and a file for each output.
Written aside and renamed when it is whole, there is never half a product. ``report.csv`` has a line for each row.
"""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from vitrina_client._client import Vitrina
from vitrina_client._errors import ConnectionFailed, InvalidInput
from vitrina_client._options import TextOptions
from vitrina_client._results import needed
from vitrina_client._types import (
    Aspect,
    Background,
    Listing,
    Output,
    Post,
    Product,
    Speech,
    StudioShot,
    StudioVideo,
)

#: Output → its file in a product's folder.
FILES: dict[Output, str] = {
    "text": "copy.txt",
    "image": "drawn.png",
    "video": "drawn.mp4",
    "studio": "studio.jpg",
    "studio_video": "studio.mp4",
    "speech": "speech.wav",
    "post": "post.mp4",
}
#: Columns that are not attributes.
COLUMNS = ("id", "title", "image", "video", "audio", "background")
PARQUET_ROWS = 16  # read at a time; they may hold pictures
RECORD, REPORT = "record.json", "report.csv"
#: How often a call that the server was too busy for is tried again.
RETRIES = 30
_MEDIA = ("image", "video", "audio")


@dataclass(frozen=True)
class Row:
    """One product of the table; `fault` says what is wrong with it, where something is.

    Args:
        number: of the row, from 1.
        key: its folder's name.
        background: of its studio shots and post; None for the order's.
    """

    number: int
    key: str
    product: Product
    fault: str = ""
    background: Background | None = None


@dataclass(frozen=True)
class Order:
    """What is made of each product, and how."""

    want: Collection[Output]
    options: TextOptions
    background: Background | None = None
    aspect: Aspect = "4:5"


@dataclass(frozen=True)
class Outcome:
    """What became of a row: ``made``, ``kept`` (an earlier run made it) or ``failed``."""

    row: Row
    state: Literal["made", "kept", "failed"]
    seconds: float = 0.0
    error: str = ""


# ------------------------------------------------------------------------------------------------------------ table


def rows(table: Path) -> Iterator[Row]:
    """The products of a CSV file with a header line, a JSONL or a Parquet file, in order; only ids are kept in memory.

    Columns: ``id`` (names the folder; else the row's number), ``title``, ``image``, ``video``, ``audio`` (paths, from
    the table's folder on; in Parquet also the bytes, plain or as a struct with a field ``bytes``), ``background`` (of
    this product's studio shots and post); every other one that is not empty is an attribute.

    Raises:
        InvalidInput: the file cannot be read, is neither, or has no column that a product needs.
    """
    seen: set[str] = set()
    try:
        for number, entry in enumerate(_entries(table), start=1):
            yield _row(number, entry, table.parent, seen)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"cannot read {str(table)!r}: {error}", field="table") from error


def _entries(table: Path) -> Iterator[dict[str, Any] | str]:
    kind = table.suffix.lower()
    if kind not in (".csv", ".jsonl", ".parquet"):
        raise InvalidInput(f"{str(table)!r}: expected a name in .csv, .jsonl or .parquet", field="table")
    if kind == ".parquet":
        yield from _parquet(table)
        return
    with table.open(encoding="utf-8-sig", newline="" if kind == ".csv" else None) as file:
        if kind == ".csv":
            reader = csv.DictReader(file)
            if not {"title", *_MEDIA} & set(reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ()) or "nothing"
                raise InvalidInput(f"{str(table)!r}: the first line has {found}; expected title, image…", field="table")
            yield from reader
            return
        for line in file:
            if line.strip():
                try:
                    entry = json.loads(line)
                except ValueError as error:
                    yield f"is not JSON: {error}"
                    continue
                yield entry if isinstance(entry, dict) else "is not a JSON object"


def _parquet(table: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InvalidInput("Parquet needs pyarrow; install vitrina-client[parquet]", field="table") from error
    try:
        with ParquetFile(table) as file:
            names = file.schema_arrow.names
            if not {"title", *_MEDIA} & set(names):
                found = ", ".join(names) or "no columns"
                raise InvalidInput(f"{str(table)!r} has {found}; expected title, image…", field="table")
            for batch in file.iter_batches(PARQUET_ROWS):
                for entry in batch.to_pylist():
                    for name in _MEDIA:  # as Hugging Face's datasets keep pictures
                        if isinstance(held := entry.get(name), dict):
                            entry[name] = held.get("bytes") or held.get("path")
                    yield entry
    except ArrowException as error:
        raise InvalidInput(f"cannot read {str(table)!r}: {error}", field="table") from error


def _media(folder: Path, value: Any) -> Path | bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return folder / str(value)


def _row(number: int, entry: dict[str, Any] | str, folder: Path, seen: set[str]) -> Row:
    if isinstance(entry, str):
        return Row(number, f"{number:06d}", Product(), entry)
    values = {str(name): value for name, value in entry.items() if value not in (None, "", b"")}
    key = str(values.get("id", f"{number:06d}"))
    fault = ""
    if None in entry:  # csv gives what is beyond the header so
        fault = "has more columns than the first line"
    elif key in (".", "..") or any(character in key for character in "/\\\0") or len(key) > 200 or key == REPORT:
        key, fault = f"{number:06d}", f"has an id that names no folder: {key!r:.60}"
    elif key in seen:
        fault = f"has the id {key!r} of an earlier row"
    elif values.get("background", "white") not in get_args(Background):
        fault = f"has the background {values['background']!r:.60}; send {', '.join(get_args(Background))}"
    elif not any(values.get(name) for name in ("title", *_MEDIA)):
        fault = "has neither title nor image, video or audio"
    seen.add(key)
    image, video, audio = (_media(folder, values.get(name)) for name in _MEDIA)
    attributes = {name: str(value) for name, value in values.items() if name not in COLUMNS}
    product = Product(str(values.get("title", "")), image, attributes, video, audio)
    return Row(number, key, product, fault, values.get("background"))


# ------------------------------------------------------------------------------------------------------------- work


def run(
    table: Path,
    out: Path,
    vitrina: Vitrina,
    order: Order,
    jobs: int,
    report: Callable[[Outcome], None],
) -> dict[str, int]:
    """Makes every product that is not made yet, `jobs` at a time; gives the count of each state.

    Args:
        report: told of each row as it is done, in the order in which they are done.

    Raises:
        ConnectionFailed: the server is gone; what was made stays, and the next run goes on.
        InvalidInput: of :func:`rows`.
    """
    out.mkdir(parents=True, exist_ok=True)
    counts = {"made": 0, "kept": 0, "failed": 0}
    under_way: set[Future[Outcome]] = set()
    partial = out / f"{REPORT}.partial"
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="batch")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "id", "state", "seconds", "error"])

        def finish(done: set[Future[Outcome]]) -> None:
            for future in done:
                outcome = future.result()
                counts[outcome.state] += 1
                row = outcome.row
                writer.writerow([row.number, row.key, outcome.state, f"{outcome.seconds:.3f}", outcome.error])
                report(outcome)

        try:
            for row in rows(table):
                if len(under_way) >= 2 * jobs:  # no more than these are in memory
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    finish(done)
                under_way.add(pool.submit(_make, vitrina, row, out, order))
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                finish(done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    partial.replace(out / REPORT)
    return counts


def is_made(folder: Path, order: Order) -> bool:
    """Whether an earlier run made all of this order of that product."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (
        not record["errors"]
        and record["asked"] == _asked(order)
        and all((folder / FILES[o]).exists() for o in order.want)
    )


def _asked(order: Order) -> dict[str, Any]:
    options = {name: value for name, value in order.options.items() if name != "sampling"}
    return {"want": sorted(order.want), **options, "background": order.background, "aspect": order.aspect}


def _make(vitrina: Vitrina, row: Row, out: Path, order: Order) -> Outcome:
    if row.fault:
        return Outcome(row, "failed", error=row.fault)
    folder, order = out / row.key, replace(order, background=row.background or order.background)
    if is_made(folder, order):
        return Outcome(row, "kept")
    began = time.monotonic()
    made, known, errors = _outputs(vitrina, row.product, order)
    scratch = out / f".{row.key}.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for output, data in made.items():
        (scratch / FILES[output]).write_bytes(data)
    product = row.product
    given = {"title": product.title, "attributes": dict(product.attributes)}
    media = ((name, getattr(product, name)) for name in _MEDIA)
    given |= {n: f"{len(m):,} bytes" if isinstance(m, bytes) else str(m) for n, m in media if m is not None}
    record = {"row": row.number, "given": given, "asked": _asked(order), **known, "errors": errors}
    (scratch / RECORD).write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.replace(folder)
    said = "; ".join(f"{output}: {error}" for output, error in errors.items())
    return Outcome(row, "failed" if errors else "made", time.monotonic() - began, said)


def _outputs(
    vitrina: Vitrina, product: Product, order: Order
) -> tuple[dict[Output, bytes], dict[str, Any], dict[str, str]]:
    """Output → its file, what else is known, and output → why it could not be made, which stops no other one."""
    made: dict[Output, bytes] = {}
    known: dict[str, Any] = {}
    errors: dict[str, str] = {}
    want = needed(order.want)  # the copy of a post is kept too
    results = vitrina.iter_results(product, want, background=order.background, aspect=order.aspect, **order.options)
    for result in results:
        if isinstance(result.error, ConnectionFailed):
            raise result.error
        if result.error is not None:
            errors[result.output] = str(result.error)
            continue
        made[result.output] = _file(result.value)
        if isinstance(listing := result.value, Listing):
            known["tags"] = [{"name": tag.name, "score": round(tag.score, 4)} for tag in listing.tags or ()]
            known["keywords"] = list(listing.keywords or ())
            known["finish_reason"] = listing.finish_reason
            if listing.moderation is not None:
                known["moderation"] = [finding._asdict() for finding in listing.moderation.findings]
            known["edits"] = [edit._asdict() for edit in listing.edits or ()]
            known["conflicts"] = [conflict._asdict() for conflict in listing.conflicts or ()]
            if listing.listing is not None:
                known["listing"] = listing.listing.to_dict()
            if listing.evidence is not None:
                known["evidence"] = {
                    key: [each._asdict() for each in rows] for key, rows in listing.evidence._asdict().items()
                }
    return made, known, errors


def _file(value: Listing | StudioShot | StudioVideo | Speech | Post | bytes | None) -> bytes:
    """What is written of an output."""
    match value:
        case Listing():
            return (value.text or "").encode()
        case StudioShot():
            return value.image
        case Speech():
            return value.audio
        case StudioVideo() | Post():
            return value.video
    return value or b""

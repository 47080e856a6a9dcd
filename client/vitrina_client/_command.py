"""The `vitrina` command: the client's calls from a shell.

Text and numbers go to standard output, everything said about them to standard error, so that the output can be piped.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrina_client import _batch as batch
from vitrina_client._arguments import PICTURES, SOUNDS, parser, read_options, read_product
from vitrina_client._client import Vitrina
from vitrina_client._errors import (
    Blocked,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    NotReady,
    QueueFull,
    VitrinaError,
)
from vitrina_client._options import TextOptions
from vitrina_client._timeout import Timeout
from vitrina_client._types import Piece, Product, Tag

if TYPE_CHECKING:
    from rich.console import Console


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = parser().parse_args(argv)
    try:
        from rich.console import Console
    except ImportError:
        print("vitrina: the command needs rich; install vitrina-client[command]", file=sys.stderr)
        return 2
    told = Console(stderr=True, highlight=False)
    try:
        with Vitrina(arguments.url, timeout=Timeout(total=arguments.timeout), retries=arguments.retries) as vitrina:
            code: int = COMMANDS[arguments.run](arguments, vitrina, told)
            return code
    except KeyboardInterrupt:
        told.print("\n[yellow]interrupted[/yellow]")
        return 130
    except BrokenPipeError:  # whoever read our output has left; exit must not flush to it either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (VitrinaError, ValueError, OSError) as error:
        return _failed(error, told)


def exit_code(error: Exception) -> int:
    """The exit code for an error; see :data:`EXIT_CODES`."""
    by_kind: tuple[tuple[type[Exception], int], ...] = (
        (ConnectionFailed, 3),
        (NotReady, 3),
        (DeadlineExceeded, 4),
        (QueueFull, 5),
        (Blocked, 7),
        (InvalidInput, 2),
        (VitrinaError, 1),
    )
    return next((code for kind, code in by_kind if isinstance(error, kind)), 2)


def _failed(error: Exception, told: Console) -> int:
    told.print("[red]vitrina:[/red] ", end="")
    told.print(" ".join(str(error).split()), markup=False, soft_wrap=True)  # one line, whatever the error holds
    return exit_code(error)


# -------------------------------------------------------------------------------------------------------- commands


def _generate(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    product, options = read_product(arguments), read_options(arguments)
    began = time.monotonic()
    first: float | None = None
    pieces: list[Piece] = []
    with vitrina.stream(product, **options) as stream:
        for piece in stream:
            first = first or time.monotonic() - began
            pieces.append(piece)
            sys.stdout.write(piece.text)
            sys.stdout.flush()
        tags = stream.tags or ()
    total = time.monotonic() - began
    sys.stdout.write("\n")
    sys.stdout.flush()
    written = _write(arguments, product, options, pieces, tags, {"first_token": first or total, "total": total})
    last = pieces[-1]
    _tell(told, "tags", ", ".join(f"{tag.name} {tag.score:.2f}" for tag in tags) or "none")
    if product.image is not None:
        _tell(told, "picture", str(arguments.image))
    _tell(told, "tokens", f"{last.completion_tokens} written ({last.finish_reason}), {last.prompt_tokens} read")
    _tell(told, "time", f"first token after {(first or total) * 1000:.0f} ms, all after {total * 1000:.0f} ms")
    _tell(told, "written", ", ".join(str(path) for path in written))
    return 0


def _listing(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    made = vitrina.generate(read_product(arguments), want={"listing"}, **read_options(arguments))
    took = time.monotonic() - began
    assert made.listing is not None  # it was asked for
    print(json.dumps(made.listing.to_dict(), ensure_ascii=False, indent=2))
    for conflict in made.conflicts or ():
        _tell(told, "conflict", f"{conflict.kind}: {' / '.join(conflict.texts)}")
    _tell(told, "time", f"{took * 1000:.0f} ms")
    return 0


def _embed(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    embedding = vitrina.embed(read_product(arguments))
    took = time.monotonic() - began
    if arguments.out is None:
        print(json.dumps([round(float(value), 7) for value in embedding]))
    else:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("wb") as file:
            np.save(file, embedding)
        _tell(told, "written", f"{arguments.out} (float32 [{len(embedding)}], unit length)")
    _tell(told, "time", f"{took * 1000:.0f} ms")
    return 0


def _check(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    said = vitrina.check(read_product(arguments))
    took = time.monotonic() - began
    print(said.action)
    for each in said.findings:
        print("\t".join((each.action, each.category, each.field, each.by, f"{each.score:.2f}", each.evidence)))
    _tell(told, "time", f"{took * 1000:.0f} ms")
    return 7 if said.action == "block" else 0


def _read(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    label = vitrina.read_label(arguments.image)
    took = time.monotonic() - began
    if arguments.json:
        lines = [line._asdict() for line in label.lines]
        print(json.dumps({"lines": lines, "omitted": label.omitted}, ensure_ascii=False))
    elif label.lines:
        print(label)
    _tell(told, "lines", f"{len(label.lines)}" + (f", {label.omitted} more not read" if label.omitted else ""))
    _tell(told, "time", f"{took * 1000:.0f} ms")
    return 0


def _variants(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    made = vitrina.variants(read_product(arguments), arguments.count, **read_options(arguments))
    took = time.monotonic() - began
    for listing in made.listings:
        print(listing.text, end="\n\n", flush=True)
    _tell(told, "differ", f"by {made.diversity:.2f} on average; chosen of {made.written}")
    _tell(told, "time", f"{took * 1000:.0f} ms")
    return 0


def _recommend(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    found = vitrina.recommend(json.loads(arguments.events.read_text(encoding="utf-8")), count=arguments.count)
    took = time.monotonic() - began
    for each in found:
        columns = [f"{each.score:.3f}", each.item, each.title]
        if arguments.copy:
            columns.append(vitrina.generate(Product(each.title), want={"text"}, task="recommendation").text or "")
        print("\t".join(columns), flush=True)
    _tell(told, "time", f"{took * 1000:.0f} ms")
    return 0


def _speak(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    audio_format = SOUNDS[arguments.out.suffix.lower()]
    speech = vitrina.speak(
        arguments.text,
        voice=arguments.voice,
        language=arguments.language,
        speed=arguments.speed,
        audio_format=audio_format,
    )
    return _kept(arguments.out, speech.audio, f"{speech.mime}, {speech.seconds:.1f} s", began, told)


def _studio(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    suffix = arguments.out.suffix.lower()
    if suffix == ".mp4":
        clip = vitrina.studio_video(
            arguments.image,
            background=arguments.background,
            aspect=arguments.aspect,
            size=arguments.size,
            style=arguments.style,
        )
        return _kept(arguments.out, clip.video, f"video/mp4, {_covered(clip.subject)}", began, told)
    shot = vitrina.studio(
        arguments.image,
        background=arguments.background,
        aspect=arguments.aspect,
        size=arguments.size,
        image_format=PICTURES[suffix],
        style=arguments.style,
    )
    return _kept(arguments.out, shot.image, f"{shot.mime}, {_covered(shot.subject)}", began, told)


def _covered(subject: float) -> str:
    return f"the product covered {subject:.0%} of the photo" if subject else "shown whole: nothing to cut out"


def _post(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    audio = None
    if not arguments.silent:
        try:
            audio = vitrina.speak(arguments.text).audio
        except NotReady as error:
            _tell(told, "silent", error.message)
    post = vitrina.post(
        arguments.image,
        arguments.text,
        video=arguments.video,
        audio=audio,
        music=arguments.music,
        logo_sound=arguments.logo_sound,
        captions=arguments.captions,
        background=arguments.background,
        aspect=arguments.aspect,
    )
    return _kept(arguments.out, post.video, f"{post.seconds:.1f} s", began, told)


def _batch(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    order = batch.Order(arguments.want, read_options(arguments), arguments.background, arguments.aspect)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"), TimeRemainingColumn())
    began = time.monotonic()
    with Progress(*columns, console=told) as progress:
        task = progress.add_task("", total=sum(1 for _ in batch.rows(arguments.table)), failed=0)

        def report(outcome: batch.Outcome) -> None:
            if outcome.state == "failed":
                line = f"row {outcome.row.number} ({outcome.row.key}): {outcome.error}"
                progress.console.print(line, markup=False, soft_wrap=True)
                progress.update(task, failed=progress.tasks[0].fields["failed"] + 1)
            progress.advance(task)

        counts = batch.run(arguments.table, arguments.out, vitrina, order, arguments.jobs, report)
    said = ", ".join(f"{count} {state}" for state, count in counts.items())
    _tell(told, "products", f"{said} in {time.monotonic() - began:.1f} s")
    _tell(told, "written", str(arguments.out / batch.REPORT))
    return 6 if counts["failed"] else 0


def _status(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    from rich.console import Console
    from rich.table import Table

    status = vitrina.status()
    state = "ready" if status.ready else "live, not ready" if status.live else "not live"
    table = Table("model", "version", "state", "reason", box=None, pad_edge=False, header_style="bold")
    for model in status.models:
        colour = "green" if model.state == "READY" else "red"
        table.add_row(model.name, model.version, f"[{colour}]{model.state}[/{colour}]", model.reason)
    shown = Console(highlight=False)
    shown.print(f"{arguments.url}: {status.server} {status.version}, {state}")
    shown.print(table)
    return 0 if status.ready else 3


def _kept(path: Path, data: bytes, what: str, began: float, told: Console) -> int:
    """Writes what the server made since `began`, and says so."""
    took = time.monotonic() - began
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    _tell(told, "written", f"{path} ({what})")
    _tell(told, "time", f"{took * 1000:.0f} ms")
    return 0


def _tell(told: Console, name: str, value: str) -> None:
    told.print(f"[dim]{name:>8}[/dim]  ", end="")
    told.print(value, markup=False, soft_wrap=True)


# ----------------------------------------------------------------------------------------------------------- files


def _write(
    arguments: argparse.Namespace,
    product: Product,
    options: TextOptions,
    pieces: Sequence[Piece],
    tags: Sequence[Tag],
    seconds: dict[str, float],
) -> list[Path]:
    """`DIR/<slug>.txt` with the text and `DIR/<slug>.json` with all that is known of it."""
    text, last = "".join(piece.text for piece in pieces), pieces[-1]
    record: dict[str, Any] = {
        "title": product.title,
        "image": None if arguments.image is None else str(arguments.image),
        "attributes": dict(product.attributes),
        **{name: value for name, value in options.items() if name != "sampling"},
        "text": text,
        "finish_reason": last.finish_reason,
        "prompt_tokens": last.prompt_tokens,
        "completion_tokens": last.completion_tokens,
        "tags": [{"name": tag.name, "score": round(tag.score, 4)} for tag in tags],
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    base = arguments.out / slug(product.title or (arguments.image.stem if arguments.image else ""))
    paths = [base.with_name(base.name + suffix) for suffix in (".txt", ".json")]
    paths[0].write_text(text + "\n", encoding="utf-8")
    paths[1].write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return paths


def slug(title: str) -> str:
    """A file name for a title, in any script: ``"Enamel mug, 350 ml"`` → ``enamel-mug-350-ml``."""
    return re.sub(r"[\W_]+", "-", title.lower()).strip("-")[:60].rstrip("-") or "product"


#: Name on the command line → what it does; gives the exit code.
COMMANDS: dict[str, Callable[[argparse.Namespace, Vitrina, Console], int]] = {
    "generate": _generate,
    "listing": _listing,
    "embed": _embed,
    "check": _check,
    "read": _read,
    "variants": _variants,
    "recommend": _recommend,
    "speak": _speak,
    "studio": _studio,
    "post": _post,
    "batch": _batch,
    "status": _status,
}

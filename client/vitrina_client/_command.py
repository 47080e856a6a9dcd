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
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from vitrina_client import _batch as batch
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
from vitrina_client._timeout import Timeout
from vitrina_client._types import (
    Aspect,
    AudioFormat,
    Background,
    Captions,
    ImageFormat,
    Output,
    Piece,
    Product,
    Sampling,
    Style,
    Tag,
    TextOptions,
)
from vitrina_client._version import __version__

if TYPE_CHECKING:
    from rich.console import Console

SOUNDS: dict[str, AudioFormat] = {".wav": "wav", ".ogg": "ogg"}
PICTURES: dict[str, ImageFormat] = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}
DEFAULT_URL = "grpc://localhost:8001"
EXIT_CODES = """exit codes:
  0    done
  1    the server failed, or gave an answer that makes no sense
  2    wrong usage, or an input that the server refuses
  3    no connection, or the server is not ready
  4    the time allowed has passed (--timeout)
  5    the server's queue is full; try again later
  6    some products of a batch failed; its report.csv says which
  7    the shop's policy blocks it
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        from rich.console import Console
    except ImportError:
        print("vitrina: the command needs rich; install vitrina-client[command]", file=sys.stderr)
        return 2
    told = Console(stderr=True, highlight=False)
    try:
        with Vitrina(arguments.url, timeout=Timeout(total=arguments.timeout), retries=arguments.retries) as vitrina:
            code: int = arguments.run(arguments, vitrina, told)
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
    product, options = _product(arguments), _options(arguments)
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


def _embed(arguments: argparse.Namespace, vitrina: Vitrina, told: Console) -> int:
    began = time.monotonic()
    embedding = vitrina.embed(_product(arguments))
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
    said = vitrina.check(_product(arguments))
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
    options = TextOptions(sampling=Sampling(seed=arguments.seed), task=arguments.task)
    if arguments.language is not None:
        options["language"] = arguments.language
    if arguments.tone is not None:
        options["tone"] = arguments.tone
    made = vitrina.variants(_product(arguments), arguments.count, **options)
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

    names = ("task", "language", "tone", "max_characters", "banned_words")
    options = TextOptions(**{n: getattr(arguments, n) for n in names if getattr(arguments, n)})  # type: ignore[typeddict-item]
    order = batch.Order(arguments.want, options, arguments.background, arguments.aspect)
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


# ------------------------------------------------------------------------------------------------------- arguments


def _product(arguments: argparse.Namespace) -> Product:
    if not arguments.title and arguments.image is None:
        raise InvalidInput("give --title, --image or both")
    return Product(arguments.title, arguments.image, dict(getattr(arguments, "attribute", ())))


def _options(arguments: argparse.Namespace) -> TextOptions:
    names = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop")
    sampling = Sampling(**{name: getattr(arguments, name) for name in names})
    options = TextOptions(sampling=sampling)
    if arguments.task is not None:
        options["task"] = arguments.task
    if arguments.language is not None:
        options["language"] = arguments.language
    if arguments.tone is not None:
        options["tone"] = arguments.tone
    if arguments.question is not None:
        options["question"] = arguments.question
    if arguments.history is not None:
        options["history"] = json.loads(arguments.history.read_text(encoding="utf-8"))
    return options


def _attribute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r}: expected name=value")
    return name, value


def _named(*endings: str) -> Callable[[str], Path]:
    """A check that a file to write is named with one of `endings`."""

    def check(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in endings:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a name in {', '.join(endings)}")
        return path

    return check


def _outputs(text: str) -> tuple[Output, ...]:
    wanted = tuple(text.split(","))
    if unknown := [name for name in wanted if name not in batch.FILES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}: expected some of {','.join(batch.FILES)}")
    return cast("tuple[Output, ...]", wanted)


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to 64")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return float(Timeout(total=float(text)).total or 0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds above 0") from error


def _parser() -> argparse.ArgumentParser:
    server = argparse.ArgumentParser(add_help=False)
    server.set_defaults(retries=2)
    url = os.environ.get("VITRINA_URL") or DEFAULT_URL
    server.add_argument(
        "--url", default=url, help="grpc://host:port or http://host:port (VITRINA_URL; now %(default)s)"
    )
    server.add_argument(
        "--timeout", type=_seconds, default=120.0, metavar="SECONDS", help="for the whole call (%(default)g)"
    )
    product = argparse.ArgumentParser(add_help=False)
    product.add_argument("--title", default="", help="the product's title")
    product.add_argument("--image", type=Path, help="a picture of it: JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF")

    parser = argparse.ArgumentParser(
        prog="vitrina",
        description="Listing content from product titles and photos.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vitrina {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    generate = commands.add_parser("generate", parents=[product, server], help="write copy, shown as it comes")
    generate.set_defaults(run=_generate)
    _text_arguments(generate)
    embed = commands.add_parser("embed", parents=[product, server], help="the product's vector for search")
    embed.set_defaults(run=_embed)
    embed.add_argument(
        "--out", type=Path, metavar="FILE.npy", help="write it there, instead of JSON to standard output"
    )
    check = commands.add_parser("check", parents=[product, server], help="what the shop's policy says of it, and why")
    check.set_defaults(run=_check)
    read = commands.add_parser("read", parents=[server], help="what is printed on the product of a photo")
    read.set_defaults(run=_read)
    read.add_argument(
        "--image", type=Path, required=True, metavar="FILE", help="JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF"
    )
    read.add_argument("--json", action="store_true", help="with each line's corners and confidence")
    variants = commands.add_parser("variants", parents=[product, server], help="texts that differ, to choose from")
    variants.set_defaults(run=_variants)
    variants.add_argument("--count", type=int, default=4, metavar="N", help="1 to 8 (%(default)s)")
    variants.add_argument("--task", default="ad", help="as for generate (%(default)s)")
    variants.add_argument("--language", help="en or zh")
    variants.add_argument("--tone", help="neutral, friendly, playful, formal or luxurious")
    variants.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same texts")
    recommend = commands.add_parser("recommend", parents=[server], help="what a shopper is likely to turn to next")
    recommend.set_defaults(run=_recommend)
    recommend.add_argument(
        "--events",
        type=Path,
        required=True,
        metavar="FILE.json",
        help='[{"item": id, "event": "click", "age_s": 90}, …]',
    )
    recommend.add_argument("--copy", action="store_true", help="and a sentence that recommends each")
    recommend.add_argument("--count", type=int, metavar="N", help="1 to 100; 10 if left out")
    speak = commands.add_parser("speak", parents=[server], help="read a text aloud, in English or Chinese")
    speak.set_defaults(run=_speak)
    speak.add_argument("--text", required=True, help="what to say, at most 2,000 characters")
    speak.add_argument(
        "--out", type=_named(*SOUNDS), required=True, metavar="FILE", help="write it there, a name in .wav or .ogg"
    )
    speak.add_argument("--voice", metavar="NAME", help="one of the server's voices; the language's first if left out")
    speak.add_argument("--language", metavar="CODE", help="en or zh; the text's own if left out")
    speak.add_argument("--speed", type=float, metavar="S", help="0.5 to 2 times the voice's own")
    studio = commands.add_parser("studio", parents=[server], help="a photo's product, cut out, before another ground")
    studio.set_defaults(run=_studio)
    studio.add_argument(
        "--image", type=Path, required=True, metavar="FILE", help="JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF"
    )
    studio.add_argument(
        "--out",
        type=_named(*PICTURES, ".mp4"),
        required=True,
        metavar="FILE",
        help="write it there, a name in .jpg, .png, .webp, or .mp4 for a clip in which it swings",
    )
    studio.add_argument("--background", choices=get_args(Background), default="white", help="photo: not cut out")
    studio.add_argument("--aspect", choices=get_args(Aspect), default="1:1", help="width to height")
    studio.add_argument("--style", choices=get_args(Style), default="natural")
    studio.add_argument("--size", type=int, metavar="PX", help="of the longer side, 256 to 2048")
    post = commands.add_parser("post", parents=[server], help="a photo and its copy as one short video")
    post.set_defaults(run=_post)
    post.add_argument("--image", type=Path, metavar="FILE", help="JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF")
    post.add_argument("--video", type=Path, metavar="FILE", help="a clip of it, beside or instead: MP4, MOV or WebM")
    post.add_argument("--music", type=Path, metavar="FILE", help="a tune under it, at most 30 s")
    post.add_argument("--logo-sound", type=Path, metavar="FILE", help="the shop's own sound at the end, at most 6 s")
    post.add_argument("--captions", choices=get_args(Captions), default="burnt", help="a track can be turned off")
    post.add_argument("--text", required=True, help="the copy, at most 1,000 characters")
    post.add_argument(
        "--out", type=_named(".mp4"), required=True, metavar="FILE", help="write it there, a name in .mp4"
    )
    post.add_argument(
        "--background", choices=get_args(Background), default="studio", help="of the product alone; photo: not cut out"
    )
    post.add_argument("--aspect", choices=get_args(Aspect), default="9:16", help="width to height")
    post.add_argument("--silent", action="store_true", help="captions only, nothing read aloud")
    many = commands.add_parser("batch", parents=[server], help="a table of products; goes on where it was stopped")
    many.set_defaults(run=_batch, retries=batch.RETRIES)
    many.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        help="CSV, JSONL or Parquet: title, image, video, audio, id, background, attributes",
    )
    many.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder a product, and report.csv")
    many.add_argument("--want", type=_outputs, default=("text",), metavar="LIST", help=f"of {', '.join(batch.FILES)}")
    many.add_argument("--jobs", type=_jobs, default=4, metavar="N", help="products at a time")
    many.add_argument("--task", help="as for generate")
    many.add_argument("--language", help="en or zh")
    many.add_argument("--tone", help="neutral, friendly, playful, formal or luxurious")
    many.add_argument("--max-characters", type=int, metavar="N", help="of a copy, 20 to 10000")
    many.add_argument(
        "--ban", action="append", dest="banned_words", metavar="WORD", help="no sentence with it; may be repeated"
    )
    many.add_argument(
        "--background", choices=get_args(Background), help="of studio shots and posts; photo: not cut out"
    )
    many.add_argument("--aspect", choices=get_args(Aspect), default="4:5", help="of studio shots and posts")
    status = commands.add_parser("status", parents=[server], help="what the server says of itself and its models")
    status.set_defaults(run=_status)
    return parser


def _text_arguments(generate: argparse.ArgumentParser) -> None:
    add = generate.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder for <slug>.txt and <slug>.json")
    add("--task", help="description, ad, review, question, reply, recommendation, promotion or delivery")
    add("--language", help="en or zh")
    add("--tone", help="neutral, friendly, playful, formal or luxurious")
    add("--question", help="what the shopper asks, for --task question")
    add("--history", type=Path, metavar="FILE.json", help='for --task reply: [{"role": "customer", "text": "…"}, …]')
    add("--attribute", type=_attribute, action="append", default=[], metavar="NAME=VALUE", help="may be given again")
    add("--max-tokens", type=int, metavar="N", help="most tokens to write")
    add("--temperature", type=float, metavar="T", help="0 for greedy")
    add("--top-p", type=float, metavar="P", help="share of probability to draw from")
    add("--top-k", type=int, metavar="K", help="number of tokens to draw from")
    add("--repetition-penalty", type=float, metavar="R", help="above 1 makes repeats less likely")
    add("--seed", type=int, metavar="N", help="the same seed gives the same text")
    add("--stop", action="append", default=[], metavar="TEXT", help="ends the copy; may be given again")

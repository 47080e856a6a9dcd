"""What the `vitrina` command understands, and what it makes of it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, cast, get_args

from vitrina_client import _batch as batch
from vitrina_client._errors import InvalidInput
from vitrina_client._options import FIELDS, PROMPT_FIELDS, Sampling, TextOptions
from vitrina_client._timeout import Timeout
from vitrina_client._types import (
    Aspect,
    AudioFormat,
    Background,
    Captions,
    ImageFormat,
    Output,
    Product,
    Style,
)
from vitrina_client._version import __version__

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


def read_product(arguments: argparse.Namespace) -> Product:
    if not arguments.title and arguments.image is None:
        raise InvalidInput("give --title, --image or both")
    return Product(arguments.title, arguments.image, dict(getattr(arguments, "attribute", ())))


def read_options(arguments: argparse.Namespace) -> TextOptions:
    """The options that a command has and was given."""
    every = {name: value for name, value in vars(arguments).items() if value not in (None, [])}
    options = {name: every[name] for name in TextOptions.__annotations__ if name in every}
    for name in ("history", "brand"):
        if name in options:
            options[name] = json.loads(options[name].read_text(encoding="utf-8"))
    sampling = {each.name: every[each.name] for each in fields(Sampling) if each.name in every}
    return cast(TextOptions, options | ({"sampling": Sampling(**sampling)} if sampling else {}))


def _add_fields(parser: argparse.ArgumentParser, *names: str) -> None:
    """A flag for each of a request's optional tensors, as its row says."""
    for name in names:
        row = FIELDS[name.upper()]
        kind = {"FP32": float, "INT32": int, "INT64": int}.get(row.dtype, str)
        more: dict[str, Any] = {"action": "append"} if row.many else {}
        left_out = "may be given again" if row.many else row.left_out.replace("%", "%%")
        flag, said = f"--{name.replace('_', '-')}", row.meaning.replace("%", "%%")
        parser.add_argument(flag, type=kind, help=f"{said} ({left_out})" if left_out != "none" else said, **more)


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


def parser() -> argparse.ArgumentParser:
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
    generate.set_defaults(run="generate")
    _text_arguments(generate)
    listing = commands.add_parser("listing", parents=[product, server], help="the structured listing, as JSON")
    listing.set_defaults(run="listing")
    _add_fields(listing, "task", "language", "tone", "claims", "max_characters")
    _add_attributes(listing)
    _add_brand(listing)
    embed = commands.add_parser("embed", parents=[product, server], help="the product's vector for search")
    embed.set_defaults(run="embed")
    embed.add_argument(
        "--out", type=Path, metavar="FILE.npy", help="write it there, instead of JSON to standard output"
    )
    check = commands.add_parser("check", parents=[product, server], help="what the shop's policy says of it, and why")
    check.set_defaults(run="check")
    read = commands.add_parser("read", parents=[server], help="what is printed on the product of a photo")
    read.set_defaults(run="read")
    read.add_argument(
        "--image", type=Path, required=True, metavar="FILE", help="JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF"
    )
    read.add_argument("--json", action="store_true", help="with each line's corners and confidence")
    variants = commands.add_parser("variants", parents=[product, server], help="texts that differ, to choose from")
    variants.set_defaults(run="variants")
    variants.add_argument("--count", type=int, default=4, metavar="N", help="1 to 8 (%(default)s)")
    variants.add_argument("--task", default="ad", help="as for generate (%(default)s)")
    _add_fields(variants, "language", "tone", "seed")
    recommend = commands.add_parser("recommend", parents=[server], help="what a shopper is likely to turn to next")
    recommend.set_defaults(run="recommend")
    recommend.add_argument(
        "--events",
        type=Path,
        required=True,
        metavar="FILE.json",
        help='[{"item": id, "event": "click", "age_s": 90}, …]',
    )
    recommend.add_argument("--copy", action="store_true", help="and a sentence that recommends each")
    _add_fields(recommend, "count")
    speak = commands.add_parser("speak", parents=[server], help="read a text aloud, in English or Chinese")
    speak.set_defaults(run="speak")
    speak.add_argument("--text", required=True, help="what to say, at most 2,000 characters")
    speak.add_argument(
        "--out", type=_named(*SOUNDS), required=True, metavar="FILE", help="write it there, a name in .wav or .ogg"
    )
    _add_fields(speak, "voice", "language", "speed")
    studio = commands.add_parser("studio", parents=[server], help="a photo's product, cut out, before another ground")
    studio.set_defaults(run="studio")
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
    _add_fields(studio, "size")
    post = commands.add_parser("post", parents=[server], help="a photo and its copy as one short video")
    post.set_defaults(run="post")
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
    many.set_defaults(run="batch", retries=batch.RETRIES)
    many.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        help="CSV, JSONL or Parquet: title, image, video, audio, id, background, attributes",
    )
    many.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder a product, and report.csv")
    many.add_argument("--want", type=_outputs, default=("text",), metavar="LIST", help=f"of {', '.join(batch.FILES)}")
    many.add_argument("--jobs", type=_jobs, default=4, metavar="N", help="products at a time")
    _add_fields(many, "task", "language", "tone", "max_characters")
    _add_brand(many)
    many.add_argument(
        "--ban", action="append", dest="banned_words", metavar="WORD", help="no sentence with it; may be repeated"
    )
    many.add_argument(
        "--background", choices=get_args(Background), help="of studio shots and posts; photo: not cut out"
    )
    many.add_argument("--aspect", choices=get_args(Aspect), default="4:5", help="of studio shots and posts")
    status = commands.add_parser("status", parents=[server], help="what the server says of itself and its models")
    status.set_defaults(run="status")
    return parser


def _add_attributes(parser: argparse.ArgumentParser) -> None:
    said = "may be given again"
    parser.add_argument("--attribute", type=_attribute, action="append", default=[], metavar="NAME=VALUE", help=said)


def _add_brand(parser: argparse.ArgumentParser) -> None:
    said = 'the shop\'s voice: {"style": "…", "words": ["…"], "never": ["…"]}'
    parser.add_argument("--brand", type=Path, metavar="FILE.json", help=said)


def _text_arguments(generate: argparse.ArgumentParser) -> None:
    add = generate.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder for <slug>.txt and <slug>.json")
    add("--history", type=Path, metavar="FILE.json", help='for --task reply: [{"role": "customer", "text": "…"}, …]')
    _add_brand(generate)
    _add_attributes(generate)
    plain = [name for name in PROMPT_FIELDS if name not in ("HISTORY", "ATTRIBUTES", "LABEL_TEXT", "BRAND")]
    _add_fields(generate, *(name.lower() for name in plain), *(each.name for each in fields(Sampling)))

"""How much of what is printed on a product is read off its photo: 40 labels, rendered, under each distortion.

`python -m benchmarks.labels`
"""

from __future__ import annotations

import re
import statistics
import time
import unicodedata
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import jiwer
import typer
import yaml
from PIL import Image
from rich.console import Console
from rich.table import Table
from vitrina_client import Vitrina

from benchmarks.label_photos import DISTORTIONS, label
from benchmarks.serving import JsonFile, Url, grpc_address, write_json

LABELS = Path(__file__).parent / "data" / "labels.yaml"
_WORD = re.compile(r"[^\W_]+(?:[.,'/-][^\W_]+)*")


def units(lines: Sequence[str], language: str) -> list[str]:
    """What is counted: words in English, in Chinese each letter and digit; no punctuation."""
    text = unicodedata.normalize("NFKC", " ".join(lines))
    return [letter for letter in text if letter.isalnum()] if language == "zh" else _WORD.findall(text)


def score(printed: Sequence[str], read: Sequence[str]) -> tuple[int, int]:
    """How many of the printed units were read, in order, and how many were read that are not printed."""
    if not read:
        return 0, 0
    hits = jiwer.process_words([" ".join(printed)], [" ".join(read)]).hits
    return hits, len(read) - hits


def png(photo: Image.Image) -> bytes:
    """A photo's file."""
    file = BytesIO()
    photo.save(file, "PNG", compress_level=1)
    return file.getvalue()


def measure(vitrina: Vitrina, labels: dict[str, list[list[str]]], distortion: str) -> dict[str, Any]:
    """Shares of one distortion over all labels, and the median time of a call."""
    found: dict[str, Any] = {}
    seconds = []
    for language, every in labels.items():
        right = wrong = count = 0
        for number, lines in enumerate(every):
            photo = png(DISTORTIONS[distortion](label(lines, number), number))
            began = time.perf_counter()
            read = vitrina.read_label(photo)
            seconds.append(time.perf_counter() - began)
            printed = units(lines, language)
            hits, others = score(printed, units([line.text for line in read.lines], language))
            right, wrong, count = right + hits, wrong + others, count + len(printed)
        found[language] = {"right": right / count, "not_printed": wrong / count}
    return found | {"median_ms": statistics.median(seconds) * 1000}


def main(
    url: Url = None,
    json_file: JsonFile = None,
    only: Annotated[list[str] | None, typer.Option(help="A distortion; may be given again.")] = None,
    count: Annotated[int, typer.Option(help="Labels of each language.", min=1, max=20)] = 20,
) -> None:
    """Prints the share of words (English) and characters (Chinese) right, by distortion."""
    every = yaml.safe_load(LABELS.read_text("utf-8"))
    labels = {language: lines[:count] for language, lines in every.items()}
    table = Table("distortion", "English words", "not printed", "Chinese characters", "not printed", "ms a photo")
    figures = {}
    with grpc_address(url) as address, Vitrina(address) as vitrina:
        vitrina.read_label(png(Image.new("RGB", (640, 480), "white")))
        blank = []
        for _ in range(10):
            began = time.perf_counter()
            vitrina.read_label(png(Image.new("RGB", (1_200, 1_200), "white")))
            blank.append(time.perf_counter() - began)
        for distortion in only or DISTORTIONS:
            row = figures[distortion] = measure(vitrina, labels, distortion)
            shares = [f"{row[language][key]:.3f}" for language in ("en", "zh") for key in ("right", "not_printed")]
            table.add_row(distortion, *shares, f"{row['median_ms']:.0f}")
    without = statistics.median(blank) * 1000
    Console().print(table)
    Console().print(f"a photo without text: {without:.0f} ms")
    write_json({"distortions": figures, "without_text_ms": without}, json_file)


if __name__ == "__main__":
    typer.run(main)

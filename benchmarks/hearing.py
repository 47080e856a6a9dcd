"""`python -m benchmarks.hearing`: how well are spoken notes written down, and what does a note cost?

Forty notes on products (`benchmarks/data/hearing.yaml`, twenty a language) go the way that a request's sound goes:
`stages.audio.read_audio`, `log_mel`, `stages.transcript`. The recordings beside it are generated speech. Counted is the
word error rate in English, after whisper's normaliser (numbers as digits, one spelling), and the character error rate
in Chinese, with numbers as digits and without punctuation. What a voice says badly counts against the network.
"""

from __future__ import annotations

import os
import re
import statistics
import time
import unicodedata
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import cn2an
import jiwer
import numpy as np
import typer
import yaml
from rich.console import Console
from rich.table import Table
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from benchmarks.serving import JsonFile, write_json
from export import recipe
from export.sources import fetch
from networks.whisper import MELS
from stages.audio import MAX_SECONDS, RATE, log_mel, read_audio
from stages.transcript import Transcriber
from training.audio.speech import whisper_folder

NOTES = Path(__file__).parent / "data" / "hearing.yaml"
RECORDINGS = NOTES.with_suffix("")
LENGTHS = (5, 15, 30)  # seconds of the notes that are timed
RUNS = 3  # of each length; the median counts
#: Characters of a unit or a symbol that whisper writes short → as they are said.
_SPOKEN = {"%": "百分之", "mAh": "毫安时", "ml": "毫升", "cm": "厘米", "kg": "公斤", "g": "克", "千克": "公斤"}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_TEN_THOUSANDS = re.compile(r"(\d+)万")
console = Console(width=140)


def characters(text: str) -> str:
    """Chinese as it is compared: numbers as digits, units in words, no punctuation and no spaces."""
    text = _PERCENT.sub(r"百分之\1", unicodedata.normalize("NFKC", text))
    text = _TEN_THOUSANDS.sub(lambda number: f"{number[1]}0000", text)
    text = cn2an.transform(text, "cn2an").replace("%", "")
    for short, word in _SPOKEN.items():
        text = text.replace(short, word)
    return "".join(letter for letter in text.lower().replace("百分之", "") if letter.isalnum())


def errors(language: str, note: str, transcript: str) -> tuple[int, int, list[str]]:
    """Wrong units, units of the note (words in English, characters in Chinese), and both texts where they differ."""
    if language == "zh":
        compared = [" ".join(characters(text)) for text in (note, transcript)]
    else:
        normalise = EnglishTextNormalizer({})
        compared = [re.sub(r"(?<=\d )mah\b", "milliamp hours", normalise(text)) for text in (note, transcript)]
    count = len(compared[0].split())
    if not compared[1]:
        return count, count, [note, ""]
    result = jiwer.process_words(compared[0], compared[1])
    wrong = result.substitutions + result.deletions + result.insertions
    return wrong, count, [note, transcript] if wrong else []


def measure(folder: Path, threads: int) -> dict[str, Any]:
    """The figures of one network; run in a process of its own, so that its memory is its own.

    Args:
        folder: of CTranslate2.
        threads: of each run.
    """
    before = _resident()
    transcribe = Transcriber(folder, threads=threads)
    rows, seconds, busy = [], 0.0, 0.0
    samples: dict[str, list[np.ndarray]] = {}
    for language, notes in yaml.safe_load(NOTES.read_text("utf-8")).items():
        for number, note in enumerate(notes, 1):
            sound = read_audio((RECORDINGS / f"{language}-{number:02}.opus").read_bytes())
            samples.setdefault(language, []).append(sound)
            began = time.perf_counter()
            (transcript,) = transcribe(log_mel(sound, MELS)[None])
            busy, seconds = busy + time.perf_counter() - began, seconds + len(sound) / RATE
            wrong, count, differ = errors(language, note, transcript.text)
            rows.append({"note": f"{language}-{number:02}", "language": language, "told": transcript.language,
                         "wrong": wrong, "of": count, "differ": differ})  # fmt: skip
    speech = np.concatenate(samples["en"])
    return {
        "rows": rows,
        "rates": {language: _rate(rows, language) for language in samples},
        "language_right": sum(row["told"] == row["language"] for row in rows) / len(rows),
        "real_time_factor": busy / seconds,
        "seconds_a_note": {length: _seconds(transcribe, speech[: length * RATE]) for length in LENGTHS},
        "memory_mb": (_resident() - before) / 2**20,
        "fetch_mb": sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
    }


def _rate(rows: list[dict[str, Any]], language: str) -> float:
    own = [row for row in rows if row["language"] == language]
    return sum(row["wrong"] for row in own) / sum(row["of"] for row in own)


def _seconds(transcribe: Transcriber, samples: np.ndarray) -> float:
    """The median time of a note that is cut off at its length."""
    assert len(samples) <= MAX_SECONDS * RATE
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        transcribe(log_mel(samples, MELS)[None])
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(
    json_file: JsonFile = None,
    threads: Annotated[int, typer.Option(min=1, help="Of each run.")] = 2,
    name: Annotated[str, typer.Option("--recipe", help="Whose transcriber is measured.")] = "offline",
) -> None:
    """Prints error rates, language and cost of the recipe's transcriber, beside whisper-tiny.en's."""
    slot = recipe.load(name).slot("transcriber")
    networks = {
        f"recipe {name}": fetch(slot.sources, slot.sha256),
        "whisper-tiny.en": whisper_folder(),
    }
    table = Table("network", "English words wrong", "Chinese characters wrong", "language right", "real-time factor",
                  *(f"{length} s note" for length in LENGTHS), "memory", "to fetch")  # fmt: skip
    figures = {}
    for network, folder in networks.items():
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            figures[network] = found = pool.submit(measure, folder, threads).result()
        for row in found["rows"]:
            if row["differ"] and network != "whisper-tiny.en":
                console.print(f"[bold]{row['note']}[/] ({row['told']}) {' → '.join(row['differ'])}")
        table.add_row(
            network,
            *(f"{found['rates'][language]:.3f}" for language in ("en", "zh")),
            f"{found['language_right']:.2f}",
            f"{found['real_time_factor']:.2f}",
            *(f"{found['seconds_a_note'][length]:.2f} s" for length in LENGTHS),
            f"{found['memory_mb']:.0f} MB",
            f"{found['fetch_mb']:.0f} MB",
        )
    console.print(table)
    write_json({"threads": threads, "networks": figures}, json_file)


if __name__ == "__main__":
    typer.run(main)

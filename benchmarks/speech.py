"""`python -m benchmarks.speech`: are the voices understood, and how fast are they?

Every description of `benchmarks/data/speech.json` (English) and `speech_zh.yaml` (Chinese) goes the way that a
request's text goes (`stages.speech`), through the served network, sentence by sentence; whisper writes down what it
hears: tiny.en in English, the served transcriber in Chinese. Counted is the word error rate in English and the
character error rate in Chinese (`benchmarks.hearing.errors`), there beside the rate of wrong syllables, tones among
them, which takes a character for another one of the same sound. What whisper itself mishears counts against the voice,
so that each rate is an upper bound.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Annotated, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import jiwer
import numpy as np
import onnxruntime as ort
import torch
import typer
import yaml
from pypinyin import Style, lazy_pinyin
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.signal import resample_poly

from benchmarks.hearing import characters, errors
from benchmarks.serving import REPOSITORY, JsonFile, write_json
from benchmarks.speech_sentences import DATA
from networks.whisper import MELS
from stages.audio import MAX_SECONDS, RATE, log_mel
from stages.kokoro import Kokoro
from stages.speech import Script, Speaker, choose, encode_script, join
from stages.spoken import level
from stages.transcript import Transcriber
from stages.vits import Vits
from training.audio.speech import whisper_folder

MODELS = REPOSITORY / "model_repository" / "models"
FILES = MODELS / "synthesizer" / "1"  # what the voices are described by
DESCRIPTIONS = {"en": DATA, "zh": DATA.with_name("speech_zh.yaml")}
SEED = 7  # of the voices' noise
console = Console(width=120)
Listener = Callable[[np.ndarray], str]


class Voice:
    """A voice by name, its network run by onnxruntime."""

    def __init__(self, name: str, espeak: bool, threads: int) -> None:
        ort.set_seed(SEED)
        speakers: list[Speaker] = [Vits(FILES, espeak=espeak), Kokoro(FILES)]
        self.speaker, self.name = choose(speakers, Script("", voice=name))
        self.language = self.speaker.voices[name]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        path = MODELS / self.speaker.model / "1" / "model.onnx"
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, text: str) -> np.ndarray:
        """Samples float32 at the voice's rate, as the file that a caller gets holds them."""
        parts = [
            self.session.run([self.speaker.output], self.speaker.inputs(ids, self.name, 1.0))[0].reshape(-1)
            for ids in encode_script(self.speaker, self.name, text)
        ]
        return level(join(parts, self.speaker.rate), self.speaker.rate)


def listener(language: str, threads: int) -> Listener:
    """Sound at whisper's rate → the words in it."""
    folder, precision = (whisper_folder(), "float32") if language == "en" else (MODELS / "transcriber" / "1", "int8")
    transcribe = Transcriber(folder, threads, precision)
    return lambda samples: transcribe(log_mel(samples, MELS)[None])[0].text


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """At whisper's rate, at most as long as it hears."""
    return resample_poly(samples, RATE, rate).astype(np.float32)[: MAX_SECONDS * RATE]


def measure(entries: list[dict[str, str]], voice: Voice, listen: Listener) -> list[dict[str, Any]]:
    """One row a description: what was heard, where it differs, the seconds of sound and of work."""
    rows = []
    for entry in track(entries, f"{voice.name} speaks", console=console, transient=True):
        started = time.perf_counter()
        samples = voice(entry["text"])
        worked, lasts = time.perf_counter() - started, len(samples) / voice.speaker.rate
        if lasts > MAX_SECONDS:
            raise ValueError(f"{entry['text'][:40]!r}: {lasts:.1f} s of speech; whisper hears at most {MAX_SECONDS} s")
        heard = listen(resampled(samples, voice.speaker.rate))
        wrong, count, differ = errors(voice.language, entry["words"], heard)
        misheard = wrong_syllables(entry["words"], heard) if voice.language == "zh" else wrong
        rows.append({"wrong": wrong, "misheard": misheard, "of": count, "differ": differ, "heard": heard,
                     "seconds": lasts, "worked": worked})  # fmt: skip
    return rows


def wrong_syllables(said: str, heard: str) -> int:
    """How many syllables, told apart by sound and tone, and figures differ."""
    one, other = (" ".join(lazy_pinyin(characters(text), style=Style.TONE3, errors=" ".join)) for text in (said, heard))
    found = jiwer.process_words(one, other or "-")
    return found.substitutions + found.deletions + found.insertions


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Error rates, share of descriptions heard without a miss, and real-time factor."""
    return {
        "descriptions": len(rows),
        "of": sum(row["of"] for row in rows),
        "error_rate": sum(row["wrong"] for row in rows) / sum(row["of"] for row in rows),
        "misheard_rate": sum(row["misheard"] for row in rows) / sum(row["of"] for row in rows),
        "heard_whole": sum(not row["misheard"] for row in rows) / len(rows),
        "real_time_factor": sum(row["worked"] for row in rows) / sum(row["seconds"] for row in rows),
        "seconds_of_speech": sum(row["seconds"] for row in rows),
    }


def main(
    voices: Annotated[list[str] | None, typer.Argument(help="By name; each language's first if none is named.")] = None,
    json_file: JsonFile = None,
    espeak: Annotated[bool, typer.Option(help="Phonemes by piper-tts (`make speech`).")] = False,
    every: Annotated[int, typer.Option(min=1, help="Only each so-manieth description.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Of the voice and of whisper.")] = 1,
) -> None:
    """Prints each voice's misses, error rate and real-time factor."""
    torch.set_num_threads(threads)
    table = Table("voice", "language", "descriptions", "words or characters", "error rate", "by sound", "heard whole",
                  "real-time factor", "seconds of speech")  # fmt: skip
    found = {}
    for name in voices or [choose([Vits(FILES), Kokoro(FILES)], Script("", language=code))[1] for code in DESCRIPTIONS]:
        voice = Voice(name, espeak, threads)
        entries = yaml.safe_load(DESCRIPTIONS[voice.language].read_text("utf-8"))[::every]
        rows = measure(entries, voice, listener(voice.language, threads))
        for row in rows:
            if row["differ"]:
                console.print(" → ".join(row["differ"]), style="dim")
        found[name] = figures(rows) | {"rows": rows}
        each = found[name]
        table.add_row(
            f"{name}, espeak" if espeak else name, voice.language, f"{each['descriptions']}", f"{each['of']:,}",
            f"{each['error_rate']:.3f}", f"{each['misheard_rate']:.3f}",
            f"{each['heard_whole']:.2f}", f"{each['real_time_factor']:.2f}",
            f"{each['seconds_of_speech']:.0f}",
        )  # fmt: skip
    console.print(table)
    console.print(f"{threads} thread(s) for the voice and for whisper")
    write_json({"threads": threads, "espeak": espeak, "voices": found}, json_file)


if __name__ == "__main__":
    typer.run(main)

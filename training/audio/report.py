"""What the audio encoder hears, beside the simple way: whisper writes the clip down and the transcript is embedded.

Writes `weights/audio_encoder/metrics.json` and its card.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from networks.whisper import MELS
from stages.audio import log_mel, read_audio
from stages.transcript import Transcriber
from training.audio import head as audio
from training.audio.speech import (
    HELD_OUT_VOICES,
    NAME_VOICES,
    VITS_PACKAGE,
    WHISPERS,
    Clip,
    Spoken,
    compute,
    engine_versions,
    folder,
    held_out_names,
    name_clips,
    names,
    phrase_clips,
    read,
    record,
    whisper_folder,
    words_of,
)
from training.catalogue.products import Product
from training.common.figures import template
from training.common.files import cache_folder
from training.common.weights import save
from training.encoders.served import TextEncoder
from training.encoders.texts import embed

#: Known names that whisper writes down too, beside all held-out ones: a clip takes it a second or more.
COMPARED = 60
METRICS = audio.FOLDER / "metrics.json"
_SETTINGS = ("SEED", "STEPS", "BATCH", "LEARNING_RATE", "WEIGHT_DECAY", "TEMPERATURE", "SOFT_SHARE", "WORDS")


def compared(products: list[Product]) -> list[Clip]:
    """Clips for the comparison: each held-out name and some known ones, by the held-out voices in turn."""
    kept_out = held_out_names(products)
    known = [name for name in names(products) if name not in kept_out]
    chosen = kept_out | set(known[:: max(1, len(known) // COMPARED)][:COMPARED])
    strange = [voice for voice in NAME_VOICES if voice in HELD_OUT_VOICES]
    turn = {name: strange[i % len(strange)] for i, name in enumerate(sorted(chosen))}
    return [clip for clip in name_clips(products) if turn.get(clip.means) == clip.voice]


def transcripts(clips: list[Clip], report: Callable[[int], None]) -> list[str]:
    """What whisper writes down of each clip; kept in the cache, and gone on with where it was stopped."""
    path = folder(clips).with_suffix(".json")
    done: list[str] = json.loads(path.read_text()) if path.exists() else []
    transcriber = None
    for number in range(len(done), len(clips)):
        transcriber = transcriber or Transcriber(whisper_folder(), precision="float32")
        samples = read_audio(record(clips[number]))
        done.append(transcriber(log_mel(samples, MELS)[None])[0].text)
        if number % 20 == 19 or number + 1 == len(clips):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(done))
        report(number + 1)
    return done


def recall_by_set(
    queries: torch.Tensor, clips: list[Clip], products: list[Product], heard: set[str], encoder: TextEncoder
) -> dict[str, dict[str, float]]:
    """Recall of clips' embeddings [n, 384] by each of `head.groups` that has a clip."""
    every = names(products)
    rows = {
        name: [i for i, clip in enumerate(clips) if wanted(clip)]
        for name, wanted in audio.groups(products, heard).items()
    }
    return {n: audio.found(queries[r], [clips[i] for i in r], every, encoder) for n, r in rows.items() if r}


def evaluate(
    heard: set[str], products: list[Product], encoder: TextEncoder, report: Callable[[int], None]
) -> dict[str, Any]:
    """Recall by set, and of the committed head and of the transcripts on the clips of the comparison.

    Args:
        heard: the words that training clips say.
        report: told how many clips whisper has written down.
    """
    spoken = name_clips(products)
    embedding = torch.from_numpy(audio.name_features()["embedding"]).float().flatten(0, 1)
    by_set = partial(recall_by_set, products=products, heard=heard, encoder=encoder)
    clips = compared(products)
    place = {clip: i for i, clip in enumerate(spoken)}
    written = transcripts(clips, report)
    embedded = torch.from_numpy(encoder([text.strip(" .!?") or "nothing" for text in written]))
    return {
        "names": len(names(products)),
        "recall": by_set(embedding, spoken),
        "compared": {
            "head": by_set(embedding[[place[clip] for clip in clips]], clips),
            "transcript": by_set(embedded, clips),
        },
        "transcripts": [
            {"said": clip.said, "voice": clip.voice, "written": text}
            for clip, text in zip(clips, written, strict=True)
            if clip.means in held_out_names(products)
        ],
    }


def write(metrics: dict[str, Any]) -> Path:
    """Writes metrics and card; returns the card's path."""
    audio.FOLDER.mkdir(parents=True, exist_ok=True)
    METRICS.write_text(json.dumps(metrics, indent=1, ensure_ascii=False) + "\n")
    engines = metrics["engines"].items()
    path = audio.FOLDER / "README.md"
    path.write_text(
        template("audio_card").format(
            clips=metrics["clips"],
            steps=metrics["settings"]["STEPS"],
            words=metrics["words"],
            seconds=f"{metrics['seconds_a_step']:.2f}",
            names=metrics["names"],
            engines=", ".join(f"{name} {version}" for name, version in engines if name != "vits"),
            vits=VITS_PACKAGE,
            machine=f"{platform.machine()}, one CPU thread, no GPU, cores shared with other work",
            settings="\n".join(
                f"- {name.lower().replace('_', ' ')}: {value}" for name, value in metrics["settings"].items()
            ),
            recall=_table(metrics["recall"], metrics["recall on whisper-base"]),
            compared=_comparison(metrics["compared"]),
        ),
        encoding="utf-8",
    )
    return path


def _table(recall: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> str:
    lines = ["| clips | count | @1 | @5 | whisper-base: @1 | @5 |", "| --- | --- | --- | --- | --- | --- |"]
    for name, ours in recall.items():
        shares = " | ".join(f"{of[share]:.3f}" for of in (ours, other[name]) for share in ("@1", "@5"))
        lines.append(f"| {name} | {ours['clips']} | {shares} |")
    return "\n".join(lines)


def _comparison(compared: dict[str, dict[str, dict[str, float]]]) -> str:
    head, transcript = compared["head"], compared["transcript"]
    lines = ["| clips | count | this encoder | transcript, embedded |", "| --- | --- | --- | --- |"]
    for name, ours in head.items():
        theirs = transcript[name]
        shares = " | ".join(f"{v['@1']:.3f} / {v['@5']:.3f}" for v in (ours, theirs))
        lines.append(f"| {name} | {ours['clips']} | {shares} |")
    return "\n".join(lines)


def run(products: list[Product], report: Callable[[str, int, int], None]) -> Path:
    """Records, encodes, trains, evaluates and writes everything; goes on where it was stopped.

    The head is trained on each of `speech.WHISPERS`: the first is served, the other one's recall is told.

    Args:
        report: told what is being done, how much of it is done, and how much there is.
    """
    spoken_names, phrases = name_clips(products), phrase_clips(products)
    kept_out = held_out_names(products)
    learnt = [clip for clip in spoken_names if audio.is_trained_on(clip, kept_out)] + phrases
    heard = {word for clip in learnt for word in words_of(clip.means)}
    encoder = TextEncoder()
    scratch = cache_folder() / "training"

    def trained(whisper: str, path: Path) -> float:
        """Trains what is not there yet into `path`; returns the seconds of the processor that a step took."""
        for what, clips in (("names", spoken_names), ("phrases", phrases)):
            for done in compute(clips, whisper):
                report(f"recording and encoding {what} for {whisper}", done, len(clips))
        stamp, print_of = scratch / f"audio-{whisper}.json", audio.fingerprint(learnt, whisper)
        if not (path.exists() and stamp.exists() and json.loads(stamp.read_text())["of"] == print_of):
            known = read(spoken_names, whisper).pick(lambda clip: audio.is_trained_on(clip, kept_out))
            given = Spoken(learnt, known.states + read(phrases, whisper).states)
            worked = []

            def tell(step: int, terms: str) -> None:
                worked.append(time.process_time())
                report(f"training on {whisper}: {terms}", step, audio.STEPS)

            data = audio.Data.of(given, lambda texts: embed(texts, encoder))
            head = audio.train(data, scratch / f"audio-{print_of}.pt", tell)
            save(head, path, {"steps": str(audio.STEPS), "clips": str(len(learnt))})
            stamp.write_text(json.dumps({"of": print_of, "seconds": (worked[-1] - worked[0]) / (len(worked) - 1)}))
        return json.loads(stamp.read_text())["seconds"]

    served, other = WHISPERS
    seconds = trained(served, audio.FOLDER / "model.safetensors")
    total = len(compared(products))
    metrics = evaluate(heard, products, encoder, lambda done: report("whisper writes down", done, total))
    other_path = scratch / f"audio-{other}.safetensors"
    trained(other, other_path)
    embedding, _ = audio.hear(audio.load(other_path), read(spoken_names, other))
    return write(
        metrics
        | {
            "recall on whisper-base": recall_by_set(embedding, spoken_names, products, heard, encoder),
            "words": len(heard),
            "settings": {name: getattr(audio, name) for name in _SETTINGS},
            "clips": len(learnt),
            "seconds_a_step": round(seconds, 2),
            "engines": engine_versions(),
        }
    )

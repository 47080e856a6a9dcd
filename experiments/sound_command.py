"""Everything that `python -m experiments sound` writes: weights, figures, pictures and the card."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from safetensors import safe_open

from experiments.sound import EACH, PLAN, Data, fingerprint, load, train
from experiments.sound_decoder import SoundDecoder
from experiments.sound_evaluation import log_mel
from training.common.figures import MACHINE
from training.common.files import REPOSITORY, cache_folder
from training.common.weights import save

FOLDER = REPOSITORY / "out" / "experiments" / "sound_decoder"
PICTURED = 6
COLUMNS = ("synthesised", "analysis and oscillators", "generated, seed 0", "generated, seed 1")


def trained(data: Data, report: Callable[[int, str], None]) -> tuple[SoundDecoder, float]:
    """The decoder, trained unless the cache has it, and the seconds that its training took (since it last went on)."""
    path = cache_folder() / "training" / f"sound-{fingerprint()}.safetensors"
    if not path.exists():
        started = time.perf_counter()
        decoder = train(data, path.with_suffix(".pt"), report).decoder
        save(decoder, path, {"seconds": f"{time.perf_counter() - started:.0f}"})
    with safe_open(path, "pt") as file:
        return load(path), float(file.metadata()["seconds"])


def write(decoder: SoundDecoder, results: dict[str, Any], seconds: float) -> Path:
    """Writes the folder; `results` as `experiments.sound_evaluation.evaluate` gives them."""
    save(decoder, FOLDER / "model.safetensors", {"steps": str(PLAN.steps)})
    examples = results.pop("examples")
    picture(examples, FOLDER / "spectrograms.png")
    settings = {"steps": PLAN.steps, "batch": PLAN.batch, "learning rate": PLAN.rate, "jingles a product": EACH}
    (FOLDER / "metrics.json").write_text(json.dumps(results | {"settings": settings}, indent=1) + "\n")
    (FOLDER / "README.md").write_text(card(results, decoder, seconds))
    return FOLDER


def picture(examples: list[tuple], path: Path) -> None:
    """Log-mel of a product of each of the first moods, a row a product."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    by_mood = {mood: example for example in reversed(examples) for mood in [example[1]]}
    chosen = [by_mood[mood] for mood in sorted(by_mood)][:PICTURED]
    figure, axes = pyplot.subplots(len(chosen), len(COLUMNS), figsize=(12, 1.7 * len(chosen)), squeeze=False)
    for row, (name, mood, *waves) in zip(axes, chosen, strict=True):
        for cell, wave, title in zip(row, waves, COLUMNS, strict=True):
            cell.imshow(
                log_mel(np.asarray(wave)[None])[0], origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0
            )
            cell.set_title(title if cell in axes[0] else "", fontsize=9)
            cell.set_xticks([])
            cell.set_yticks([])
        row[0].set_ylabel(f"{name}\n{mood}", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=60)
    pyplot.close(figure)


def table(results: dict[str, Any]) -> str:
    """Every group of figures as lines of Markdown."""
    lines = []
    for group, found in results.items():
        if isinstance(found, dict):
            lines += ["", f"| {group} | |", "| --- | --- |"]
            for name, value in found.items():
                inner = value if isinstance(value, dict) else {"": value}
                lines.append(f"| {name} | {', '.join(f'{k} {v:.3f}'.strip() for k, v in inner.items())} |")
    return "\n".join(lines[1:])


def verdict(results: dict[str, Any]) -> str:
    """Whether the decoder is worth having, by the figures."""
    accuracy = results["mood accuracy"]
    made, hand = accuracy["generated"], accuracy["nearest product's synthesised"]
    distances = results["log-mel distance to the product's own, dB"]
    near, far = distances["generated"], distances["nearest product's synthesised"]
    mood = "more often than" if made > hand + 0.02 else "less often than" if made < hand - 0.02 else "about as often as"
    sound = "nearer to" if near < far - 0.2 else "farther from" if near > far + 0.2 else "about as far from"
    worth = made > hand + 0.02 and near < far + 0.2
    return (
        f"The mood is heard {mood} where the jingle of the nearest known product is simply played ({made:.2f} against "
        f"{hand:.2f}), and the sound is {sound} the product's own ({near:.1f} dB against {far:.1f} dB). "
        f"By these figures {'it is worth having' if worth else 'it is not worth its place: play the jingle'}."
    )


def card(results: dict[str, Any], decoder: SoundDecoder, seconds: float) -> str:
    """The model card."""
    return (
        (Path(__file__).parent / "sound_card.md")
        .read_text()
        .format(
            parameters=sum(p.numel() for p in decoder.parameters()) / 1e6,
            each=EACH,
            steps=PLAN.steps,
            batch=PLAN.batch,
            seconds=seconds,
            products=results["products"],
            machine=MACHINE,
            verdict=verdict(results),
            table=table(results),
        )
    )

"""Kokoro (StyleTTS 2): phoneme ids and a voice's style → samples, Mandarin with English words between.

Source: hexgrad, Kokoro-82M (Apache-2.0); its ONNX file and vocabulary by kokoro-onnx.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from families.common.parity import difference
from families.common.slot import Slot
from families.speech_decoder import check_ports
from graph.schema import resolve_axis
from stages.speech import SPEEDS

#: What the network must take and give, with the number of dims.
INPUTS = {"tokens": ("tensor(int64)", 2), "style": ("tensor(float)", 2), "speed": ("tensor(float)", 1)}
OUTPUTS = {"audio": ("tensor(float)", 1)}
SAMPLE_RATE = 24_000  # of every Kokoro; no file of it says so
WIDTH = 256  # of a style
#: First letter of a voice's name → the language it speaks.
LANGUAGES = {"z": "zh", "a": "en"}


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Numbers of a style."""
    return {"style": WIDTH}


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Writes ``model.onnx``, ``kokoro.json`` and ``styles.npy``.

    ``kokoro.json``: ``sample_rate`` in Hz, ``voices`` (name → language, the slot's option ``first`` before the others),
    ``phoneme_ids``. ``styles.npy``: float32 [voices, lengths, 256], a style for each number of phonemes.

    Args:
        checkpoint: a folder with ``model.onnx``, ``vocab.json`` and a ``<voice>.bin`` for each voice.

    Raises:
        ValueError: a file is missing, the network's inputs or outputs are others, a voice is of another size, or speaks
            a language that nothing here reads.
    """
    voices = sorted(path.stem for path in checkpoint.glob("*.bin"))
    if not voices or not (checkpoint / "vocab.json").is_file() or not (checkpoint / "model.onnx").is_file():
        raise ValueError(f"{checkpoint}: expected model.onnx, vocab.json and a <voice>.bin for each voice")
    session = ort.InferenceSession(checkpoint / "model.onnx", providers=["CPUExecutionProvider"])
    check_ports(session, INPUTS, OUTPUTS, "model.onnx", "take a Kokoro export of kokoro-onnx")
    if unread := [voice for voice in voices if voice[0] not in LANGUAGES]:
        raise ValueError(f"voices {', '.join(unread)}: only those that begin with {' or '.join(LANGUAGES)} can be read")
    first = str(slot.options.get("first", voices[0]))
    if first not in voices:
        raise ValueError(f"option first: no voice {first!r}; the slot has {', '.join(voices)}")
    voices = [first, *(voice for voice in voices if voice != first)]
    styles = [np.fromfile(checkpoint / f"{voice}.bin", np.float32) for voice in voices]
    if {style.size for style in styles} != {styles[0].size} or styles[0].size % WIDTH:
        sizes = ", ".join(f"{voice} {style.size}" for voice, style in zip(voices, styles, strict=True))
        raise ValueError(f"styles of {sizes} values; expected as many of each, a multiple of {WIDTH}")
    facts = {
        "sample_rate": SAMPLE_RATE,
        "voices": {voice: LANGUAGES[voice[0]] for voice in voices},
        "phoneme_ids": json.loads((checkpoint / "vocab.json").read_text("utf-8"))["vocab"],
    }
    onnx.save(_limited(onnx.load(checkpoint / "model.onnx")), out / "model.onnx")
    np.save(out / "styles.npy", np.stack(styles).reshape(len(styles), -1, WIDTH))
    (out / "kokoro.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), "utf-8")


def _limited(network: onnx.ModelProto) -> onnx.ModelProto:
    """The network with its speed held above nought, by which it would divide: a server warms up with zeros."""
    for node in network.graph.node:
        node.input[:] = ["limited_speed" if name == "speed" else name for name in node.input]
    least = numpy_helper.from_array(np.array(SPEEDS[0], np.float32), "least_speed")
    network.graph.initializer.append(least)
    network.graph.node.insert(0, helper.make_node("Max", ["speed", least.name], ["limited_speed"]))
    return network


def parity(checkpoint: Path, slot: Slot, out: Path) -> list[dict]:
    """Writes ``reference.npz`` for the comparison with the server: the network's own answers to ids of two lengths.

    There is no torch side: the checkpoint is ONNX already.

    Returns:
        One row a case: ``case`` and ``output``.

    Raises:
        ParityError: NaN or Inf in an answer.
    """
    known = list(json.loads((out / "kokoro.json").read_text("utf-8"))["phoneme_ids"].values())
    styles = np.load(out / "styles.npy", mmap_mode="r")
    session = ort.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    rows: list[dict] = []
    reference: dict[str, np.ndarray] = {}
    for length in resolve_axis("signs", {})[:2]:
        case = f"signs={length}"
        ids = np.pad(np.random.default_rng(length).choice(known, length), 1)[None]
        inputs = {"tokens": ids, "style": styles[:1, length - 1], "speed": np.ones(1, np.float32)}
        samples = session.run(["audio"], inputs)[0]
        difference(f"speech_decoder_zh {case}", samples, samples)
        rows.append({"case": case, "output": "audio"})
        reference |= {f"{case}|{name}": array for name, array in (inputs | {"audio": samples}).items()}
    np.savez_compressed(out / "reference.npz", **reference)
    return rows

"""Whisper as a CTranslate2 folder: what is said in a sound."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from families.common.slot import Slot
from networks.whisper import read_ctranslate2

FILES = ("model.bin", "config.json", "vocabulary.txt", "tokenizer.json")
#: The recipe's precision → CTranslate2's, which converts the weights as it reads them.
PRECISIONS = {"fp32": "float32", "fp16": "float16", "int8": "int8"}


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Bands and most frames of the log-mel that it hears."""
    variables = read_ctranslate2(checkpoint / "model.bin")
    positions = variables["encoder/position_encodings/encodings"].shape[0]
    return {"mels": variables["encoder/conv1/weight"].shape[1], "mel_frames": 2 * positions}


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Copies the folder's files; ``transcriber.json`` says in which precision they run, and in which languages.

    Args:
        slot: option `languages`, the codes of those that sounds are expected in, parted by spaces.

    Raises:
        ValueError: one is missing.
    """
    if missing := [name for name in FILES if not (checkpoint / name).is_file()]:
        raise ValueError(f"{checkpoint} lacks {', '.join(missing)}; it is no CTranslate2 folder of whisper")
    for name in FILES:
        shutil.copy(checkpoint / name, out / name)
    languages = str(slot.options.get("languages", "en")).split()
    (out / "transcriber.json").write_text(json.dumps({"precision": PRECISIONS[slot.precision], "languages": languages}))

"""A small repository with the names and tensors of the served ensembles, whose answers the tests steer by the title.

A real Triton serves it, so that the client's errors, timeouts and cancellation are tried against real transports.
May import nothing of the project; the models run in Triton's python stub and use `stages.errors`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

HERE = Path(__file__).parent

TITLE = {"TITLE": "STRING [1]"}
TEXT_FIELDS = dict.fromkeys(
    ("TASK", "LANGUAGE", "TONE", "CLAIMS", "QUESTION", "HISTORY", "ATTRIBUTES", "BRAND"), "STRING [1]"
)
SAMPLING = {
    "MAX_TOKENS": "INT32 [1]",
    "TEMPERATURE": "FP32 [1]",
    "TOP_P": "FP32 [1]",
    "TOP_K": "INT32 [1]",
    "REPETITION_PENALTY": "FP32 [1]",
    "SEED": "INT64 [1]",
    "STOP": "STRING [-1]",
    "TIMEOUT_MS": "INT32 [1]",
}
EDIT_FIELDS = {"MAX_CHARACTERS": "INT32 [1]", "BANNED_WORDS": "STRING [-1]"}
EDITS = dict.fromkeys(("EDITS", "EVIDENCE", "CONFLICTS", "LISTING", "TEXT_MODERATION"), "STRING [1]")
CONDITION = {"CONDITION": "FP32 [7, 24]"}
TEXT = {
    "TEXT": "STRING [1]",
    "FINISH_REASON": "STRING [1]",
    "PROMPT_TOKENS": "INT32 [1]",
    "COMPLETION_TOKENS": "INT32 [1]",
}
TAGS = {"TAGS": "STRING [5]", "TAG_SCORES": "FP32 [5]"}

EVERYTHING = TEXT | EDITS | CONDITION | {"EMBEDDING": "FP32 [24]", "MODERATION": "STRING [1]"} | TAGS
EVERYTHING |= {"LABEL_TEXT": "STRING [1]"}

#: ensemble over `stand_in` → its required inputs, its outputs.
ENSEMBLES = {
    "content": (TITLE, EVERYTHING),
    "content_image": (TITLE | {"IMAGE": "STRING [1]"}, EVERYTHING),
    "generate": (TITLE | CONDITION, TEXT | EDITS | TAGS),
}


def build(folder: Path) -> Path:
    """Writes the repository into `folder` and returns it."""
    optional = TEXT_FIELDS | SAMPLING | EDIT_FIELDS
    given = {"IMAGE": "STRING [1]"} | CONDITION | optional
    _model(folder, "stand_in", "content_model.py", 8, TITLE, given, EVERYTHING)
    _model(folder, "tagger", "content_model.py", 8, CONDITION, {}, TAGS)
    chosen = {name: SAMPLING[name] for name in ("MAX_TOKENS", "TEMPERATURE", "TOP_P", "REPETITION_PENALTY")}
    read = {"REQUEST": "STRING [1]"}
    prompt = {"PROMPT": "STRING [1]"} | read | chosen
    _model(folder, "prompter", "content_model.py", 8, TITLE | TAGS, TEXT_FIELDS | chosen, prompt)
    _model(folder, "text_decoder", "stream_model.py", 1, {"PROMPT": "STRING [1]"}, read | SAMPLING, TEXT)
    for name, (required, outputs) in ENSEMBLES.items():
        lines = [*_head(name, 8, required, optional, outputs), 'platform: "ensemble"', "ensemble_scheduling { step [ {"]
        lines += ['  model_name: "stand_in" model_version: -1']
        lines += [f'  input_map {{ key: "{key}" value: "{key}" }}' for key in required | optional]
        lines += [f'  output_map {{ key: "{key}" value: "{key}" }}' for key in outputs]
        _write(folder / name, [*lines, "} ] }"])
    return folder


def _model(folder: Path, name: str, source: str, batch: int, required: dict, optional: dict, outputs: dict) -> None:
    lines = [*_head(name, batch, required, optional, outputs), 'backend: "python"']
    lines += ["instance_group [ { kind: KIND_CPU count: 1 } ]"]
    if name == "text_decoder":
        lines += ["model_transaction_policy { decoupled: true }"]
    _write(folder / name, lines)
    shutil.copy(HERE / source, folder / name / "1" / "model.py")


def _head(name: str, batch: int, required: dict, optional: dict, outputs: dict) -> list[str]:
    tensors = [("input", key, kind, "") for key, kind in required.items()]
    tensors += [("input", key, kind, " optional: true") for key, kind in optional.items()]
    tensors += [("output", key, kind, "") for key, kind in outputs.items()]
    lines = [f'name: "{name}"', f"max_batch_size: {batch}"]
    for side, key, kind, extra in tensors:
        dtype, _, dims = kind.partition(" ")
        lines.append(f'{side} [ {{ name: "{key}" data_type: TYPE_{dtype} dims: {dims}{extra} }} ]')
    return lines


def _write(folder: Path, lines: list[str]) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text("\n".join(lines) + "\n")

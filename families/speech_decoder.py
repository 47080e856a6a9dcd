"""A VITS voice in piper's layout (an ONNX network beside its config): phoneme ids → samples.

Source: Kim et al. 2021, Conditional Variational Autoencoder with Adversarial Learning for End-to-End Text-to-Speech
(arXiv:2106.06103). The network is served as it comes; each sentence is a run of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort

from families.common.parity import difference
from families.common.slot import Slot
from graph.schema import resolve_axis

#: What the network must take and give, with the number of dims. `scales` are noise, length and noise of the durations.
INPUTS = {"input": ("tensor(int64)", 2), "input_lengths": ("tensor(int64)", 1), "scales": ("tensor(float)", 1)}
OUTPUTS = {"output": ("tensor(float)", 4)}
#: Where phonemes may come from (see `stages.vits`).
PHONEMES = ("dictionary", "espeak")


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Writes ``model.onnx`` and ``vits.json``.

    ``vits.json``: ``sample_rate`` in Hz, ``voices`` (name → language), ``phonemes`` (the slot's option: ``dictionary``
    unless it says ``espeak``), ``espeak_voice``, ``scales`` [3] for the input of that name, ``phoneme_ids`` (phoneme →
    its ids).

    Args:
        checkpoint: a folder with one ``.onnx`` file, its config beside it as ``<file>.json``.

    Raises:
        ValueError: the folder holds no such pair, the network's inputs or outputs are others, the voice has several
            speakers, its phonemes are not espeak's, or it speaks a language that nothing here reads.
    """
    network = _network(checkpoint)
    session = ort.InferenceSession(network, providers=["CPUExecutionProvider"])
    check_ports(session, INPUTS, OUTPUTS, network.name, "take a piper voice of one speaker")
    config = json.loads(network.with_name(f"{network.name}.json").read_text(encoding="utf-8"))
    if config["phoneme_type"] != "espeak" or config["num_speakers"] != 1:
        raise ValueError(
            f"{network.name}: phonemes {config['phoneme_type']!r} and {config['num_speakers']} speakers; "
            "take a voice with espeak's phonemes and one speaker"
        )
    inference, language = config["inference"], config["language"]["family"]
    phonemes = slot.options.get("phonemes", PHONEMES[0])
    if phonemes not in PHONEMES:
        raise ValueError(f"option phonemes: {phonemes!r} is unknown; write {' or '.join(PHONEMES)}")
    if phonemes == PHONEMES[0] and language != "en":
        raise ValueError(
            f"{network.name} speaks {language!r}; the dictionary is English: set the option phonemes: espeak"
        )
    speech = {
        "sample_rate": config["audio"]["sample_rate"],
        "voices": {config["dataset"]: language},
        "phonemes": phonemes,
        "espeak_voice": config["espeak"]["voice"],
        "scales": [inference["noise_scale"], inference["length_scale"], inference["noise_w"]],
        "phoneme_ids": config["phoneme_id_map"],
    }
    shutil.copy(network, out / "model.onnx")
    (out / "vits.json").write_text(json.dumps(speech, ensure_ascii=False, indent=1), encoding="utf-8")


def check_ports(session: ort.InferenceSession, inputs: dict, outputs: dict, name: str, mend: str) -> None:
    """Holds a network's ports against those that are expected: name → type and number of dims.

    Args:
        name: of the network's file.
        mend: what to do where they differ.

    Raises:
        ValueError: they differ.
    """
    for kind, wanted, given in (("inputs", inputs, session.get_inputs()), ("outputs", outputs, session.get_outputs())):
        found = {tensor.name: (tensor.type, len(tensor.shape)) for tensor in given}
        if found != wanted:
            raise ValueError(f"{name}: {kind} {found}, expected {wanted}; {mend}")


def _network(folder: Path) -> Path:
    """The voice's network in its folder."""
    found = [path for path in sorted(folder.glob("*.onnx")) if path.with_name(f"{path.name}.json").is_file()]
    if len(found) != 1:
        raise ValueError(
            f"{folder}: {len(found)} voices; a voice is one <file>.onnx with its <file>.onnx.json beside it"
        )
    return found[0]


def parity(checkpoint: Path, slot: Slot, out: Path) -> list[dict]:
    """Writes ``reference.npz`` for the comparison with the server: the network's own answers to ids of three lengths.

    Without noise, by which two runs would differ. There is no torch side: the checkpoint is ONNX already.

    Returns:
        One row a case: ``case`` and ``output``.

    Raises:
        ParityError: NaN or Inf in an answer.
    """
    known = [ids[0] for ids in json.loads((out / "vits.json").read_text(encoding="utf-8"))["phoneme_ids"].values()]
    session = ort.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    rows: list[dict] = []
    reference: dict[str, np.ndarray] = {}
    for length in resolve_axis("phonemes", {}):
        case = f"phonemes={length}"
        inputs = {
            "input": np.random.default_rng(length).choice(known, (1, length)),
            "input_lengths": np.array([length]),
            "scales": np.array([0, 1, 0], np.float32),
        }
        samples = session.run(["output"], inputs)[0]
        difference(f"speech_decoder {case}", samples, samples)
        rows.append({"case": case, "output": "output"})
        reference |= {f"{case}|{name}": array for name, array in (inputs | {"output": samples}).items()}
    np.savez_compressed(out / "reference.npz", **reference)
    return rows

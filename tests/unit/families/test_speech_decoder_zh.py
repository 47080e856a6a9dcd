"""Kokoro's slot: its voices become styles and facts; a checkpoint of another kind is refused."""

import json
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from families import speech_decoder_zh

SLOT = SimpleNamespace(options={"first": "zf_two"})


@pytest.fixture
def checkpoint(tmp_path):
    """A network of Kokoro's inputs that gives one sample, the speed's inverse; and two voices."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    network(folder)
    vocabulary = {"vocab": {sign: number for number, sign in enumerate("abc→", 1)}}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    for number, name in enumerate(("af_one", "zf_two")):
        np.full((510, 1, 256), number, np.float32).tofile(folder / f"{name}.bin")
    return folder


def network(folder, style="style"):
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "tokens_length"]),
        helper.make_tensor_value_info(style, TensorProto.FLOAT, [1, 256]),
        helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
    ]
    output = helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["audio_length"])
    graph = helper.make_graph([helper.make_node("Reciprocal", ["speed"], ["audio"])], "kokoro", inputs, [output])
    onnx.save(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), folder / "model.onnx"
    )


def test_voices_and_their_styles_in_one_order(checkpoint, tmp_path):
    speech_decoder_zh.build(checkpoint, SLOT, tmp_path)
    facts = json.loads((tmp_path / "kokoro.json").read_text(encoding="utf-8"))
    assert list(facts["voices"].items()) == [("zf_two", "zh"), ("af_one", "en")]
    assert facts["sample_rate"] == 24_000 and facts["phoneme_ids"]["→"] == 4
    styles = np.load(tmp_path / "styles.npy")
    assert styles.shape == (2, 510, 256) and styles[:, 0, 0].tolist() == [1, 0]


def test_a_speed_of_nought_does_not_speak_for_ever(checkpoint, tmp_path):
    speech_decoder_zh.build(checkpoint, SLOT, tmp_path)
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    inputs = {"tokens": np.zeros((1, 3), np.int64), "style": np.zeros((1, 256), np.float32)}
    spoken = [session.run(None, inputs | {"speed": np.array([s], np.float32)})[0][0] for s in (0, 1, 2)]
    assert spoken == [2, 1, 0.5]


def test_what_the_server_must_answer_is_kept(checkpoint, tmp_path):
    speech_decoder_zh.build(checkpoint, SLOT, tmp_path)
    rows = speech_decoder_zh.parity(checkpoint, SLOT, tmp_path)
    with np.load(tmp_path / "reference.npz") as reference:
        for row in rows:
            assert reference[f"{row['case']}|tokens"].shape[0] == 1 and reference[f"{row['case']}|audio"].tolist() == [
                1
            ]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "vocab.json").unlink(), "expected model.onnx, vocab.json and a <voice>.bin"),
        (lambda folder: [path.unlink() for path in folder.glob("*.bin")], "expected model.onnx, vocab.json"),
        (lambda folder: network(folder, "mood"), "inputs .*mood.* expected .*style"),
        (
            lambda folder: (folder / "af_one.bin").rename(folder / "jf_one.bin"),
            "jf_one: only those that begin with z or a",
        ),
        (
            lambda folder: (folder / "zf_two.bin").rename(folder / "zf_three.bin"),
            "no voice 'zf_two'; the slot has af_one",
        ),
        (
            lambda folder: np.zeros(256, np.float32).tofile(folder / "af_one.bin"),
            "af_one 256 values; expected as many of each",
        ),
    ],
)
def test_another_checkpoint_is_refused(checkpoint, tmp_path, spoil, told):
    spoil(checkpoint)
    with pytest.raises(ValueError, match=told):
        speech_decoder_zh.build(checkpoint, SLOT, tmp_path)

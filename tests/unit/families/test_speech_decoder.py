"""The speech decoder's slot: a voice of the right layout is taken as it comes, another one refused."""

import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from families import speech_decoder
from graph.schema import AXES

CONFIG = {
    "audio": {"sample_rate": 22050},
    "dataset": "joe",
    "language": {"family": "en"},
    "espeak": {"voice": "en-us"},
    "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
    "phoneme_type": "espeak",
    "phoneme_id_map": {"_": [0], "^": [1], "$": [2], "ˈ": [120]},
    "num_speakers": 1,
}
SLOT = SimpleNamespace(options={})


def voice(folder, *, samples="output", config=CONFIG):
    """A folder with a network of a voice's inputs that gives the scales back."""
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [1, 1, 1, 3])
    output = helper.make_tensor_value_info(samples, TensorProto.FLOAT, [1, 1, 1, 3])
    node = helper.make_node("Reshape", ["scales", "shape"], [samples])
    graph = helper.make_graph([node], "voice", inputs, [output], [shape])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    path = folder / "voice" / "voice.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    (path.parent / "voice.onnx.json").write_text(json.dumps(config), encoding="utf-8")
    return path.parent


def test_network_and_what_its_config_says(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    path = voice(tmp_path)
    speech_decoder.build(path, SLOT, out)
    assert (out / "model.onnx").read_bytes() == (path / "voice.onnx").read_bytes()
    assert json.loads((out / "vits.json").read_text(encoding="utf-8")) == {
        "sample_rate": 22050,
        "voices": {"joe": "en"},
        "phonemes": "dictionary",
        "espeak_voice": "en-us",
        "scales": [0.667, 1, 0.8],
        "phoneme_ids": CONFIG["phoneme_id_map"],
    }


def test_the_server_is_compared_with_the_network_without_noise(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    path = voice(tmp_path)
    speech_decoder.build(path, SLOT, out)
    rows = speech_decoder.parity(path, SLOT, out)
    assert [row["case"] for row in rows] == [f"phonemes={length}" for length in AXES["phonemes"]]
    with np.load(out / "reference.npz") as reference:
        for row in rows:
            ids = reference[f"{row['case']}|input"]
            assert set(ids.flat) <= {0, 1, 2, 120} and reference[f"{row['case']}|input_lengths"] == [ids.size]
            assert reference[f"{row['case']}|output"].flatten().tolist() == [0, 1, 0], "the scales, given back"


def test_other_networks_and_voices_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"outputs .*samples.* expected .*output"):
        speech_decoder.build(voice(tmp_path, samples="samples"), SLOT, tmp_path)
    with pytest.raises(ValueError, match="4 speakers"):
        speech_decoder.build(voice(tmp_path, config=CONFIG | {"num_speakers": 4}), SLOT, tmp_path)
    with pytest.raises(ValueError, match="'text'"):
        speech_decoder.build(voice(tmp_path, config=CONFIG | {"phoneme_type": "text"}), SLOT, tmp_path)


def test_phonemes_are_of_a_known_kind_and_the_dictionary_is_english(tmp_path):
    german = voice(tmp_path, config=CONFIG | {"language": {"family": "de"}})
    with pytest.raises(ValueError, match="speaks 'de'; the dictionary is English"):
        speech_decoder.build(german, SLOT, tmp_path)
    speech_decoder.build(german, SimpleNamespace(options={"phonemes": "espeak"}), tmp_path)
    assert json.loads((tmp_path / "vits.json").read_text(encoding="utf-8"))["phonemes"] == "espeak"
    with pytest.raises(ValueError, match="'ipa' is unknown; write dictionary or espeak"):
        speech_decoder.build(german, SimpleNamespace(options={"phonemes": "ipa"}), tmp_path)


def test_a_folder_without_one_voice_is_refused(tmp_path):
    folder = voice(tmp_path)
    (folder / "voice.onnx.json").unlink()
    with pytest.raises(ValueError, match=r"0 voices; a voice is one <file>\.onnx"):
        speech_decoder.build(folder, SLOT, tmp_path)

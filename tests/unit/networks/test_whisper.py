"""Whisper's encoder, read from a CTranslate2 folder or transformers': the same as transformers' own, on any length."""

import struct

import numpy as np
import pytest
import torch

from networks.whisper import load_encoder, read_ctranslate2
from tests.checkpoints import save_whisper

pytestmark = pytest.mark.usefixtures("one_thread")
WIDTH, HEADS, MELS, POSITIONS = 128, 2, 40, 300  # CTranslate2's file says nothing of heads: 64 wide each


def text(word: str) -> bytes:
    return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"


def variables(network) -> dict[str, np.ndarray]:
    """The encoder of a network of transformers under CTranslate2's names."""
    theirs = {name.removeprefix("encoder."): value.numpy() for name, value in network.state_dict().items()}
    made = {"encoder/position_encodings/encodings": theirs["embed_positions.weight"]}

    def norm(ours: str, name: str) -> None:
        made[f"{ours}/gamma"], made[f"{ours}/beta"] = theirs[f"{name}.weight"], theirs[f"{name}.bias"]

    def linear(ours: str, *names: str) -> None:
        made[f"{ours}/weight"] = np.concatenate([theirs[f"{name}.weight"] for name in names])
        biases = [theirs.get(f"{name}.bias", np.zeros(WIDTH, np.float32)) for name in names]
        made[f"{ours}/bias"] = np.concatenate(biases)

    for number in (1, 2):
        linear(f"encoder/conv{number}", f"conv{number}")
    norm("encoder/layer_norm", "layer_norm")
    for number in range(network.config.encoder_layers):
        ours, layer = f"encoder/layer_{number}", f"layers.{number}"
        linear(f"{ours}/self_attention/linear_0", *(f"{layer}.self_attn.{which}_proj" for which in "qkv"))
        linear(f"{ours}/self_attention/linear_1", f"{layer}.self_attn.out_proj")
        norm(f"{ours}/self_attention/layer_norm", f"{layer}.self_attn_layer_norm")
        linear(f"{ours}/ffn/linear_0", f"{layer}.fc1")
        linear(f"{ours}/ffn/linear_1", f"{layer}.fc2")
        norm(f"{ours}/ffn/layer_norm", f"{layer}.final_layer_norm")
    return made


def save_ctranslate2(folder, made: dict[str, np.ndarray]) -> None:
    parts = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<II", 3, len(made))]
    for name, value in made.items():
        parts += [text(name), struct.pack("<B", value.ndim), struct.pack(f"<{value.ndim}I", *value.shape)]
        parts += [struct.pack("<BI", {"float32": 0, "int8": 1}[value.dtype.name], value.nbytes), value.tobytes()]
    (folder / "model.bin").write_bytes(b"".join(parts))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One whisper of random weights in both layouts."""
    from transformers import WhisperModel

    theirs, ours = tmp_path_factory.mktemp("transformers"), tmp_path_factory.mktemp("ctranslate2")
    save_whisper(theirs, WIDTH, HEADS, MELS, POSITIONS)
    save_ctranslate2(ours, variables(WhisperModel.from_pretrained(theirs).encoder))
    return theirs, ours


def test_a_file_is_read_back(tmp_path):
    wanted = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.float32([0.5])}
    save_ctranslate2(tmp_path, wanted)
    found = read_ctranslate2(tmp_path / "model.bin")
    assert list(found) == list(wanted)
    assert all((found[name] == value).all() for name, value in wanted.items())


@pytest.mark.parametrize("layout", [0, 1], ids=["transformers", "ctranslate2"])
def test_the_encoder_is_transformers_one_where_that_takes_the_clip(folders, layout):
    from transformers import WhisperModel

    log_mel = torch.randn(1, MELS, 2 * POSITIONS, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = load_encoder(folders[layout])(log_mel)
        theirs = WhisperModel.from_pretrained(folders[0]).eval().encoder(log_mel).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [200, 301, 600])
def test_a_short_clip_takes_as_many_positions_as_it_has(folders, frames):
    with torch.inference_mode():
        assert load_encoder(folders[1])(torch.zeros(2, MELS, frames)).shape == (2, (frames + 1) // 2, WIDTH)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(struct.pack("<I", 6) + text("TransformerSpec"))
    with pytest.raises(ValueError, match="TransformerSpec"):
        load_encoder(tmp_path)
    (tmp_path / "model.bin").write_bytes(struct.pack("<I", 6) + text("WhisperSpec") + b"\0\0")
    with pytest.raises(ValueError, match="no CTranslate2 model file"):
        load_encoder(tmp_path)
    (tmp_path / "model.bin").write_bytes(struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 0))
    with pytest.raises(ValueError, match="holds no whisper encoder"):
        load_encoder(tmp_path)


def test_a_folder_of_neither_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no whisper encoder"):
        load_encoder(tmp_path)


def test_quantised_weights_are_refused(folders, tmp_path):
    made = read_ctranslate2(folders[1] / "model.bin")
    name = "encoder/layer_0/ffn/linear_0/weight"
    save_ctranslate2(tmp_path, made | {name: (made[name] * 100).astype(np.int8)})
    with pytest.raises(ValueError, match=r"holds quantised weights \(int8\); convert the checkpoint"):
        load_encoder(tmp_path)

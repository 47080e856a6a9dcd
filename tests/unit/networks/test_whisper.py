"""Whisper read from a CTranslate2 folder: the same as transformers' model, on clips of any length."""

import struct

import numpy as np
import pytest
import torch

from networks.transcriber import load_model
from networks.whisper import MELS, POSITIONS, load_encoder, read_ctranslate2

pytestmark = pytest.mark.usefixtures("one_thread")
VOCABULARY, TOKEN_POSITIONS = 50_300, 448
WIDTH, LAYERS, FEED = 128, 3, 512  # no whisper's: the shape is the file's


def variables() -> dict[str, np.ndarray]:
    """A small whisper of random weights under CTranslate2's names."""
    rng = np.random.default_rng(0)
    made = {}

    def linear(name: str, out: int, into: int) -> None:
        made[f"{name}/weight"] = rng.standard_normal((out, into)) * into**-0.5
        made[f"{name}/bias"] = rng.standard_normal(out) * 0.1

    def norm(name: str) -> None:
        made[f"{name}/gamma"], made[f"{name}/beta"] = 1 + 0.1 * rng.standard_normal((2, WIDTH))

    for side, positions in (("encoder", POSITIONS), ("decoder", TOKEN_POSITIONS)):
        made[f"{side}/position_encodings/encodings"] = rng.standard_normal((positions, WIDTH))
        norm(f"{side}/layer_norm")
        for i in range(LAYERS):
            attentions = {"self_attention": (3,)} | ({"attention": (1, 2)} if side == "decoder" else {})
            for name, stacks in attentions.items():
                for j, stack in enumerate((*stacks, 1)):
                    linear(f"{side}/layer_{i}/{name}/linear_{j}", stack * WIDTH, WIDTH)
                norm(f"{side}/layer_{i}/{name}/layer_norm")
            made[f"{side}/layer_{i}/self_attention/linear_0/bias"][WIDTH : 2 * WIDTH] = 0  # keys have none
            linear(f"{side}/layer_{i}/ffn/linear_0", FEED, WIDTH)
            linear(f"{side}/layer_{i}/ffn/linear_1", WIDTH, FEED)
            norm(f"{side}/layer_{i}/ffn/layer_norm")
    made["decoder/embeddings/weight"] = np.zeros((VOCABULARY, WIDTH))
    for i, into in ((1, MELS), (2, WIDTH)):
        made[f"encoder/conv{i}/weight"] = rng.standard_normal((WIDTH, into, 3)) * (3 * into) ** -0.5
        made[f"encoder/conv{i}/bias"] = rng.standard_normal(WIDTH) * 0.1
    return {name: value.astype(np.float16) for name, value in made.items()}


def text(word: str) -> bytes:
    return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("whisper")
    parts = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<I", 3)]
    made = variables()
    parts.append(struct.pack("<I", len(made)))
    for name, value in made.items():
        parts += [text(name), struct.pack("<B", value.ndim), struct.pack(f"<{value.ndim}I", *value.shape)]
        parts += [struct.pack("<BI", 4, value.nbytes), value.tobytes()]
    (path / "model.bin").write_bytes(b"".join(parts))
    return path


def test_a_file_is_read_back(folder):
    wanted = variables()
    found = read_ctranslate2(folder / "model.bin")
    assert list(found) == list(wanted)
    assert all((found[name] == value).all() for name, value in wanted.items())


def test_the_encoder_is_transformers_one_where_that_takes_the_clip(folder):
    log_mel = torch.randn(1, MELS, 2 * POSITIONS, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = load_encoder(folder)(log_mel)
        theirs = load_model(folder).model.encoder(log_mel).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [200, 301, 600])
def test_a_short_clip_takes_as_many_positions_as_it_has(folder, frames):
    with torch.inference_mode():
        assert load_encoder(folder)(torch.zeros(2, MELS, frames)).shape == (2, (frames + 1) // 2, WIDTH)


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

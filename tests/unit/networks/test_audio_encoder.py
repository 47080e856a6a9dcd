"""The audio encoder keeps its contract: shapes, unit length, rows that do not touch each other, the same as ONNX."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from export import onnx
from families import audio_encoder as slot
from graph.schema import Model, Tensor
from networks.audio_encoder import TOKENS, WIDTH, AudioEncoder, Head
from networks.whisper import MELS, Encoder, Shape

pytestmark = pytest.mark.usefixtures("one_thread")
MODEL = Model(
    "audio_encoder",
    "onnxruntime",
    (Tensor("log_mel", "FP32", (MELS, "mel_frames")),),
    (Tensor("audio_embedding", "FP32", (WIDTH,)), Tensor("audio_tokens", "FP32", (TOKENS, WIDTH))),
    axes={"batch": (1, 8, 8), "mel_frames": (200, 300, 3000)},
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return AudioEncoder(Encoder(Shape(384, 1536, 4, 6, MELS, 1500)), Head(384)).eval()


def clip(batch: int, frames: int) -> np.ndarray:
    return sample({"batch": batch, "mel_frames": frames}, np.random.default_rng(batch))["log_mel"]


def sample(axes, rng):
    """The slot's, which is given the facts as well."""
    return slot.sample(axes | {"mels": MELS}, rng)


@pytest.mark.parametrize("frames", [200, 300, 450])
def test_shapes_and_unit_length(network, frames):
    with torch.inference_mode():
        embedding, tokens = network(torch.from_numpy(clip(3, frames)))
    assert embedding.shape == (3, WIDTH)
    assert tokens.shape == (3, TOKENS, WIDTH)
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(3))


def test_a_row_is_the_same_alone_and_among_others(network):
    given = torch.from_numpy(clip(3, 200))
    with torch.inference_mode():
        together = network(given)
        alone = network(given[1:2])
    for part, whole in zip(alone, together, strict=True):
        torch.testing.assert_close(part[0], whole[1], atol=1e-5, rtol=1e-4)


def test_silence_is_heard_without_nan(network):
    with torch.inference_mode():
        embedding, tokens = network(torch.full((1, MELS, 200), -1.5))
    assert embedding.isfinite().all()
    assert tokens.isfinite().all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's exporter warns of its own use of torch
def test_onnx_gives_the_same_for_every_batch_and_length(network, tmp_path):
    onnx.export(network, MODEL, sample, tmp_path / "model.onnx")
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch, frames in ((1, 200), (3, 300), (1, 1200)):
        given = clip(batch, frames)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(given))
        found = session.run(["audio_embedding", "audio_tokens"], {"log_mel": given})
        for want, have in zip(wanted, found, strict=True):
            np.testing.assert_allclose(have, want.numpy(), atol=1e-4)

"""The sound decoder: shapes, its oscillators, and its export."""

import numpy as np
import pytest
import torch

from experiments.sound_decoder import (
    FLOOR,
    FRAMES,
    LOWEST,
    NOISE,
    OSCILLATORS,
    RATE,
    SAMPLES,
    WIDTH,
    Oscillators,
    SoundDecoder,
    SoundEncoder,
    spectral_distance,
)
from experiments.sound_export import sample
from export import onnx as exporter
from families.common.parity import session
from graph.schema import Model, Tensor

pytestmark = pytest.mark.usefixtures("one_thread")
MODEL = Model(
    "sound_decoder",
    "onnxruntime",
    (Tensor("condition", "FP32", (WIDTH,)), Tensor("noise", "FP32", (NOISE,))),
    (Tensor("audio", "FP32", (SAMPLES,)),),
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = SoundDecoder().eval()
    with torch.no_grad():
        network.widen[-1].bias.fill_(-3.0)  # audible before training
    return network


@torch.inference_mode()
def run(network, given):
    return network(*(torch.from_numpy(v) for v in given.values()))


def test_shape_and_range(network):
    audio = run(network, sample({"batch": 3}, np.random.default_rng(0)))
    assert audio.shape == (3, SAMPLES)
    assert audio.isfinite().all() and audio.abs().max() <= 1 and audio.std() > 1e-3


def test_condition_and_seed_both_count(network):
    given = sample({"batch": 2}, np.random.default_rng(1))
    audio = run(network, given)
    other_seed = run(network, given | {"noise": given["noise"][::-1].copy()})
    other_condition = run(network, given | {"condition": given["condition"][::-1].copy()})
    for other in (other_seed, other_condition):
        assert (other - audio).abs().max() > 1e-4
    torch.testing.assert_close(run(network, given), audio)


def test_an_oscillator_plays_its_note_where_it_is_loud():
    loudness = torch.full((1, OSCILLATORS, FRAMES), FLOOR)
    loudness[0, 69 - LOWEST, 50:150] = -1.0  # the concert pitch, from 0.5 to 1.5 s
    audio = Oscillators()(loudness)[0]
    assert not audio[: 48 * 160].any() and not audio[151 * 160 :].any()
    tone = audio[RATE * 3 // 5 : RATE * 7 // 5]
    assert tone.abs().max() == pytest.approx(np.exp(-1), abs=0.01)
    peak = torch.fft.rfft(tone * torch.hann_window(len(tone))).abs().argmax() * RATE / len(tone)
    assert peak == pytest.approx(440, abs=1.5)


def test_oscillators_have_no_clicks_between_frames():
    loudness = torch.full((1, OSCILLATORS, FRAMES), FLOOR)
    loudness[0, 0] = torch.linspace(-6, 0, FRAMES)
    audio = Oscillators()(loudness)[0]
    # A tone of 165 Hz and amplitude one changes by 0.065 from sample to sample at most.
    assert audio[:-160].diff().abs().max() < 0.07


def test_the_encoder_gives_a_seed():
    mean, log_variance = SoundEncoder()(torch.randn(2, OSCILLATORS, FRAMES))
    assert mean.shape == log_variance.shape == (2, NOISE)


def test_spectral_distance_is_zero_for_the_same_and_grows():
    audio = torch.randn(2, 8000)
    assert spectral_distance(audio, audio) == 0
    assert spectral_distance(audio, 0.9 * audio) < spectral_distance(audio, torch.randn(2, 8000))


def test_the_exported_graph_agrees(network, tmp_path):
    path = tmp_path / "model.onnx"
    exporter.export(network, MODEL, sample, path)
    rows, _ = exporter.parity(network, MODEL, sample, path)
    assert max(row["torch_onnx"] for row in rows) < 1e-4
    graph = session(path)
    for batch in (1, 3):
        given = sample({"batch": batch}, np.random.default_rng(2))
        np.testing.assert_allclose(graph.run(None, given)[0], run(network, given).numpy(), atol=1e-4)

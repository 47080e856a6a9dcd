"""The video encoder: shapes for any number of frames, unit length, the same from ONNX."""

import numpy as np
import pytest
import torch

from export.onnx import export
from families.common.parity import session
from families.video_encoder import trained as slot
from graph.schema import Model, Tensor
from networks.video_encoder import SIDE, Spatial, VideoEncoder, same_padding

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = Model(
    "video_encoder",
    "onnxruntime",
    (Tensor("frames", "UINT8", ("frames", SIDE, SIDE, 3)),),
    (Tensor("video_embedding", "FP32", (384,)), Tensor("video_tokens", "FP32", (8, 384))),
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = VideoEncoder().eval()
    for block in made.motion:  # they start at zero, and then nothing would be seen of them
        torch.nn.init.normal_(block.widen.weight, std=0.05)
    for part in made.spatial.modules():  # and little comes through the rest, which is meant to be loaded
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight)
    return made


def frames(batch: int, count: int) -> np.ndarray:
    return slot.sample({"batch": batch, "frames": count}, np.random.default_rng([batch, count]))["frames"]


@pytest.mark.parametrize(("batch", "count"), [(1, 8), (3, 4), (2, 16), (1, 1)])
def test_any_number_of_frames_gives_a_unit_embedding_and_eight_tokens(network, batch, count):
    with torch.inference_mode():
        embedding, tokens = network(torch.from_numpy(frames(batch, count)))
    assert embedding.shape == (batch, 384)
    assert tokens.shape == (batch, 8, 384)
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(batch))
    assert tokens.isfinite().all()


def test_a_clip_is_read_the_same_alone_and_among_others(network):
    clips = torch.from_numpy(frames(3, 8))
    with torch.inference_mode():
        whole, alone = network(clips), network(clips[1:2])
    for a, b in zip(whole, alone, strict=True):
        torch.testing.assert_close(a[1:2], b, atol=1e-5, rtol=1e-4)


def test_the_order_of_frames_matters(network):
    clip = torch.from_numpy(frames(1, 8))
    with torch.inference_mode():
        there, back = network(clip), network(clip.flip(1))
    assert (there[1] - back[1]).abs().max() > 1e-3


def test_black_white_and_no_contrast_stay_finite(network):
    clips = torch.stack([torch.full((4, SIDE, SIDE, 3), level, dtype=torch.uint8) for level in (0, 127, 255)])
    with torch.inference_mode():
        assert all(part.isfinite().all() for part in network(clips))


@pytest.mark.parametrize(("size", "kernel", "stride"), [(112, 3, 2), (56, 5, 2), (7, 5, 2), (14, 3, 1), (28, 1, 1)])
def test_padding_gives_as_many_places_as_the_stride_says(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
    assert 0 <= after - before <= 1


def test_the_spatial_part_is_the_image_encoders_up_to_its_sixth_stage():
    from efficientnet_lite_pytorch import EfficientNet

    from training.video.lite0 import load_spatial

    torch.manual_seed(0)
    theirs = EfficientNet.from_name("efficientnet-lite0", image_size=SIDE).eval()
    ours = Spatial().eval()
    load_spatial(ours, theirs.state_dict())
    pixels = torch.from_numpy(frames(1, 2)[0])
    with torch.inference_mode():
        x = ((pixels.float() - 127) / 128).permute(0, 3, 1, 2)
        x = theirs._swish(theirs._bn0(theirs._conv_stem(x)))
        for block in theirs._blocks[: len(ours.blocks)]:
            x = block(x)
        torch.testing.assert_close(ours(pixels), x, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_onnx_agrees_at_every_batch_and_length(network, tmp_path):
    path = tmp_path / "model.onnx"
    export(network, MODEL, slot.sample, path)
    run = session(path, 1)
    for batch, count in ((1, 8), (3, 8), (1, 4), (3, 16), (8, 4)):
        given = frames(batch, count)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(given))
        for want, have in zip(wanted, run.run(["video_embedding", "video_tokens"], {"frames": given}), strict=True):
            np.testing.assert_allclose(have, want.numpy(), atol=2e-5)

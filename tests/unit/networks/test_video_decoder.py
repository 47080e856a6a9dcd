"""The video decoder turns what it is shown: geometry, framing, frames that agree, and the ONNX graph."""

import math

import numpy as np
import pytest
import torch

from networks.image_decoder import SIZE, Memory, create
from networks.thumbnail import to_rows
from networks.video_decoder import (
    ELEVATION,
    FRAMES,
    MARGIN,
    VOXELS,
    Turntable,
    VideoDecoder,
    seen,
    square,
    turned,
    window,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def ball(x: float, y: float, z: float) -> torch.Tensor:
    """A volume [1, 4, V, V, V] with a small white ball in it."""
    line = torch.linspace(-1, 1, VOXELS)
    depth, down, across = torch.meshgrid(line, line, line, indexing="ij")
    inside = ((across - x) ** 2 + (down - y) ** 2 + (depth - z) ** 2 < 0.15**2).float()
    return inside.repeat(1, 4, 1, 1, 1)


def middle(opacity: torch.Tensor) -> tuple[float, float]:
    """Where what is seen is: x and y."""
    line = torch.linspace(-1, 1, opacity.shape[-1])
    return tuple(float((opacity * axis).sum() / opacity.sum()) for axis in (line[None], line[:, None]))


@pytest.mark.parametrize("degrees", [0, 60, 135, 180, 300])
@pytest.mark.parametrize("place", [(0.4, 0.1, 0.0), (0.0, 0.0, 0.5), (-0.3, -0.3, 0.3)])
def test_a_point_is_seen_where_a_camera_that_went_round_would_see_it(place, degrees):
    x, y, z = place
    turn, sin, cos = math.radians(degrees), math.sin(ELEVATION), math.cos(ELEVATION)
    # From the tilted camera to upright, the camera's way round, and tilted again.
    level, near = y * cos - z * sin, y * sin + z * cos
    across, towards = x * math.cos(turn) - near * math.sin(turn), x * math.sin(turn) + near * math.cos(turn)
    wanted = across, level * cos + towards * sin
    found = middle(seen(turned(ball(*place), torch.tensor([[turn]])))[0, 3])
    assert found == pytest.approx(wanted, abs=0.04)


def test_what_is_in_front_hides_what_is_behind():
    red, blue = ball(0, 0, 0.4), ball(0, 0, -0.4)
    red[:, 1:3], blue[:, :2] = 0, 0
    both = red + blue
    colour = seen(turned(both, torch.tensor([[0.0, math.pi]])))[:, :3, VOXELS // 2, VOXELS // 2]
    assert colour[0, 0] > 0.9 and colour[0, 2] < 0.1


def test_a_square_is_round_what_is_opaque_and_a_window_brings_it_to_the_middle():
    opacity = torch.zeros(2, 1, SIZE, SIZE)
    opacity[0, :, 8:24, 40:50] = 1
    centre, side = square(opacity)
    assert centre[0].tolist() == pytest.approx([44.5 / 31.5 - 1, 15.5 / 31.5 - 1], abs=1e-4)
    assert side[0].item() == pytest.approx(15 / 31.5 * MARGIN, abs=1e-4)
    assert centre[1].tolist() == [0, 0] and side[1].item() == pytest.approx(2 * MARGIN)
    again = square(window(opacity, centre, side / 2))
    assert again[0][0].tolist() == pytest.approx([0, 0], abs=0.05)
    assert again[1][0].item() == pytest.approx(2, abs=0.15)


@pytest.fixture
def turntable():
    """Random weights everywhere, so that every layer matters."""
    torch.manual_seed(0)
    memory = Memory(torch.randn(3, 384), torch.randint(0, 255, (3, 3, 56, 56), dtype=torch.uint8))
    network = Turntable(create("vae"), memory, VideoDecoder())
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return network.eval()


def given(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every other row with a photo."""
    g = torch.Generator().manual_seed(4)
    rows = to_rows(torch.rand(batch, 3, 56, 56, generator=g))
    rows[1::2] = 0
    condition = torch.cat([torch.randn(batch, 1, 384, generator=g), rows], 1)
    return condition, torch.randn(batch, 3, SIZE, SIZE, generator=g)


def test_frames_are_in_range_and_each_row_is_its_own(turntable):
    condition, noise = given(3)
    with torch.inference_mode():
        together = turntable(condition, noise)
        alone = turntable(condition[1:2], noise[1:2])
    assert together.shape == (3, FRAMES, 3, SIZE, SIZE)
    assert together.min() >= 0 and together.max() <= 1
    torch.testing.assert_close(alone[0], together[1], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:# The axis name")  # torch's exporter warns of itself
def test_onnx_turns_the_same_way(turntable, tmp_path):
    import onnxruntime as ort

    path = tmp_path / "decoder.onnx"
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.onnx.export(
        turntable,
        given(2),
        input_names=["condition", "noise"],
        output_names=["frames"],
        dynamic_shapes=[{0: batch}, {0: batch}],
        dynamo=True,
        verbose=False,
    )
    program.save(path, external_data=False)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    condition, noise = given(3)
    with torch.inference_mode():
        want = turntable(condition, noise).numpy()
    (have,) = session.run(["frames"], {"condition": condition.numpy(), "noise": noise.numpy()})
    np.testing.assert_allclose(have, want, atol=2e-3)

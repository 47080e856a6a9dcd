"""The frame interpolator: where it begins, what it can bend, any size, and the ONNX graph."""

import numpy as np
import pytest
import torch

from experiments.frame_interpolator import REACH, FrameInterpolator

pytestmark = pytest.mark.usefixtures("one_thread")


def frames(height: int = 48, width: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, height, width, generator=g), torch.rand(2, 3, height, width, generator=g)


@pytest.mark.parametrize("size", [(48, 80), (33, 17), (128, 128)])
def test_untrained_it_is_the_mean_at_any_size(size):
    first, last = frames(*size)
    with torch.inference_mode():
        torch.testing.assert_close(FrameInterpolator()(first, last), (first + last) / 2, atol=1e-5, rtol=0)


def test_a_shift_that_it_says_is_undone():
    network = FrameInterpolator()
    shift = 0.1
    with torch.no_grad():
        network.motion.bias.copy_(torch.tensor([shift / REACH, 0, 0, 0, 100.0]).atanh().nan_to_num(100.0, 100.0))
    x = torch.linspace(0, 1, 80).expand(1, 3, 48, 80)
    with torch.inference_mode():
        bent = network(x, torch.zeros_like(x))
    # A tenth of the half width is four pixels of 80.
    torch.testing.assert_close(bent[..., :70], x[..., 4:74], atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:# The axis name")  # torch's exporter warns of itself
def test_onnx_takes_any_size(tmp_path):
    import onnxruntime as ort

    torch.manual_seed(0)
    network = FrameInterpolator().eval()
    torch.nn.init.normal_(network.motion.weight, std=0.05)
    height, width = torch.export.Dim("height", min=16, max=2160), torch.export.Dim("width", min=16, max=3840)
    shape = {0: torch.export.Dim("batch", min=1, max=8), 2: height, 3: width}
    program = torch.onnx.export(
        network,
        frames(),
        input_names=["first", "last"],
        output_names=["middle"],
        dynamic_shapes=[shape, shape],
        dynamo=True,
        verbose=False,
    )
    program.save(tmp_path / "m.onnx", external_data=False)
    session = ort.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    first, last = frames(96, 72)
    with torch.inference_mode():
        want = network(first, last).numpy()
    (have,) = session.run(None, {"first": first.numpy(), "last": last.numpy()})
    np.testing.assert_allclose(have, want, atol=2e-3)

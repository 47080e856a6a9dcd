"""The image decoder's variants keep one contract: size, range, photos and words, the turntable, and the ONNX graph."""

import numpy as np
import pytest
import torch

from networks.image_decoder import (
    CONDITION_WIDTH,
    FEATURES,
    FRAMES,
    SIZE,
    SPATIAL_ROWS,
    VARIANTS,
    Discriminator,
    Posterior,
    Still,
    Turntable,
    create,
)
from networks.patches import COLOURS, from_thumbnail, mirrored, patch_colours, to_thumbnail

pytestmark = pytest.mark.usefixtures("one_thread")


def condition(batch: int, photo: bool = True, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    rows = torch.randn(batch, 1 + SPATIAL_ROWS, CONDITION_WIDTH, generator=g)
    rows[:, 1:, FEATURES + COLOURS :] = 0
    rows[:, 1:] *= photo
    return rows


def noise(batch: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=VARIANTS)
def decoder(request):
    """A variant with random weights everywhere, so that every layer matters."""
    torch.manual_seed(0)
    network = create(request.param)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()


def draw(network, *given):
    with torch.inference_mode():
        return network(*given)


@pytest.mark.parametrize("photo", [True, False])
def test_a_picture_is_in_range_and_each_row_its_own(decoder, photo):
    given, random = condition(3, photo), noise(3)
    together = draw(Still(decoder), given, random)
    assert together.shape == (3, 3, SIZE, SIZE)
    assert (together >= 0).all() and (together <= 1).all()
    for row in range(3):
        alone = draw(Still(decoder), given[row : row + 1], random[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=1e-4)


def test_condition_noise_and_camera_all_matter(decoder):
    given, random, camera = condition(1), noise(1), torch.tensor([[0.5, 0.0]])
    first = draw(decoder, given, random, camera)
    other_words = given.clone()
    other_words[:, 0] = condition(1, seed=5)[:, 0]
    other_photo = given.clone()
    other_photo[:, 1:] = condition(1, seed=5)[:, 1:]
    for changed in (
        (other_words, random, camera),
        (other_photo, random, camera),
        (given, noise(1, 9), camera),
        (given, random, torch.tensor([[1.0, 0.0]])),
        (given, random, torch.tensor([[0.5, 1.0]])),
    ):
        assert (draw(decoder, *changed) - first).abs().max() > 1e-3
    torch.testing.assert_close(draw(decoder, given, random, camera), first)


def test_a_turntable_is_the_decoder_at_each_angle(decoder):
    given, random = condition(2), noise(2)
    frames = draw(Turntable(decoder), given, random)
    assert frames.shape == (2, FRAMES, 3, SIZE, SIZE)
    for frame in (0, 5):
        camera = torch.tensor([[frame * 2 * np.pi / FRAMES, 0.0]]).expand(2, -1).float()
        torch.testing.assert_close(frames[:, frame], draw(decoder, given, random, camera), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:# The axis name")  # torch's exporter warns of itself
def test_onnx_draws_the_same_for_photos_and_words(decoder, tmp_path):
    import onnxruntime as ort

    path = tmp_path / "decoder.onnx"
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.onnx.export(
        Still(decoder).eval(),
        (condition(2), noise(2)),
        input_names=["condition", "noise"],
        output_names=["picture"],
        dynamic_shapes=[{0: batch}, {0: batch}],
        dynamo=True,
        verbose=False,
    )
    program.save(path, external_data=False)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = torch.cat([condition(2), condition(1, photo=False)])
    want = draw(Still(decoder), given, noise(3)).numpy()
    (have,) = session.run(["picture"], {"condition": given.numpy(), "noise": noise(3).numpy()})
    np.testing.assert_allclose(have, want, atol=1e-3)


def test_an_unknown_variant_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'ddpm'.*vae, gan, flow"):
        create("ddpm")


def test_what_trains_them_has_the_right_shapes():
    picture, fused = torch.rand(2, 3, SIZE, SIZE), torch.randn(2, CONDITION_WIDTH)
    mean, log_variance = Posterior()(picture, fused, torch.zeros(2, 2))
    assert mean.shape == log_variance.shape == (2, 32)
    assert Discriminator()(picture, fused).shape == (2, 8, 8)


def test_patches_are_the_picture_and_turn_over_with_it():
    thumbnail = torch.rand(2, 3, 28, 28)
    torch.testing.assert_close(to_thumbnail(from_thumbnail(thumbnail)), thumbnail)
    # A picture of blocks of one colour is its thumbnail, enlarged.
    pixels = (thumbnail * 255).repeat_interleave(8, 2).repeat_interleave(8, 3).permute(0, 2, 3, 1)
    torch.testing.assert_close(patch_colours(pixels), from_thumbnail(thumbnail - 0.5), atol=1e-5, rtol=1e-4)
    # Token 0 is the upper left patch, and after mirroring the upper right one.
    tokens = torch.arange(49.0).reshape(1, 49, 1)
    assert mirrored(tokens)[0, :7, 0].tolist() == [6, 5, 4, 3, 2, 1, 0]

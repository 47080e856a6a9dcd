"""The image decoder's variants keep one contract: size, range, photos and words, layers, and the ONNX graph."""

import numpy as np
import pytest
import torch

from networks import image_decoder
from networks.image_decoder import (
    CONDITION_WIDTH,
    SIZE,
    VARIANTS,
    Discriminator,
    Memory,
    Posterior,
    Still,
    create,
)
from networks.thumbnail import ROWS, from_rows, is_there, of_pixels, to_rows

pytestmark = pytest.mark.usefixtures("one_thread")


def condition(batch: int, photo: bool = True, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    fused = torch.randn(batch, 1, CONDITION_WIDTH, generator=g)
    return torch.cat([fused, to_rows(torch.rand(batch, 3, 56, 56, generator=g)) * photo], 1)


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


@pytest.fixture
def memory():
    """Five products of one colour each, the left half of a picture black."""
    keys = torch.nn.functional.normalize(torch.randn(5, 384, generator=torch.Generator().manual_seed(2)), dim=1)
    pictures = (torch.arange(1, 6) * 50).to(torch.uint8).reshape(5, 1, 1, 1).repeat(1, 3, 56, 56)
    pictures[..., :28] = 0
    return Memory(keys, pictures)


@pytest.mark.parametrize("photo", [True, False])
def test_a_picture_is_in_range_and_each_row_its_own(decoder, memory, photo):
    given, random = condition(3, photo), noise(3)
    together = draw(Still(decoder, memory), given, random)
    assert together.shape == (3, 3, SIZE, SIZE)
    assert (together >= 0).all() and (together <= 1).all()
    for row in range(3):
        alone = draw(Still(decoder, memory), given[row : row + 1], random[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=1e-4)


def test_condition_and_noise_all_matter(decoder):
    given, random = condition(1), noise(1)
    first = draw(decoder, given, random)
    other_words = given.clone()
    other_words[:, 0] = condition(1, seed=5)[:, 0]
    other_photo = given.clone()
    other_photo[:, 1:] = condition(1, seed=5)[:, 1:]
    for changed in ((other_words, random), (other_photo, random), (given, noise(1, 9))):
        assert (draw(decoder, *changed) - first).abs().max() > 1e-3
    torch.testing.assert_close(draw(decoder, given, random), first)


def test_an_untrained_decoder_begins_at_the_photo():
    given = condition(2)
    given[:, 1:] = to_rows(torch.full((2, 3, 56, 56), 0.75))
    layers = create("vae").layers(given, noise(2))
    torch.testing.assert_close(layers.product, torch.full((2, 3, SIZE, SIZE), 0.75))


def test_a_photo_is_left_alone_and_words_are_given_a_known_product(memory):
    photo = condition(3)
    torch.testing.assert_close(memory(photo, noise(3)), photo)
    words = condition(5, photo=False)
    words[:, 0] = memory.keys * 3
    filled = memory(words, noise(5))
    torch.testing.assert_close(filled[:, 0], words[:, 0])
    assert is_there(filled[:, 1:]).all()
    levels = from_rows(filled[:, 1:]) * 255
    assert levels.amax((1, 2, 3)).round().tolist() == [50, 100, 150, 200, 250], "the nearest product"


def test_the_noise_chooses_among_products_that_are_alike_and_which_way_they_look(memory):
    alike = Memory(memory.keys[:1].expand(5, -1) + 0.001 * memory.keys, memory.pictures)
    words = condition(1, photo=False)
    words[:, 0] = memory.keys[0]
    pictures = [from_rows(alike(words, noise(1, seed))[:, 1:])[0] for seed in range(40)]
    assert len({round(float(p.max()), 2) for p in pictures}) == 5
    assert {bool(p[0, 0, 0] > p[0, 0, -1]) for p in pictures} == {True, False}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:# The axis name")  # torch's exporter warns of itself
@pytest.mark.parametrize("decoder", ["vae", "flow"], indirect=True)  # the gan's is the vae's network
def test_onnx_draws_the_same_for_photos_and_words(decoder, memory, tmp_path, monkeypatch):
    import onnxruntime as ort

    monkeypatch.setattr(image_decoder, "FLOW_STEPS", 2)  # the graph has them one after the other

    path = tmp_path / "decoder.onnx"
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.onnx.export(
        Still(decoder, memory).eval(),
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
    want = draw(Still(decoder, memory), given, noise(3)).numpy()
    (have,) = session.run(["picture"], {"condition": given.numpy(), "noise": noise(3).numpy()})
    np.testing.assert_allclose(have, want, atol=1e-3)


def test_an_unknown_variant_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'ddpm'.*vae, gan, flow"):
        create("ddpm")


def test_what_trains_them_has_the_right_shapes():
    picture, fused = torch.rand(2, 3, SIZE, SIZE), torch.randn(2, CONDITION_WIDTH)
    mean, log_variance = Posterior()(picture, fused)
    assert mean.shape == log_variance.shape == (2, 32)
    assert Discriminator()(picture, fused).shape == (2, 8, 8)


def test_a_thumbnail_is_the_picture_made_small_and_comes_back_from_its_rows():
    small = torch.rand(2, 3, 56, 56)
    pixels = (small * 255).repeat_interleave(4, 2).repeat_interleave(4, 3).permute(0, 2, 3, 1)
    rows = to_rows(of_pixels(pixels))
    assert rows.shape == (2, ROWS, CONDITION_WIDTH)
    torch.testing.assert_close(from_rows(rows), small)
    assert is_there(rows).all() and not is_there(rows * 0).any()
    assert is_there(to_rows(torch.full((1, 3, 56, 56), 0.5))).all(), "a grey picture is one"

"""Training of the image decoder on a small made-up catalogue: what is drawn fits together, and every variant learns."""

from functools import partial

import numpy as np
import pytest
import torch

from networks.image_decoder import SIZE, VARIANTS, create
from networks.thumbnail import to_rows
from training.common import loop, weights
from training.common.figures import record
from training.decoders import pictures
from training.decoders.fidelity import frechet

pytestmark = pytest.mark.usefixtures("one_thread")
PRODUCTS, VIEWS, TITLES = 6, 3, 2


@pytest.fixture
def data():
    """Discs of one colour a product; the left half of each is darker, so that mirroring shows."""
    rng = np.random.default_rng(0)
    colours = rng.uniform(60, 250, (PRODUCTS, 3))
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    inside = x**2 + y**2 < 0.1
    disc = np.where(inside[..., None], np.where(x[..., None] < 0, 0.6, 1.0) * colours[:, None, None], 255.0)
    small = disc[:, 4:60, 4:60].transpose(0, 3, 1, 2)
    mask = np.where(inside, 255, 0).astype(np.uint8)
    unit = torch.nn.functional.normalize

    def embeddings(count):
        return unit(torch.from_numpy(rng.standard_normal((PRODUCTS, count, 384))).float(), dim=-1)

    each = lambda a, n: np.repeat(a[:, None], n, 1)  # noqa: E731
    return pictures.Data(
        thumbnails=each(small, VIEWS).astype(np.uint8),
        text=embeddings(TITLES),
        image=embeddings(VIEWS),
        both=embeddings(VIEWS),
        frames=disc.astype(np.uint8),
        masks=np.broadcast_to(mask, (PRODUCTS, SIZE, SIZE)),
        frame_thumbnails=small.astype(np.uint8),
        near=rng.integers(PRODUCTS, size=(PRODUCTS, pictures.NEIGHBOURS)),
        shots=each(disc, VIEWS).astype(np.uint8),
        shot_masks=np.broadcast_to(mask, (PRODUCTS, VIEWS, SIZE, SIZE)),
    )


def test_photo_and_target_agree_however_they_are_changed(data):
    sample = data.draw(np.random.default_rng(3), 200)
    torch.testing.assert_close(sample.fused.norm(dim=1), torch.ones(200))
    photo, target = sample.photo, sample.target
    for side, columns, pixels in (("left", slice(18, 24), slice(22, 28)), ("right", slice(32, 38), slice(36, 42))):
        in_photo, in_target = photo[:, :, 20:36, columns].mean((2, 3)), target[:, :, 24:40, pixels].mean((2, 3))
        # Light varies by up to 15%, the hue never.
        ratio = (in_target / in_photo.clamp(min=0.05)).clamp(max=2)
        assert ((ratio > 0.7) & (ratio < 1.25)).float().mean() > 0.97, side


def test_the_same_generator_draws_the_same(data):
    one, two = (data.draw(np.random.default_rng(7), 8) for _ in range(2))
    torch.testing.assert_close(one.target, two.target)
    torch.testing.assert_close(one.photo, two.photo)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns_and_comes_back_from_its_file(variant, data, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "run_loop", partial(loop.train, warm_up=2))
    monkeypatch.setattr(pictures, "BATCH", 4)
    monkeypatch.setitem(pictures.STEPS, variant, 24)
    said = []
    decoder = pictures.train(variant, data, tmp_path / "run.pt", lambda _, terms: said.append(terms), None)
    # The gan is meant to begin as the vae; from nothing, it is its judge that learns first.
    followed = "discriminator" if variant == "gan" else "error"
    assert variant != "gan" or "generator" in said[0]
    losses = [float(terms.split(f"{followed} ")[1].split()[0]) for terms in said]
    assert len(losses) == 24 and np.mean(losses[-8:]) < np.mean(losses[:8])
    weights.save(decoder, tmp_path / "w.safetensors", {"variant": variant})
    back = pictures.load(variant, tmp_path / "w.safetensors")
    sample = data.draw(np.random.default_rng(0), 2)
    rows = torch.cat([sample.fused.unsqueeze(1), to_rows(sample.photo)], 1)
    noise = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(back(rows, noise), decoder(rows, noise), atol=5e-3, rtol=0)


def test_the_gan_begins_as_the_decoder_it_is_given(data, tmp_path, monkeypatch):
    monkeypatch.setitem(pictures.STEPS, "gan", 0)
    start = create("vae").state_dict()
    decoder = pictures.train("gan", data, tmp_path / "run.pt", lambda *_: None, start)
    for name, value in decoder.state_dict().items():
        torch.testing.assert_close(value, start[name])


def test_a_memory_comes_back_from_its_file(data, tmp_path):
    memory = data.memory()
    weights.save(memory, tmp_path / "memory.safetensors", {})
    back = pictures.load_memory(tmp_path / "memory.safetensors")
    assert torch.equal(back.pictures, memory.pictures)
    torch.testing.assert_close(back.keys, memory.keys, atol=1e-3, rtol=0)


def test_frechet_is_zero_for_the_same_set_and_grows_with_the_distance():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((200, 100)).astype(np.float32)
    assert abs(frechet(real, real)) < 1e-3
    near, far = (frechet(real + shift, real) for shift in (0.1, 0.5))
    assert 0 < near < far


def test_figures_of_one_command_replace_its_own_only(tmp_path):
    path = tmp_path / "docs" / "fidelity.json"
    record("image", {"a": 0.123456, "n": 3}, path)
    record("speech", {"word_error_rate": 0.1}, path)
    record("image", {"b": 1.0}, path)
    assert path.read_text() == '{\n "image.b": 1.0,\n "speech.word_error_rate": 0.1\n}\n'

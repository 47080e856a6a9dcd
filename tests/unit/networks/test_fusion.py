"""Every variant of fusion keeps the one contract: shapes, unit length, absent modalities, rows of the condition."""

from dataclasses import asdict

import pytest
import torch

from export import onnx
from families.fusion import trained as slot
from graph import assembly
from networks import thumbnail
from networks.features import count_image_rows, join_image, split_image
from networks.fusion import (
    ALIGNED,
    CLASSES,
    CONDITION_TOKENS,
    FIRST_THUMBNAIL_ROW,
    INPUTS,
    MODALITIES,
    SPATIAL,
    SUMMARY_ROWS,
    TOKENS,
    VARIANTS,
    WIDTH,
    Shape,
    create,
)

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = torch.nn.functional.normalize(torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(1)), dim=-1)


def features(batch: int, tokens: int = 49, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random inputs with everything present."""
    g = torch.Generator().manual_seed(seed)

    def unit(*shape: int) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(*shape, generator=g), dim=-1)

    given = {
        "text_embedding": unit(batch, WIDTH),
        "image_embedding": torch.rand(batch, 1280, generator=g),
        "image_tokens": torch.randn(batch, tokens, SPATIAL, generator=g),
        "image_scores": torch.randn(batch, CLASSES, generator=g).mul(4).softmax(-1),
        "image_thumbnail": thumbnail.to_rows(torch.rand(batch, 3, 56, 56, generator=g)),
        "presence": torch.ones(batch, len(MODALITIES)),
    }
    for modality in ALIGNED:
        given |= {f"{modality}_embedding": unit(batch, WIDTH), f"{modality}_tokens": unit(batch, TOKENS, WIDTH)}
    return given


def absent(given: dict[str, torch.Tensor], *modalities: str, rows: slice = slice(None)) -> dict[str, torch.Tensor]:
    """The same with zeros for some modalities, and no presence."""
    given = {name: value.clone() for name, value in given.items()}
    for modality in modalities:
        for name in MODALITIES[modality]:
            given[name][rows] = 0
        given["presence"][rows, list(MODALITIES).index(modality)] = 0
    return given


def subsets() -> list[tuple[str, ...]]:
    """What may be absent: every combination, all included."""
    return [
        tuple(m for place, m in enumerate(MODALITIES) if number >> place & 1) for number in range(2 ** len(MODALITIES))
    ]


@pytest.fixture(params=VARIANTS)
def network(request):
    """A variant with random weights everywhere, so that every layer matters."""
    torch.manual_seed(0)
    network = create(request.param, LABELS)
    for parameter in network.parameters():
        if parameter.dim() and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()


def run(network, given):
    with torch.inference_mode():
        return network(*(given[name] for name in INPUTS))


@pytest.mark.parametrize("tokens", [1, 49])
def test_shapes_and_unit_length_whatever_is_there(network, tokens):
    everything = features(4, tokens)
    for missing in subsets():
        condition, embedding, weights = run(network, absent(everything, *missing))
        there = torch.tensor([float(m not in missing) for m in MODALITIES])
        assert ((weights > 0) == there.bool()).all()
        torch.testing.assert_close(weights.sum(1), there.amax().expand(4))
        assert condition.shape == (4, CONDITION_TOKENS, WIDTH)
        assert condition.isfinite().all()
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(4))
        torch.testing.assert_close(embedding, torch.nn.functional.normalize(condition[:, 0], dim=-1))


def test_a_row_is_the_same_alone_and_among_others(network):
    mixed = absent(features(4), "text", "audio", rows=slice(1, 2))
    mixed = absent(mixed, "image", "video", "behavior", rows=slice(2, 3))
    together = run(network, mixed)
    for row in range(4):
        alone = run(network, {name: value[row : row + 1] for name, value in mixed.items()})
        for part, whole in zip(alone, together, strict=True):
            torch.testing.assert_close(part[0], whole[row], atol=2e-6, rtol=1e-5)


def test_one_zero_token_stands_for_an_absent_picture(network):
    none = absent(features(2), "image")
    single = none | {"image_tokens": none["image_tokens"][:, :1]}
    for a, b in zip(run(network, none), run(network, single), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_what_the_mask_hides_has_no_effect(network):
    hidden = features(2)
    hidden["presence"][:, 1:] = 0
    for a, b in zip(run(network, hidden), run(network, absent(hidden, *list(MODALITIES)[1:])), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_rows_of_an_absent_modality_are_zero(network):
    for missing in subsets():
        condition, _, _ = run(network, absent(features(2), *missing))
        for modality, row in SUMMARY_ROWS.items():
            assert condition[:, row].any() == (modality not in missing)
        assert condition[:, 1].any() == ("image" not in missing)
        assert condition[:, FIRST_THUMBNAIL_ROW:].any() == ("image" not in missing)
        assert condition[:, 0].any()


def test_the_last_rows_are_the_photos_thumbnail(network):
    given = features(2)
    condition, _, _ = run(network, given)
    torch.testing.assert_close(condition[:, FIRST_THUMBNAIL_ROW:], given["image_thumbnail"])


def test_row_one_holds_the_named_classes_as_words(network):
    given = features(1)
    given["image_scores"] = torch.zeros(1, CLASSES)
    given["image_scores"][0, 281] = 1
    condition, _, _ = run(network, given)
    assert torch.cosine_similarity(condition[0, 1], LABELS[281], dim=0) > 0.99


@pytest.mark.parametrize("variant", VARIANTS)
def test_before_training_a_text_is_its_own_embedding(variant):
    given = absent(features(3), *list(MODALITIES)[1:])
    _, embedding, _ = run(create(variant, LABELS).eval(), given)
    torch.testing.assert_close(embedding, given["text_embedding"], atol=1e-5, rtol=1e-4)


def test_an_unknown_variant_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'best'.*concat, mean, weighted, attention, deep"):
        create("best")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's exporter warns of its own use of torch
def test_onnx_gives_the_same_for_every_batch_and_count_of_tokens(network, tmp_path):
    sizes = asdict(network.shape)
    model, network = assembly.load().model("fusion"), slot.Served(network)

    def sample(axes, rng):
        return slot.sample(sizes | axes, rng)

    onnx.export(network, model, sample, tmp_path / "fusion.onnx")
    rows, _ = onnx.parity(network, model, sample, tmp_path / "fusion.onnx")
    assert len(rows) >= 16  # four batch sizes, at least two counts of tokens, three outputs
    assert max(row["torch_onnx"] for row in rows) < 1e-5


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [Shape(40, 32, 48, 10), Shape(768, 768, 500, 21)], ids=["small", "wide"])
def test_a_fusion_of_other_sizes(variant, shape):
    """Its sizes are read back from its weights; a picture's parts come out of the rows as they went in."""
    torch.manual_seed(0)
    network = create(variant, shape=shape).eval()
    assert Shape.of(network.state_dict()) == shape
    picture = (torch.rand(2, shape.pooled), torch.randn(2, 6, shape.spatial), torch.rand(2, shape.classes))
    small = thumbnail.to_rows(torch.rand(2, 3, 56, 56))
    rows = join_image(*picture, small)
    assert rows.shape == (2, count_image_rows(shape, 6), 384)
    for given, back in zip((*picture[:2], picture[2], small), split_image(rows, shape), strict=True):
        torch.testing.assert_close(given, back)
    served = slot.Served(network, ["image"])
    condition, embedding, weights, _ = served(torch.randn(2, shape.width), rows, torch.tensor([[1.0, 1, 0, 0, 0]] * 2))
    assert condition.shape == (2, shape.condition_tokens, shape.width) and embedding.shape == (2, shape.width)
    assert not weights[:, 2:].any()
    kept = condition[:, FIRST_THUMBNAIL_ROW:].flatten(1)[:, : small[0].numel()]
    torch.testing.assert_close(kept, small.flatten(1))

"""Picture, clip, spoken note and events through the served graph: every subset, every fault, and what is drawn."""

import json
from io import BytesIO
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image
from vitrina_client import InvalidInput, Product, Sampling, TooLarge, Vitrina

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
PHOTO = (SAMPLES / "espresso-cup.jpg").read_bytes()
TITLE = "Espresso cup and saucer"
MODALITIES = ("image", "video", "audio", "behavior")


def clip(frames: int = 24) -> bytes:
    """A camera that moves across the sample photo, as MP4."""
    file = BytesIO()
    with Image.open(BytesIO(PHOTO)) as opened:
        photo = opened.convert("RGB").resize((400, 300))
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 240, 240, "yuv420p"
        for place in np.linspace(0, 60, frames).astype(int):
            picture = photo.crop((place, place // 2, place + 240, place // 2 + 240))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return file.getvalue()


def sound(seconds: float = 1.5) -> bytes:
    """A tone that rises and falls, as WAV."""
    time = np.arange(int(16_000 * seconds)) / 16_000
    file = BytesIO()
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * (300 + 200 * np.sin(3 * time)) * time), 16_000, format="WAV")
    return file.getvalue()


@pytest.fixture(scope="module")
def items(bundle) -> list[str]:
    from graph.configs import MODELS_ROOT

    with np.load(MODELS_ROOT / "reader" / "1" / "items.npz") as index:
        return [str(name) for name in index["ids"]]


@pytest.fixture(scope="module")
def media(items) -> dict[str, object]:
    events = [{"item": name, "event": "view", "age_s": 60.0 * (9 - place)} for place, name in enumerate(items[:9])]
    return {"image": PHOTO, "video": clip(), "audio": sound(), "behavior": events}


@pytest.fixture(params=["grpc", "http"])
def vitrina(request, server):
    with Vitrina(f"{request.param}://{getattr(server, f'{request.param}_url')}") as client:
        yield client


def product(media: dict[str, object], present: tuple[str, ...], title: str = TITLE) -> Product:
    given = {"events" if name == "behavior" else name: media[name] for name in present}
    return Product(title, **given)


SUBSETS = [each for count in range(5) for each in combinations(MODALITIES, count)]


@pytest.mark.parametrize("present", SUBSETS, ids="+".join)
def test_every_subset_is_fused_from_what_is_there(vitrina, media, present):
    listing = vitrina.generate(product(media, present), want={"embedding", "condition", "weights", "tags"})
    assert abs(float(np.linalg.norm(listing.embedding)) - 1) < 1e-4
    assert {name for name, share in listing.weights.items() if share > 0} == {"text", *present}
    assert sum(listing.weights.values()) == pytest.approx(1, abs=1e-5)
    for row, name in enumerate(("text", *MODALITIES), start=2):
        assert listing.condition[row].any() == (name == "text" or name in present), name
    assert listing.condition[11:].any() == ("image" in present)


WANTS = ("text", "tags", "keywords", "embedding", "condition", "weights", "moderation", "image", "video")


def pictures(file: bytes) -> np.ndarray:
    """A PNG's or a clip's pictures, int [T, H, W, 3]."""
    with av.open(BytesIO(file)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def same(alone: object, whole: object) -> bool:
    """Whether an output is the same, numbers but for what batches differ by."""
    if isinstance(whole, np.ndarray):
        return np.allclose(alone, whole, atol=1e-4)
    if isinstance(whole, dict):
        return alone == pytest.approx(whole, abs=1e-4)
    if isinstance(whole, bytes):
        return np.abs(pictures(alone) - pictures(whole)).mean() < 0.5
    if isinstance(whole, tuple):
        return [getattr(each, "name", each) for each in alone] == [getattr(each, "name", each) for each in whole]
    return getattr(alone, "action", alone) == getattr(whole, "action", whole)


#: Each modality's branch alone, the two that make text of a medium, and all: what else there is, is wired of these.
BRANCHES = [(), *((name,) for name in MODALITIES), ("image", "audio"), tuple(MODALITIES)]


@pytest.mark.parametrize("present", BRANCHES, ids="+".join)
def test_every_output_alone_is_that_of_all_together(server, media, present):
    """Triton prunes a graph to what is asked for: whatever that is, the rest must be as if it had not been pruned."""
    options = {"sampling": Sampling(temperature=0.0, max_tokens=6), "image_seed": 5}
    given = product(media, present)
    with Vitrina(f"grpc://{server.grpc_url}") as vitrina:
        wants = {*WANTS, "transcript"} if "audio" in present else set(WANTS)
        whole = vitrina.generate(given, want=wants, **options)
        for want in wants:
            alone = vitrina.generate(given, want={want}, **options)
            assert same(getattr(alone, want), getattr(whole, want)), want
            others = wants - {want, "moderation"}
            assert all(getattr(alone, other) is None for other in others), want
    assert whole.text and whole.tags and whole.image.startswith(b"\x89PNG") and b"ftyp" in whole.video[:16]


def test_each_modality_moves_the_embedding_and_its_content_matters(vitrina, media):
    alone = vitrina.embed([product(media, ())])[0]
    others = {
        "image": (SAMPLES / "tulips.jpg").read_bytes(),
        "video": clip(12),
        "audio": sound(0.7),
        "behavior": media["behavior"][:2],
    }
    for name in MODALITIES:
        (one,) = vitrina.embed([product(media, (name,))])
        assert np.abs(one - alone).max() > 1e-3, name
        (other,) = vitrina.embed([product({**media, name: others[name]}, (name,))])
        assert np.abs(one - other).max() > 1e-4, name


def test_rows_of_one_request_are_the_products_alone(vitrina, media):
    shorter = {**media, "behavior": media["behavior"][:3]}
    rows = [product(each, ("image", "behavior")) for each in (media, shorter)]
    together = vitrina.embed(rows)
    for row, each in zip(together, rows, strict=True):
        np.testing.assert_allclose(row, vitrina.embed([each])[0], atol=1e-4)


@pytest.mark.parametrize(
    ("given", "error", "field"),
    [
        ({"video": b""}, InvalidInput, "VIDEO"),
        ({"video": clip()[:2000]}, InvalidInput, "VIDEO"),
        ({"video": PHOTO}, InvalidInput, "VIDEO"),
        ({"audio": b""}, InvalidInput, "AUDIO"),
        ({"audio": sound()[:60]}, InvalidInput, "AUDIO"),
        ({"audio": PHOTO}, InvalidInput, "AUDIO"),
        ({"audio": sound(31)}, TooLarge, "AUDIO"),
        ({"events": [{"item": "nobody knows it", "event": "view", "age_s": 1}]}, InvalidInput, "EVENTS"),
        ({"events": [{"item": 3, "event": "view", "age_s": 1}]}, InvalidInput, "EVENTS"),
        ({"events": [{"item": "x" * 300_000, "event": "view", "age_s": 1}]}, TooLarge, "EVENTS"),
    ],
)
def test_what_cannot_be_read_is_a_typed_error(vitrina, given, error, field):
    with pytest.raises(error) as caught:
        vitrina.embed([Product(TITLE, **given)])
    assert caught.value.field == field


def test_events_of_nobody_count_as_absent(vitrina, media):
    listing = vitrina.generate(Product(TITLE, events=[]), want={"embedding", "weights"})
    np.testing.assert_allclose(listing.embedding, vitrina.embed([Product(TITLE)])[0], atol=1e-5)
    assert listing.weights["behavior"] == 0


def test_a_picture_is_drawn_from_the_photo_and_its_seed(vitrina, media):
    shown = product(media, ("image",))
    condition = vitrina.generate(shown, want={"condition"}).condition
    one, again, other = (
        vitrina.generate(shown, condition=condition, want={"image"}, image_seed=seed).image for seed in (1, 1, 2)
    )
    assert one == again != other
    with Image.open(BytesIO(one)) as picture:
        assert (picture.format, picture.size) == ("PNG", (512, 512))
        assert "trainedAlgorithmicMedia" in picture.info["XML:com.adobe.xmp"]
        pixels = np.asarray(picture.convert("RGB"), float)
    assert pixels.std() > 10, "an even colour is no picture"


def test_a_clip_turns_round_the_product(vitrina, media):
    listing = vitrina.generate(product(media, ("image",)), want={"video"}, image_seed=1)
    with av.open(BytesIO(listing.video)) as container:
        frames = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
    assert len(frames) == 48
    near, far = np.abs(frames[0] - frames[1]).mean(), np.abs(frames[0] - frames[12]).mean()
    assert 0 < near < far, "half a turn on it must look less alike than after one frame"


def test_a_seed_below_zero_is_refused(vitrina, media):
    with pytest.raises(InvalidInput) as caught:
        vitrina.generate(product(media, ()), want={"image"}, image_seed=-1)
    assert caught.value.field == "IMAGE_SEED"


def test_text_and_picture_come_of_one_call(vitrina, media):
    listing = vitrina.generate(product(media, MODALITIES), want={"text", "image"}, image_seed=0)
    assert listing.text and listing.image.startswith(b"\x89PNG")
    assert json.dumps(listing.finish_reason) and listing.condition is None


def test_keywords_are_given_with_and_without_a_text(vitrina):
    shelf = Product("Shelf for your kitchen", attributes={"material": "oak"})
    alone = vitrina.generate(shelf, want={"keywords"}).keywords
    assert alone[:3] == ("shelf", "kitchen", "oak")  # the tags follow
    both = vitrina.generate(shelf, want={"keywords", "text", "condition"}, sampling=Sampling(max_tokens=4))
    assert both.keywords == alone and both.text
    later = vitrina.generate(shelf, want={"keywords"}, condition=both.condition)
    assert later.keywords == both.keywords and later.text is None


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_picture_comes_in_the_format_asked_for(vitrina, kind):
    drawn = vitrina.generate(Product("Chair"), want={"image"}, image_format=kind).image
    assert Image.open(BytesIO(drawn)).format == kind.upper()


def test_an_unknown_format_is_typed(vitrina):
    with pytest.raises(InvalidInput, match="'gif' is unknown") as caught:
        vitrina.generate(Product("Chair"), want={"image"}, image_format="gif")
    assert caught.value.field == "IMAGE_FORMAT"


def test_a_clip_has_the_tune_it_is_given(vitrina):
    drawn = vitrina.generate(Product("Chair"), want={"video"}, music=sound()).video
    with av.open(BytesIO(drawn)) as container:
        assert {stream.codec_context.name for stream in container.streams} == {"h264", "aac"}
    with pytest.raises(InvalidInput) as caught:
        vitrina.generate(Product("Chair"), want={"video"}, music=b"no sound")
    assert caught.value.field == "MUSIC"

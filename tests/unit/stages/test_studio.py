"""Studio shots from photos whose product is known to the pixel."""

from io import BytesIO
from itertools import product

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from stages import studio
from stages.errors import StageError
from stages.marked import ENHANCED
from stages.motion import PERIOD
from stages.studio import ASPECTS, BACKGROUNDS, FORMATS, Order, film, read_order, shoot

NETWORK_PX = 320  # a side of the opacity; any other would do

PRODUCT = (200, 40, 30)


def photo(box=(0.3, 0.25, 0.7, 0.8), size=(900, 600)):
    """A red ellipse on a mottled table, and the opacity that a good network gives it."""
    rng = np.random.default_rng(0)
    ground = Image.fromarray(rng.integers(90, 140, (size[1] // 6, size[0] // 6, 3), np.uint8)).resize(size)
    mask = Image.new("L", size)
    corners = [side * size[i % 2] for i, side in enumerate(box)]
    ImageDraw.Draw(mask).ellipse(corners, fill=255)
    ground.paste(PRODUCT, mask=mask)
    small = mask.resize((NETWORK_PX, NETWORK_PX), Image.Resampling.BOX)
    return np.asarray(ground), np.asarray(small, np.float32) / 255, np.asarray(mask) > 127


def opened(data):
    picture = Image.open(BytesIO(data))
    picture.load()
    return picture


@pytest.mark.parametrize(
    ("background", "file_format"),
    # A photo's own ground is a test of its own, and jpeg knows no transparency.
    [pair for pair in product(BACKGROUNDS, FORMATS) if pair[0] != "photo" and pair != ("transparent", "jpeg")],
)
@pytest.mark.parametrize("aspect", ASPECTS)
def test_every_ground_aspect_and_format_shows_the_product_whole_in_the_middle(background, aspect, file_format):
    pixels, opacity, mask = photo()
    data, share = shoot(pixels, opacity, Order(background, aspect, 640, file_format))
    picture = opened(data)
    assert picture.format == FORMATS[file_format] and max(picture.size) == 640
    assert picture.width * ASPECTS[aspect][1] == picture.height * ASPECTS[aspect][0]
    assert share == pytest.approx(mask.mean(), abs=0.01)
    made = np.asarray(picture.convert("RGBA")).astype(int)
    red = (made[..., 0] - made[..., 1] > 60) & (made[..., 3] > 127)
    rows, columns = (np.flatnonzero(red.any(axis)) for axis in (1, 0))
    for first, last, side in ((rows[0], rows[-1], picture.height), (columns[0], columns[-1], picture.width)):
        assert abs((first + last) / 2 - side / 2) < 0.02 * side and first > 0.05 * side
    corner = made[2, 2]
    assert corner[3] == (0 if background == "transparent" else 255)
    assert background in ("studio", "transparent") or (corner[:3] >= 253).all()


def on_paper(cast=(1.0, 1.0, 1.0)):
    """A red ellipse on grey paper under light of some colour."""
    pixels, opacity, mask = photo()
    paper = np.where(mask[..., None], pixels, np.uint8(190)) + np.random.default_rng(0).normal(0, 3, pixels.shape)
    return np.clip(paper * cast, 0, 255).round().astype(np.uint8), opacity, mask


def test_the_light_s_colour_is_taken_out_where_the_ground_is_paper():
    order = Order("white", "1:1", 640, "png")
    true, tinted = (
        np.asarray(opened(shoot(*on_paper(cast)[:2], order)[0])).astype(int) for cast in ((1, 1, 1), (1.12, 1.0, 0.8))
    )
    assert np.abs(true - tinted).mean() < 4
    pixels, opacity, _ = photo()
    colours = pixels.astype(np.float32) / 255
    table = studio.balanced(colours * np.float32([1, 0.6, 0.3]), studio.refine(opacity, colours))
    assert np.array_equal(table, colours * np.float32([1, 0.6, 0.3]))  # a wooden table is no paper


def test_styles_change_the_product_and_leave_the_ground():
    pixels, opacity, _ = photo()
    made = {
        style: np.asarray(opened(shoot(pixels, opacity, Order("white", "1:1", 300, "png", style))[0])).astype(int)
        for style in studio.STYLES
    }
    middle = {style: picture[150, 150] for style, picture in made.items()}
    assert all((picture[:9, :9] >= 253).all() for picture in made.values())
    assert np.ptp(middle["mono"]) <= 2 < 40 < np.ptp(middle["natural"])
    assert np.ptp(middle["soft"]) < np.ptp(middle["natural"]) < np.ptp(middle["vivid"])
    warmth = {style: colour[0] - colour[2] for style, colour in middle.items()}
    assert warmth["cool"] < warmth["natural"] < warmth["warm"]


def test_the_edge_follows_the_photo_and_nothing_of_the_table_is_left():
    pixels, opacity, mask = photo()
    alpha = studio.refine(opacity, pixels.astype(np.float32) / 255)
    seen = alpha > 0.5
    assert (seen & mask).sum() / (seen | mask).sum() > 0.985
    data, _ = shoot(pixels, opacity, Order("white", "1:1", 900, "png"))
    made = np.asarray(opened(data).convert("RGB")).astype(int)
    # What is neither the product's red nor a mixture of it with white is table: its channels are alike and dark.
    table = (np.ptp(made, axis=2) < 40) & (made.max(2) < 170)
    assert table.mean() < 0.0005


def test_other_things_and_haze_are_left_out():
    pixels, opacity, _ = photo()
    opacity = opacity.copy()
    opacity[10:30, 10:30] = 0.9  # another thing
    opacity[:, 250:] = np.maximum(opacity[:, 250:], 0.3)  # haze
    alpha = studio.largest_parts(studio.refine(opacity, pixels.astype(np.float32) / 255), len(pixels) / len(opacity))
    assert alpha[:90, :100].max() == 0 and alpha[:, 820:].max() == 0


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((0.5, 0.5, 0.505, 0.505), "nothing stands out"),
        ((-2, -2, 3, 3), "covers all of it"),
        ((-0.2, 0.3, 0.6, 1.4), "goes on beyond its edges"),
    ],
)
def test_where_nothing_can_be_cut_out_the_photo_is_shown_whole(box, why):
    pixels, opacity, _ = photo(box)
    data, share = shoot(pixels, opacity, Order("shadow", "1:1", 600, "png"))
    made = np.asarray(opened(data).convert("RGB"))
    assert share == 0
    middle = np.asarray(Image.fromarray(pixels).resize((600, 400)))
    assert np.abs(made[100:500].astype(int) - middle).mean() < 6
    assert (made[:95] == 255).all()
    with pytest.raises(StageError, match=why) as caught:
        shoot(pixels, opacity, Order("transparent", "1:1", 600, "png"))
    assert (caught.value.code, caught.value.field) == ("invalid_input", "IMAGE")


@pytest.mark.parametrize("style", ["natural", "mono"])
def test_a_photo_keeps_its_ground_where_it_shall(style):
    pixels, opacity, _ = photo()
    data, share = shoot(pixels, opacity, Order("photo", "1:1", 600, "png", style))
    made = np.asarray(opened(data).convert("RGB")).astype(int)
    middle = Image.fromarray(pixels).convert("L" if style == "mono" else "RGB").convert("RGB").resize((600, 400))
    assert share == 0 and (made[:95] == 255).all()
    assert np.abs(made[100:500] - np.asarray(middle)).mean() < 8
    clip, share = film(pixels, opacity, Order("photo", "1:1", 256))
    assert share == 0 and clip[4:8] == b"ftyp"


def test_a_dark_photo_becomes_brighter_and_keeps_its_hue():
    pixels, opacity, _ = photo()
    data, _ = shoot((pixels * 0.5).astype(np.uint8), opacity, Order("white", "1:1", 600, "png"))
    middle = np.asarray(opened(data).convert("RGB"))[250:350, 250:350].mean((0, 1))
    dark = np.array(PRODUCT) * 0.5
    assert 1.15 < middle[0] / dark[0] < 1.4
    np.testing.assert_allclose(middle / middle.sum(), dark / dark.sum(), atol=0.06)


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_file_says_what_was_done(file_format):
    pixels, opacity, _ = photo()
    data, _ = shoot(pixels, opacity, Order("white", "1:1", 256, file_format))
    assert b"digitalsourcetype/algorithmicallyEnhanced" in data


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"background": b"pink"}, "BACKGROUND", "'pink' is unknown; send white, shadow, studio, transparent or photo"),
        ({"aspect": b"2:3"}, "ASPECT", "'2:3' is unknown; send 1:1, 4:5, 9:16 or 16:9"),
        ({"size": 255}, "SIZE", "255 is outside 256 to 2,048"),
        ({"size": 100_000}, "SIZE", "100000 is outside"),
        ({"file_format": b"gif"}, "IMAGE_FORMAT", "'gif' is unknown"),
        ({"file_format": b"\xff" * 99}, "IMAGE_FORMAT", "is unknown"),
    ],
)
def test_a_bad_order_names_field_value_and_limit(fields, field, says):
    with pytest.raises(StageError) as caught:
        read_order(**fields)
    assert (caught.value.code, caught.value.field) == ("invalid_input", field) and says in caught.value.message


def test_what_is_left_out_has_its_default():
    assert read_order() == Order("white", "1:1", None, "jpeg")
    assert read_order(b"Studio", b"9:16", 300, b"PNG") == Order("studio", "9:16", 300, "png")


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seed=st.integers(0, 2**32 - 1),
    level=st.sampled_from((0.0, 0.5, 1.0)),
    background=st.sampled_from(BACKGROUNDS),
    aspect=st.sampled_from(list(ASPECTS)),
)
def test_any_photo_with_any_opacity_gives_a_picture_or_a_typed_error(size, seed, level, background, aspect):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (*size, 3), np.uint8)
    noisy = rng.random((8, 8), np.float32) * 0.5 + level * 0.5
    opacity = noisy.repeat(40, 0).repeat(40, 1)
    try:
        data, share = shoot(pixels, opacity, Order(background, aspect, 256, "png"))
    except StageError as error:
        assert error.field == "IMAGE" and background == "transparent"
    else:
        assert max(opened(data).size) == 256 and 0 <= share <= 1


def watched(data):
    """A clip's frames, int [T, H, W, 3], and its comment."""
    with av.open(BytesIO(data)) as container:
        comment = container.metadata["comment"]
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int), comment


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_clip_shows_the_product_swinging_in_a_loop(aspect):
    pixels, opacity, mask = photo()
    data, share = film(pixels, opacity, Order("shadow", aspect, 301))
    frames, comment = watched(data)
    assert len(frames) == PERIOD and ENHANCED in comment
    assert share == pytest.approx(mask.mean(), abs=0.01)
    assert all(side % 2 == 0 for side in frames.shape[1:3]) and 298 <= max(frames.shape[1:3]) <= 301
    assert frames.shape[2] * ASPECTS[aspect][1] == pytest.approx(frames.shape[1] * ASPECTS[aspect][0], abs=20)
    red = frames[..., 0] - frames[..., 1] > 60
    widths = red.any(1).sum(1)
    assert widths[PERIOD // 4] < 0.97 * widths[0]  # turned, it is narrower
    assert abs(int(widths[0]) - int(widths[PERIOD // 2])) <= 2
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_clip_of_a_photo_without_a_product_comes_nearer():
    pixels, opacity, _ = photo()
    data, share = film(pixels, np.zeros_like(opacity), Order("white", "1:1", 256))
    frames, _ = watched(data)
    assert share == 0 and len(frames) == PERIOD
    red = (frames[..., 0] - frames[..., 1] > 60).sum((1, 2))
    assert red[PERIOD // 2] > 1.08 * red[0] and red[-1] == pytest.approx(red[0], rel=0.02)


@pytest.mark.parametrize(
    ("order", "field"), [(Order("transparent", file_format="png"), "BACKGROUND"), (Order(size=1081), "SIZE")]
)
def test_what_a_clip_cannot_have_is_refused(order, field):
    with pytest.raises(StageError) as refused:
        film(*photo()[:2], order)
    assert refused.value.field == field


def test_jpeg_knows_no_transparency():
    with pytest.raises(StageError, match="send png or webp") as refused:
        shoot(*photo()[:2], Order("transparent"))
    assert refused.value.field == "IMAGE_FORMAT"

"""The video decoder turns what it is shown: geometry, framing, frames that agree, and the ONNX graph."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from networks.image_decoder import SIZE, Memory, create
from networks.thumbnail import to_rows
from networks.video_decoder import (
    DEPTHS,
    FRAMES,
    LEAST_FULL,
    LEAST_LIKE,
    MARGIN,
    NEARNESS,
    PLACES,
    STEPS,
    UNLIKE,
    Solids,
    Taken,
    Turntable,
    VideoDecoder,
    floor,
    gone_round,
    in_sight,
    rounded,
    sample,
    seen,
    sight,
    square,
    to_edge,
    window,
)

pytestmark = pytest.mark.usefixtures("one_thread")
TILT = math.radians(20)
CAMERA = torch.tensor([[TILT]]), torch.tensor([[NEARNESS]])


def upright(x: float, y: float, z: float) -> torch.Tensor:
    """A volume [1, 4, D, S, S] of that camera with a small white ball at an upright place (y down)."""
    places = sight(*CAMERA, DEPTHS, SIZE)
    inside = ((places - torch.tensor([x, y, z])) ** 2).sum(-1) < 0.15**2
    return inside.float().unsqueeze(1).repeat(1, 4, 1, 1, 1)


def seen_after(volume: torch.Tensor, turn: float) -> torch.Tensor:
    """[1, 5, S, S]: the volume from a camera of the same kind that went on by `turn` radians."""
    places = gone_round(sight(*CAMERA, STEPS, SIZE), torch.tensor([[turn]]))
    found = sample(volume, in_sight(places, *CAMERA).reshape(1, -1, SIZE, 3))
    return seen(found.reshape(1, 4, STEPS, SIZE, SIZE))


def middle(opacity: torch.Tensor) -> tuple[float, float]:
    """Where what is seen is: x and y."""
    line = torch.linspace(-1, 1, opacity.shape[-1])
    return tuple(float((opacity * axis).sum() / opacity.sum()) for axis in (line[None], line[:, None]))


def projected(place: tuple[float, float, float], turn: float) -> tuple[float, float]:
    """Where a pinhole camera sees a point, by vectors: the camera `turn` to the right of the front, looking down."""
    distance = 1 / NEARNESS
    towards = np.array([math.sin(turn) * math.cos(TILT), math.sin(TILT), math.cos(turn) * math.cos(TILT)])
    right = np.cross([0, 1, 0], towards) / np.linalg.norm(np.cross([0, 1, 0], towards))
    up = np.cross(towards, right)
    point = np.array([place[0], -place[1], place[2]])
    scale = distance / (distance - point @ towards)
    return float(point @ right * scale), float(-(point @ up) * scale)


@pytest.mark.parametrize("degrees", [0, 60, 135, 180, 300])
@pytest.mark.parametrize("place", [(0.4, 0.1, 0.0), (0.0, 0.0, 0.5), (-0.3, -0.3, 0.3)])
def test_a_point_is_seen_where_a_camera_that_went_round_would_see_it(place, degrees):
    turn = math.radians(degrees)
    found = middle(seen_after(upright(*place), turn)[0, 3])
    assert found == pytest.approx(projected(place, turn), abs=0.04)


def test_what_is_in_front_hides_what_is_behind_and_is_told_as_near():
    red, blue = upright(0, 0, 0.2), upright(0, 0, -0.2)
    red[:, 1:3], blue[:, :2] = 0, 0
    for turn, colour, front in ((0.0, 0, (0, 0, 0.2)), (math.pi, 2, (0, 0, -0.2))):
        x, y = (round((at + 1) / 2 * (SIZE - 1)) for at in projected(front, turn))
        seen_there = seen_after(red + blue, turn)[0, :, y, x]
        assert seen_there[colour] > 0.9 and seen_there[2 - colour] < 0.1 and seen_there[3] > 0.95
        assert seen_there[4] == pytest.approx(0.2 * math.cos(TILT) + 0.13, abs=0.1)


def test_a_volume_is_sampled_between_its_places_and_empty_outside():
    line = torch.linspace(-1, 1, 5)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    volume = torch.stack([x, y, z]).unsqueeze(0)
    places = torch.tensor([[0.1, -0.3, 0.7], [1.0, 1.0, 1.0], [-1.0, 0.2, -0.9], [1.1, 0, 0], [0, 0, -1.2]])
    found = sample(volume, places.reshape(1, 1, 5, 3))[0, :, 0].T
    torch.testing.assert_close(found[:3], places[:3], atol=1e-4, rtol=0)
    assert not found[3:].any()


def standing(x: float, z: float) -> torch.Tensor:
    """Opacity before its sigmoid, of a round pillar from upright place (x, -0.2, z) down to 0.5."""
    places = sight(*CAMERA, DEPTHS, SIZE) - torch.tensor([x, 0.15, z])
    inside = (places[..., 0] ** 2 + places[..., 2] ** 2 < 0.2**2) & (places[..., 1].abs() < 0.35)
    return inside.float().unsqueeze(1) * 20 - 10


def test_a_shadow_begins_at_the_foot_and_falls_away_from_the_light():
    taken = Taken(*CAMERA, *CAMERA, CAMERA[0])
    assert floor(standing(0, 0).sigmoid(), taken).item() == pytest.approx(0.5, abs=0.04)
    turns = torch.tensor([[0.0, 2.0, 4.5]])
    dark = VideoDecoder(0).shadows(standing(0, 0), taken, turns)
    assert dark.shape == (3, 1, SIZE, SIZE) and dark.min() >= 0 and dark.max() > 0.9
    for frame in dark[:, 0]:  # a pillar on the axis looks the same from all round, and so does its shadow
        foot, tip = projected((0, 0.5, 0), 0), projected((-0.18, 0.5, -0.26), 0)  # of 0.7 in the light of 65 degrees
        x, y = middle(frame)
        assert x == pytest.approx((foot[0] + tip[0]) / 2, abs=0.06)
        assert y == pytest.approx((foot[1] + tip[1]) / 2, abs=0.06)
    assert VideoDecoder(0).shadows(standing(0, 0) * 0 - 10, taken, turns).max() < 1e-6


def solids(*shapes: np.ndarray) -> Solids:
    """Shapes bool [z, y, x] of products whose embeddings are unit vectors, one after the other."""
    known = Solids(len(shapes))
    known.keys.copy_(torch.eye(len(shapes), 384))
    known.packed.copy_(torch.from_numpy(np.packbits(np.stack(shapes).reshape(len(shapes), -1), axis=1)))
    return known


def wedge(mirrored: bool = False) -> np.ndarray:
    """A tall board with a low one before its right end: no two sides look alike."""
    line = np.linspace(-1, 1, PLACES)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    x = -x if mirrored else x
    board = (abs(x) < 0.6) & (abs(y + 0.05) < 0.55) & (abs(z) < 0.12)
    return board | ((abs(x - 0.4) < 0.2) & (abs(y - 0.3) < 0.2) & (abs(z - 0.3) < 0.3))


def like_all(count: int) -> torch.Tensor:
    """A unit embedding [1, 384] that the products of :func:`solids` are equally near to."""
    return torch.nn.functional.normalize((torch.arange(384) < count).float(), dim=0).unsqueeze(0)


def taken_so() -> Taken:
    return Taken(*CAMERA, *CAMERA, CAMERA[0])


def turned(shape: np.ndarray, degrees: float) -> torch.Tensor:
    """What it fills [1, D, S, S] of the lines of sight of a camera that went round it."""
    places = gone_round(sight(*CAMERA, DEPTHS, SIZE), torch.tensor([[math.radians(degrees)]]))
    volume = torch.from_numpy(shape)[None, None].float()
    return sample(volume, places.reshape(1, -1, SIZE, 3)).reshape(1, DEPTHS, SIZE, SIZE)


@pytest.mark.parametrize("degrees", [0, 45, 105, 300])
def test_the_shape_that_fits_the_cut_out_is_recalled_and_turned_as_it_stands(degrees):
    line = np.linspace(-1, 1, PLACES)
    flat = np.broadcast_to(abs(line)[:, None] < 0.2, (PLACES, PLACES, PLACES))
    known = solids(flat, wedge(), wedge(mirrored=True))
    want = turned(wedge(), degrees)
    cut_out = want.amax(1, keepdim=True).expand(-1, 4, -1, -1)
    found = known(cut_out, like_all(3), taken_so())
    assert found.shape == want.shape
    assert (found - want).abs().sum() < 0.02 * want.sum()


def test_of_shapes_that_fit_alike_the_likest_products_is_recalled():
    line = np.linspace(-1, 1, PLACES)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    drum = (np.hypot(x, z) < 0.6) & (abs(y) < 0.5)
    pipe = drum & (np.hypot(x, z) > 0.3)
    known = solids(drum, pipe)
    cut_out = turned(drum, 0).amax(1, keepdim=True).expand(-1, 4, -1, -1)
    for which, shape in enumerate((drum, pipe)):
        found = known(cut_out, torch.eye(2, 384)[which : which + 1], taken_so())
        assert found.sum().item() == pytest.approx(turned(shape, 0).sum().item(), rel=0.05)


def test_what_is_far_less_like_it_is_not_recalled_however_well_it_fits():
    line = np.linspace(-1, 1, PLACES)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    pillar = (np.hypot(x, z) < 0.45) & (abs(y) < 0.5)
    known = solids(pillar, wedge())
    cut_out = turned(wedge(), 45).amax(1, keepdim=True).expand(2, 4, -1, -1)
    rows = torch.zeros(2, 384)
    rows[:, 0] = UNLIKE
    rows[:, 1] = UNLIKE * LEAST_LIKE + torch.tensor([0.01, -0.01])
    taken = Taken(*(value.expand(2, -1) for value in vars(taken_so()).values()))
    found = known(cut_out, rows, taken)
    want = turned(wedge(), 45)[0]
    assert (found[0] - want).abs().sum() < 0.02 * want.sum()
    pillar_seen = turned(pillar, 0)[0]
    assert (found[1] - pillar_seen).abs().sum() < 0.1 * pillar_seen.sum()


def shown(solid: torch.Tensor, turn: float) -> torch.Tensor:
    """Opacity [S, S] of what fills the lines of sight [1, D, S, S], from a camera that went on by `turn`."""
    return seen_after(solid.unsqueeze(1).expand(-1, 4, -1, -1, -1), turn)[0, 3]


def test_how_far_the_edge_is_agrees_with_scipy():
    inside = (torch.rand(2, 33, 33, generator=torch.Generator().manual_seed(1)) > 0.04).float()
    want = np.stack([distance_transform_edt(each.numpy()) for each in inside])
    np.testing.assert_allclose(to_edge(inside).numpy(), want, atol=1e-4)
    assert (to_edge(torch.ones(1, 8, 8)) == 4).all()
    assert not to_edge(torch.zeros(1, 8, 8)).any()


def test_a_disc_becomes_a_ball_and_a_high_board_stands_upright():
    line = torch.linspace(-1, 1, SIZE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    disc = (x.square() + y.square() < 0.25).float()[None, None]
    ball = rounded(disc, taken_so())
    assert not (ball.amax(1) * (1 - disc[0])).any()
    for turn in (0.0, math.pi / 3, math.pi / 2, math.pi):
        assert (shown(ball, turn) > 0.5).sum().item() == pytest.approx(disc.sum().item(), rel=0.2)
    board = ((x.abs() < 0.15) & (y.abs() < 0.8)).float()[None, None]
    aside = shown(rounded(board, taken_so()), math.pi / 2)
    assert abs((aside > 0.5).any(1).sum() - board.any(3).sum()) < 6
    above, below = (middle(aside * part)[0] for part in (y < -0.3, y > 0.3))
    assert above == pytest.approx(below, abs=0.03)


def test_where_no_known_product_is_like_it_or_fits_it_the_cut_out_is_rounded():
    line = np.linspace(-1, 1, PLACES)
    rod = np.broadcast_to((abs(line)[:, None] < 0.1) & (abs(line) < 0.1), (PLACES, PLACES, PLACES))
    cut_out = turned(wedge(), 45).amax(1, keepdim=True).expand(3, 4, -1, -1)
    like, unlike = torch.eye(3, 384)[:1], torch.eye(3, 384)[2:]
    barely = UNLIKE * like + math.sqrt(1 - UNLIKE**2) * unlike
    taken = Taken(*(value.expand(3, -1) for value in vars(taken_so()).values()))
    rows = torch.cat([like, unlike, barely * 1.001])
    found, fitting_none = (solids(shape)(cut_out, rows, taken) for shape in (wedge(), rod))
    cushion = rounded(cut_out[:, 3:], taken)
    torch.testing.assert_close(fitting_none, cushion)
    torch.testing.assert_close(found[1], cushion[1])
    for row in (0, 2):
        assert (found[row] - turned(wedge(), 45)).abs().sum() < 0.02 * cushion[row].sum()


def test_what_the_photo_shows_stands_whatever_is_recalled():
    torch.manual_seed(0)
    cut_out = torch.zeros(1, 4, SIZE, SIZE)
    cut_out[..., 10:40, 20:50] = 1
    elsewhere = torch.zeros(1, DEPTHS, SIZE, SIZE)
    elsewhere[:, 4:8, 40:60] = 1
    with torch.inference_mode():
        opacity, _ = VideoDecoder(0).lift(cut_out, torch.randn(1, 384), elsewhere)
    front = opacity[0, 0].amax(0)
    assert front[10:40, 20:50].min() > LEAST_FULL - 1e-4
    assert front[:8].max() < -2 and front[42:].max() < 0


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
    network = Turntable(create("vae"), memory, VideoDecoder(2))
    network.decoder.solids.keys.copy_(torch.nn.functional.normalize(torch.randn(2, 384), dim=-1))
    network.decoder.solids.packed.copy_(torch.randint(0, 255, (2, PLACES**3 // 8)))
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
def test_onnx_turns_the_same_way(turntable, tmp_path, monkeypatch):
    import onnxruntime as ort

    monkeypatch.setattr(turntable, "turns", turntable.turns[::6])  # the graph has them one after the other
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

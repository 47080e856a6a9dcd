"""Renders views of a textured OBJ model as a shop would photograph it: trimesh + Embree, on one core.

Perspective camera, one key light and an even fill, textures, transparency (up to :data:`LAYERS` surfaces), a soft
contact shadow on the floor, plain or graded grounds. Everything random comes from the generator handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image, ImageFilter

#: Single precision: half the memory traffic, which is what rendering in numpy costs.
Array = NDArray[np.float32]

SIZE = 160
#: Rays per pixel side.
SUPERSAMPLING = 2
LAYERS = 4
MAX_TEXTURE = 512


class BrokenModel(ValueError):
    """A model that holds nothing to look at."""


@dataclass
class Material:
    """`colour` [3], `opacity` and `shine` in 0..1; `texture` [h, w, 4] in 0..1, or None; `name` in the model's file."""

    colour: Array
    opacity: float
    shine: float
    texture: Array | None
    name: str = ""


@dataclass
class Model:
    """Triangles of one product, centred, within the unit ball, y up, front towards +z.

    `vertices` [V, 3], `normals` [V, 3], `uv` [V, 2], `faces` [F, 3], `material_of` [F] into `materials`.
    """

    vertices: Array
    normals: Array
    uv: Array
    faces: NDArray[np.int64]
    material_of: NDArray[np.int64]
    materials: list[Material]
    tracer: Any


@dataclass(frozen=True)
class View:
    """How one picture is taken. Angles in radians; `fill` is the share of the frame that the product spans.

    `window`, where given, fixes what the frame shows whatever the product spans: half its side and its centre (x, y),
    at distance one from the eye.
    """

    azimuth: float
    elevation: float
    distance: float
    fill: float
    shift: tuple[float, float]
    light: tuple[float, float]
    ambient: float
    gamma: float
    tint: tuple[float, float, float]
    ground: str
    ground_colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    shadow: float
    window: tuple[float, float, float] | None = None


@dataclass
class Rendered:
    """A picture taken: what is seen and where.

    `picture` [S, S, 3] uint8; `mask` [S, S] bool, where the product is; `opacity` [S, S] in 0..1, how little of the
    ground shows; `base` [S, S, 3] in 0..1, the product's own colours without light, times `opacity`; `shown` [M], the
    share of the frame that each material takes.
    """

    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    opacity: Array
    base: Array
    shown: Array


def _material(visual: Any) -> Material:
    source = getattr(visual, "material", None)
    colour, opacity, shine, texture = np.full(3, 0.7, np.float32), 1.0, 0.1, None
    extra = getattr(source, "kwargs", None) or {}
    if source is not None and getattr(source, "diffuse", None) is not None:
        colour = np.asarray(source.diffuse[:3], np.float32) / 255
    if extra.get("ks"):
        shine = float(np.mean(extra["ks"]))
    if extra.get("d"):
        opacity = float(extra["d"][0])
    image = getattr(source, "image", None)
    if image is not None and getattr(visual, "uv", None) is not None:
        image = image.convert("RGBA")
        image.thumbnail((MAX_TEXTURE, MAX_TEXTURE))
        texture = np.asarray(image, np.float32) / 255
    # Exporters write d 0 for materials that they show opaque.
    return Material(
        colour, opacity if opacity > 0.02 else 1.0, min(max(shine, 0.05), 0.5), texture, _material_name(source)
    )


def _material_name(source: Any) -> str:
    """The material's name, with its texture's file name where it has one: both may say what a thing is made of."""
    image = getattr(source, "image", None)
    file = Path(getattr(image, "filename", "") or "").stem
    return " ".join(filter(None, (str(getattr(source, "name", "") or ""), file)))


def load_model(path: Path, rotation: list[float] | None = None) -> Model:
    """Reads an OBJ with its materials.

    Raises:
        BrokenModel: no triangles, or no extent.
    """
    scene = trimesh.load_scene(str(path), process=False)
    vertices, normals, uv, faces, material_of = [], [], [], [], []
    materials: list[Material] = []
    count = 0
    for geometry in scene.geometry.values():
        if not isinstance(geometry, trimesh.Trimesh) or not len(geometry.faces):
            continue
        visual = geometry.visual
        mapped = getattr(visual, "uv", None)
        uv.append(np.zeros((len(geometry.vertices), 2)) if mapped is None else np.asarray(mapped)[:, :2])
        vertices.append(np.asarray(geometry.vertices))
        normals.append(np.asarray(geometry.vertex_normals))
        faces.append(np.asarray(geometry.faces) + count)
        material_of.append(np.full(len(geometry.faces), len(materials)))
        materials.append(_material(visual))
        count += len(geometry.vertices)
    if not faces:
        raise BrokenModel(f"{path.name} holds no triangles")
    points, directions = np.concatenate(vertices), np.concatenate(normals)
    if rotation:
        matrix = np.array(rotation).reshape(3, 3)
        points, directions = points @ matrix.T, directions @ matrix.T
    points = points - (points.max(0) + points.min(0)) / 2
    extent = np.linalg.norm(points, axis=1).max()
    if not np.isfinite(extent) or extent <= 0:
        raise BrokenModel(f"{path.name} has no extent")
    points = points / extent
    triangles = np.concatenate(faces)
    mesh = trimesh.Trimesh(points, triangles, process=False)
    return Model(
        points.astype(np.float32),
        directions.astype(np.float32),
        np.nan_to_num(np.concatenate(uv)).astype(np.float32),
        triangles,
        np.concatenate(material_of),
        materials,
        # Its inner scene takes float32 rays as they are; the public methods would copy them to float64 and back.
        trimesh.ray.ray_pyembree.RayMeshIntersector(mesh, scale_to_box=False)._scene,
    )


def is_flat(model: Model) -> bool:
    """Whether a thing is shown from further above: a rug, a plate, a keyboard."""
    width, height, depth = np.ptp(model.vertices, axis=0)
    return bool(height < 0.4 * min(width, depth))


def random_view(rng: np.random.Generator, model: Model, frontal: bool) -> View:
    """A view as shops take them: a little from above (flat things more), mostly on a light ground."""
    width, height, depth = np.ptp(model.vertices, axis=0)
    flat = is_flat(model)
    thin = depth < 0.3 * min(width, height)  # a wall plug shows nothing from its side
    azimuth = rng.uniform(-60, 60) if thin else rng.uniform(-70, 70) if frontal else rng.uniform(-180, 180)
    pastel = 1 - rng.uniform(0, 0.35, 3) * rng.uniform(0, 1)
    grey = np.full(3, rng.uniform(0.55, 0.98))
    dark = rng.uniform(0.05, 0.35) + rng.uniform(0, 0.1, 3)
    kind, first, second = [
        ("plain", np.ones(3), np.ones(3)),
        ("plain", grey, grey),
        ("plain", pastel, pastel),
        ("graded", pastel, grey),
        ("floor", pastel, grey * rng.uniform(0.7, 1)),
        ("plain", dark, dark),
    ][rng.choice(6, p=[0.35, 0.15, 0.15, 0.15, 0.14, 0.06])]
    return View(
        azimuth=np.deg2rad(azimuth),
        elevation=np.deg2rad(rng.uniform(25, 75) if flat else rng.uniform(4, 38)),
        distance=rng.uniform(2.6, 6.0),
        fill=rng.uniform(0.62, 0.96),
        shift=(rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06)),
        light=(np.deg2rad(azimuth + rng.uniform(-70, 70)), np.deg2rad(rng.uniform(25, 70))),
        ambient=rng.uniform(0.35, 0.6),
        gamma=rng.uniform(0.65, 1.0),
        tint=tuple(1 + rng.uniform(-0.05, 0.05, 3)),
        ground=kind,
        ground_colours=(tuple(first), tuple(second)),
        shadow=rng.choice([0.0, 1.0]) * rng.uniform(0.15, 0.45),
    )


def _direction(azimuth: float, elevation: float) -> Array:
    across = np.cos(elevation)
    return np.array([np.sin(azimuth) * across, np.sin(elevation), np.cos(azimuth) * across], np.float32)


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("nd,nd->n", a, b)


def _unit(x: Array) -> Array:
    return x / (np.sqrt(_dot(x, x)) + 1e-9)[:, None]


def _axes(view: View) -> tuple[Array, Array, Array, Array]:
    """Eye [3], and the unit directions forward, right and up [3] of the camera."""
    towards = _direction(view.azimuth, view.elevation)
    eye, forward = view.distance * towards, -towards
    right = np.cross(forward, np.array([0, 1, 0], np.float32))
    right /= np.linalg.norm(right)
    return eye, forward, right, np.cross(right, forward)


def spans(model: Model, view: View) -> tuple[float, float, float, float]:
    """Least and greatest x, least and greatest y of the product at distance one from the eye."""
    eye, forward, right, up = _axes(view)
    seen = model.vertices - eye
    depth = seen @ forward
    x, y = (seen @ right) / depth, (seen @ up) / depth
    return x.min(), x.max(), y.min(), y.max()


def _camera(model: Model, view: View, size: int) -> tuple[Array, Array]:
    """Eye [3] and unit ray directions [size*size, 3], so that the product spans `view.fill` of the frame."""
    eye, forward, right, up = _axes(view)
    if view.window is None:
        left, right_most, low, high = spans(model, view)
        half = max(right_most - left, high - low) / 2 / view.fill
        centre_x = (right_most + left) / 2 + view.shift[0] * half
        centre_y = (high + low) / 2 + view.shift[1] * half
    else:
        half, centre_x, centre_y = view.window
    grid = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1) * half
    across, down = np.meshgrid(grid + centre_x, -grid + centre_y)
    rays = forward + across[..., None] * right + down[..., None] * up
    return eye, _unit(rays.reshape(-1, 3).astype(np.float32))


def surface_at(model: Model, triangle: NDArray[np.int64], points: Array) -> tuple[Array, Array, Array, Array]:
    """Colour [n, 3], opacity [n], shine [n] and unit normal [n, 3] at points [n, 3] on the given triangles [n]."""
    corners = model.faces[triangle]
    weights = trimesh.triangles.points_to_barycentric(model.vertices[corners], points, method="cross")
    weights = np.nan_to_num(weights).clip(0, 1).astype(np.float32)
    normal = _unit(np.einsum("nkd,nk->nd", model.normals[corners], weights))
    uv = np.einsum("nkd,nk->nd", model.uv[corners], weights) % 1
    colour = np.zeros((len(triangle), 3), np.float32)
    opacity, shine = np.ones((2, len(triangle)), np.float32)
    material_of = model.material_of[triangle]
    for index in np.unique(material_of):
        material, here = model.materials[index], material_of == index
        colour[here], opacity[here], shine[here] = material.colour, material.opacity, material.shine
        if material.texture is not None:
            height, width = material.texture.shape[:2]
            texel = material.texture[
                ((1 - uv[here, 1]) * (height - 1)).astype(int), (uv[here, 0] * (width - 1)).astype(int)
            ]
            colour[here], opacity[here] = texel[:, :3], texel[:, 3] * material.opacity
    return colour, opacity, shine, normal


def _ground(model: Model, view: View, eye: Array, rays: Array, size: int) -> Array:
    """Colours [size*size, 3] of what lies behind the product, with its shadow on the floor."""
    first, second = np.array(view.ground_colours, np.float32)
    row = np.repeat(np.linspace(0, 1, size, dtype=np.float32), size)[:, None]
    if view.ground == "graded":
        colour = first * (1 - row) + second * row
    elif view.ground == "floor":
        colour = np.where(rays[:, 1:2] > -0.12, first, second)
    else:
        colour = np.repeat(first[None], len(rays), 0)
    if view.shadow == 0:
        return colour
    floor = model.vertices[:, 1].min() - 1e-3
    distance = (floor - eye[1]) / np.minimum(rays[:, 1], -1e-6)
    near = (rays[:, 1] < -1e-3) & (distance < 3 * view.distance)
    shadow = np.zeros(len(rays), np.float32)
    at = eye + distance[near, None] * rays[near]
    if len(at):
        shadow[near] = model.tracer.run(at, np.repeat(_direction(*view.light)[None], len(at), 0)) >= 0
    mask = Image.fromarray((shadow.reshape(size, size) * 255).astype(np.uint8))
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(size / 48)), np.float32).reshape(-1, 1) / 255
    return colour * (1 - view.shadow * soft)


def render(model: Model, view: View, size: int = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture [size, size, 3] uint8 and the mask [size, size] of where the product is."""
    taken = take(model, view, size)
    return taken.picture, taken.mask


def take(model: Model, view: View, size: int = SIZE) -> Rendered:
    """One picture with all that is known about it."""
    fine = size * SUPERSAMPLING
    eye, rays = _camera(model, view, fine)
    light = _direction(*view.light)
    colour, own = np.zeros((2, len(rays), 3), np.float32)
    through = np.ones(len(rays), np.float32)
    shown = np.zeros(len(model.materials), np.float32)
    origin = np.repeat(eye[None], len(rays), 0)
    active = np.arange(len(rays))
    hit_any = np.zeros(len(rays), bool)
    for _ in range(LAYERS):
        triangle = model.tracer.run(origin[active], rays[active])
        active, triangle = active[triangle >= 0], triangle[triangle >= 0]
        if not len(active):
            break
        ray, corner = rays[active], model.vertices[model.faces[triangle]]
        flat = _unit(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]))
        facing = _dot(ray, flat)
        travelled = _dot(corner[:, 0] - origin[active], flat) / np.where(facing == 0, 1e-6, facing)
        point = origin[active] + travelled[:, None] * ray
        base, opacity, shine, normal = surface_at(model, triangle, point)
        facing_eye = -_dot(normal, ray)
        normal *= np.sign(facing_eye)[:, None]
        shade = view.ambient * (0.7 + 0.3 * np.abs(facing_eye)) + (1.1 - view.ambient) * (normal @ light).clip(0.1, 1)
        # Blinn-Phong highlight, so that black and glossy things keep their form.
        highlight = shine * _dot(normal, _unit(light - ray)).clip(0, 1) ** 24
        share = (through[active] * opacity)[:, None]
        lit = (base * shade[:, None]).clip(0, 1) ** view.gamma + highlight[:, None]
        colour[active] += share * lit * np.array(view.tint, np.float32)
        own[active] += share * base
        shown += np.bincount(model.material_of[triangle], share[:, 0], len(shown)).astype(np.float32)
        through[active] *= 1 - opacity
        hit_any[active[opacity > 0.05]] = True
        origin[active] = point + 1e-4 * ray
        active = active[through[active] > 0.03]
        if not len(active):
            break
    if view.ground == "plain" and view.shadow == 0:
        colour += through[:, None] * np.array(view.ground_colours[0], np.float32)
    else:
        colour += through[:, None] * _ground(model, view, eye, rays, fine)
    shape = (size, SUPERSAMPLING, size, SUPERSAMPLING)
    picture = colour.clip(0, 1).reshape(*shape, 3).mean((1, 3))
    return Rendered(
        (picture * 255).round().astype(np.uint8),
        hit_any.reshape(shape).mean((1, 3)) > 0.25,
        1 - through.reshape(shape).mean((1, 3)),
        own.clip(0, 1).reshape(*shape, 3).mean((1, 3)),
        shown / len(rays),
    )

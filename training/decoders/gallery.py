"""`docs/gallery.md`: what the decoders make of photos and titles that they were not trained on, failures too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from networks.fusion import Fusion
from networks.image_decoder import SIZE, Still
from networks.thumbnail import to_rows
from networks.video_decoder import FRAMES, Turntable
from training.catalogue import studio, turntables
from training.catalogue.photos import photos
from training.catalogue.products import Product
from training.decoders.fidelity import PHOTOS, SEED, Index, Query, conditions, draw, queries
from training.decoders.pictures import frames, thumbnail
from training.encoders.features import Features
from training.encoders.fused import image_only, run
from training.encoders.served import ImageEncoder, TextEncoder, fit

ZOOM = 2
MARGIN = 150  # pixels of a row's label
COLUMNS = 12


@dataclass
class Row:
    """A labelled row of pictures, uint8 [n, S, S, 3]."""

    label: str
    pictures: NDArray[np.uint8]


def sheet(rows: list[Row], heads: list[str], path: Path) -> None:
    """One picture of all rows, a name over each column."""
    side, head = SIZE * ZOOM, 16
    canvas = Image.new("RGB", (MARGIN + side * len(heads), head + side * len(rows)), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    for column, text in enumerate(heads):
        pen.text((MARGIN + column * side + 2, 2), text[:22], "black", font)
    for line, row in enumerate(rows):
        pen.text((4, head + line * side + side // 2 - 6), row.label, "black", font)
        for column, pixels in enumerate(row.pictures):
            picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
            canvas.paste(picture, (MARGIN + column * side, head + line * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path, quality=92, subsampling=0)


def _photos(asked: list[Query]) -> NDArray[np.uint8]:
    seen = [Image.fromarray(np.moveaxis(q.thumbnail, 0, 2)) for q in asked]
    return np.stack([np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.NEAREST)) for picture in seen])


def _squared(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(Image.fromarray(fit(picture)).resize((SIZE, SIZE), Image.Resampling.BOX))


def real_conditions(real: list[dict[str, Any]], fusion: Fusion, encoder: ImageEncoder) -> torch.Tensor:
    """The conditions [n, 26, 384] of photos alone."""
    square, small = [], []
    for entry in real:
        with Image.open(entry["path"]) as picture:
            square.append(fit(picture))
            small.append(thumbnail(picture))
    _, fused = run(fusion, image_only(Features(*encoder(np.stack(square)))))
    return torch.cat([fused.unsqueeze(1), to_rows(torch.from_numpy(np.stack(small)) / 255)], 1)


def remembered(features: NDArray[np.float32], index: Index) -> NDArray[np.uint8]:
    """For each drawn picture's features [n, 1280] the nearest side of a product that was trained on."""
    trained = np.array([not p.held_out for p in index.products])
    near = np.einsum("nd,psd->nps", features, index.features)
    near[:, ~trained] = -1
    found = []
    for row in near.reshape(len(features), -1).argmax(1):
        product, side = divmod(int(row), index.features.shape[1])
        found.append(frames(index.products[product])[0][side * FRAMES // index.features.shape[1]])
    return np.stack(found)


def write(
    decoders: dict[str, Still],
    served: str,
    turntable: Turntable,
    products: list[Product],
    fusion: Fusion,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
    folder: Path,
) -> Path:
    """Draws every sheet into ``<folder>/gallery`` and writes ``<folder>/gallery.md``."""
    index = Index.build(products, image_encoder)
    text = [
        "# Gallery",
        "",
        "Written by `python -m training fidelity`; nothing is chosen by hand. Drawn at 64 pixels, shown at 128.",
        "Figures: [fidelity.json](fidelity.json); what they mean: [the card](../weights/image_decoder/README.md).",
        "",
    ]
    main = decoders[served]
    for name, held_out in (("held-out views", False), ("held-out products", True)):
        asked = queries(products, held_out, PHOTOS)
        given = conditions(asked, products, fusion, text_encoder)
        drawn = draw(main, given["both"], SEED)
        order, features = index.ranks(drawn, image_encoder)
        first = np.arange(COLUMNS) * len(asked) // COLUMNS
        few = {way: condition[first] for way, condition in given.items()}
        rows = [
            Row("the photo, as the decoder", _photos([asked[i] for i in first])),
            Row("its studio shot", np.stack([asked[i].truth for i in first])),
            *(Row(f"{variant}: photo and title", draw(d, few["both"], 1)) for variant, d in decoders.items()),
            Row(f"{served}: another seed", draw(main, few["both"], 2)),
            Row(f"{served}: photo alone", draw(main, few["photo"], 1)),
            *(Row(f"{served}: title alone, {seed}", draw(main, few["text"], seed)) for seed in (1, 2, 3)),
            Row("nearest trained-on", remembered(features[first], index)),
        ]
        slug = name.replace(" ", "-")
        sheet(rows, [products[asked[i].product].name for i in first], folder / "gallery" / f"{slug}.jpg")
        text += [f"## {name.capitalize()}", "", f"![{name}](gallery/{slug}.jpg)", ""]
    # From here on it is the held-out products.
    categories = np.array([p.category for p in products])
    right = categories[order[:, 0]] == categories[[q.product for q in asked]]
    wrong = np.flatnonzero(~right)[:COLUMNS]
    if len(wrong):
        rows = [
            Row("the photo", _photos([asked[i] for i in wrong])),
            Row("its studio shot", np.stack([asked[i].truth for i in wrong])),
            Row(f"{served}: photo and title", drawn[wrong]),
        ]
        sheet(rows, [products[asked[i].product].name for i in wrong], folder / "gallery" / "failures.jpg")
        text += [
            "## Failures",
            "",
            "Pictures of held-out products that the judge takes for something of another category.",
            "",
            "![failures](gallery/failures.jpg)",
            "",
        ]
    real = photos()
    unseen = real_conditions(real, fusion, image_encoder)
    around = turntable_frames(turntable, unseen)
    rows = [
        Row("a real photo", np.stack([_squared(entry["path"]) for entry in real])),
        *(Row(f"{variant}: photo alone", draw(d, unseen, 1)) for variant, d in decoders.items()),
        *(Row(f"turned by {degrees}°", around[:, degrees * FRAMES // 360]) for degrees in (30, 90, 180)),
    ]
    sheet(rows, [entry["name"] for entry in real], folder / "gallery" / "real-photos.jpg")
    text += [
        "## Real photos",
        "",
        "Nothing like them was trained on.",
        "",
        "![real photos](gallery/real-photos.jpg)",
        "",
    ]
    text += ["## Turntables", "", "Every second frame: drawn from one photo and its title, and the true one below.", ""]
    rows = []
    for place in np.arange(4) * len(asked) // 4 + 7:
        drawn_turn, true_turn = turned(turntable, asked[place], given["both"][place : place + 1], products)
        name = products[asked[place].product].name[:20]
        rows += [Row(name, drawn_turn[::2]), Row("true", true_turn[::2])]
    sheet(rows, [f"{frame * 360 // FRAMES}°" for frame in range(0, FRAMES, 2)], folder / "gallery" / "turntables.jpg")
    text += ["![turntables](gallery/turntables.jpg)", ""]
    path = folder / "gallery.md"
    path.write_text("\n".join(text))
    return path


@torch.inference_mode()
def turntable_frames(turntable: Turntable, condition: torch.Tensor) -> NDArray[np.uint8]:
    """uint8 [n, 24, S, S, 3], all rows of one noise."""
    noise = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(SEED)).expand(
        len(condition), -1, -1, -1
    )
    return (turntable(condition, noise).permute(0, 1, 3, 4, 2) * 255).round().to(torch.uint8).numpy()


def turned(
    turntable: Turntable, query: Query, condition: torch.Tensor, products: list[Product]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The drawn turntable and the true one, both uint8 [24, S, S, 3], beginning at the photo's side."""
    first = round(query.azimuth / (2 * np.pi / FRAMES))
    pictures, _ = frames(products[query.product])
    return turntable_frames(turntable, condition)[0], np.roll(pictures, -first, axis=0)


def _nearest(pictures: NDArray[np.uint8], among: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Which of some pictures [m, S, S, 3] is nearest to each [n, S, S, 3] in its pixels."""
    return ((pictures[:, None].astype(np.float32) - among[None]) ** 2).mean((2, 3, 4)).argmin(1)


def _degrees(of: NDArray[np.int64], should: NDArray) -> NDArray[np.float64]:
    """How far frames are from where they should be."""
    return np.abs((of - should + FRAMES // 2) % FRAMES - FRAMES // 2) * 360 / FRAMES


def turns(
    turntable: Turntable,
    products: list[Product],
    fusion: Fusion,
    text_encoder: TextEncoder,
    image_encoder: ImageEncoder,
    held_out: bool = True,
    count: int = 24,
) -> dict[str, float]:
    """The turntables of `count` products, drawn from a photo and the title, beside the true ones.

    Held-out products; else views that were not trained on, of products that were.

    ``category_accuracy`` and ``product_in_5`` of the frames by the judge of pictures; ``consistency``, the mean cosine
    of neighbouring frames' features, and the true turntables' ``consistency_true``; ``angle_error_degrees``, the median
    distance between a frame's angle and that of the true frame nearest to it in pixels; ``angle_error_chance``, the
    same where the frames are shuffled, and ``angle_error_true_shots``, of true shots by cameras of their own;
    ``monotonic``, the share of steps of 45 degrees whose nearest true frames go the right way round.
    """
    index = Index.build(products, image_encoder)
    asked = queries(products, held_out, PHOTOS)
    asked = [asked[i] for i in np.arange(count) * len(asked) // count]
    given = conditions(asked, products, fusion, text_encoder)["both"]
    rng = np.random.default_rng(SEED)
    category, in_five, near, near_true, errors, chance, of_shots, forward = [], [], [], [], [], [], [], []
    categories = np.array([p.category for p in products])
    for place, query in enumerate(asked):
        drawn, true = turned(turntable, query, given[place : place + 1], products)
        order, features = index.ranks(drawn, image_encoder)
        _, true_features = index.ranks(true, image_encoder)
        category.append((categories[order[:, 0]] == categories[query.product]).mean())
        in_five.append((order[:, :5] == query.product).any(1).mean())
        near.append((features * np.roll(features, -1, 0)).sum(1).mean())
        near_true.append((true_features * np.roll(true_features, -1, 0)).sum(1).mean())
        angle, wanted = _nearest(drawn, true), np.arange(FRAMES)
        shots, _ = studio.read(products[query.product])
        azimuths = (turntables.view_angles(products[query.product])[:, 0] - query.azimuth) / (2 * np.pi / FRAMES)
        errors.append(_degrees(angle, wanted))
        chance.append(_degrees(rng.permutation(angle), wanted))
        of_shots.append(_degrees(_nearest(shots, true), azimuths))
        ahead = (np.roll(angle, -3) - angle) % FRAMES
        forward.append(((ahead > 0) & (ahead < FRAMES // 2)).mean())
    return {
        "turntables": count,
        "category_accuracy": float(np.mean(category)),
        "product_in_5": float(np.mean(in_five)),
        "consistency": float(np.mean(near)),
        "consistency_true": float(np.mean(near_true)),
        "angle_error_degrees": float(np.median(np.concatenate(errors))),
        "angle_error_chance": float(np.median(np.concatenate(chance))),
        "angle_error_true_shots": float(np.median(np.concatenate(of_shots))),
        "monotonic": float(np.mean(forward)),
    }

"""Judges the image decoder's variants and writes what came out: card, gallery and figures."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from networks.image_decoder import VARIANTS, Still
from networks.video_decoder import CANDIDATES, LEAST_LIKE, UNFIT, UNLIKE, Turntable, VideoDecoder
from training.catalogue.products import Product
from training.common.figures import MACHINE, markdown, record, template
from training.common.files import REPOSITORY, WEIGHTS
from training.decoders import gallery, turning
from training.decoders.fidelity import COLOUR_DISTANCE, evaluate
from training.decoders.pictures import BATCH, STEPS, load, load_memory
from training.encoders.fused import load as load_fusion
from training.encoders.served import ImageEncoder, TextEncoder

FOLDER, VIDEO = (WEIGHTS / name for name in ("image_decoder", "video_decoder"))
#: Figure → its heading.
COLUMNS = {
    "product": "product",
    "product_in_5": "product in 5",
    "category_accuracy": "category",
    "colour_accuracy": "colour",
    "frechet": "Fréchet",
    "seeds_apart": "seeds apart",
}


def everything(products: list[Product], served: str, console: Console) -> dict[str, Any]:
    """Figures by set and what (``variant/way``), and those of the turntables; the gallery is written on the way."""
    memory = load_memory(FOLDER / "memory.safetensors")
    paths = {variant: FOLDER / f"{variant}.safetensors" for variant in VARIANTS}
    decoders = {variant: Still(load(variant, path), memory).eval() for variant, path in paths.items() if path.exists()}
    video_decoder = VideoDecoder.restored(load_file(VIDEO / "model.safetensors"))
    turntable = Turntable(decoders[served].decoder, memory, video_decoder).eval()
    fusion_variant = json.loads((WEIGHTS / "fusion" / "recall.json").read_text())["best"]
    fusion = load_fusion(fusion_variant, WEIGHTS / "fusion" / f"{fusion_variant}.safetensors")
    texts, images = TextEncoder(2), ImageEncoder(2)
    results: dict[str, Any] = {"served": served, "sets": {}}
    with console.status("judging pictures") as status:
        for name, what, figures in evaluate(decoders, products, fusion, texts, images):
            status.update(f"judging pictures: {name}, {what}")
            results["sets"].setdefault(name, {})[what] = figures
        status.update("judging turntables")
        results["turntables"] = gallery.turns(turntable, products, fusion, texts, images)
        results["turntables_trained_on"] = gallery.turns(turntable, products, fusion, texts, images, held_out=False)
        status.update("drawing the gallery")
        gallery.write(decoders, served, turntable, products, fusion, texts, images, REPOSITORY / "docs")
    return results


def write(results: dict[str, Any], products: list[Product], served: str) -> list[Table]:
    """Writes every file and gives the tables for the terminal."""
    (FOLDER / "figures.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    headline = results["sets"]["held-out products"]
    record(
        "image",
        {
            "variant": served,
            "judged_on": "photo and title of products that were not trained on",
            **{k: headline[f"{served}/both"][k] for k in ("category_accuracy", "product_in_5", "colour_accuracy")},
            **{f"photo_alone.{k}": headline[f"{served}/photo"][k] for k in ("category_accuracy", "product_in_5")},
            **{f"title_alone.{k}": headline[f"{served}/text"][k] for k in ("category_accuracy", "product_in_5")},
            **{f"true_shot.{k}": headline["true shot"][k] for k in ("category_accuracy", "product_in_5")},
            "candidates": headline["true shot"]["candidates"],
        },
    )
    turns, known = results["turntables"], results["turntables_trained_on"]
    judged = ("category_accuracy", "product_in_5", "angle_error_degrees", "monotonic")
    record("video", turns | {f"trained_on.{name}": known[name] for name in judged})
    heads = ["", *COLUMNS.values()]
    tables, shown = [], []
    for name, found in results["sets"].items():
        rows = [
            [what, *(f"{figures[key]:.2f}" if key in figures else "" for key in COLUMNS)]
            for what, figures in found.items()
        ]
        title = f"{name} ({found['true shot']['pictures']} photos)"
        table = Table(*heads, title=title)
        for row in rows:
            table.add_row(*row)
        shown.append(table)
        tables.append(f"{title}:\n\n{markdown(heads, rows)}")
    held_out = sum(p.held_out for p in products)
    (FOLDER / "README.md").write_text(
        template("image_decoder_card").format(
            served=served,
            trained=len(products) - held_out,
            held_out=held_out,
            steps=", ".join(f"{variant} {count}" for variant, count in STEPS.items()),
            batch=BATCH,
            machine=MACHINE,
            candidates=len(products),
            colour=f"{COLOUR_DISTANCE:.0f}",
            tables="\n\n".join(tables),
        )
    )
    (VIDEO / "README.md").write_text(
        template("video_decoder_card").format(
            parameters=sum(p.numel() for p in VideoDecoder(0).parameters()) / 1e6,
            trained=len(products) - held_out,
            held_out=held_out,
            candidates=CANDIDATES,
            first=turning.FIRST,
            further=turning.FURTHER,
            sharper=turning.SHARPER,
            least=LEAST_LIKE,
            unlike=UNLIKE,
            unfit=UNFIT,
            machine=MACHINE,
            turntables=turns["turntables"],
            turn_category=f"{turns['category_accuracy']:.2f}",
            consistency=f"{turns['consistency']:.2f}",
            consistency_true=f"{turns['consistency_true']:.2f}",
            angle=f"{turns['angle_error_degrees']:.0f}",
            chance=f"{turns['angle_error_chance']:.0f}",
            shots=f"{turns['angle_error_true_shots']:.0f}",
            known_category=f"{known['category_accuracy']:.2f}",
            known_in_five=f"{known['product_in_5']:.2f}",
            monotonic=f"{turns['monotonic']:.2f}",
            in_five=f"{turns['product_in_5']:.2f}",
        )
    )
    return shown

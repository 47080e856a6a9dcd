"""Renders the catalogue's views, turntables, studio shots and solids in two processes; resumes where it stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from training.catalogue import solids, studio, turntables
from training.catalogue.products import LIBRARIES, Product, read_library_folder, write_index
from training.catalogue.render import BrokenModel, Model, load_model, render
from training.catalogue.views import random_views, views_folder


@dataclass(frozen=True)
class Built:
    """One product's outcome: `problem` is None where its views lie in the catalogue."""

    product: Product
    problem: str | None


def _nice() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, max(10, os.getpriority(os.PRIO_PROCESS, 0)))


def _render_views(product: Product, model: Model, icon: Path) -> None:
    """Renders all views of a product into its folder."""
    target = views_folder(product)
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for index, view in enumerate(random_views(product, model)):
            picture, mask = render(model, view)
            if mask.mean() < 0.003:
                raise BrokenModel(f"view {index} shows nothing")
            Image.fromarray(picture).save(partial / f"{index:02d}.jpg", quality=92)
        with Image.open(icon) as drawn:
            drawn.convert("RGBA").save(partial / "icon.png")
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _render_product(product: Product, libraries: Path) -> str | None:
    """Renders what is not there yet of a product; returns what is wrong with the model, or None."""
    source = libraries / product.library
    try:
        model = load_model(source / product.model, product.rotation)
        if not views_folder(product).is_dir():
            _render_views(product, model, source / product.icon)
        if not turntables.is_there(product):
            turntables.write(product, model)
        if not studio.path(product).exists():
            studio.write(product, model)
        if not solids.path(product).exists():
            solids.write(product, model)
    except (BrokenModel, OSError, ValueError, IndexError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def build(products: list[Product], libraries: Path, processes: int) -> Iterator[Built]:
    """Renders what is not there yet, `processes` at a time, yielding each product as it is done."""
    missing = []
    for product in products:
        files = studio.path(product), solids.path(product)
        if views_folder(product).is_dir() and turntables.is_there(product) and all(file.exists() for file in files):
            yield Built(product, None)
        else:
            missing.append(product)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_nice) as pool:
        waiting = {pool.submit(_render_product, product, libraries): product for product in missing}
        for future in as_completed(waiting):
            yield Built(waiting[future], future.result())


def all_products(libraries: Path) -> tuple[list[Product], list[dict[str, str]]]:
    """Products of every library, and what was left out."""
    products: list[Product] = []
    skipped: list[dict[str, str]] = []
    for library in LIBRARIES:
        found, left_out = read_library_folder(libraries / library, library)
        products += found
        skipped += left_out
    return products, skipped


def finish(built: list[Built], skipped: list[dict[str, str]]) -> Path:
    """Writes the index over what was built; broken models are listed among the skipped."""
    broken = [{"id": b.product.id, "name": b.product.name, "why": b.problem} for b in built if b.problem]
    return write_index([_with_looks(b.product) for b in built if not b.problem], skipped + broken)


def _with_looks(product: Product) -> Product:
    """The product with the words for its colour and material."""
    looks = turntables.looks(product)
    return replace(product, colour=looks["colour"], material=looks["material"])

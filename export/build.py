"""Builds slots: each is keyed by the hash of everything it is made from, kept in the cache, and linked into place."""

from __future__ import annotations

import dis
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
from filelock import FileLock

import families
from export import facts, sources
from export.parity import check
from export.progress import Reporter
from export.recipe import Recipe, Slot
from families.common import prompts
from families.common.slot import BuildError
from graph import assembly
from graph.configs import MODELS_ROOT
from graph.schema import Graph, resolve_size

#: Rooms and libraries whose change makes an export stale.
_LIBRARIES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "onnxruntime-genai")
_ROOMS = ("export", "families", "networks")


@dataclass(frozen=True)
class Built:
    """One slot's export.

    Args:
        folder: in the cache: model files, `parity.json` (rows of torch against ONNX), `reference.npz` (single-pass
            networks: torch's inputs and outputs, keyed ``<case>|<tensor>``).
        cached: nothing had to be done.
    """

    slot: str
    key: str
    folder: Path
    cached: bool
    seconds: float

    def parity(self) -> list[dict]:
        """The rows of the parity report."""
        return json.loads((self.folder / "parity.json").read_text())

    def reference(self) -> dict[str, np.ndarray]:
        """torch's inputs and outputs by ``<case>|<tensor>``; empty where a slot has none."""
        path = self.folder / "reference.npz"
        return dict(np.load(path)) if path.exists() else {}


def key(name: str, recipe: Recipe, graph: Graph) -> str:
    """The hash of what an export is made from: slot, bytes of the checkpoint, our code, the graph's tensors, libraries,
    and the slots that it is made with.

    The places that the bytes come from are no part of it, nor is a text decoder's wording (`families.common.prompts`).
    """
    slot = recipe.slot(name)
    code = _code([*families.modules(name), "export.onnx", "export.parity"])
    code += [path.read_text(encoding="utf-8") for path in families.READS.get(name, ())]
    declared = [(m.inputs, m.outputs, m.axes) for m in graph.models if m.files.get("model.onnx") == name]
    needed = {other: key(other, recipe, graph) for other in families.NEEDS.get(name, ())}
    versions = {library: importlib.metadata.version(library) for library in _LIBRARIES}
    made_from = slot.model_dump(exclude={"tolerance", "licence", "sources", "made_with"})
    made_from["options"].pop("prompts", None)  # which are rendered by themselves
    whole = json.dumps([made_from, code, repr(declared), needed, versions], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _code(modules: list[str]) -> list[str]:
    """The sources of modules and of all that they import of the rooms that make networks."""
    found: dict[str, str] = {}
    while modules:
        module = modules.pop()
        path = (sources.REPOSITORY / module.replace(".", "/")).with_suffix(".py")
        if module in found or module.split(".")[0] not in _ROOMS or not path.is_file():
            continue
        found[module] = path.read_text(encoding="utf-8")
        modules += _imports(found[module])
    return [found[module] for module in sorted(found)]


@cache
def _imports(source: str) -> list[str]:
    """What a module's source imports, wherever in it; `from a import b` gives a and a.b, because b may be a module.

    Read off the bytecode: CPython 3.11's `ast.parse` fails at random while another thread parses.
    """
    found, module, rest = [], "", [compile(source, "<module>", "exec")]
    while rest:
        code = rest.pop()
        for instruction in dis.get_instructions(code):
            if instruction.opname == "IMPORT_NAME":
                module = instruction.argval
                found.append(module)
            elif instruction.opname == "IMPORT_FROM":
                found.append(f"{module}.{instruction.argval}")
        rest += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found


def build_all(
    names: Iterable[str],
    recipe: Recipe,
    *,
    jobs: int,
    force: bool = False,
    models_root: Path = MODELS_ROOT,
    graph: Graph | None = None,
) -> Iterator[Built]:
    """:func:`build` for several slots, `jobs` of them at a time, each as it gets done.

    Raises:
        SourceError, ParityError: as :func:`build` does; slots that were not begun are left.
        BuildError: the system killed an export, which is what it does when memory runs out.
    """
    reporter, graph = Reporter(), graph or assembly.load()
    context = multiprocessing.get_context("spawn")  # torch's threads do not outlive a fork
    share = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, context, _limit, (share,)) as processes, ThreadPoolExecutor(jobs) as threads:

        def make(*order: Any) -> None:
            processes.submit(_make, *order).result()

        def one(name: str) -> Built:
            try:
                return build(
                    name, recipe, graph=graph, force=force, models_root=models_root, reporter=reporter, make=make
                )
            except BrokenProcessPool as error:
                raise BuildError(
                    f"{name}: the process that exported it was killed, which the system does when memory runs out; "
                    "close other programs, or export fewer at a time (--jobs 1)"
                ) from error

        # Decoders take longest and come last in a recipe: begun first, they are not waited for alone.
        futures: list[Future[Built]] = [threads.submit(one, name) for name in reversed(list(names))]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _limit(threads: int) -> None:
    """Leaves the other cores to the other exports: torch and the decoder's builder read this when they start."""
    os.environ["OMP_NUM_THREADS"] = str(threads)


def build(
    name: str,
    recipe: Recipe,
    *,
    graph: Graph | None = None,
    force: bool = False,
    models_root: Path | None = MODELS_ROOT,
    reporter: Reporter | None = None,
    make: Callable[..., None] | None = None,
) -> Built:
    """Fetches, exports and checks one slot, or finds it in the cache, and links its files into `models_root`.

    Args:
        graph: of the whole bundle; the one of `model_repository/` unless told.
        models_root: None links nothing.
        make: does what :func:`_make` does; here and now unless told.

    Raises:
        SourceError: the checkpoint could not be had.
        ParityError: torch and ONNX differ by more than the recipe's tolerance, or a value is NaN or Inf.
        BuildError: the checkpoint is none that the slot's families take, or says otherwise than the graph's facts.
    """
    slot, reporter, graph = recipe.slot(name), reporter or Reporter(), graph or assembly.load()
    started = time.perf_counter()
    digest = key(name, recipe, graph)
    folder = sources.cache_root() / "exports" / f"{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        cached = folder.exists() and not force
        if not cached:
            needed = {
                other: build(other, recipe, graph=graph, models_root=None, reporter=reporter, make=make).folder
                for other in families.NEEDS.get(name, ())
            }
            checkpoint = sources.fetch(slot.sources, slot.sha256, reporter)
            scratches = tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-")
            with (
                ExitStack() as held,
                scratches as scratch,
                reporter.work(f"exporting {name} ({slot.precision}) and comparing it with torch"),
            ):
                for path in needed.values():  # a forced export would replace it meanwhile
                    held.enter_context(FileLock(f"{path}.lock"))
                made = Path(scratch) / "made"
                made.mkdir()
                try:
                    (make or _make)(name, slot, checkpoint, made, graph, needed)
                except families.UNREADABLE as error:  # what a family finds wrong with a checkpoint
                    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                    raise BuildError(f"{name}: {kind}{str(error).removeprefix(f'{name}: ')}") from error
                if folder.exists():
                    shutil.rmtree(folder)
                made.rename(folder)
        if "prompts" in slot.options:
            prompts.refresh(folder, slot)
    built = Built(name, digest, folder, cached, time.perf_counter() - started)
    check(slot.tolerance, built.parity(), name)
    if models_root:
        install(built, models_root, graph)
    return built


def _make(name: str, slot: Slot, checkpoint: Path, out: Path, graph: Graph, needed: dict[str, Path]) -> None:
    """Writes one slot's files, its facts, its parity rows and its reference into `out`.

    Raises:
        BuildError: the slot's family does not build the precision that the recipe names; the checkpoint's facts are not
            the graph's.
    """
    module = families.choose(name, checkpoint, slot)
    said = facts.read(module, checkpoint, slot)
    if said != graph.facts[name]:
        raise BuildError(
            f"{name}: the checkpoint says {said}, the graph was made for {graph.facts[name]}; "
            "run python -m export configs"
        )
    if slot.precision not in (precisions := getattr(module, "PRECISIONS", ("fp32",))):
        raise BuildError(
            f"{name}: {slot.precision} is not built for this slot; set its precision to {' or '.join(precisions)}"
        )
    if hasattr(module, "build"):
        module.build(checkpoint, slot, out, *([needed] if needed else []))
        rows = module.parity(checkpoint, slot, out) if hasattr(module, "parity") else []
    else:
        from export import onnx  # torch takes seconds to import, and most calls find everything in the cache

        model = graph.model(name)
        sizes = {fact: resolve_size(value, graph.facts) for fact, value in said.items() if fact not in ("id", "takes")}

        def sample(axes: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
            return module.sample(sizes | axes, rng)

        network = module.load(checkpoint, slot, model)
        onnx.export(network, model, sample, out / "model.onnx")
        rows, reference = onnx.parity(network, model, sample, out / "model.onnx")
        np.savez_compressed(out / "reference.npz", **reference)
    if hasattr(module, "sidecars"):
        module.sidecars(checkpoint, slot, out)
    (out / "facts.json").write_text(json.dumps(said, indent=1))
    (out / "parity.json").write_text(json.dumps(rows, indent=1))


def placements(name: str, graph: Graph) -> list[tuple[str, str]]:
    """Where a slot's files go: (model, file name)."""
    return [(model.name, file) for model in graph.models for file, slot in model.files.items() if slot == name]


def install(built: Built, models_root: Path, graph: Graph) -> None:
    """Links one export's files into `model_repository/models/<model>/1/`, copying across file systems.

    Where an ONNX file has its weights beside it, they go along.
    """
    for model, file in placements(built.slot, graph):
        folder, data = models_root / model / "1", f"{file}.data"
        place(built.folder / file, folder / file)
        if (built.folder / data).exists():
            place(built.folder / data, folder / data)
        elif data not in graph.model(model).files:
            (folder / data).unlink(missing_ok=True)


def place(origin: Path, target: Path) -> None:
    """Links `origin` to `target` in one step, replacing what is there; copies it across file systems."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(origin):
        return
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        os.link(origin, fresh)
    except OSError:
        shutil.copy2(origin, fresh)
    fresh.replace(target)


def missing() -> list[Path]:
    """Files that the models need and that no export has put into place yet."""
    wanted = [MODELS_ROOT / model.name / "1" / file for model in assembly.load().models for file in model.files]
    return [path for path in wanted if not path.exists()]

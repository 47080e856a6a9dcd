"""ONNX → TensorRT engines, with the shapes that the graph declares as their one dynamic profile.

Written against what TensorRT and TensorRT-RTX have in common: strongly typed networks (the ONNX decides the types;
TensorRT 11 has no other), one profile, capabilities only where the library takes them. What came out is kept and
checked by `export/engine.py`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import FileLock
from rich.console import Console

from export import engine, parity, sources
from export.build import Built, place
from export.engine import EngineBuildError, EngineError, Fingerprint, Platform
from export.progress import Reporter
from export.recipe import Slot
from families.common.parity import difference, session
from graph.configs import MODELS_ROOT
from graph.schema import Graph, Model

#: Of an engine, as a slot's option `engine_precision` says. tf32 lets matrix products round their inputs to 10 bits of
#: mantissa, which TensorRT does unless told not to and the parity tolerances of fp32 do not allow.
PRECISIONS = ("fp32", "tf32", "fp16")

#: What TensorRT-RTX builds for where there is no GPU and none is named: the default of its documentation ("CPU-Only AOT
#: and TensorRT-RTX Engines"). Turing (SM75) has to be asked for; it takes no FP32 matrix product.
PORTABLE = ("SM80", "SM86", "SM89", "SM120")


@dataclass(frozen=True)
class Target:
    """What one build is for.

    Args:
        library: the imported `tensorrt` or `tensorrt_rtx`.
        gpu: the name of the GPU that `tensorrt` tunes on; None for `tensorrt_rtx`.
        capabilities: compute capabilities that the engine shall run on.
    """

    library: ModuleType
    gpu: str | None
    capabilities: tuple[str, ...]
    precision: str = "fp32"


def target(capability: str | None = None, precision: str = "fp32", platform: Platform | None = None) -> Target:
    """What to build for.

    Args:
        capability: ``SM86``…, or ``CURRENT`` for the present GPU; None for the present GPU or, without one,
            :data:`PORTABLE`.
        platform: None for this machine.

    Raises:
        EngineBuildError: no library, or one that cannot build for that capability; the message says what it can.
    """
    platform, library = platform or Platform.here(), engine.library()
    if library is None:
        raise EngineBuildError(
            "neither tensorrt nor tensorrt_rtx can be imported; pip install the tensorrt of your server's version, or "
            "tensorrt-rtx (see requirements.in) to build without a GPU"
        )
    if precision not in PRECISIONS:
        raise EngineBuildError(f"engine_precision {precision!r} is not one of {', '.join(PRECISIONS)}; mend the recipe")
    if not hasattr(library, "ComputeCapability"):
        return _tuned_here(library, platform, capability, precision)
    named = [name for name in library.ComputeCapability.__members__ if name.startswith("SM")]
    if capability is None and platform.gpu is None:
        return Target(library, None, PORTABLE, precision)
    if capability is None or capability == "CURRENT":
        if platform.gpu is None:
            raise EngineBuildError(f"--capability CURRENT: no GPU is visible; name one of {', '.join(named)}")
        capability = platform.gpu.capability
    if capability not in named:
        raise EngineBuildError(
            f"{library.__name__} {library.__version__} does not build for {capability}, it knows {', '.join(named)}; "
            "name one of them with --capability, or install tensorrt, which builds on the GPU itself and knows "
            "data-centre ones (H100 and H200 are SM90)"
        )
    return Target(library, None, (capability,), precision)


def _tuned_here(library: ModuleType, platform: Platform, capability: str | None, precision: str) -> Target:
    """TensorRT proper chooses kernels by timing them on the GPU that it builds for: there is no other target."""
    if platform.gpu is None:
        raise EngineBuildError(
            f"{library.__name__} {library.__version__} times kernels on the GPU that it builds for, and none is "
            "visible; build on the machine that will serve, or install tensorrt-rtx alone to build without a GPU"
        )
    if capability not in (None, "CURRENT", platform.gpu.capability):
        raise EngineBuildError(
            f"{library.__name__} {library.__version__} builds for the present GPU only ({platform.gpu.name}, "
            f"{platform.gpu.capability}), not for {capability}; leave --capability out"
        )
    return Target(library, platform.gpu.name, (platform.gpu.capability,), precision)


@functools.cache
def _log(trt: ModuleType) -> Any:
    """The library's one logger (it keeps the first that it is given); holds the errors since `drain` was called."""

    class Log(trt.ILogger):  # type: ignore[name-defined, misc]  # of whichever library there is
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self._errors.append(message)

        def drain(self) -> str:
            errors, self._errors = self._errors, []
            return "; ".join(dict.fromkeys(errors)) or "it gave no reason"

    return Log()


def mismatches(model: Model, found: Iterable[tuple[str, bool, str, tuple[int, ...]]]) -> list[str]:
    """Where a network's or an engine's tensors differ from what the graph declares of `model`.

    Args:
        found: (name, is an input, dtype as Triton names it, shape with the batch axis and -1 for a dynamic one). An
            output's size may be -1 where the library could not infer it; Triton takes that.
    """
    declared = {t.name: (True, t.dtype, (-1, *t.shape)) for t in model.inputs}
    declared |= {t.name: (False, t.dtype, (-1, *t.shape)) for t in model.outputs}
    faults, left = [], dict(declared)
    for name, is_input, dtype, shape in found:
        if left.pop(name, None) is None:
            faults.append(f"has a tensor {name!r}, which the graph does not")
            continue
        kind, want_dtype, want = declared[name]
        if kind != is_input:
            faults.append(f"{name} is an {'input' if is_input else 'output'}")
        if dtype != want_dtype:
            faults.append(f"{name} is {dtype}, the graph says {want_dtype}")
        fits = len(shape) == len(want) and shape[0] == -1
        fits = fits and all(
            have == size or (have == -1 and not is_input) for have, size in zip(shape, want, strict=True)
        )
        if not fits:
            faults.append(f"{name} is {list(shape)}, the graph says {list(want)}")
    return faults + [f"lacks {name!r}" for name in left]


def _dtype(dtype: Any) -> str:
    return {"FLOAT": "FP32", "HALF": "FP16"}.get(dtype.name, dtype.name)


def build(model: Model, onnx: Path, to: Target) -> bytes:
    """The serialized engine of `onnx`.

    Raises:
        EngineBuildError: the parser refuses a node (named, with its operator), the tensors are not the graph's, or
            the builder fails; what the library said is in the message.
    """
    trt, log = to.library, _log(to.library)
    log.drain()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    network.name = model.name
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        reasons = [f"{e.node_operator() or 'the file'} ({e.node_name() or onnx}): {e.desc()}" for e in errors]
        raise EngineBuildError(
            f"{model.name}: {trt.__name__}'s parser refuses {'; '.join(reasons) or log.drain()}; write what it names "
            "otherwise where the slot exports it"
        )
    sides = ((True, network.num_inputs, network.get_input), (False, network.num_outputs, network.get_output))
    tensors = [(side, get(i)) for side, count, get in sides for i in range(count)]
    if faults := mismatches(model, [(t.name, side, _dtype(t.dtype), tuple(t.shape)) for side, t in tensors]):
        raise EngineBuildError(f"{model.name}: {onnx} {'; '.join(faults)}; export it again, or mend graph/")
    plan = builder.build_serialized_network(network, _config(builder, model, to))
    if plan is None:
        raise EngineBuildError(
            f"{model.name}: {trt.__name__} {trt.__version__} cannot build for {', '.join(to.capabilities)}: "
            f"{log.drain()}; choose another --capability or engine_precision"
        )
    return bytes(plan)


def _config(builder: Any, model: Model, to: Target) -> Any:
    """The builder's config: precision, capabilities, and the profile of the graph's axes."""
    trt = to.library
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for name, (least, usual, most) in engine.profile(model).items():
        profile.set_shape(name, least, usual, most)
    config.add_optimization_profile(profile)
    (config.set_flag if to.precision == "tf32" else config.clear_flag)(trt.BuilderFlag.TF32)
    if hasattr(trt, "ComputeCapability"):
        config.num_compute_capabilities = len(to.capabilities)
        for i, name in enumerate(to.capabilities):
            config.set_compute_capability(trt.ComputeCapability.__members__[name], i)
    return config


def inspect(model: Model, plan: Path, library: ModuleType) -> None:
    """Loads the engine and compares its tensors and profile with the graph. Needs a GPU: both libraries ask for one.

    Raises:
        EngineError: it does not load, or is another network.
    """
    log = _log(library)
    log.drain()
    runtime = library.Runtime(log)
    loaded = runtime.deserialize_cuda_engine(plan.read_bytes())
    if loaded is None:
        raise EngineError(f"{model.name}: {plan} does not load here: {log.drain()}; {engine.rebuild(model)}")
    names = [loaded.get_tensor_name(i) for i in range(loaded.num_io_tensors)]
    inputs = {name for name in names if loaded.get_tensor_mode(name) == library.TensorIOMode.INPUT}
    faults = mismatches(
        model,
        [(n, n in inputs, _dtype(loaded.get_tensor_dtype(n)), tuple(loaded.get_tensor_shape(n))) for n in names],
    )
    for name, want in engine.profile(model).items():
        if name in inputs and (have := tuple(map(tuple, loaded.get_tensor_profile_shape(name, 0)))) != want:
            faults.append(f"takes {name} of {have}, the graph says {want}")
    if faults:
        raise EngineError(f"{model.name}: {plan} {'; '.join(faults)}; {engine.rebuild(model)}")


def build_slot(
    entry: Built,
    slot: Slot,
    graph: Graph,
    console: Console,
    *,
    capability: str | None = None,
    force: bool = False,
    models_root: Path = MODELS_ROOT,
) -> list[Fingerprint]:
    """Builds, or takes from the cache, the engine of each model that serves this slot's ONNX; says so on `console`.

    Args:
        slot: its option ``engine_precision`` is one of :data:`PRECISIONS`.
        capability: see :func:`target`.
        force: build even what the cache holds.

    Raises:
        EngineBuildError: see :func:`target` and :func:`build`.
        ParityError: see :func:`install`.
    """
    models = [model for model in engine.engine_models(graph) if engine.slot_of(model) == entry.slot]
    if not models:
        return []
    to, done = target(capability, str(slot.options.get("engine_precision", "fp32"))), []
    for model in models:
        started = time.perf_counter()
        made, fresh = install(model, entry, slot, to, models_root, force=force)
        console.print(
            f"[green]✓[/] {model.name:<14} {'built' if fresh else 'unchanged':<10} "
            f"{time.perf_counter() - started:17.1f} s  {made.summary()}",
            soft_wrap=True,
        )
        done.append(made)
    return done


def install(
    model: Model, entry: Built, slot: Slot, to: Target, models_root: Path, *, force: bool = False
) -> tuple[Fingerprint, bool]:
    """Links the engine of one model and its fingerprint into `models_root`, built first if the cache has it not.

    Returns:
        The fingerprint, and whether the engine was built now.

    Raises:
        EngineBuildError: see :func:`build`.
        ParityError: fp16 differs from torch by more than the slot's tolerance ``onnx_fp16``.
    """
    digest = engine.digest(entry.folder / "model.onnx")
    folder = sources.cache_root() / "engines" / f"{model.name}-{_key(model, digest, to)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        made = None if force else _intact(folder, model)
        if fresh := made is None:
            made = _make(model, entry, slot, to, digest, folder)
        installed = models_root / model.name / "1"
        # A plan without a fingerprint is refused: whatever stops this half way leaves no pair that does not match.
        (installed / engine.FINGERPRINT).unlink(missing_ok=True)
        for file in (engine.PLAN, engine.FINGERPRINT):
            place(folder / file, installed / file)
    return made, fresh


def _key(model: Model, onnx_sha256: str, to: Target) -> str:
    made_from = [model.name, onnx_sha256, to.library.__name__, to.library.__version__, to.gpu, to.capabilities]
    whole = json.dumps([*made_from, to.precision, engine.profile(model)])
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _intact(folder: Path, model: Model) -> Fingerprint | None:
    """What the cache holds, unless it was damaged (the model repository's plan is a hard link to it)."""
    try:
        return engine.intact(folder, model)
    except EngineError:
        return None


def _make(model: Model, entry: Built, slot: Slot, to: Target, digest: str, folder: Path) -> Fingerprint:
    """Builds one engine into `folder`, replacing what was there."""
    started = time.perf_counter()
    what = f"building the {to.precision} engine of {model.name} with {to.library.__name__} {to.library.__version__}"
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-") as scratch, Reporter().work(what):
        onnx = entry.folder / "model.onnx"
        rows: list[dict] = []
        if to.precision == "fp16":
            onnx, rows = _half(model, entry, Path(scratch) / "half.onnx")
            parity.check(slot.tolerance, rows, model.name)
        plan = build(model, onnx, to)
        made = Path(scratch) / "made"
        made.mkdir()
        (made / engine.PLAN).write_bytes(plan)
        if Platform.here().gpu is not None:
            inspect(model, made / engine.PLAN, to.library)
        print_ = Fingerprint(
            model=model.name,
            library=to.library.__name__,
            version=to.library.__version__,
            gpu=to.gpu,
            capabilities=to.capabilities,
            precision=to.precision,
            profile=engine.profile(model),
            onnx_sha256=digest,
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            plan_bytes=len(plan),
            difference={o.name: max(r["onnx_fp16"] for r in rows if r["output"] == o.name) for o in model.outputs}
            if rows
            else {},
            built=datetime.now(UTC),
            seconds=time.perf_counter() - started,
        )
        (made / engine.FINGERPRINT).write_text(print_.model_dump_json(indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return print_


def _half(model: Model, entry: Built, out: Path) -> tuple[Path, list[dict]]:
    """The ONNX with FP16 inside and the same inputs and outputs, and how far it is from torch's reference.

    Measured on the CPU, which has few FP16 kernels and computes the rest in FP32 from the rounded weights: a range that
    FP16 cannot hold shows on the GPU only, in `python -m export parity` against the server.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    network = convert_float_to_float16(onnx.load(entry.folder / "model.onnx"), keep_io_types=True)
    onnx.save(network, out)
    reference, run = entry.reference(), session(out)
    names, rows = [t.name for t in model.outputs], []
    for case in dict.fromkeys(name.split("|")[0] for name in reference):
        answers = run.run(names, {t.name: reference[f"{case}|{t.name}"] for t in model.inputs})
        for name, have in zip(names, answers, strict=True):
            off = difference(f"{model.name} {case} {name} fp16", reference[f"{case}|{name}"], have)
            rows.append({"case": case, "output": name, "onnx_fp16": off})
    return out, rows

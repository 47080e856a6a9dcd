"""What a TensorRT engine was built from and for, kept beside it, and the check that refuses a stale or broken one.

An engine runs with the library version that wrote it, on the GPUs it was built for, and stands for one ONNX file.
Triton finds a mismatch late and says "magic tag does not match"; :func:`verify` finds it before a server starts.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, ConfigDict, ValidationError

from export import sources
from graph.configs import MODELS_ROOT
from graph.schema import Graph, Model

PLAN = "model.plan"
FINGERPRINT = "model.plan.fingerprint.json"
#: In this order of preference. Triton's tensorrt backend reads what the first one writes; the second builds without
#: a GPU, so that machines without one exercise the same path up to a serialized engine.
LIBRARIES = ("tensorrt", "tensorrt_rtx")


class EngineError(RuntimeError):
    """An engine that could not be built or must not be served; the message names the model, the fault and the mend."""


class EngineBuildError(EngineError):
    """The library refused the network, the target or the options; what it said is in the message."""


class StaleEngineError(EngineError):
    """There is no engine, or it was built from another ONNX, by another version, for other shapes or another GPU."""


class CorruptEngineError(EngineError):
    """The plan's bytes are not those that were built: truncated or altered."""


@dataclass(frozen=True)
class Gpu:
    """A GPU by name (``NVIDIA H200``) and compute capability (``SM90``)."""

    name: str
    capability: str


@dataclass(frozen=True)
class Platform:
    """What builds and runs engines on this machine; None where it is not there."""

    library: str | None
    version: str | None
    gpu: Gpu | None

    def __str__(self) -> str:
        library = f"{self.library} {self.version}" if self.library else "no TensorRT library that imports"
        return f"{library}, {f'{self.gpu.name} ({self.gpu.capability})' if self.gpu else 'no GPU'}"

    @classmethod
    def here(cls) -> Platform:
        """This machine's library (the first of :data:`LIBRARIES` that imports) and its first visible GPU."""
        module = library()
        return cls(module.__name__ if module else None, module.__version__ if module else None, present_gpu())


def library() -> ModuleType | None:
    """The first of :data:`LIBRARIES` that imports."""
    for name in LIBRARIES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def present_gpu() -> Gpu | None:
    """The first visible GPU (CUDA_VISIBLE_DEVICES counts); None without a driver or a device."""
    try:
        from cuda.core import Device

        device = Device(0)
        capability = device.compute_capability
    except (ImportError, RuntimeError, OSError, ValueError):  # no bindings, no driver, no device
        return None
    return Gpu(device.name, f"SM{capability.major}{capability.minor}")


def profile(model: Model) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The optimization profile: input → its least, usual and most shape, batch first, from the graph's axes."""
    return {
        tensor.name: tuple(
            (model.axes["batch"][i], *(model.axes[d][i] if isinstance(d, str) else d for d in tensor.dims))
            for i in range(3)
        )
        for tensor in model.inputs
    }


class Fingerprint(BaseModel):
    """What one plan was built from and for.

    Args:
        library: who built it, one of :data:`LIBRARIES`, and its version.
        gpu: the GPU that `tensorrt` tuned it on, by name; None for `tensorrt_rtx`, which tunes when it loads.
        capabilities: compute capabilities it was built for (``SM86``…).
        precision: ``fp32``, ``tf32`` or ``fp16``.
        profile: see :func:`profile`.
        difference: output → how far fp16 is from torch, on the CPU; empty for the others, which change no weight.
        seconds: that the build took.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    library: str
    version: str
    gpu: str | None
    capabilities: tuple[str, ...]
    precision: str
    profile: dict[str, tuple[tuple[int, ...], ...]]
    onnx_sha256: str
    plan_sha256: str
    plan_bytes: int
    difference: dict[str, float] = {}
    built: datetime
    seconds: float

    def summary(self) -> str:
        """What it is, in one line."""
        where = self.gpu or ", ".join(self.capabilities)
        return f"{self.precision} engine for {where}, {self.library} {self.version}, {self.plan_bytes / 1e6:.1f} MB"


def slot_of(model: Model) -> str:
    """The slot whose ONNX the model serves."""
    return model.files["model.onnx"]


def engine_models(graph: Graph) -> list[Model]:
    """The graph's models that have an engine."""
    return [model for model in graph.models if model.engine]


def rebuild(model: Model) -> str:
    """The mend of every fault but a missing library."""
    return f"run python -m export --target tensorrt --only {slot_of(model)}"


def digest(network: Path) -> str:
    """The sha256 of an ONNX file, and of the weights beside it where it has any there."""
    data = network.with_name(f"{network.name}.data")
    found = sources.sha256(network)
    return hashlib.sha256(f"{found} {sources.sha256(data)}".encode()).hexdigest() if data.exists() else found


def intact(folder: Path, model: Model) -> Fingerprint:
    """The fingerprint of the plan in `folder`, once the plan's bytes are known to be those that were built.

    Raises:
        StaleEngineError: no plan, no fingerprint, or a fingerprint of another format.
        CorruptEngineError: the plan is truncated or altered.
    """
    plan, beside, mend = folder / PLAN, folder / FINGERPRINT, rebuild(model)
    if not plan.is_file():
        raise StaleEngineError(f"{model.name}: there is no engine {plan}; {mend}")
    if not beside.is_file():
        raise StaleEngineError(f"{model.name}: {plan} has no {FINGERPRINT}, so nobody knows what it fits; {mend}")
    try:
        found = Fingerprint.model_validate_json(beside.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise StaleEngineError(
            f"{model.name}: {beside} is not a fingerprint: {where}: {first['msg']}; {mend}"
        ) from error
    if plan.stat().st_size != found.plan_bytes:
        raise CorruptEngineError(
            f"{model.name}: {plan} holds {plan.stat().st_size} bytes, {found.plan_bytes} were built; {mend}"
        )
    if (digest := sources.sha256(plan)) != found.plan_sha256:
        raise CorruptEngineError(
            f"{model.name}: {plan} has sha256 {digest[:12]}…, {found.plan_sha256[:12]}… was built; {mend}"
        )
    return found


def verify(folder: Path, model: Model, platform: Platform, *, serving: bool = False) -> Fingerprint:
    """Refuses the engine in `folder` (a model's version folder, its `model.onnx` beside it) unless it fits.

    Args:
        platform: what would run it; a library or GPU that is not there is not compared.
        serving: also refuse what Triton's tensorrt backend cannot run here: an engine of TensorRT-RTX, or no GPU.

    Raises:
        StaleEngineError: not there, or built for something else.
        CorruptEngineError: truncated or altered.
    """
    found, mend = intact(folder, model), rebuild(model)
    network = folder / "model.onnx"
    if not network.is_file():
        raise StaleEngineError(f"{model.name}: {network} is not there, so the engine cannot be compared; {mend}")
    onnx_digest = digest(network)
    faults = []
    if found.model != model.name:
        faults.append(f"built for the model {found.model}")
    if onnx_digest != found.onnx_sha256:
        faults.append(f"built from the ONNX {found.onnx_sha256[:12]}…, {network} is {onnx_digest[:12]}…")
    if found.profile != profile(model):
        faults.append(f"built for the shapes {found.profile}, the graph has {profile(model)}")
    if platform.library and (found.library, found.version) != (platform.library, platform.version):
        faults.append(f"built by {found.library} {found.version}, here is {platform.library} {platform.version}")
    if platform.gpu and found.gpu is not None and found.gpu != platform.gpu.name:
        faults.append(f"built on {found.gpu}, here is {platform.gpu.name}")
    if platform.gpu and platform.gpu.capability not in found.capabilities:
        faults.append(
            f"built for {', '.join(found.capabilities)}, {platform.gpu.name} here has {platform.gpu.capability}"
        )
    if faults:
        raise StaleEngineError(f"{model.name}: {folder / PLAN} is stale: {'; '.join(faults)}; {mend}")
    if serving and found.library != "tensorrt":
        raise StaleEngineError(
            f"{model.name}: Triton's tensorrt backend does not read engines of {found.library}; where TensorRT of the "
            f"server's own version is installed, {mend}, or serve with --config-name cuda, or without one on the CPU"
        )
    if serving and platform.gpu is None:
        raise StaleEngineError(f"{model.name}: no GPU is visible, an engine needs one; serve without --config-name")
    return found


def verify_all(
    platform: Platform, graph: Graph, *, serving: bool = False, models_root: Path = MODELS_ROOT
) -> list[Fingerprint | EngineError]:
    """:func:`verify` of every engine of the graph below `models_root`: the fingerprint, or why it is refused."""
    found: list[Fingerprint | EngineError] = []
    for model in engine_models(graph):
        try:
            found.append(verify(models_root / model.name / "1", model, platform, serving=serving))
        except EngineError as error:
            found.append(error)
    return found

"""Renders the graph as Triton's config.pbtxt files, and parses the ones on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from graph.assembly import FACTS, MODEL_REPOSITORY, load
from graph.schema import Ensemble, Graph, Model, Tensor

MODELS_ROOT = MODEL_REPOSITORY / "models"
#: Adapters of models that the committed graph does not have.
OPTIONAL_ROOT = MODEL_REPOSITORY / "optional"
ENSEMBLES_ROOT = MODEL_REPOSITORY / "ensembles"

_HEADER = "# Generated from graph/ by `python -m export configs`; edit that, not this.\n"
_DTYPE_PREFIX = "TYPE_"


def data_type(dtype: str) -> str:
    """Triton's config name of a dtype: `FP32` → `TYPE_FP32`, `BYTES` → `TYPE_STRING`."""
    return _DTYPE_PREFIX + ("STRING" if dtype == "BYTES" else dtype)


def _add_tensors(config: ModelConfig, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
    for tensor in inputs:
        config.input.add(
            name=tensor.name, data_type=data_type(tensor.dtype), dims=tensor.shape, optional=tensor.optional
        )
    for tensor in outputs:
        config.output.add(name=tensor.name, data_type=data_type(tensor.dtype), dims=tensor.shape)


def _add_warmup(config: ModelConfig, model: Model) -> None:
    """One batch of one and one full batch of zeros, so that ready means warm; one run where there are no batches."""
    for batch in dict.fromkeys((1, max(1, config.max_batch_size))):
        warmup = config.model_warmup.add(name=f"batch of {batch}", batch_size=batch)
        for tensor in model.inputs:
            warmup.inputs[tensor.name].data_type = (
                config.input[0]
                .DESCRIPTOR.fields_by_name["data_type"]
                .enum_type.values_by_name[data_type(tensor.dtype)]
                .number
            )
            warmup.inputs[tensor.name].dims.extend(model.axes[d][1] if isinstance(d, str) else d for d in tensor.dims)
            warmup.inputs[tensor.name].zero_data = True


def model_config(model: Model, target: str = "cpu") -> ModelConfig:
    """The config of one model.

    Args:
        target: ``cpu`` (config.pbtxt), ``cuda`` or ``tensorrt`` (configs/<target>.pbtxt).
    """
    backend = "tensorrt" if target == "tensorrt" else model.backend
    gpu = target != "cpu"
    rows = model.max_batch_size if gpu or model.cpu_batch is None else model.cpu_batch
    config = ModelConfig(name=model.name, backend=backend, max_batch_size=rows)
    _add_tensors(config, model.inputs, model.outputs)
    kind = ModelInstanceGroup.KIND_GPU if gpu else ModelInstanceGroup.KIND_CPU
    config.instance_group.add(count=1 if gpu or model.max_queue else model.instances, kind=kind)
    if model.batches:
        config.dynamic_batching.SetInParent()
    if model.max_queue:
        config.parameters["max_queue"].string_value = str(model.max_queue)
        config.parameters["workers"].string_value = str(model.instances)
    if model.decoupled:
        config.model_transaction_policy.decoupled = True
    if target == "tensorrt":
        config.default_model_filename = "model.plan"
    else:
        for key, value in (model.cuda if gpu else model.parameters).items():  # thread counts are the CPU's
            config.parameters[key].string_value = value
    if target == "cuda" and model.backend == "onnxruntime":
        # The backend takes the CUDA provider by itself for KIND_GPU; this only keeps its matrix products from rounding
        # FP32 to TF32, which the parity tolerances do not allow. Understood from Triton 24.07 on.
        cuda = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="cuda")
        cuda.parameters["use_tf32"] = "0"
    if model.calls:
        config.parameters["calls"].string_value = ",".join(model.calls)
    if model.backend == "onnxruntime":
        _add_warmup(config, model)
    return config


def ensemble_config(ensemble: Ensemble) -> ModelConfig:
    """The config of one ensemble; it holds no weights and needs no backend."""
    config = ModelConfig(name=ensemble.name, platform="ensemble", max_batch_size=ensemble.max_batch_size)
    _add_tensors(config, ensemble.inputs, ensemble.outputs)
    for step in ensemble.steps:
        config.ensemble_scheduling.step.add(
            model_name=step.model, model_version=-1, input_map=step.inputs, output_map=step.outputs
        )
    if ensemble.decoupled:
        config.model_transaction_policy.decoupled = True
    return config


def targets(model: Model) -> list[str]:
    """Which configs a model has."""
    return [
        "cpu",
        *(["cuda"] if model.backend == "onnxruntime" or model.cuda else []),
        *(["tensorrt"] if model.engine else []),
    ]


def rendered(graph: Graph) -> dict[str, str]:
    """Every file of a model repository but what exports put there: its path → text; adapters are this repository's."""
    files = {FACTS: json.dumps(graph.facts, indent=1, sort_keys=True) + "\n"}
    for model in graph.models:
        for target in targets(model):
            name = "config.pbtxt" if target == "cpu" else f"configs/{target}.pbtxt"
            files[f"models/{model.name}/{name}"] = _text(model_config(model, target))
        if model.backend == "python":
            # Triton would load an adapter in models/ that the committed graph has no config for.
            held = MODELS_ROOT / model.name if (MODELS_ROOT / model.name).is_dir() else OPTIONAL_ROOT / model.name
            files[f"models/{model.name}/1/model.py"] = (held / "1" / "model.py").read_text(encoding="utf-8")
    for ensemble in graph.ensembles:
        files[f"ensembles/{ensemble.name}/config.pbtxt"] = _text(ensemble_config(ensemble))
        files[f"ensembles/{ensemble.name}/1/.gitkeep"] = ""
    return files


def _text(config: ModelConfig) -> str:
    rendered: str = text_format.MessageToString(config)
    return _HEADER + rendered


def write(graph: Graph, root: Path = MODEL_REPOSITORY) -> list[Path]:
    """Writes every such file, and removes the models and ensembles of another graph; gives those that changed.

    Raises:
        ValueError: the graph has fewer models than this repository, which holds the adapters of all.
    """
    files = rendered(graph)
    stale = _generated(root) - files.keys()
    gone = _folders(root, stale) - _folders(root, files)
    if gone and root.samefile(MODEL_REPOSITORY):
        raise ValueError(
            f"the recipe leaves out {', '.join(sorted(path.name for path in gone))}, which {root} holds the adapters "
            "of; give another folder with --repository"
        )
    for folder in gone:
        shutil.rmtree(folder)
    changed = [root / name for name in _differing(root, files)]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")  # a copy of hard links shares its files with us
        fresh.write_text(files[str(path.relative_to(root))], encoding="utf-8")
        fresh.replace(path)
    left = [path for name in stale if (path := root / name).exists()]
    for path in left:
        path.unlink()
    return [*gone, *changed, *left]


def _folders(root: Path, names: Iterable[str]) -> set[Path]:
    """The models and ensembles that files belong to."""
    return {root / Path(*Path(name).parts[:2]) for name in names}


def _differing(root: Path, files: dict[str, str]) -> list[str]:
    """Which files are missing below a model repository, or hold another text."""
    return [name for name, text in files.items() if not (root / name).is_file() or (root / name).read_text() != text]


def _generated(root: Path) -> set[str]:
    """The configs that stand below a model repository."""
    return {str(path.relative_to(root)) for path in root.glob("*/*/**/*.pbtxt")}


def drift(root: Path = MODEL_REPOSITORY) -> list[str]:
    """Paths below `root` that differ from the graph of its facts, are missing, or that the graph no longer has."""
    want = rendered(load(root))
    return sorted({*_differing(root, want), *(_generated(root) - want.keys())})


def read(roots: list[Path]) -> dict[str, ModelConfig]:
    """The config.pbtxt of every model below `roots`.

    Raises:
        ValueError: a file that is not a model config, with the parser's line and column.
    """
    configs = {}
    for root in roots:
        for path in sorted(root.glob("*/config.pbtxt")):
            try:
                config = text_format.Parse(path.read_text(), ModelConfig())
            except text_format.ParseError as error:
                raise ValueError(f"{path}: not a model config: {error}; mend the line it names") from error
            configs[config.name or path.parent.name] = config
    return configs

"""What config.pbtxt asks of an ONNX model: session options, and the checks that the native backend makes at load.

The order of the checks and their messages are those of triton-inference-server/onnxruntime_backend (r24.10:
`ModelInstanceState::ValidateInputs`, `ValidateOutputs`, `CompareDimsSupported`, `ModelState::AutoCompleteConfig`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort

TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
#: `optimization { graph { level } }` → how far onnxruntime rewrites the graph; any other level means all.
GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
BOOLEANS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
DEFAULT_MAX_BATCH_SIZE = 4  # tritonserver's default for --backend-config=default-max-batch-size
#: Parts of a configuration that Triton's python backend gives a backend no means for.
UNSUPPORTED = ("sequence_batching", "batch_input", "batch_output")


class Refused(Exception):
    """The configuration and the model do not fit; the text is the native backend's."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of an ONNX model: dims with -1 for a free one, empty for a scalar."""

    name: str
    dtype: str
    dims: tuple[int, ...]


def tensors(nodes: Iterable[Any]) -> dict[str, Tensor]:
    """The tensors of `session.get_inputs()` and the like, by name.

    Raises:
        Refused: one is a sequence, a map or the like.
    """
    found = {}
    for node in nodes:
        if not node.type.startswith("tensor("):
            kind = node.type.partition("(")[0]
            onnx_type = {"seq": "SEQUENCE", "map": "MAP", "sparse_tensor": "SPARSETENSOR"}.get(kind, "UNKNOWN")
            raise Refused(
                f"Unsupported ONNX Type 'ONNX_TYPE_{onnx_type}' for I/O '{node.name}', expected 'ONNX_TYPE_TENSOR'."
            )
        dims = tuple(dim if isinstance(dim, int) else -1 for dim in node.shape)
        found[node.name] = Tensor(node.name, TYPES.get(node.type, "TYPE_INVALID"), dims)
    return found


def parameters(config: Mapping[str, Any]) -> dict[str, str]:
    """The `parameters` of a configuration."""
    return {name: value["string_value"] for name, value in config.get("parameters", {}).items()}


def model_path(config: Mapping[str, Any], version_folder: Path) -> Path:
    """The ONNX file: `default_model_filename` (a folder holds a model.onnx), else model.onnx.

    `cc_model_filenames` names files by the compute capability of a GPU, so that on CPU it is not looked at.

    Raises:
        Refused: it is not there.
    """
    path = version_folder / (config.get("default_model_filename") or "model.onnx")
    if path.is_dir():
        path /= "model.onnx"
    if not path.exists():
        raise Refused(f"unable to find '{path}' for model instance '{config['name']}'")
    return path


def session_options(config: Mapping[str, Any]) -> ort.SessionOptions:
    """Threads, memory, graph rewriting and custom operators as the configuration wants them.

    Raises:
        Refused: a value that the native backend refuses.
    """
    given = parameters(config)
    options = ort.SessionOptions()
    optimization = config.get("optimization", {})
    level = int(optimization.get("graph", {}).get("level", 0))
    options.graph_optimization_level = GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    mode = _integer(given, "execution_mode")
    if mode not in (0, 1):
        raise Refused(
            f"Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got {mode} ."
        )
    options.execution_mode = ort.ExecutionMode.ORT_PARALLEL if mode else ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = max(0, _integer(given, "intra_op_thread_count"))
    options.inter_op_num_threads = max(0, _integer(given, "inter_op_thread_count"))
    if "enable_mem_arena" in given:
        options.enable_cpu_mem_arena = _boolean(given, "enable_mem_arena")
    if "enable_mem_pattern" in given:
        options.enable_mem_pattern = _boolean(given, "enable_mem_pattern")
    initializers = "session.use_device_allocator_for_initializers"
    if initializers in given:
        options.add_session_config_entry(initializers, given[initializers])
    # Threads that spin while they wait take the cores from the models beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for accelerator in optimization.get("execution_accelerators", {}).get("cpu_execution_accelerator", []):
        raise Refused(f"unknown Execution Accelerator '{accelerator['name']}' is requested")
    for library in config.get("model_operations", {}).get("op_library_filename", []):
        options.register_custom_ops_library(library)
    return options


def run_options(config: Mapping[str, Any]) -> ort.RunOptions | None:
    """Options of every run, None where there are none."""
    shrinkage = "memory.enable_memory_arena_shrinkage"
    if shrinkage not in (given := parameters(config)):
        return None
    options = ort.RunOptions()
    options.add_run_config_entry(shrinkage, given[shrinkage])
    return options


def check(config: Mapping[str, Any], session: ort.InferenceSession) -> None:
    """Inputs and outputs of the configuration are those of the model.

    Raises:
        Refused: a name, dtype, rank, dim or number that does not fit.
    """
    for name in UNSUPPORTED:
        if config.get(name):
            raise Refused(
                f"unable to load model '{config['name']}', {name} needs the native onnxruntime backend;"
                " serve it in NVIDIA's container, or take it out of the configuration"
            )
    _check_inputs(config, session)
    model_outputs = tensors(session.get_outputs())
    for io in config["output"]:
        found = _found(io, model_outputs, model_outputs, "output")
        _check_dtype(config, io, found, "output")
        _check_dims(config, io, found, exact=True)


def _check_inputs(config: Mapping[str, Any], session: ort.InferenceSession) -> None:
    model_inputs = tensors(session.get_inputs())
    expected = sum(not io.get("optional") for io in config["input"])
    if len(model_inputs) != expected:
        raise Refused(
            f"unable to load model '{config['name']}', configuration expects {expected} inputs,"
            f" model provides {len(model_inputs)}"
        )
    model_inputs |= tensors(session.get_overridable_initializers())
    for io in config["input"]:
        if io.get("optional") and config["max_batch_size"]:
            raise Refused(
                f"unable to load model '{config['name']}', optional input '{io['name']}' is not supported for models"
                " that support batching"
            )
        found = _found(io, model_inputs, model_inputs, "input")
        _check_dtype(config, io, found, "input")
        if io.get("allow_ragged_batch"):
            raise Refused(
                f"unable to load model '{config['name']}', ragged input '{io['name']}' needs the native onnxruntime"
                " backend; serve it in NVIDIA's container, or take allow_ragged_batch out of the configuration"
            )
        _check_dims(config, io, found, exact=False)


def auto_complete(config: dict[str, Any], session: ort.InferenceSession) -> None:
    """Fills in, from the model, what the configuration leaves out: batch size, batching, inputs, outputs.

    Changes `config`; does nothing where inputs and outputs are given, as the native backend.

    Raises:
        Refused: a batch size is asked of a model that has no free first dimension.
    """
    inputs, outputs = tensors(session.get_inputs()), tensors(session.get_outputs())
    batches = all(tensor.dims and tensor.dims[0] == -1 for tensor in [*inputs.values(), *outputs.values()])
    if batches:
        config["max_batch_size"] = config["max_batch_size"] or DEFAULT_MAX_BATCH_SIZE
        if config["max_batch_size"] > 1 and "sequence_batching" not in config:
            config.setdefault("dynamic_batching", {})
    elif config["max_batch_size"]:
        raise Refused(
            f"autofill failed for model '{config['name']}': model does not support batching while non-zero"
            " max_batch_size is specified"
        )
    for key, found in (("input", inputs), ("output", outputs)):
        if not config.get(key):
            config[key] = [_described(tensor, config["max_batch_size"] > 0) for tensor in found.values()]


def complete(config: Mapping[str, Any]) -> bool:
    """Whether inputs and outputs are given, so that nothing is filled in."""
    return bool(config.get("input") or config.get("batch_input")) and bool(config.get("output"))


def _described(tensor: Tensor, batches: bool) -> dict[str, Any]:
    dims = list(tensor.dims[1:] if batches else tensor.dims)
    described: dict[str, Any] = {"name": tensor.name, "data_type": tensor.dtype, "dims": dims or [1]}
    if not dims and batches:
        described["reshape"] = {"shape": []}
    return described


def _found(io: Mapping[str, Any], model: Mapping[str, Tensor], allowed: Iterable[str], kind: str) -> Tensor:
    if io["name"] not in model:
        names = ", ".join(sorted(allowed))
        raise Refused(f"unexpected inference {kind} '{io['name']}', allowed {kind}s are: {names}")
    return model[io["name"]]


def _check_dtype(config: Mapping[str, Any], io: Mapping[str, Any], found: Tensor, kind: str) -> None:
    if io["data_type"] not in TYPES.values():
        raise Refused(f"unsupported datatype {io['data_type']} for {kind} '{io['name']}' for model '{config['name']}'")
    if io["data_type"] != found.dtype:
        raise Refused(
            f"unable to load model '{config['name']}', configuration expects datatype {io['data_type']} for {kind}"
            f" '{io['name']}', model provides {found.dtype.replace('STRING', 'BYTES')}"
        )


def _check_dims(config: Mapping[str, Any], io: Mapping[str, Any], found: Tensor, *, exact: bool) -> None:
    """The dims that the model sees fit: a free one of the model takes any (for outputs: none but a free one)."""
    dims = tuple(int(dim) for dim in (io["reshape"].get("shape", []) if io.get("reshape") else io["dims"]))
    name, batches = f"model '{config['name']}', tensor '{io['name']}'", config["max_batch_size"] > 0
    if not found.dims:
        if any(dim != 1 for dim in dims):
            raise Refused(
                f"unable to load model '{config['name']}', scalar tensor '{io['name']}', should only provide 1 in the"
                f" model configuration when the model doesn't support batching. Model configuration provided: "
                f"{shape(dims)}."
            )
        return
    if batches and found.dims[0] != -1:
        raise Refused(
            f"{name}: for the model to support batching the shape should have at least 1 dimension and the first"
            f" dimension must be -1; but shape expected by the model is {shape(found.dims)}"
        )
    full = (-1, *dims) if batches else dims
    fits = len(full) == len(found.dims) and all(
        given == has or (has == -1 and not exact) for given, has in zip(full, found.dims, strict=True)
    )
    if not fits:
        batching = (
            "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making"
            " complete shape "
            if batches
            else "shape "
        )
        raise Refused(
            f"{name}: the model expects {len(found.dims)} dimensions (shape {shape(found.dims)}) but the model"
            f" configuration specifies {len(full)} dimensions ({batching}{shape(full)})"
        )


def shape(dims: Iterable[int]) -> str:
    """``[-1,224]``, as Triton writes a shape."""
    return f"[{','.join(map(str, dims))}]"


def _integer(given: Mapping[str, str], name: str) -> int:
    try:
        return int(given.get(name, "0"))
    except ValueError as error:
        raise Refused(f"failed to convert {name} '{given[name]}' to integral number") from error


def _boolean(given: Mapping[str, str], name: str) -> bool:
    value = given[name].lower()
    if value not in BOOLEANS:
        raise Refused(f"failed to convert {name} '{given[name]}' to boolean")
    return BOOLEANS[value]

"""Finds a wrong edge of the graph before a server starts, and names the mend.

Works on the config.pbtxt files themselves, so that hand-written models and ensembles are checked as well.
Rules after Triton's ensemble scheduler: tensors that meet must agree in dtype, shape and batching, every tensor has one
producer, and everything an ensemble gives must stem from the same decoupled steps.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelQueuePolicy


@dataclass(frozen=True)
class Problem:
    """One fault: where it is, what is wrong, and what to do about it."""

    where: str
    rule: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.what}; {self.mend}"


@dataclass(frozen=True)
class _Port:
    """A tensor as one side of an edge sees it; `dims` includes the batch axis where the model batches."""

    owner: str
    dtype: int
    dims: tuple[int, ...]
    optional: bool = False


def _ports(config: ModelConfig, tensors: Iterable[Any], owner: str) -> dict[str, _Port]:
    batch = (-1,) if config.max_batch_size else ()
    return {t.name: _Port(owner, t.data_type, (*batch, *t.dims), getattr(t, "optional", False)) for t in tensors}


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def _type_name(dtype: int) -> str:
    name: str = DataType.Name(dtype)
    return name


def _agree(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return len(a) == len(b) and all(-1 in (x, y) or x == y for x, y in zip(a, b, strict=True))


def lint(configs: dict[str, ModelConfig]) -> list[Problem]:
    """Every fault in the ensembles among `configs` (model name → config); empty when the graph is sound."""
    return [
        problem
        for config in configs.values()
        if config.HasField("ensemble_scheduling")
        for problem in _Ensemble(config, configs).problems()
    ]


def _bounded(policy: ModelQueuePolicy) -> bool:
    """Whether Triton may refuse what waits."""
    return bool(policy.max_queue_size or policy.default_timeout_microseconds)


class _Ensemble:
    """One ensemble under inspection; `produced` and `consumed` hold its edges by tensor name."""

    def __init__(self, config: ModelConfig, configs: dict[str, ModelConfig]) -> None:
        self.config = config
        self.configs = configs
        self.found: list[Problem] = []
        self.produced: dict[str, _Port] = _ports(config, config.input, "the request")
        self.consumed: list[tuple[str, _Port]] = []
        #: tensor → the tensors it is made from, and the decoupled step that makes it
        self.sources: dict[str, tuple[list[str], frozenset[str]]] = {}

    def problems(self) -> list[Problem]:
        for index, step in enumerate(self.config.ensemble_scheduling.step):
            self._step(index, step)
        self.consumed += list(_ports(self.config, self.config.output, "the answer").items())
        for name, port in self.consumed:
            self._edge(name, port)
        self._unused()
        self._pruned()
        self._decoupled()
        self._refusing()
        self._lying()
        return self.found

    def _add(self, where: str, rule: str, what: str, mend: str) -> None:
        self.found.append(Problem(f"{self.config.name}/{where}", rule, what, mend))

    def _step(self, index: int, step: Any) -> None:
        where = f"step {index} ({step.model_name})"
        model = self.configs.get(step.model_name)
        if model is None:
            self._add(where, "unknown model", f"no model {step.model_name!r}", _nearest(step.model_name, self.configs))
            return
        if self.config.max_batch_size > model.max_batch_size:
            self._add(
                where,
                "batch size",
                f"the ensemble takes batches of {self.config.max_batch_size}, this step of {model.max_batch_size}",
                f"set the ensemble's max_batch_size to {model.max_batch_size} or raise the step's",
            )
        inputs = _ports(model, model.input, where)
        outputs = _ports(model, model.output, where)
        for port_name in step.input_map:
            if port_name not in inputs:
                self._add(where, "unknown tensor", f"{port_name!r} is not an input", _nearest(port_name, inputs))
        for port_name in step.output_map:
            if port_name not in outputs:
                self._add(where, "unknown tensor", f"{port_name!r} is not an output", _nearest(port_name, outputs))
        for port_name, port in inputs.items():
            if port_name in step.input_map:
                self.consumed.append((step.input_map[port_name], port))
            elif not port.optional:
                self._add(where, "missing edge", f"input {port_name!r} is not wired", f"map {port_name!r} to a tensor")
        made_by = frozenset({where} if model.model_transaction_policy.decoupled else ())
        for port_name, name in step.output_map.items():
            if port_name not in outputs:
                continue
            if name in self.produced:
                self._add(where, "two producers", f"{name!r} comes from {self.produced[name].owner} too", "rename one")
            self.produced[name] = outputs[port_name]
            self.sources[name] = (list(step.input_map.values()), made_by)

    def _edge(self, name: str, port: _Port) -> None:
        made = self.produced.get(name)
        if made is None:
            mend = f"map a step's output to {name!r}; {_nearest(name, self.produced)}"
            self._add(port.owner, "missing edge", f"nothing makes {name!r}", mend)
            return
        if made.dtype != port.dtype:
            self._add(
                port.owner,
                "dtype",
                f"{name!r} is {_type_name(made.dtype)} from {made.owner} but {_type_name(port.dtype)} here",
                f"make both {_type_name(port.dtype)}",
            )
        elif not _agree(made.dims, port.dims):
            self._add(
                port.owner,
                "shape",
                f"{name!r} is {list(made.dims)} from {made.owner} but {list(port.dims)} here (batch axis included)",
                "make the dims (or both max_batch_size) agree, -1 standing for any size",
            )
        if made.optional and not port.optional:
            self._add(port.owner, "missing edge", f"{name!r} may be absent but is required here", "make both optional")

    def _unused(self) -> None:
        used = {name for name, _ in self.consumed}
        for name, port in self.produced.items():
            if name not in used:
                what = f"{name!r} from {port.owner} goes nowhere, which Triton refuses"
                self._add("tensors", "unused tensor", what, f"map {name!r} to an input or an output, or unmap it")

    def _pruned(self) -> None:
        """Triton may drop a step of which an output is given and read, when a request does not ask for all of it."""
        given = {output.name for output in self.config.output}
        read = {name for name, port in self.consumed if port.owner != "the answer"}
        for index, step in enumerate(self.config.ensemble_scheduling.step):
            if both := sorted(given & read & set(step.output_map.values())):
                what = f"{', '.join(both)} would be missing inside when a request does not ask for it"
                mend = "give the step another output for the inside, a copy, that the ensemble does not give"
                self._add(f"step {index} ({step.model_name})", "pruning", what, mend)

    def _refusing(self) -> None:
        """A step whose queue may refuse must not run beside another one: Triton 24.10 hangs for good."""
        steps = list(self.config.ensemble_scheduling.step)
        maker = {name: index for index, step in enumerate(steps) for name in step.output_map.values()}

        def before(index: int) -> set[int]:
            direct = {maker[name] for name in steps[index].input_map.values() if name in maker} - {index}
            return direct.union(*map(before, direct))

        if self.found:  # a graph with a wrong edge may go round in circles
            return
        earlier = [before(index) for index in range(len(steps))]
        for index, step in enumerate(steps):
            policy = self.configs[step.model_name].dynamic_batching.default_queue_policy
            beside = [
                other.model_name
                for at, other in enumerate(steps)
                if at != index and at not in earlier[index] and index not in earlier[at]
            ]
            if beside and (_bounded(policy) or "max_queue" in self.configs[step.model_name].parameters):
                others = f"{' and '.join(beside)} {'run' if len(beside) > 1 else 'runs'}"
                what = f"its queue may refuse a request while {others}, which hangs Triton 24.10"
                mend = f"take the bound from {step.model_name}; limit the queue of the step before"
                self._add(f"step {index} ({step.model_name})", "refusal", what, mend)

    def _lying(self) -> None:
        """Triton 24.10 lets requests lie for up to half a second in a queue that it bounds."""
        for index, step in enumerate(self.config.ensemble_scheduling.step):
            model = self.configs.get(step.model_name)
            if model is not None and _bounded(model.dynamic_batching.default_queue_policy):
                what = "its queue policy lets a request that came while it was busy lie for up to half a second"
                mend = f"take the policy from {step.model_name}; a python step bounds its own (stages.triton.Queued)"
                self._add(f"step {index} ({step.model_name})", "bounded queue", what, mend)

    def _stems_from(self, name: str, seen: frozenset[str] = frozenset()) -> frozenset[str]:
        if name in seen or name not in self.sources:
            return frozenset()
        parents, decoupled = self.sources[name]
        return decoupled.union(*(self._stems_from(parent, seen | {name}) for parent in parents))

    def _decoupled(self) -> None:
        stems = {output.name: self._stems_from(output.name) for output in self.config.output}
        if len(set(stems.values())) > 1:
            mixed = "; ".join(f"{name} from {', '.join(sorted(steps)) or 'none'}" for name, steps in stems.items())
            self._add(
                "outputs",
                "decoupled",
                f"outputs stem from different decoupled steps: {mixed}",
                "give the decoupled step's outputs an ensemble of their own, as text_stream is",
            )


def lint_onnx(configs: dict[str, ModelConfig], models_root: Path) -> list[Problem]:
    """Compares the config of each ONNX model that is already exported with the graph in its file."""
    import onnx

    problems = []
    for name, config in configs.items():
        path = models_root / name / "1" / "model.onnx"
        if config.backend != "onnxruntime" or not path.exists():
            continue
        graph = onnx.load(path, load_external_data=False).graph
        batch = (-1,) if config.max_batch_size else ()
        for kind, wanted, given in (("input", config.input, graph.input), ("output", config.output, graph.output)):
            have = {value.name: value.type.tensor_type for value in given}
            for tensor in wanted:
                where = f"{name}/{kind} {tensor.name}"
                if tensor.name not in have:
                    problems.append(
                        Problem(where, "unknown tensor", f"not in {path.name}", _nearest(tensor.name, have))
                    )
                    continue
                theirs = onnx.TensorProto.DataType.Name(have[tensor.name].elem_type)
                ours = _type_name(tensor.data_type).removeprefix("TYPE_")
                if {"FLOAT": "FP32", "FLOAT16": "FP16", "DOUBLE": "FP64"}.get(theirs, theirs) != ours:
                    problems.append(Problem(where, "dtype", f"{ours} here, {theirs} in {path.name}", "export it again"))
                shape = tuple(d.dim_value or -1 for d in have[tensor.name].shape.dim)
                # A size that only the file fixes is refused by the backend when it loads.
                free = any(x == -1 != y for x, y in zip((*batch, *tensor.dims), shape, strict=False))
                if free or not _agree((*batch, *tensor.dims), shape):
                    what = f"{list(tensor.dims)} here, {list(shape)} in {path.name}"
                    problems.append(Problem(where, "shape", what, "export it again"))
    return problems

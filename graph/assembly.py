"""The graph of a bundle: the declared models and ensembles, sized by its facts, without what its slots do not fill."""

from __future__ import annotations

import json
from collections.abc import Iterable, Set
from dataclasses import replace
from pathlib import Path

from graph.ensembles import Bundle, ensembles
from graph.modalities import MODALITIES, modalities_of
from graph.models import declare
from graph.schema import AXES, Ensemble, Facts, Graph, Model, Tensor, resolve_axis, resolve_size, resolve_tensor

MODEL_REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
#: What stands in a model repository beside its models: the facts that its configs are rendered from.
FACTS = "facts.json"
CANARY = "canary"  # which no ensemble has: it says whether tensors cross unharmed


def load(repository: Path = MODEL_REPOSITORY) -> Graph:
    """The graph that a model repository's configs are rendered from.

    Raises:
        ValueError: it has no such file, or a broken one.
    """
    path = repository / FACTS
    try:
        return assemble(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: {error}; write it with python -m export configs") from error


def assemble(facts: Facts) -> Graph:
    """The graph of a bundle with these facts.

    Raises:
        KeyError: a fact is missing that a size comes from.
        ValueError: encoders that share one placeholder of zeros give features of different shapes.
    """
    present = modalities_of(facts)
    absent = {modality.edge.name for modality in MODALITIES} - {modality.edge.name for modality in present}
    served = _drop_unserved({model.name: _resolve_model(model, facts, absent) for model in declare(present)}, facts)
    models = {name: _resolve_parameters(model, facts) for name, model in served.items()}
    wired = (_prune_ensemble(ensemble, models, facts) for ensemble in ensembles(Bundle(models, present)))
    chains = tuple(chain for chain in wired if chain)
    used = {step.model for chain in chains for step in chain.steps} | {
        name for m in models.values() for name in m.calls
    }
    return Graph(facts, tuple(m for m in models.values() if m.name in used or m.name == CANARY), chains)


def _resolve_model(model: Model, facts: Facts, absent: Set[str]) -> Model:
    """The model with its sizes, without the tensors of slots that are left out, and of its inputs those `absent`."""

    def kept(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
        found: dict[str, Tensor] = {}
        for tensor in tensors:
            if not _is_resolvable(tensor, facts):
                continue
            have = found.setdefault(tensor.name, made := resolve_tensor(tensor, facts))
            if have.dims != made.dims:
                raise ValueError(
                    f"{model.name}: {tensor.name} is {list(have.dims)} for one slot and {list(made.dims)} for another; "
                    f"take checkpoints that agree on {' and '.join(map(str, tensor.dims))}"
                )
        return tuple(found.values())

    inputs, outputs = kept(tensor for tensor in model.inputs if tensor.name not in absent), kept(model.outputs)
    axes = {dim for tensor in (*inputs, *outputs) for dim in tensor.dims if isinstance(dim, str)} | {"batch"}
    return replace(
        model,
        inputs=inputs,
        outputs=outputs,
        axes={axis: resolve_axis(axis, facts) for axis in sorted(axes)},
    )


def _is_resolvable(tensor: Tensor, facts: Facts) -> bool:
    """Whether the slots that a tensor's sizes come from are filled, and have something to put into it."""
    named = [str(size) for dim in tensor.dims for size in (dim, *AXES.get(str(dim), ())) if "." in str(size)]
    return all(size.split(".")[0] in facts and resolve_size(size, facts) for size in named)


def _drop_unserved(models: dict[str, Model], facts: Facts) -> dict[str, Model]:
    """The models that have something to serve: one of their files, one of the models that they call."""
    while True:
        kept = {}
        for model in models.values():
            files = {file: slot for file, slot in model.files.items() if slot in facts}
            calls = tuple(name for name in model.calls if name in models)
            if (model.files and not files) or (model.calls and not calls):
                continue
            kept[model.name] = replace(model, files=files, calls=calls)
        if kept.keys() == models.keys():
            return kept
        models = kept


def _resolve_parameters(model: Model, facts: Facts) -> Model:
    return replace(
        model, parameters={name: str(resolve_size(value, facts)) for name, value in model.parameters.items()}
    )


def _prune_ensemble(ensemble: Ensemble, models: dict[str, Model], facts: Facts) -> Ensemble | None:
    """The ensemble with the edges that its models have; None where it lacks a model, or what one cannot do without."""
    made = {edge for step in ensemble.steps if step.model in models for edge in step.outputs.values()}
    there = made | {tensor.name for tensor in ensemble.inputs}
    steps = []
    for step in ensemble.steps:
        if (model := models.get(step.model)) is None:
            return None
        inputs, outputs = ({tensor.name for tensor in side} for side in (model.inputs, model.outputs))
        step = replace(
            step,
            inputs={name: edge for name, edge in step.inputs.items() if name in inputs and edge in there},
            outputs={name: edge for name, edge in step.outputs.items() if name in outputs},
        )
        if not {tensor.name for tensor in model.inputs if not tensor.optional} <= step.inputs.keys():
            return None
        steps.append(step)
    read = {edge for step in steps for edge in step.inputs.values()}
    made = {edge for step in steps for edge in step.outputs.values()}
    return replace(
        ensemble,
        inputs=tuple(resolve_tensor(tensor, facts) for tensor in ensemble.inputs if tensor.name in read),
        outputs=tuple(resolve_tensor(tensor, facts) for tensor in ensemble.outputs if tensor.name in made),
        steps=tuple(steps),
    )

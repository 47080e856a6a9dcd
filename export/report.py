"""The last link of parity: what the server answers against what torch answered at export, and the report of it all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

from export.build import Built
from export.parity import check
from export.recipe import Recipe
from families.common.parity import difference, session
from graph.schema import Graph, Model, Tensor


def served(built: Built, model: Model, url: str) -> list[dict]:
    """One single-pass slot, case by case: ONNX in this process against the model that `url` serves.

    Args:
        model: that serves it.
        url: gRPC address, ``host:port``.

    Returns:
        Rows of ``case``, ``output``, ``torch_onnx`` (as at export) and ``onnx_served``, which a case of more rows than
        the server takes at once does not have.
    """
    reference = built.reference()
    rows = {(row["case"], row["output"]): dict(row) for row in built.parity()}
    run = session(built.folder / "model.onnx")
    with triton.InferenceServerClient(url) as client:
        most = client.get_model_config(model.name).config.max_batch_size
        for case in dict.fromkeys(name.split("|")[0] for name in reference):
            inputs = {t.name: reference[f"{case}|{t.name}"] for t in model.inputs}
            if 0 < most < len(inputs[model.inputs[0].name]):
                continue
            answer = client.infer(model.name, [_tensor(t, inputs[t.name]) for t in model.inputs])
            names = [t.name for t in model.outputs]
            for name, want in zip(names, run.run(names, inputs), strict=True):
                where = f"{model.name} {case} {name} served"
                rows[case, name]["onnx_served"] = difference(where, want, answer.as_numpy(name))
    return list(rows.values())


def _tensor(declared: Tensor, array: np.ndarray) -> triton.InferInput:
    tensor = triton.InferInput(declared.name, array.shape, declared.dtype)
    tensor.set_data_from_numpy(array)
    return tensor


def report(recipe: Recipe, built: list[Built], graph: Graph, url: str | None, out: Path) -> list[dict]:
    """Every slot's rows in one file; with `url`, the server's answers too.

    Raises:
        ParityError: a figure over the recipe's tolerance, once the whole report is written.
    """
    rows, failures = [], []
    models = {model.name: model for model in graph.models}
    for slot in built:
        if url is not None and slot.reference() and "model.onnx" in models[slot.slot].files:
            slot_rows = served(slot, models[slot.slot], url)
        else:
            slot_rows = slot.parity()
        rows += [{"slot": slot.slot, "precision": recipe.slot(slot.slot).precision, **row} for row in slot_rows]
        try:
            check(recipe.slot(slot.slot).tolerance, slot_rows, slot.slot)
        except RuntimeError as error:
            failures.append(error)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"recipe": recipe.name, "rows": rows}, indent=1))
    if failures:
        raise failures[0]
    return rows

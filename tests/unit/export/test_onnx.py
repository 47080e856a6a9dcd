"""Export and parity of a small real network: names, dynamic axes, figures, and what is refused."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from export import build, engine
from export import onnx as exporter
from export.parity import check
from export.recipe import Slot
from families.common.parity import ParityError
from graph.schema import Graph, Model, Tensor

MODEL = Model(
    "pooler",
    "onnxruntime",
    (Tensor("states", "FP32", ("length", 4)), Tensor("mask", "FP32", ("length",))),
    (Tensor("pooled", "FP32", (4,)), Tensor("count", "FP32", (1,))),
    axes={"batch": (1, 8, 8), "length": (1, 32, 128)},
)


class Pooler(torch.nn.Module):
    def forward(self, states, mask):
        count = mask.sum(1, keepdim=True)
        return (states * mask.unsqueeze(-1)).sum(1) / count, count


def sample(sizes, rng):
    shape = (sizes["batch"], sizes["length"])
    return {
        "states": rng.standard_normal((*shape, 4), dtype=np.float32),
        "mask": np.ones(shape, np.float32),
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("pooler") / "model.onnx"
    exporter.export(Pooler(), MODEL, sample, path)
    return path


def test_names_and_dynamic_axes_are_the_graphs(path):
    graph = onnx.load(path).graph
    assert [i.name for i in graph.input] == ["states", "mask"]
    assert [o.name for o in graph.output] == ["pooled", "count"]
    states = graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in states] == ["batch", "length", 4]


def test_parity_covers_batches_and_lengths(path):
    rows, reference = exporter.parity(Pooler(), MODEL, sample, path)
    few = {f"batch={batch} length={length}" for batch in (1, 2) for length in MODEL.axes["length"]}
    assert {row["case"] for row in rows} == few | {"batch=5 length=32", "batch=8 length=32"}
    assert max(row["torch_onnx"] for row in rows) < 1e-6
    assert reference["batch=5 length=32|pooled"].shape == (5, 4)


def test_weights_that_one_file_does_not_hold_lie_beside_it_and_are_put_into_place(tmp_path, monkeypatch):
    class Heavy(Pooler):
        def __init__(self):
            super().__init__()
            self.heavy = torch.nn.Linear(4, 4, bias=False)

        def forward(self, states, mask):
            return super().forward(self.heavy(states), mask)

    monkeypatch.setattr(exporter, "MOST_BYTES", 10)
    made, network = tmp_path / "made", Heavy().eval()
    made.mkdir()
    exporter.export(network, MODEL, sample, made / "model.onnx")
    assert {path.name for path in made.iterdir()} == {"model.onnx", "model.onnx.data"}
    rows, _ = exporter.parity(network, MODEL, sample, made / "model.onnx")
    assert max(row["torch_onnx"] for row in rows) < 1e-6

    graph = Graph({}, (replace(MODEL, files={"model.onnx": "slot"}),), ())
    built = build.Built("slot", "", made, cached=False, seconds=0)
    build.install(built, tmp_path / "models", graph)
    placed = tmp_path / "models" / "pooler" / "1"
    assert {path.name for path in placed.iterdir()} == {"model.onnx", "model.onnx.data"}
    before = engine.digest(placed / "model.onnx")
    (made / "model.onnx.data").rename(made / "elsewhere")
    build.install(built, tmp_path / "models", graph)  # as an export of one file would be
    assert {path.name for path in placed.iterdir()} == {"model.onnx"} and engine.digest(placed / "model.onnx") != before


def test_parity_refuses_nan(path):
    def holes(sizes, rng):
        return sample(sizes, rng) | {"mask": np.zeros((sizes["batch"], sizes["length"]), np.float32)}

    with pytest.raises(ParityError, match=r"pooler batch=1 length=1 pooled: 4 NaN or Inf"):
        exporter.parity(Pooler(), MODEL, holes, path)


def test_parity_sees_another_network(path):
    class Other(Pooler):
        def forward(self, states, mask):
            pooled, count = super().forward(states, mask)
            return pooled * 1.01, count

    rows, _ = exporter.parity(Other(), MODEL, sample, path)
    slot = Slot(sources=["file:x"], sha256="0" * 64, licence="-", tolerance={"torch_onnx": 1e-4})
    with pytest.raises(ParityError, match=r"pooler batch=.* pooled: torch_onnx is .*, the recipe allows 0.0001"):
        check(slot.tolerance, rows, "pooler")


def test_agreement_is_a_least_value():
    slot = Slot(sources=["file:x"], sha256="0" * 64, licence="-", tolerance={"top1_agreement": 0.95})
    check(slot.tolerance, [{"top1_agreement": 0.96}], "text_decoder")
    with pytest.raises(ParityError, match=r"top1_agreement is 0.9, the recipe allows 0.95"):
        check(slot.tolerance, [{"top1_agreement": 0.90}], "text_decoder")


def test_wrong_number_of_outputs_is_refused(tmp_path):
    class One(Pooler):
        def forward(self, states, mask):
            return super().forward(states, mask)[0]

    with pytest.raises((ValueError, RuntimeError)):
        exporter.export(One(), MODEL, sample, tmp_path / "model.onnx")

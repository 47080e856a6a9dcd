"""`python -m benchmarks.absent`: what does an absent modality cost? A title through the full graph, beside a graph that
was cut down to titles.

The cut-down graph is served by the same server: the same reader and text encoder, and a fusion whose other inputs are
constants of the network itself, so that no tensor for an absent modality is made, carried or read. Both are asked for
the embedding, in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import tritonclient.grpc as triton
import typer
from google.protobuf import text_format
from onnx import helper
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tritonclient.grpc.model_config_pb2 import ModelConfig

from benchmarks.serving import REPOSITORY, JsonFile, bundle, write_json

ROOTS = tuple(REPOSITORY / "model_repository" / name for name in ("models", "ensembles"))
KEPT = "text_embedding"
CUT = "title_only"
TITLES = ("Enamel mug, 350 ml, blue", "Oak bookcase with five shelves", "Red leather sofa, three seats, with ottoman")
AIM = 0.95  # of the cut-down graph's rate
IN_FLIGHT = (1, 8)
console = Console()


def cut_down(folder: Path) -> None:
    """Writes the cut-down fusion and its ensemble into a model root."""
    source = ROOTS[0] / "fusion"
    network = onnx.load(source / "1" / "model.onnx")
    graph = network.graph
    absent = [value for value in graph.input if value.name != KEPT]
    rows = [helper.make_node("Shape", [KEPT], ["cut/rows"], start=0, end=1)]
    for value in absent:
        # A dynamic axis of an absent modality has the one zero token that fusion needs at least.
        sizes = [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim][1:]
        filled = np.zeros((1, *sizes), np.float32)
        if value.name == "presence":
            filled[0, 0] = 1
        graph.initializer.append(onnx.numpy_helper.from_array(filled, f"cut/{value.name}"))
        tail = onnx.numpy_helper.from_array(np.array(sizes, np.int64), f"cut/{value.name}/sizes")
        graph.initializer.append(tail)
        rows.append(helper.make_node("Concat", ["cut/rows", tail.name], [f"cut/{value.name}/shape"], axis=0))
        rows.append(helper.make_node("Expand", [f"cut/{value.name}", f"cut/{value.name}/shape"], [value.name]))
        graph.input.remove(value)
    nodes = [*rows, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(network)
    (folder / "fusion_of_title" / "1").mkdir(parents=True)
    onnx.save(network, folder / "fusion_of_title" / "1" / "model.onnx")
    config = text_format.Parse((source / "config.pbtxt").read_text(), ModelConfig())
    config.name = "fusion_of_title"
    kept = [each for each in config.input if each.name == KEPT]
    del config.input[:]
    config.input.extend(kept)
    for warmup in config.model_warmup:
        for name in [name for name in warmup.inputs if name != KEPT]:
            del warmup.inputs[name]
    (folder / "fusion_of_title" / "config.pbtxt").write_text(text_format.MessageToString(config))
    ensemble = ModelConfig(name=CUT, platform="ensemble", max_batch_size=config.max_batch_size)
    ensemble.input.add(name="TITLE", data_type="TYPE_STRING", dims=[1])
    ensemble.output.add(name="EMBEDDING", data_type="TYPE_FP32", dims=[384])
    steps = (
        ("reader", {"TITLE": "TITLE"}, {"INPUT_IDS": "ids", "ATTENTION_MASK": "mask"}),
        ("text_encoder", {"input_ids": "ids", "attention_mask": "mask"}, {"sentence_embedding": "text"}),
        ("fusion_of_title", {KEPT: "text"}, {"embedding": "EMBEDDING"}),
    )
    for model, inputs, outputs in steps:
        step = ensemble.ensemble_scheduling.step.add(model_name=model, model_version=-1)
        step.input_map.update(inputs)
        step.output_map.update(outputs)
    (folder / CUT / "1").mkdir(parents=True)
    (folder / CUT / "config.pbtxt").write_text(text_format.MessageToString(ensemble))


def ask(client: triton.InferenceServerClient, model: str, title: str) -> np.ndarray:
    """The embedding of one title."""
    sent = triton.InferInput("TITLE", [1, 1], "BYTES")
    sent.set_data_from_numpy(np.array([[title.encode()]], object))
    return client.infer(model, [sent], outputs=[triton.InferRequestedOutput("EMBEDDING")]).as_numpy("EMBEDDING")[0]


def rate(address: str, model: str, in_flight: int, seconds: float) -> float:
    """Titles a second with so many requests under way."""

    def work(number: int) -> int:
        done = 0
        with triton.InferenceServerClient(address) as client:
            while time.perf_counter() < end:
                ask(client, model, TITLES[(number + done) % len(TITLES)])
                done += 1
        return done

    began = time.perf_counter()
    end = began + seconds
    with ThreadPoolExecutor(in_flight) as pool:
        return sum(pool.map(work, range(in_flight))) / (time.perf_counter() - began)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Of each graph, in turns.")] = 7,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each turn.")] = 3.0,
    json_file: JsonFile = None,
) -> None:
    """Prints the rates and their ratio; exit status 1 below the aim."""
    with tempfile.TemporaryDirectory() as folder:
        cut_down(Path(folder))
        roots = [option for root in (*ROOTS, folder) for option in ("--model-root", str(root))]
        with bundle(*roots, "--model", "content", "--model", CUT) as addresses:
            with triton.InferenceServerClient(addresses.grpc) as client:
                pairs = [[ask(client, model, title) for model in ("content", CUT)] for title in TITLES]
            apart = max(float(np.abs(full - cut).max()) for full, cut in pairs)
            found: dict[tuple[str, int], list[float]] = {}
            for _ in track(range(rounds), "measuring", console=console):
                for in_flight in IN_FLIGHT:
                    for model in ("content", CUT):
                        found.setdefault((model, in_flight), []).append(rate(addresses.grpc, model, in_flight, seconds))
    table = Table("in flight", "full graph, titles/s", "cut-down graph, titles/s", "ratio")
    ratios = {}
    for in_flight in IN_FLIGHT:
        full, cut = found["content", in_flight], found[CUT, in_flight]
        ratios[in_flight] = statistics.median(a / b for a, b in zip(full, cut, strict=True))
        table.add_row(
            str(in_flight),
            f"{statistics.median(full):.1f}",
            f"{statistics.median(cut):.1f}",
            f"{ratios[in_flight]:.3f}",
        )
    console.print(table)
    console.print(f"embeddings differ by at most {apart:.1e}; aim {AIM}")
    write_json({"aim": AIM, "ratios": ratios, "apart": apart}, json_file)
    raise typer.Exit(min(ratios.values()) < AIM or apart > 1e-4)


if __name__ == "__main__":
    typer.run(main)

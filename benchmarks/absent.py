"""`python -m benchmarks.absent`: what does an absent modality cost? A title through the full graph, beside a graph that
was cut down to titles.

The cut-down graph is served by the same server: the same reader and text encoder, and a fusion whose other inputs are
constants of the network itself, so that no tensor for an absent modality is made, carried or read; it gives what the
full graph's fusion gives. Both are asked for the embedding, in turns.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import onnx
import tritonclient.grpc as triton
import typer
from google.protobuf import text_format
from onnx import helper
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats
from tritonclient.grpc.model_config_pb2 import ModelConfig

from benchmarks.serving import REPOSITORY, JsonFile, bundle, write_json
from graph import assembly

ROOTS = tuple(REPOSITORY / "model_repository" / name for name in ("models", "ensembles"))
KEPT = "text_embedding"
#: What a step has to give is what is mapped, wanted or not: as in the full graph.
GIVEN = {"embedding": "EMBEDDING", "condition": "CONDITION", "condition_copy": "condition", "weights": "FUSION_WEIGHTS"}
FULL, CUT = "content", "title_only"
TITLES = ("Enamel mug, 350 ml, blue", "Oak bookcase with five shelves", "Red leather sofa, three seats, with ottoman")
AIM = 0.95  # of the cut-down graph's rate
IN_FLIGHT = (1, 8)
console = Console()


class Compared(NamedTuple):
    """Median rates of both graphs in titles a second, and the median ratio of neighbouring turns with its interval."""

    full: float
    cut: float
    ratio: float
    low: float
    high: float


def cut_down(folder: Path) -> None:
    """Writes the cut-down fusion and its ensemble into a model root."""
    source = ROOTS[0] / "fusion"
    network = onnx.load(source / "1" / "model.onnx")
    graph = network.graph
    absent = [value for value in graph.input if value.name != KEPT]
    axes = assembly.load().model("fusion").axes
    rows = [helper.make_node("Shape", [KEPT], ["cut/rows"], start=0, end=1)]
    for value in absent:
        sizes = [axis.dim_value or axes[axis.dim_param][0] for axis in value.type.tensor_type.shape.dim[1:]]
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
    for output in GIVEN.values():
        dims = next(each.dims for each in config.output if GIVEN[each.name] == output)
        ensemble.output.add(name=output, data_type="TYPE_FP32", dims=dims)
    steps = (
        ("reader", {"TITLE": "TITLE"}, {"INPUT_IDS": "ids", "ATTENTION_MASK": "mask"}),
        ("text_encoder", {"input_ids": "ids", "attention_mask": "mask"}, {"sentence_embedding": "text"}),
        ("fusion_of_title", {KEPT: "text"}, GIVEN),
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


def rate(clients: list[triton.InferenceServerClient], model: str, seconds: float) -> float:
    """Titles a second with one request of each client under way; an answer that comes too late does not count."""

    def work(number: int) -> int:
        done = 0
        while True:
            ask(clients[number], model, TITLES[(number + done) % len(TITLES)])
            if time.perf_counter() > end:
                return done
            done += 1

    end = time.perf_counter() + seconds
    with ThreadPoolExecutor(len(clients)) as pool:
        return sum(pool.map(work, range(len(clients)))) / seconds


def compare(address: str, in_flight: int, rounds: int, seconds: float) -> Compared:
    """Both graphs in short turns, whichever was first being second the next time; so that what else the machine does
    falls on both. The interval is a bootstrap's over the rounds."""
    with ExitStack() as opened:
        clients = [opened.enter_context(triton.InferenceServerClient(address)) for _ in range(in_flight)]
        rates: dict[str, list[float]] = {FULL: [], CUT: []}
        for number in track(range(rounds + 1), f"{in_flight} under way", console=console):
            for model in (FULL, CUT) if number % 2 else (CUT, FULL):
                rates[model].append(rate(clients, model, seconds))
    full, cut = (np.array(rates[model][1:]) for model in (FULL, CUT))  # the first round warms up
    among = stats.bootstrap((full / cut,), np.median, rng=np.random.default_rng(0)).confidence_interval
    medians = [float(np.median(figures)) for figures in (full, cut, full / cut)]
    return Compared._make([*medians, among.low, among.high])


def main(
    rounds: Annotated[int, typer.Option(min=2, help="Of each graph, in turns, after one of warm-up.")] = 40,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each turn.")] = 1.0,
    json_file: JsonFile = None,
) -> None:
    """Prints the rates and their ratio; exit status 1 below the aim."""
    with tempfile.TemporaryDirectory() as folder:
        cut_down(Path(folder))
        roots = [option for root in (*ROOTS, folder) for option in ("--model-root", str(root))]
        with bundle(*roots, "--model", FULL, "--model", CUT) as addresses:
            with triton.InferenceServerClient(addresses.grpc) as client:
                pairs = [[ask(client, model, title) for model in (FULL, CUT)] for title in TITLES]
            apart = max(float(np.abs(full - cut).max()) for full, cut in pairs)
            found = {number: compare(addresses.grpc, number, rounds, seconds) for number in IN_FLIGHT}
    table = Table("under way", "full graph, titles/s", "cut-down graph, titles/s", "ratio", "95% interval")
    for number, of in found.items():
        table.add_row(
            str(number), f"{of.full:.1f}", f"{of.cut:.1f}", f"{of.ratio:.3f}", f"{of.low:.3f} to {of.high:.3f}"
        )
    console.print(table)
    console.print(f"embeddings differ by at most {apart:.1e}; aim {AIM}")
    write_json({"aim": AIM, "apart": apart} | {str(number): of._asdict() for number, of in found.items()}, json_file)
    raise typer.Exit(min(of.ratio for of in found.values()) < AIM or apart > 1e-4)


if __name__ == "__main__":
    typer.run(main)

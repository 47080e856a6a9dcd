"""The export of the tiny network: parity, files, and what it refuses."""

import json
from functools import partial

import numpy as np
import onnx
import pytest

from decoding import network as network_module
from decoding.cache import PROVIDERS, DeviceCache
from decoding.engine import Engine
from decoding.network import Network, Shape
from export.parity import check
from families import text_decoder
from families.common.parity import ParityError
from stages.prompts import Prompts


def test_parity_at_four_batches_and_three_lengths(checkpoint, slot, folder):
    rows = text_decoder.parity(checkpoint, slot, folder)
    few = {f"batch={batch} length={length}" for batch in (1, 2) for length in (8, 32, 96)}
    assert {row["case"] for row in rows[:-1]} == few | {"batch=5 length=32", "batch=8 length=32"}
    check(slot.tolerance, rows, "text_decoder")
    assert all(row["relative"] < 1e-4 for row in rows[:-1])


def test_parity_refuses_broken_weights(checkpoint, slot, folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    table = np.load(folder / "embeddings.npy")
    table[:] = np.nan
    np.save(tmp_path / "embeddings.npy", table)
    with pytest.raises(ParityError, match="ONNX gives NaN or Inf"):
        text_decoder.parity(checkpoint, slot, tmp_path)


def test_the_files_say_what_the_network_is(folder):
    shape = Shape.read(folder / "decoder.json")
    assert (shape.layers, shape.kv_heads, shape.head_dim, shape.hidden) == (2, 2, 16, 64)
    assert (shape.end_ids, shape.max_length, shape.precision) == ((0,), 96, "fp32")
    assert np.load(folder / "embeddings.npy").shape == (shape.vocabulary, shape.hidden)
    assert Prompts.load(folder / "prompts.json").chat_template.startswith("{% for")
    inputs = {i.name for i in onnx.load(folder / "model.onnx", load_external_data=False).graph.input}
    assert "inputs_embeds" in inputs
    assert "input_ids" not in inputs


def test_a_missing_or_incomplete_decoder_json_names_the_mend(folder, tmp_path):
    with pytest.raises(ValueError, match="python -m export"):
        Shape.read(tmp_path / "decoder.json")
    data = json.loads((folder / "decoder.json").read_text())
    del data["hidden"]
    (tmp_path / "decoder.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="hidden"):
        Shape.read(tmp_path / "decoder.json")


@pytest.fixture(params=["host", "device"])
def cache(request, monkeypatch):
    """Both kinds of memory for keys and values, the device being torch's CPU."""
    if request.param == "device":
        monkeypatch.setattr(network_module, "HostCache", partial(DeviceCache, device="cpu"))


def test_rows_of_the_cache_do_not_touch_each_other(folder, cache):
    """A row's logits are the same bits in any place, beside any others, and after a move."""
    network = Network(folder, slots=4, threads=1)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(1, network.shape.vocabulary, length) for length in (5, 17, 9)]

    def read(row, ids):
        return network.run(row, network.embed(ids)[None], [len(ids)])[0].copy()

    alone = []
    for ids in prompts:
        first = read(0, ids)
        token = int(first.argmax())
        alone.append((first, network.run(0, network.embed([[token]]), [len(ids) + 1])[0].copy()))
    for row, ids in enumerate(prompts):
        assert (read(row, ids) == alone[row][0]).all()
    network.cache.move(0, 3, len(prompts[0]))
    network.cache.move(2, 0, len(prompts[2]))
    network.cache.move(3, 2, len(prompts[0]))
    order = [2, 1, 0]
    tokens = [[int(alone[i][0].argmax())] for i in order]
    together = network.run(0, network.embed(tokens), [len(prompts[i]) + 1 for i in order])
    for row, i in enumerate(order):
        assert (together[row] == alone[i][1]).all()


@pytest.fixture(scope="module")
def half(checkpoint, slot, tmp_path_factory):
    """The tiny network, exported for CUDA."""
    out = tmp_path_factory.mktemp("half")
    options = slot.options | {"provider": "cuda"}
    made = slot.model_copy(update={"precision": "fp16", "options": options})
    text_decoder.build(checkpoint, made, out)
    return made, out


def test_a_graph_for_cuda_computes_in_half_precision_keys_and_values_too(checkpoint, half):
    """It is run on the CPU here, which has the same operators."""
    slot, folder = half
    rows = text_decoder.parity(checkpoint, slot, folder)
    check({"top1_agreement": 0.97, "relative": 0.02}, rows, "text_decoder")
    inputs = {i.name: i for i in onnx.load(folder / "model.onnx", load_external_data=False).graph.input}
    kinds = {inputs[name].type.tensor_type.elem_type for name in ("inputs_embeds", "past_key_values.0.key")}
    assert kinds == {onnx.TensorProto.FLOAT16}


def test_an_engine_over_it_writes_the_same_whichever_memory_it_has(half, cache, folder):
    texts = []
    for path in (half[1], folder):
        engine = Engine(path, slots=3, threads=1, prefix_cache_mb=4)
        handles = [engine.submit(engine.request("the red mug is of oak " * n, max_tokens=12)) for n in (1, 3, 3, 2)]
        texts.append([handle.result().text for handle in handles])
        engine.close()
    assert texts[0] == texts[1]


def test_a_provider_that_is_not_there_is_refused(folder, half, monkeypatch):
    with pytest.raises(ValueError, match="execution_provider is 'ROCM'; write one of CPU, CUDA"):
        Engine(folder, provider="ROCM")
    with pytest.raises(ValueError, match=r"is CUDA, ONNX Runtime here has .*; install onnxruntime-gpu"):
        Engine(half[1], provider="CUDA")
    monkeypatch.setitem(PROVIDERS, "CUDA", ("CPUExecutionProvider", "cuda"))
    with pytest.raises(ValueError, match=r"is a graph of float32, .* provider: cuda"):
        Engine(folder, provider="CUDA")


@pytest.mark.parametrize(("provider", "precision"), [("cpu", "fp16"), ("cuda", "int8"), ("rocm", "fp32")])
def test_a_graph_that_is_not_built_is_refused(checkpoint, slot, tmp_path, provider, precision):
    from families.common.slot import BuildError

    made = slot.model_copy(update={"precision": precision, "options": slot.options | {"provider": provider}})
    with pytest.raises(BuildError, match=f"{precision} for {provider} is not built; take one of fp32 for cpu, "):
        text_decoder.build(checkpoint, made, tmp_path)


def test_too_little_room_is_said_before_the_work(checkpoint, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from families.common.slot import BuildError

    count = text_decoder.weights(checkpoint)
    assert 5e4 < count < 5e6
    text_decoder.check_room(count, tmp_path)
    with pytest.raises(
        BuildError, match=r"exporting 2e\+03 billion weights takes some .* GB of memory, .* smaller decoder"
    ):
        text_decoder.check_room(2_000_000_000_000, tmp_path)
    monkeypatch.setattr(text_decoder.psutil, "virtual_memory", lambda: SimpleNamespace(available=10**15))
    with pytest.raises(BuildError, match=r"GB of disk, .* VITRINA_CACHE"):
        text_decoder.check_room(2_000_000_000_000, tmp_path)

"""The export of the tiny network: parity, files, and what it refuses."""

import json

import numpy as np
import onnx
import pytest

from decoding.network import Network, Shape
from export.parity import ParityError, check
from export.slots import text_decoder
from stages.prompts import Prompts


def test_parity_at_four_batches_and_three_lengths(checkpoint, slot, folder):
    rows = text_decoder.parity(checkpoint, slot, folder)
    few = {f"batch={batch} length={length}" for batch in (1, 2) for length in (8, 32, 96)}
    assert {row["case"] for row in rows[:-1]} == few | {"batch=5 length=32", "batch=8 length=32"}
    check(slot, rows, "text_decoder")
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


def test_rows_of_the_cache_do_not_touch_each_other(folder):
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
    network.move(0, 3, len(prompts[0]))
    network.move(2, 0, len(prompts[2]))
    network.move(3, 2, len(prompts[0]))
    order = [2, 1, 0]
    tokens = [[int(alone[i][0].argmax())] for i in order]
    together = network.run(0, network.embed(tokens), [len(prompts[i]) + 1 for i in order])
    for row, i in enumerate(order):
        assert (together[row] == alone[i][1]).all()


def test_too_little_room_is_said_before_the_work(checkpoint, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from export.errors import BuildError

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

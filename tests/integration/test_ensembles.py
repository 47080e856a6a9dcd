"""The ensembles over gRPC and HTTP: the same answers, pruned to what is asked, and CONDITION as the way back in."""

import json
from itertools import combinations

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from benchmarks.serving import REPOSITORY
from graph.assembly import load
from tests.integration.counts import statistics

FACTS = load().facts
GREEDY = {"MAX_TOKENS": np.array([[12]], np.int32), "TEMPERATURE": np.array([[0.0]], np.float32)}


def _bytes(*rows: bytes) -> np.ndarray:
    return np.array([[row] for row in rows], object)


@pytest.fixture(scope="module")
def products():
    listed = json.loads((REPOSITORY / "samples" / "products.json").read_text(encoding="utf-8"))
    return [(p["title"].encode(), (REPOSITORY / "samples" / p["image"]).read_bytes()) for p in listed[:3]]


@pytest.fixture(params=["grpc", "http"])
def ask(request, server):
    """`ask(ensemble, inputs, outputs)` → arrays by name."""
    module = {"grpc": triton_grpc, "http": triton_http}[request.param]
    client = module.InferenceServerClient(getattr(server, f"{request.param}_url"))

    def infer(ensemble: str, inputs: dict, outputs: list[str]) -> dict:
        tensors = []
        for name, array in inputs.items():
            kind = {"O": "BYTES", "i": f"INT{array.itemsize * 8}", "f": "FP32"}[array.dtype.kind]
            tensor = module.InferInput(name, list(array.shape), kind)
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        wanted = [module.InferRequestedOutput(name) for name in outputs]
        answer = client.infer(ensemble, tensors, outputs=wanted)
        return {name: answer.as_numpy(name) for name in outputs}

    yield infer
    client.close()


def _executions(server, model: str) -> int:
    return statistics(server, model)["execution_count"]


def test_content_image_gives_everything_at_once(ask, products):
    title, photo = products[0]
    names = [
        "TEXT",
        "FINISH_REASON",
        "PROMPT_TOKENS",
        "COMPLETION_TOKENS",
        "EDITS",
        "CONDITION",
        "EMBEDDING",
        "TAGS",
        "TAG_SCORES",
    ]
    got = ask("content_image", {"TITLE": _bytes(title), "IMAGE": _bytes(photo), **GREEDY}, names)
    assert got["CONDITION"].shape == (1, FACTS["fusion"]["tokens"], FACTS["fusion"]["width"]) and got["TAGS"].shape == (
        1,
        5,
    )
    assert np.linalg.norm(got["EMBEDDING"]) == pytest.approx(1.0, abs=1e-5)
    assert got["TEXT"][0, 0].decode().strip()
    assert got["FINISH_REASON"][0, 0] in (b"eos", b"length", b"stop") and 0 < got["COMPLETION_TOKENS"][0, 0] <= 12


OUTPUTS = ("TEXT", "CONDITION", "EMBEDDING", "TAGS", "TAG_SCORES")
SUBSETS = [list(names) for count in range(1, 6) for names in combinations(OUTPUTS, count)]
SHORT = {"MAX_TOKENS": np.array([[2]], np.int32)}
OPTIONS = SHORT | {"TASK": _bytes(b"ad"), "LANGUAGE": _bytes(b"en"), "TEMPERATURE": np.array([[0.5]], np.float32)}


@pytest.mark.parametrize("ensemble", ["content", "content_image", "generate"])
def test_every_subset_of_outputs(ask, products, ensemble):
    """Triton prunes to what is asked for; no subset may lose a step that another output needs."""
    title, photo = products[0]
    given = {"TITLE": _bytes(title)}
    if ensemble == "content_image":
        given["IMAGE"] = _bytes(photo)
    if ensemble == "generate":
        given |= ask("content", given, ["CONDITION"])
    names = {"generate": ("TEXT", "TAGS", "TAG_SCORES")}.get(ensemble, OUTPUTS)
    whole = ask(ensemble, given | SHORT, list(names))
    for number, subset in enumerate(s for s in SUBSETS if set(s) <= set(names)):
        got = ask(ensemble, given | (SHORT, OPTIONS)[number % 2], subset)
        assert set(got) == set(subset) and all(len(array) == 1 for array in got.values())
        for name in set(subset) - {"TEXT"}:
            if name == "TAGS":
                np.testing.assert_array_equal(got[name], whole[name])
            else:  # the last bits depend on who shares a batch, and the content check embeds the title too
                np.testing.assert_allclose(got[name], whole[name], atol=1e-6)


WRITTEN = ("TEXT", "EDITS", "FINISH_REASON", "PROMPT_TOKENS", "COMPLETION_TOKENS")


def test_every_subset_of_what_the_text_step_gives(ask, products):
    """The optimizer gives three of these, the decoder before it the others."""
    given = {"TITLE": _bytes(products[0][0])} | SHORT
    given |= ask("content", given, ["CONDITION"])
    for subset in (list(names) for count in range(1, 6) for names in combinations(WRITTEN, count)):
        got = ask("generate", given, subset)
        assert set(got) == set(subset) and all(array.shape == (1, 1) for array in got.values())


def test_a_channels_limits_are_kept_and_told(ask, products):
    """Each row by its own: the first may say everything, the second not its own longest word, the third but little."""
    titles = _bytes(*(title for title, _ in products))
    settings = {name: np.repeat(array, 3, 0) for name, array in GREEDY.items()} | {
        "MAX_TOKENS": np.full((3, 1), 60, np.int32)
    }
    free = ask("content", {"TITLE": titles, **settings}, ["TEXT", "EDITS"])
    texts = [text.decode() for text in free["TEXT"][:, 0]]
    banned = max(texts[1].replace(".", " ").split(), key=len)
    fields = {
        "BANNED_WORDS": np.array([[b""], [banned.encode()], [b""]], object),
        "MAX_CHARACTERS": np.array([[10_000], [10_000], [40]], np.int32),
    }
    held = ask("content", {"TITLE": titles, **settings, **fields}, ["TEXT", "EDITS"])
    found = [text.decode() for text in held["TEXT"][:, 0]]
    edits = [[edit["kind"] for edit in json.loads(row)] for row in held["EDITS"][:, 0]]
    assert found[0] == texts[0] and held["EDITS"][0, 0] == free["EDITS"][0, 0]
    assert banned not in found[1] and "banned" in edits[1]
    assert len(found[2]) <= 40 and "length" in edits[2]


def test_embedding_alone_runs_no_decoder(ask, server, products):
    before = [_executions(server, model) for model in ("tagger", "prompter", "text_collector")]
    got = ask("content", {"TITLE": _bytes(products[0][0])}, ["EMBEDDING"])
    assert got["EMBEDDING"].shape == (1, FACTS["fusion"]["width"])
    assert [_executions(server, model) for model in ("tagger", "prompter", "text_collector")] == before


def test_title_alone_runs_no_image_model(ask, server, products):
    before = _executions(server, "image_encoder")
    ask("content", {"TITLE": _bytes(products[0][0])}, ["CONDITION"])
    assert _executions(server, "image_encoder") == before


def test_rows_of_a_batch_are_the_products_alone(ask, products):
    titles, photos = zip(*products, strict=True)
    batch = ask("content_image", {"TITLE": _bytes(*titles), "IMAGE": _bytes(*photos)}, ["EMBEDDING", "TAGS"])
    for row, (title, photo) in enumerate(products):
        alone = ask("content_image", {"TITLE": _bytes(title), "IMAGE": _bytes(photo)}, ["EMBEDDING", "TAGS"])
        np.testing.assert_allclose(batch["EMBEDDING"][row], alone["EMBEDDING"][0], atol=1e-4)
        assert list(batch["TAGS"][row]) == list(alone["TAGS"][0])


def test_generate_from_condition_writes_the_same_copy(ask, products):
    title, photo = products[0]
    settings = GREEDY | {"MAX_TOKENS": np.array([[96]], np.int32)}
    whole = ask("content_image", {"TITLE": _bytes(title), "IMAGE": _bytes(photo), **settings}, ["TEXT", "CONDITION"])
    again = ask("generate", {"TITLE": _bytes(title), "CONDITION": whole["CONDITION"], **settings}, ["TEXT"])
    assert again["TEXT"][0, 0] == whole["TEXT"][0, 0]


def test_an_empty_title_with_a_photo_is_the_photo(ask, products):
    photo = products[0][1]
    got = ask("content_image", {"TITLE": _bytes(b""), "IMAGE": _bytes(photo)}, ["EMBEDDING"])
    both = ask("content_image", {"TITLE": _bytes(products[0][0]), "IMAGE": _bytes(photo)}, ["EMBEDDING"])
    assert np.isfinite(got["EMBEDDING"]).all() and 0.2 < float((got["EMBEDDING"] @ both["EMBEDDING"].T)[0, 0]) < 0.9999


def test_stream_is_the_unary_text_in_pieces(server, ask, products):
    title, photo = products[0]
    facts = {"material": "stoneware", "capacity": "70 ml", "height": "6 cm", "weight": "180 g", "care": "by hand"}
    settings = GREEDY | {
        "MAX_TOKENS": np.array([[96]], np.int32),
        "TASK": _bytes(b"review"),  # of several sentences
        "ATTRIBUTES": _bytes(json.dumps(facts).encode()),
    }
    whole = ask("content_image", {"TITLE": _bytes(title), "IMAGE": _bytes(photo), **settings}, ["TEXT", "CONDITION"])
    answers: list = []
    with triton_grpc.InferenceServerClient(server.grpc_url) as client:
        client.start_stream(lambda result, error: answers.append((result, error)))
        tensors = []
        inputs = {"TITLE": _bytes(title), "CONDITION": whole["CONDITION"], **settings}
        for name, array in inputs.items():
            kind = {"O": "BYTES", "i": "INT32", "f": "FP32"}[array.dtype.kind]
            tensors.append(triton_grpc.InferInput(name, list(array.shape), kind))
            tensors[-1].set_data_from_numpy(array)
        client.async_stream_infer("text_stream", tensors)
        client.stop_stream()
    assert [error for _, error in answers] == [None] * len(answers)
    pieces = [result.as_numpy("TEXT")[0, 0] for result, _ in answers if result.as_numpy("TEXT") is not None]
    assert len(pieces) > 1 and b"".join(pieces) == whole["TEXT"][0, 0]

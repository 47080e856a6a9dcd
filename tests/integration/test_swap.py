"""Bring your own: every slot that is a checkpoint takes another one of other sizes, and all follow it to the client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from vitrina_client import ModelNotFound, NotOffered, Product, Sampling, Vitrina

from export import build, facts, recipe, report
from export.sources import sha256
from graph import assembly, configs
from graph.schema import Graph
from server import Server, ServerOptions
from tests.checkpoints import (
    entry,
    save_bert,
    save_fusion,
    save_image_network,
    save_items,
    save_qwen,
    save_recipe,
    save_tags,
    save_towers,
    save_trained,
    save_whisper,
)

pytestmark = pytest.mark.slow
HEARING = Path(__file__).resolve().parents[2] / "benchmarks" / "data" / "hearing"
PHOTO = (Path(__file__).resolve().parents[2] / "samples" / "espresso-cup.jpg").read_bytes()
EVENTS = [{"item": "mug-1", "event": "view", "age_s": 30}]


@dataclass
class Served:
    """A bundle of one's own: its recipe, its graph, its exports by slot, its server and a client of it."""

    recipe: recipe.Recipe
    graph: Graph
    built: dict[str, build.Built]
    server: Server
    client: Vitrina

    @property
    def facts(self) -> dict[str, dict]:
        return self.graph.facts


@contextmanager
def served(folder: Path, path: Path) -> Iterator[Served]:
    """Exports a recipe into a model repository of its own, as `python -m export` does, and serves it."""
    made = recipe.load(str(path))
    graph = assembly.assemble(facts.gather(made))
    root = folder / "repository"
    configs.write(graph, root)
    built = build.build_all(made.filled, made, jobs=2, models_root=root / "models", graph=graph)
    exports = {each.slot: each for each in built}
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with (
        Server(ServerOptions(model_roots=[root / "models", root / "ensembles"], **ports)) as server,
        Vitrina(server.grpc_url) as client,
    ):
        yield Served(made, graph, exports, server, client)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Iterator[Served]:
    """The whole recipe, as `tests.checkpoints` has it."""
    folder = tmp_path_factory.mktemp("tiny")
    with served(folder, save_recipe(folder)) as running:
        yield running


def check(bundle: Served, tmp_path: Path, width: int) -> None:
    """What the bundle answers has the sizes of its checkpoints, and is what torch answers."""
    rows = report.report(
        bundle.recipe, list(bundle.built.values()), bundle.graph, bundle.server.grpc_url, tmp_path / "p"
    )
    networks = {row["slot"] for row in rows if "onnx_served" in row}
    assert networks >= {"text_encoder", "image_encoder", "video_encoder", "behavior_encoder", "fusion"}
    product = Product(title="Red mug", image=PHOTO, events=EVENTS)
    listing = bundle.client.generate(
        product,
        want={"text", "tags", "embedding", "condition", "weights", "moderation"},
        sampling=Sampling(max_tokens=8),
    )
    assert listing.embedding.shape == (width,) and listing.condition.shape == (7, width)
    assert abs(np.linalg.norm(listing.embedding) - 1) < 1e-4
    assert listing.text or listing.finish_reason  # what it writes is noise
    again = bundle.client.generate(product, condition=listing.condition, want={"tags"})
    assert [tag.name for tag in again.tags] == [tag.name for tag in listing.tags]
    # Text and photo by the file's weights of 1 and 2; no clip, no sound; the shopper by .5.
    shares = np.array([1, 2, 0, 0, 0.5]) / 3.5
    np.testing.assert_allclose(list(listing.weights.values()), shares, atol=1e-5)
    assert bundle.client.embed([]).shape == (0, width)
    pieces = list(bundle.client.stream(product, sampling=Sampling(max_tokens=4)))
    assert pieces
    (recommended,) = bundle.client.recommend(EVENTS)
    assert recommended.item == "desk-1"


def test_a_recipe_of_one_s_own_is_served_in_its_sizes(tiny, tmp_path):
    check(tiny, tmp_path, 24)


def test_the_text_encoder_pools_as_its_checkpoint_says(tiny):
    """A served title is the tower's own answer."""
    from transformers import CLIPModel

    folder = Path(tiny.recipe.slot("text_encoder").sources[0].removeprefix("file:"))
    tokenizer_file = tiny.built["text_encoder"].folder / "tokenizer.json"
    import torch
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(tokenizer_file)).encode("Red mug").ids
    network = CLIPModel.from_pretrained(folder)
    with torch.no_grad():
        pooled = network.text_model(input_ids=torch.tensor([ids])).pooler_output
        want = torch.nn.functional.normalize(network.text_projection(pooled), dim=-1)
    np.testing.assert_allclose(tiny.client.embed([Product(title="Red mug")]), want.numpy(), atol=1e-5)


def test_what_is_left_out_is_not_there(tiny):
    status = {model.name for model in tiny.client.status().models}
    assert "content_image_video_behavior" in status and not status & {
        "speak",
        "studio",
        "generate_image",
        "transcriber",
    }


def test_a_spoken_note_is_what_is_said_in_it(tmp_path):
    """Where no encoder of the space hears sounds, the transcript is read by the text encoder."""
    heard = json.loads(recipe.load("offline").slot("transcriber").model_dump_json())
    note = (HEARING / "en-01.opus").read_bytes()
    with served(tmp_path, save_recipe(tmp_path, transcriber=heard)) as bundle:
        listing = bundle.client.generate(Product(audio=note), want={"transcript", "embedding", "weights", "moderation"})
        assert listing.transcript and listing.weights["audio"] == pytest.approx(1)
        said = bundle.client.embed(Product(title=listing.transcript))
        np.testing.assert_allclose(listing.embedding, said, atol=1e-4)
        both = bundle.client.generate(Product(title="Red mug", audio=note), want={"embedding", "weights"})
        assert both.weights["text"] == pytest.approx(0.5) and both.weights["audio"] == pytest.approx(0.5)
        silent = bundle.client.embed(Product(title="Red mug"))
        assert not np.allclose(both.embedding, silent, atol=1e-3)


def test_what_a_bundle_does_not_make_is_refused_plainly(tiny):
    with pytest.raises(NotOffered, match="does not make LABEL_TEXT: its recipe leaves out") as refused:
        tiny.client.generate(Product(title="Red mug", image=PHOTO), want={"label_text"})
    assert refused.value.field == "LABEL_TEXT"
    with pytest.raises(ModelNotFound):
        tiny.client.speak("A red mug.")
    assert tiny.client.variants(Product(title="Red mug", image=PHOTO), 1).listings


def siglip(folder: Path) -> dict:
    """Both towers of a SigLIP with another width and image size."""
    save_towers(folder, "siglip", width=40, side=48, seed=5)
    close = {"tolerance": {"torch_onnx": 1e-4, "onnx_served": 1e-4}}
    return {name: entry(folder, **close) for name in ("text_encoder", "image_encoder", "video_encoder")}


def qwen(folder: Path) -> dict:
    """A decoder of another kind and width."""
    save_qwen(folder)
    return {"text_decoder": entry(folder, precision="fp32", options={"prompts": "qwen2.5"})}


def words(folder: Path) -> dict:
    """Other tags."""
    said = {"words": ["teapot", "kettle", "jug"], "image_scale": 10, "text_scale": 10, "least": 0.0}
    (folder / "words.json").write_text(json.dumps(said))
    return {"tagger": entry(folder / "words.json")}


def shop(folder: Path) -> dict:
    """Another shop's products and habits."""
    products = [{"id": name, "title": name} for name in ("mug-1", "desk-1", "tent-1")][:2]
    (folder / "items.json").write_text(json.dumps(products))
    habits = {"view": 2, "click": 2, "favourite": 2, "cart": 2, "buy": 2, "half_life_s": 60}
    (folder / "habits.json").write_text(json.dumps(habits))
    return {"item_index": entry(folder / "items.json"), "behavior_encoder": entry(folder / "habits.json")}


def trained(folder: Path, width: int) -> dict:
    """Encoders of clips, sounds and shoppers that were trained towards a space of some width; whisper has its own."""
    from networks.audio_encoder import Head
    from networks.behavior_encoder import BehaviorEncoder
    from networks.video_encoder import VideoEncoder

    (folder / "whisper").mkdir()
    save_whisper(folder / "whisper", width=96, heads=3)
    networks = {"head": Head(96, width, 64), "video": VideoEncoder(width), "shopper": BehaviorEncoder(width, 32)}
    for name, network in networks.items():
        save_trained(folder / f"{name}.safetensors", network)
    save_items(folder / "items.npz", width)
    head = {"head": f"file:{folder}/head.safetensors", "head_sha256": sha256(folder / "head.safetensors")}
    close = {"tolerance": {"torch_onnx": 1e-3, "onnx_served": 1e-3}}
    return {
        "video_encoder": entry(folder / "video.safetensors", **close),
        "audio_encoder": entry(folder / "whisper", options=head, **close),
        "behavior_encoder": entry(folder / "shopper.safetensors", **close),
        "item_index": entry(folder / "items.npz"),
        "transcriber": json.loads(recipe.load("offline").slot("transcriber").model_dump_json()),
    }


def test_encoders_of_several_spaces_with_a_fusion_that_was_trained_on_them(tmp_path):
    """BERT pooled by CLS, a ViT with classes of its own, another whisper, under a trained fusion of their sizes."""
    for name in ("bert", "vit", "home"):
        (tmp_path / name).mkdir()
    save_bert(tmp_path / "bert", width=40)
    save_image_network(tmp_path / "vit", width=32, classes=10)
    save_fusion(tmp_path / "fusion.safetensors", width=40, pooled=32, spatial=32, classes=10)
    save_tags(tmp_path / "tags.npz", 40)
    close = {"tolerance": {"torch_onnx": 1e-4, "onnx_served": 1e-4}}
    slots = {
        "text_encoder": entry(tmp_path / "bert", **close),
        "image_encoder": entry(tmp_path / "vit", **close),
        "fusion": entry(tmp_path / "fusion.safetensors", options={"variant": "concat"}, **close),
        "tagger": entry(tmp_path / "tags.npz"),
        **trained(tmp_path, 40),
    }
    with served(tmp_path / "home", save_recipe(tmp_path / "home", **slots)) as bundle:
        exports = list(bundle.built.values())
        rows = report.report(bundle.recipe, exports, bundle.graph, bundle.server.grpc_url, tmp_path / "parity.json")
        encoders = {f"{kind}_encoder" for kind in ("text", "image", "video", "audio", "behavior")}
        assert {row["slot"] for row in rows if "onnx_served" in row} == encoders | {"fusion"}
        product = Product(title="Red mug", image=PHOTO)
        listing = bundle.client.generate(product, want={"tags", "embedding", "condition", "moderation"})
        assert listing.embedding.shape == (40,) and listing.condition.shape == (bundle.facts["fusion"]["tokens"], 40)
        assert listing.moderation.action in ("allow", "flag", "block")
        alone = bundle.client.embed(Product(title="Red mug"))
        assert not np.allclose(alone, listing.embedding, atol=1e-3), "the photo says something"
        note = (HEARING / "en-01.opus").read_bytes()
        weights = bundle.client.generate(
            Product("Red mug", image=PHOTO, audio=note, events=EVENTS), want={"weights", "embedding"}
        ).weights
        assert {name for name, share in weights.items() if share} == {"text", "image", "audio", "behavior"}
        assert bundle.client.recommend(EVENTS)[0].item == "desk-1"


@pytest.mark.parametrize(
    ("swaps", "width"),
    [([siglip], 40), ([qwen], 24), ([words, shop], 24), ([siglip, qwen, words, shop], 40)],
    ids=["towers", "text_decoder", "tags and shop", "all"],
)
def test_a_swap_is_followed_by_all_that_stands_on_it(tmp_path, swaps: list[Callable[[Path], dict]], width):
    slots: dict = {}
    for swap in swaps:
        folder = tmp_path / swap.__name__
        folder.mkdir()
        slots |= swap(folder)
    home = tmp_path / "home"
    home.mkdir()
    with served(home, save_recipe(home, **slots)) as bundle:
        check(bundle, tmp_path, width)
        listing = bundle.client.generate(Product(title="Red mug", image=PHOTO), want={"tags"})
        known = {"teapot", "kettle", "jug"} if words in swaps else {"mug", "lamp", "desk", "shoe", "chair", "tent"}
        assert {tag.name for tag in listing.tags} <= known
        side = bundle.facts["image_encoder"]["side"]
        assert side == (48 if siglip in swaps else 32)

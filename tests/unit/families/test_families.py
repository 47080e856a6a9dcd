"""Checkpoints of other kinds: what each family reads of one, and what is refused in one line with its mend."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import families
from export import build, facts, recipe
from export.recipe import RecipeError, Slot
from families.common.parity import ParityError
from families.common.slot import BuildError
from graph.assembly import assemble
from graph.schema import resolve_size
from tests import checkpoints


def slot(**options) -> Slot:
    return Slot(sources=["file:nowhere"], sha256="0" * 64, licence="none", options=options)


def text_encoder(folder, **options):
    """The network of a text encoder's folder, and its facts."""
    one = slot(**options)
    module = families.choose("text_encoder", folder, one)
    return module.load(folder, one, None), module.facts(folder, one)


def rows(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and masks of texts of these lengths."""
    mask = torch.tensor([[1] * n + [0] * (max(lengths) - n) for n in lengths])
    return torch.arange(3, 3 + mask.numel()).reshape(mask.shape) * mask, mask


@pytest.fixture
def bert(tmp_path):
    checkpoints.save_bert(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pooling", "by_hand"),
    [
        ("cls_token", lambda states, n: states[0]),
        ("mean_tokens", lambda states, n: states[:n].mean(0)),
        ("max_tokens", lambda states, n: states[:n].amax(0)),
        ("mean_sqrt_len_tokens", lambda states, n: states[:n].sum(0) / n**0.5),
        ("lasttoken", lambda states, n: states[n - 1]),
        ("weightedmean_tokens", lambda states, n: (states[:n] * torch.arange(1, n + 1)[:, None]).sum(0)),
    ],
)
def test_a_text_encoder_pools_as_its_own_files_say(tmp_path, pooling, by_hand):
    checkpoints.save_bert(tmp_path, pooling=pooling)
    network, said = text_encoder(tmp_path)
    ids, mask = rows(5, 2)
    with torch.no_grad():
        given = network(ids, mask)
        states = network.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
    for row, n in enumerate((5, 2)):
        want = torch.nn.functional.normalize(by_hand(states[row], n), dim=0)
        torch.testing.assert_close(given[row], want, atol=1e-5, rtol=0)
    assert said["width"] == given.shape[1] == 40 and said["tokens"] == 48


def test_a_plain_folder_pools_as_the_recipe_says_and_not_by_guess(tmp_path):
    checkpoints.save_bert(tmp_path, pooling=None)
    with pytest.raises(BuildError, match=r"text_encoder: no family takes .*option pooling"):
        text_encoder(tmp_path)
    network, _ = text_encoder(tmp_path, pooling="mean")
    assert network.modes == ["mean"]
    with pytest.raises(BuildError, match="pools by middle; known: cls_token"):
        text_encoder(tmp_path, pooling="middle")


def test_a_text_encoders_own_prompt_stands_before_every_text(bert, tmp_path):
    """As sentence-transformers puts it there; the recipe's option goes before it, and nothing stays nothing."""
    module, out = families.choose("text_encoder", bert, slot()), tmp_path / "out"
    out.mkdir()

    def given(text, **options):
        module.sidecars(bert, slot(**options), out)
        tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
        return tokenizer.decode(tokenizer.encode(text).ids)

    assert given("red mug") == "red mug" and given("red mug", prompt="query: ") == "query: red mug"
    config = {"prompts": {"title": "title: "}, "default_prompt_name": "title"}
    (bert / "config_sentence_transformers.json").write_text(json.dumps(config))
    assert given("red mug") == "title: red mug" and given("") == ""
    (bert / "config_sentence_transformers.json").write_text(json.dumps(config | {"default_prompt_name": "other"}))
    with pytest.raises(BuildError, match="default prompt 'other' is none of its prompts: 'title'"):
        given("red mug")
    (bert / "config_sentence_transformers.json").write_text(json.dumps(config))
    pooling = json.loads((bert / "1_Pooling" / "config.json").read_text())
    (bert / "1_Pooling" / "config.json").write_text(json.dumps(pooling | {"include_prompt": False}))
    with pytest.raises(BuildError, match="leaves the prompt's tokens out of the mean; set the option prompt"):
        text_encoder(bert)


def test_a_dense_layer_behind_the_pooling_is_read(bert):
    modules = json.loads((bert / "modules.json").read_text())
    modules.insert(2, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (bert / "modules.json").write_text(json.dumps(modules))
    (bert / "2_Dense").mkdir()
    said = {
        "in_features": 40,
        "out_features": 12,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    (bert / "2_Dense" / "config.json").write_text(json.dumps(said))
    dense = torch.nn.Linear(40, 12)
    weights = {f"linear.{name}": value.detach().clone() for name, value in dense.state_dict().items()}
    save_file(weights, bert / "2_Dense" / "model.safetensors")
    network, said = text_encoder(bert)
    ids, mask = rows(4)
    with torch.no_grad():
        first = network.transformer(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        want = torch.nn.functional.normalize(torch.tanh(dense(first)), dim=-1)
        torch.testing.assert_close(network(ids, mask), want)
    assert said["width"] == 12


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_both_towers_are_transformers_own(tmp_path, kind):
    from transformers import AutoModel

    checkpoints.save_towers(tmp_path, kind, width=24, side=32)
    one, whole = slot(), AutoModel.from_pretrained(tmp_path).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    scaled = (torch.from_numpy(pixels) / 255 - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.3, 0.4])
    image = families.choose("image_encoder", tmp_path, one)
    text, _ = text_encoder(tmp_path)
    ids, mask = rows(6, 4)
    padded = torch.nn.functional.pad(ids, (0, 24 - ids.shape[1]))
    with torch.no_grad():
        features, scores = image.load(tmp_path, one, None)(torch.from_numpy(pixels))
        given = whole.vision_model(pixel_values=scaled.permute(0, 3, 1, 2)).pooler_output
        given = whole.visual_projection(given) if kind == "clip" else given
        torch.testing.assert_close(features[:, 0], torch.nn.functional.normalize(given, dim=-1), atol=1e-5, rtol=0)
        if kind == "clip":
            said = whole.text_projection(whole.text_model(input_ids=ids, attention_mask=mask).pooler_output)
        else:  # padded to the length that it was trained on
            said = whole.text_model(input_ids=padded).pooler_output
        torch.testing.assert_close(text(ids, mask), torch.nn.functional.normalize(said, dim=-1), atol=1e-5, rtol=0)
    assert scores.shape == (2, 1000) and torch.allclose(scores.sum(1), torch.ones(2))
    facts_of = image.facts(tmp_path, one)
    assert (facts_of["side"], facts_of["width"]) == (32, 24) and facts_of["space"] == one.sha256[:12]


@pytest.mark.parametrize("kind", ["vit", "dinov2", "resnet", "convnext"])
@pytest.mark.parametrize("classes", [10, 0], ids=["classifier", "network"])
def test_an_image_network_gives_what_transformers_gives(tmp_path, kind, classes):
    from transformers import AutoModel, AutoModelForImageClassification

    from networks.features import split_image
    from networks.fusion import Shape

    checkpoints.save_image_network(tmp_path, kind, classes=classes)
    one = slot() if classes else slot(unjudged=True)
    module = families.choose("image_encoder", tmp_path, one)
    assert module.__name__.endswith("hugging_face")
    said = module.facts(tmp_path, one)
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3), np.uint8))
    with torch.no_grad():
        features, scores = module.load(tmp_path, one, None)(pixels)
        scaled = ((pixels / 255 - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.3, 0.4])).permute(0, 3, 1, 2)
        theirs = (AutoModelForImageClassification if classes else AutoModel).from_pretrained(tmp_path)
        given = theirs(pixel_values=scaled.float(), output_hidden_states=True)
    shape = Shape(pooled=said["pooled"], spatial=said["spatial"], classes=said["classes"])
    pooled, tokens, shares, _ = split_image(features, shape)
    states = given.hidden_states[-1]
    if states.dim() == 4:
        want = states.flatten(2).transpose(1, 2)
        torch.testing.assert_close(pooled, want.mean(1), atol=1e-5, rtol=0)
    else:
        want = states[:, 1:]
        torch.testing.assert_close(pooled, states[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens, want, atol=1e-5, rtol=0)
    torch.testing.assert_close(shares, scores)
    if classes:
        torch.testing.assert_close(scores, given.logits.softmax(-1), atol=1e-5, rtol=0)
        module.sidecars(tmp_path, one, tmp_path)
        assert json.loads((tmp_path / "labels.json").read_text())[:3] == ["mug", "lamp", "rifle"]
    assert (said["side"], said["rows"]) == (48, features.shape[1])


def test_a_network_without_a_class_token_is_pooled_over_all_places(tmp_path):
    """Its first state is a place like any other."""
    from transformers import SwinConfig, SwinForImageClassification

    sizes = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
    names = {0: "rifle", 1: "mug"}
    SwinForImageClassification(SwinConfig(**sizes, id2label=names)).save_pretrained(tmp_path)
    said = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 32, "width": 32}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    module = families.choose("image_encoder", tmp_path, slot())
    network = module.load(tmp_path, slot(), None)
    with torch.no_grad():
        pooled, tokens, _ = network.encode(torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8))
    assert tokens.shape[1] == 16
    torch.testing.assert_close(pooled, tokens.mean(1))


@pytest.mark.parametrize(
    ("said", "mean", "flipped"),
    [
        ({"do_flip_channel_order": True}, 0.0, True),
        ({"do_normalize": False, "image_mean": [0.4] * 3}, 0.0, False),
        ({"image_mean": [0.4] * 3, "image_std": [0.2] * 3}, 0.4, False),
    ],
)
def test_pictures_are_prepared_as_the_checkpoint_says(tmp_path, said, mean, flipped):
    checkpoints.save_image_network(tmp_path)
    sizes = {"size": {"height": 48, "width": 48}, "crop_size": {"height": 99, "width": 99}, "do_center_crop": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(sizes | said))
    network = families.choose("image_encoder", tmp_path, slot()).load(tmp_path, slot(), None)
    assert (network.side, network.blue_first) == (48, flipped) and network.image_mean[0] == pytest.approx(mean)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(sizes | {"rescale_offset": True}))
    with pytest.raises(BuildError, match=r"sets rescale_offset, which is not built here"):
        families.choose("image_encoder", tmp_path, slot()).load(tmp_path, slot(), None)


def test_photos_that_no_policy_would_judge_are_refused_unless_the_recipe_says_so(tmp_path):
    checkpoints.save_image_network(tmp_path, classes=0)
    module = families.choose("image_encoder", tmp_path, slot())
    with pytest.raises(BuildError, match=r"none of its classes \(it has none\).*option unjudged: true"):
        module.facts(tmp_path, slot())
    assert module.facts(tmp_path, slot(unjudged=True))["classes"] == 1


def test_weights_that_are_missing_are_not_made_up(bert, tmp_path_factory):
    from transformers import ViTConfig, ViTModel

    weights = load_file(bert / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, bert / "model.safetensors", {"format": "pt"})
    with pytest.raises(BuildError, match=r"1 weights are missing \(encoder\.layer\.1\.output"):
        text_encoder(bert)
    folder = tmp_path_factory.mktemp("vit")
    sizes = {"hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ViTModel(ViTConfig(**sizes, image_size=16, patch_size=8)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["ViTForImageClassification"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text('{"size": 16}')
    with pytest.raises(BuildError, match=r"weights are missing .classifier"):
        families.choose("image_encoder", folder, slot()).facts(folder, slot())


def test_texts_have_a_ceiling(tmp_path):
    """Attention takes the square of it, and a title needs no more."""
    checkpoints.save_bert(tmp_path, max_position_embeddings=8192)
    assert text_encoder(tmp_path)[1]["tokens"] == 512


def test_the_tokenizer_s_padding_goes_before_the_configuration_s(tmp_path):
    checkpoints.save_towers(tmp_path, "siglip")
    config = json.loads((tmp_path / "config.json").read_text())
    config["text_config"]["pad_token_id"] = 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "Siglip2Tokenizer"}')
    network, _ = text_encoder(tmp_path)
    assert network.pad_id == 0
    clip = families.choose("text_encoder", tmp_path, slot())
    tokenizer = clip.read_tokenizer(tmp_path, slot())
    assert tokenizer.encode("RED Mug").ids == tokenizer.encode("red mug").ids


def test_tokens_wider_than_a_row_are_not_cut(tmp_path):
    """They once were, silently: a negative pad."""
    checkpoints.save_image_network(tmp_path, "vit", width=400)
    said = families.choose("image_encoder", tmp_path, slot()).facts(tmp_path, slot())
    assert said["spatial"] == 400 and said["least_rows"] == said["rows"] == 2 + 1 + 25 + 36 * 2


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "config.json").write_text('{"model_type": "be'), r"config\.json: not JSON .*fetch it again"),
        (lambda f: (f / "config.json").unlink(), r"no config\.json; take the whole folder"),
        (lambda f: (f / "model.safetensors").unlink(), r"no model\.safetensors; take the whole folder"),
        (lambda f: (f / "tokenizer.json").unlink(), r"no tokenizer\.json; write one with transformers"),
        (lambda f: (f / "tokenizer.json").write_text("{"), r"tokenizer\.json: cannot be read"),
        (lambda f: (f / "1_Pooling" / "config.json").unlink(), r"1_Pooling: no config\.json"),
        (
            lambda f: (f / "modules.json").write_text(
                '[{"path": "", "type": "sentence_transformers.models.WordWeights"}]'
            ),
            "has a WordWeights, which is not built here",
        ),
        (
            lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2.safetensors"}}'),
            r"names model-2\.safetensors, which is not there; fetch every shard",
        ),
    ],
    ids=[
        "cut-off config",
        "no config",
        "no weights",
        "no tokenizer",
        "broken tokenizer",
        "no pooling",
        "module",
        "shard",
    ],
)
def test_a_broken_folder_is_refused_with_its_mend(bert, spoil, said):
    spoil(bert)
    with pytest.raises(BuildError, match=said):
        text_encoder(bert)


def test_code_of_a_checkpoint_s_own_is_never_run(bert):
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Net"}}))
    (bert / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(BuildError, match=r"wants code of its own .evil.Net., which is never run"):
        text_encoder(bert)


def test_a_pickle_is_read_only_where_the_recipe_says_so(bert):
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with pytest.raises(BuildError, match=r"weights are a pickle .*set the slot's option pickle: true"):
        text_encoder(bert)
    network, _ = text_encoder(bert, pickle=True)
    assert network(*rows(3)).shape == (1, 40)


def test_a_type_that_transformers_does_not_know_is_refused(bert):
    (bert / "config.json").write_text('{"model_type": "tomorrow", "hidden_size": 8, "vocab_size": 9}')
    with pytest.raises(BuildError, match=r"tomorrow.*does not know"):
        text_encoder(bert)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("fusion", "[1, 2]", r"fusion\.json: holds a JSON list, expected dict"),
        ("fusion", '{"text": 0}', r"text is 0; write a number above 0"),
        ("tagger", '["mug"]', r"tagger\.json: holds a JSON list"),
        ("behavior_encoder", '{"view": 1}', r"click is None; write a number above 0"),
    ],
)
def test_a_file_of_weights_or_words_that_says_something_else(tmp_path, monkeypatch, name, content, said):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    path = checkpoints.save_recipe(tmp_path)
    (tmp_path / f"{name}.json").write_text(content)
    made = json.loads(path.read_text())
    made["slots"][name] = checkpoints.entry(tmp_path / f"{name}.json")
    path.write_text(json.dumps(made))
    loaded = recipe.load(str(path))
    with pytest.raises(BuildError, match=said):
        graph = facts.make_graph(loaded)
        build.build(name, loaded, graph=graph, models_root=tmp_path / "models")


def test_an_index_that_is_cut_off_or_holds_a_product_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    twice = [{"id": "a", "title": "Mug"}, {"id": "a", "title": "Cup"}]
    (tmp_path / "twice.json").write_text(json.dumps(twice))
    for name in ("cut", "twice"):
        (tmp_path / name).mkdir()
    with pytest.raises(BuildError, match=r"item_index: .*cut\.npz"):
        facts.make_graph(own(tmp_path / "cut", item_index=checkpoints.entry(tmp_path / "cut.npz")))
    made = own(tmp_path / "twice", item_index=checkpoints.entry(tmp_path / "twice.json"))
    with pytest.raises(BuildError, match="1 ids stand there twice"):
        build.build("item_index", made, graph=facts.make_graph(made), models_root=tmp_path / "models")


@pytest.mark.parametrize("options", [{}, {"variant": "best"}, {"variant": "deep"}], ids=["none", "unknown", "another"])
def test_a_fusion_of_another_variant(tmp_path, options):
    sizes = {"width": 24, "pooled": 8, "spatial": 8, "classes": 3}
    checkpoints.save_fusion(tmp_path / "fusion.safetensors", **sizes)
    module = families.choose("fusion", tmp_path / "fusion.safetensors", slot(**options))
    with pytest.raises(BuildError, match="variant"):
        module.facts(tmp_path / "fusion.safetensors", slot(**options))


def test_encoders_to_train_on_may_have_any_size(tmp_path):
    checkpoints.save_bert(tmp_path)
    offline = recipe.load("offline")
    encoder = Slot(**checkpoints.entry(tmp_path))
    wider = offline.model_copy(update={"slots": offline.slots.model_copy(update={"text_encoder": encoder})})
    with pytest.raises(BuildError, match=r"fusion needs text_encoder\.width = 384.*has 40.*--to-train"):
        facts.make_graph(wider)
    graph = facts.make_graph(wider, to_train=True)
    assert next(t.dims for t in graph.model("text_encoder").outputs) == (40,)


def test_a_folder_of_no_family_names_what_each_takes(tmp_path):
    with pytest.raises(BuildError, match=r"image_encoder: no family takes .*clip: a folder.*efficientnet: a \.pth"):
        families.choose("image_encoder", tmp_path, slot())


def own(tmp_path, **entries) -> recipe.Recipe:
    return recipe.load(str(checkpoints.save_recipe(tmp_path, **entries)))


def test_weights_that_are_not_numbers_are_refused_by_parity(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINA_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "nan"
    folder.mkdir()
    checkpoints.save_towers(folder)
    weights = load_file(folder / "model.safetensors")
    weights["text_projection.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    towers = {name: checkpoints.entry(folder) for name in ("text_encoder", "image_encoder", "video_encoder")}
    home = tmp_path / "home"
    home.mkdir()
    made = own(home, **towers)
    with pytest.raises(ParityError, match=r"text_encoder .*NaN or Inf"):
        build.build("text_encoder", made, graph=assemble(facts.gather(made)), models_root=tmp_path / "models")
    left = [path for path in (tmp_path / "cache" / "exports").iterdir() if path.suffix != ".lock"]
    assert not left and not (tmp_path / "models").exists()


def test_encoders_of_two_spaces_are_refused_before_any_export(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    checkpoints.save_towers(other, seed=9)
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(BuildError, match=r"fusion needs image_encoder\.space = .*, but the checkpoint of image_enc"):
        facts.gather(own(home, image_encoder=checkpoints.entry(other)))


def test_a_text_encoder_of_another_width_is_refused_by_all_that_stand_on_the_space(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    checkpoints.save_bert(other)
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(BuildError, match=r"fusion needs image_encoder.space = "):
        facts.gather(own(home, text_encoder=checkpoints.entry(other)))


def test_facts_flow_from_the_checkpoint(tmp_path):
    made = own(tmp_path)
    said = facts.gather(made)
    assert [
        resolve_size(f"{name}.width", said) for name in ("text_encoder", "fusion", "item_index", "behavior_encoder")
    ] == [24] * 4


def test_a_slot_that_is_left_out_is_named(tmp_path):
    with pytest.raises(RecipeError, match="tiny leaves speech_decoder out; it fills text_encoder"):
        own(tmp_path).slot("speech_decoder")


def test_slots_that_go_together_are_left_out_together(tmp_path):
    with pytest.raises(RecipeError, match="behavior_encoder, item_index go together"):
        own(tmp_path, item_index=None)

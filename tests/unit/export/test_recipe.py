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

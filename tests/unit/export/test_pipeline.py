"""The description of the graph: the subsets of modalities, and what an absent one is wired to."""

import pytest

from export import pipeline


def test_one_content_ensemble_per_subset_of_modalities():
    names = [e.name for e in pipeline.ensembles()]
    assert names == ["content", "content_image", "generate", "text_stream"]
    assert len(names) == 2 ** len(pipeline.MODALITIES) + 2


def test_absent_image_is_small_zeros_and_runs_no_image_model():
    content, with_image, *_ = pipeline.ensembles()
    assert "image_encoder" not in {s.model for s in content.steps}
    reader = next(s for s in content.steps if s.model == "reader")
    assert "IMAGE" not in reader.inputs and "PIXELS" not in reader.outputs
    fusion = next(s for s in content.steps if s.model == "fusion")
    assert fusion.inputs["image_tokens"] == "no_image_tokens"
    fusion = next(s for s in with_image.steps if s.model == "fusion")
    assert fusion.inputs["image_tokens"] == "image_tokens"


def test_both_content_ensembles_give_the_same_outputs():
    content, with_image, *_ = pipeline.ensembles()
    assert content.outputs == with_image.outputs
    assert [t.name for t in with_image.inputs if t not in content.inputs] == ["IMAGE"]


def test_unknown_model_names_the_known_ones():
    with pytest.raises(KeyError, match="known: canary, reader"):
        pipeline.model("raeder")

"""The description of the graph: the subsets of modalities, and what an absent one is wired to."""

import pytest

from graph import models
from graph.ensembles import ensembles
from graph.modalities import MODALITIES
from graph.schema import AXES
from graph.tensors import CONDITION_TOKENS, FEATURE_ROWS, LABEL_TEXT, TRANSCRIPT, TRANSCRIPT_LANGUAGE
from networks import features, fusion


def test_one_content_ensemble_per_subset_of_modalities():
    names = [e.name for e in ensembles()]
    assert names[:2] == ["content", "content_image"]
    assert names[15:] == [
        "content_image_video_audio_behavior",
        "generate",
        "read_label",
        "generate_image",
        "generate_video",
        "studio",
        "studio_video",
        "post",
        "recommend",
        "speak",
        "text_stream",
    ]
    assert len(set(names)) == 2 ** len(MODALITIES) + 10


def test_every_model_that_another_calls_is_there():
    called = {name for model in models.MODELS for name in model.calls}
    networks = {"label_detector", "label_classifier", "label_recognizer", "speech_decoder", "speech_decoder_zh"}
    assert called == {"text_decoder", "text_encoder", "image_encoder"} | networks
    assert called <= {model.name for model in models.MODELS}


def test_absent_image_is_few_zeros_and_runs_no_image_model():
    content, with_image, *_ = ensembles()
    assert "image_encoder" not in {s.model for s in content.steps}
    reader = next(s for s in content.steps if s.model == "reader")
    assert "IMAGE" not in reader.inputs and "PIXELS" not in reader.outputs
    fusion = next(s for s in content.steps if s.model == "fusion")
    assert fusion.inputs["image_features"] == "no_image_features"
    fusion = next(s for s in with_image.steps if s.model == "fusion")
    assert fusion.inputs["image_features"] == "image_features"


def test_every_content_ensemble_gives_the_same_outputs_and_takes_what_its_name_says():
    content, *others = (e for e in ensembles() if e.name.startswith("content"))
    edges = {modality.name: modality.edge.name for modality in MODALITIES}
    for ensemble in others:
        present = ensemble.name.split("_")[1:]
        # What is said in a sound and printed in a photo is written down: given by nobody, it is an output.
        heard = (TRANSCRIPT, TRANSCRIPT_LANGUAGE) if "audio" in present else ()
        printed = (LABEL_TEXT,) if "image" in present else ()
        assert set(ensemble.outputs) == {*content.outputs, *heard, *printed}
        assert ("TRANSCRIPT" in {t.name for t in ensemble.inputs}) == (not heard)
        assert ("LABEL_TEXT" in {t.name for t in ensemble.inputs}) == (not printed)
        assert [t.name for t in ensemble.inputs if t not in content.inputs] == [edges[name] for name in present]
        encoders = {s.model for s in ensemble.steps if s.model.endswith("_encoder")}
        assert encoders == {"text_encoder", *(f"{name}_encoder" for name in present)}


def test_the_condition_is_laid_out_as_fusion_lays_it_out():
    assert CONDITION_TOKENS == fusion.CONDITION_TOKENS
    assert tuple(fusion.MODALITIES)[1:] == tuple(modality.name for modality in MODALITIES)
    rows = [f"{modality}_features" for modality in tuple(fusion.MODALITIES)[1:]]
    assert [t.name for t in models.model("fusion").inputs] == ["text_embedding", *rows, "presence"]


def test_features_have_the_rows_that_networks_lay_out():
    assert features.ROWS == FEATURE_ROWS
    assert AXES["image_rows"][0] == features.LEAST_IMAGE_ROWS


def test_whatever_judges_a_request_waits_for_the_reader():
    """A step that fails beside another one hangs Triton 24.10; the reader is the one that may refuse."""
    for ensemble in ensembles():
        if ensemble.name.startswith("content"):
            first = next(s for s in ensemble.steps if s.model == "moderator" and "WRITTEN" not in s.inputs)
            assert first.inputs["PRESENCE"] == "presence"


def test_a_label_is_read_once_the_photo_has_been_checked_and_only_where_there_is_one():
    for ensemble in ensembles():
        readers = [step for step in ensemble.steps if step.model == "label_reader"]
        if ensemble.name.startswith("content"):
            assert len(readers) == ("image" in ensemble.name.split("_"))
            assert all(step.inputs == {"IMAGE": "IMAGE", "PRESENCE": "presence"} for step in readers)
            assert ("LABEL_TEXT" in {t.name for t in ensemble.inputs}) == (not readers)
            # What other steps read is a copy: Triton drops a step of which only outputs are read.
            users = [s.model for s in ensemble.steps for tensor in s.inputs.values() if tensor == "label_text"]
            assert sorted(users) == (["moderator", "prompter", "text_optimizer"] if readers else [])


def test_unknown_model_names_the_known_ones():
    with pytest.raises(KeyError, match="known: canary, reader"):
        models.model("raeder")

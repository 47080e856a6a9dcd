"""The description of the graph: the subsets of modalities, and what an absent one is wired to."""

import pytest

from graph import configs, lint
from graph.assembly import assemble, load
from graph.modalities import MODALITIES
from graph.tensors import LABEL_TEXT, TRANSCRIPT, TRANSCRIPT_LANGUAGE
from networks import fusion

GRAPH = load()


def test_one_content_ensemble_per_subset_of_modalities():
    names = [e.name for e in GRAPH.ensembles]
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
    called = {name for model in GRAPH.models for name in model.calls}
    networks = {"label_detector", "label_classifier", "label_recognizer", "speech_decoder", "speech_decoder_zh"}
    assert called == {"text_decoder", "text_encoder", "image_encoder"} | networks
    assert called <= {model.name for model in GRAPH.models}


def test_absent_image_is_few_zeros_and_runs_no_image_model():
    content, with_image, *_ = GRAPH.ensembles
    assert "image_encoder" not in {s.model for s in content.steps}
    reader = next(s for s in content.steps if s.model == "reader")
    assert "IMAGE" not in reader.inputs and "PIXELS" not in reader.outputs
    fusion = next(s for s in content.steps if s.model == "fusion")
    assert fusion.inputs["image_features"] == "no_image_features"
    fusion = next(s for s in with_image.steps if s.model == "fusion")
    assert fusion.inputs["image_features"] == "image_features"


def test_every_content_ensemble_gives_the_same_outputs_and_takes_what_its_name_says():
    content, *others = (e for e in GRAPH.ensembles if e.name.startswith("content"))
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


def test_fusion_takes_the_modalities_in_the_order_of_its_network():
    assert tuple(fusion.MODALITIES)[1:] == tuple(modality.name for modality in MODALITIES)
    rows = [f"{modality}_features" for modality in tuple(fusion.MODALITIES)[1:]]
    assert [t.name for t in GRAPH.model("fusion").inputs] == ["text_embedding", *rows, "presence"]


def test_whatever_judges_a_request_waits_for_the_reader():
    """A step that fails beside another one hangs Triton 24.10; the reader is the one that may refuse."""
    for ensemble in GRAPH.ensembles:
        if ensemble.name.startswith("content"):
            first = next(s for s in ensemble.steps if s.model == "moderator" and "WRITTEN" not in s.inputs)
            assert first.inputs["PRESENCE"] == "presence"


def test_a_label_is_read_once_the_photo_has_been_checked_and_only_where_there_is_one():
    for ensemble in GRAPH.ensembles:
        readers = [step for step in ensemble.steps if step.model == "label_reader"]
        if ensemble.name.startswith("content"):
            assert len(readers) == ("image" in ensemble.name.split("_"))
            assert all(step.inputs == {"IMAGE": "IMAGE", "PRESENCE": "presence"} for step in readers)
            assert ("LABEL_TEXT" in {t.name for t in ensemble.inputs}) == (not readers)
            # What other steps read is a copy: Triton drops a step of which only outputs are read.
            users = [s.model for s in ensemble.steps for tensor in s.inputs.values() if tensor == "label_text"]
            assert sorted(users) == (["moderator", "prompter"] if readers else [])


def test_unknown_model_names_the_known_ones():
    with pytest.raises(KeyError, match="known: canary, reader"):
        GRAPH.model("raeder")


def without(*slots: str):
    """The graph of the bundle with these slots left out."""
    return assemble({name: said for name, said in GRAPH.facts.items() if name not in slots})


def names(things) -> set[str]:
    return {thing.name for thing in things}


@pytest.mark.parametrize(
    ("slots", "models", "chains"),
    [
        (["image_decoder"], {"image_decoder", "image_optimizer"}, {"generate_image"}),
        (["speech_decoder"], {"speech_decoder"}, set()),
        (
            ["speech_decoder", "speech_decoder_zh"],
            {"speech_decoder", "speech_decoder_zh", "synthesizer", "audio_optimizer"},
            {"speak"},
        ),
        (["cutout"], {"cutout", "photo_reader", "studio_composer", "studio_filmer", "post_composer"}, {"studio"}),
        (
            ["label_detector", "label_classifier", "label_recognizer"],
            {"label_reader", "label_detector", "label_classifier", "label_recognizer"},
            {"read_label"},
        ),
        (["behavior_encoder", "item_index"], {"behavior_encoder", "history_reader", "recommender"}, {"recommend"}),
        (["video_encoder"], {"video_encoder"}, {"content_video"}),
        (["audio_encoder", "transcriber"], {"audio_encoder", "transcriber"}, {"content_image_audio"}),
    ],
)
def test_a_slot_left_out_takes_what_it_makes_along_and_nothing_else(slots, models, chains):
    graph = without(*slots)
    assert names(GRAPH.models) - names(graph.models) == models
    gone = names(GRAPH.ensembles) - names(graph.ensembles)
    assert chains <= gone and {"content", "generate", "text_stream"} <= names(graph.ensembles)
    configured = {m.name: configs.model_config(m) for m in graph.models}
    assert lint.lint(configured | {e.name: configs.ensemble_config(e) for e in graph.ensembles}) == []


def test_sizes_are_the_facts():
    wider = GRAPH.facts | {"fusion": GRAPH.facts["fusion"] | {"width": 512, "tokens": 7}}
    graph = assemble(wider)
    given = {tensor.name: tensor.dims for tensor in graph.model("fusion").outputs}
    assert (given["condition"], given["embedding"]) == ((7, 512), (512,))
    assert next(t.dims for t in graph.model("tagger").inputs) == (7, 512)


def test_a_fact_that_is_missing_is_named():
    with pytest.raises(KeyError, match=r"image_encoder\.side is not known; image_encoder says rows"):
        assemble(GRAPH.facts | {"image_encoder": {"rows": 1, "least_rows": 1, "width": 8, "classes": 3}})


def test_encoders_that_one_zero_stands_in_for_must_agree():
    with pytest.raises(ValueError, match=r"NO_FEATURES is \[9, 384\] for one slot and \[3, 384\] for another"):
        assemble(GRAPH.facts | {"audio_encoder": GRAPH.facts["audio_encoder"] | {"rows": 3}})

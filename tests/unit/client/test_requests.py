"""What is asked of which ensemble, and what is made of the answer."""

import json

import numpy as np
import pytest
from vitrina_client import (
    Blocked,
    Edit,
    Finding,
    InvalidInput,
    LabelLine,
    LabelText,
    Listing,
    Moderation,
    Post,
    Product,
    Sampling,
    ServerError,
    Speech,
    StudioShot,
    StudioVideo,
    Tag,
    TooLarge,
)
from vitrina_client import _answers as answers
from vitrina_client import _requests as core

from graph import assembly
from tests.unit.client.answers import answer

MUG = Product(title="Enamel mug")


def words(array):
    return [value.decode() for value in array.ravel()]


@pytest.mark.parametrize(
    ("kinds", "ensemble"),
    [
        ((), "content"),
        (("IMAGE",), "content_image"),
        (("EVENTS", "AUDIO"), "content_audio_behavior"),
        (("AUDIO", "VIDEO", "EVENTS", "IMAGE"), "content_image_video_audio_behavior"),
    ],
)
def test_the_ensemble_goes_by_what_is_given(kinds, ensemble):
    request = core.content(MUG, {kind: kind.encode() for kind in kinds}, {"tags"})
    assert request.model == ensemble
    assert request.inputs.keys() == {"TITLE", *kinds}
    assert all(words(request.inputs[kind]) == [kind] for kind in kinds)
    assert request.outputs == ("TAGS", "TAG_SCORES")
    assert request.inputs["TITLE"].shape == (1, 1)


def test_only_what_is_wanted_is_asked_for_and_text_fields_go_with_text():
    full = Product("Mug", attributes={"颜色": "red"})
    options = {"task": "question", "question": "Dishwasher?", "sampling": Sampling(seed=3)}
    with_text = core.content(full, {}, {"embedding", "text"}, options)
    assert with_text.outputs == (
        *core.TEXT_OUTPUTS,
        *("EDITS", "EVIDENCE", "CONFLICTS", "TEXT_MODERATION", "EMBEDDING"),
    )
    assert words(with_text.inputs["TASK"]) == ["question"]
    assert json.loads(words(with_text.inputs["ATTRIBUTES"])[0]) == {"颜色": "red"}
    without = core.content(full, {}, {"embedding"}, options)
    assert without.inputs.keys() == {"TITLE"}
    assert not without.timed


def test_sampling_travels_with_its_dtypes():
    sampling = Sampling(5, 0.7, 0.9, 40, 1.1, 2**40, ("\n", "停"))
    fields = core.content(MUG, {}, {"text"}, {"sampling": sampling}).inputs
    kinds = {name: (str(array.dtype), array.shape) for name, array in fields.items()}
    assert kinds == {
        "TITLE": ("object", (1, 1)),
        "MAX_TOKENS": ("int32", (1, 1)),
        "TEMPERATURE": ("float32", (1, 1)),
        "TOP_P": ("float32", (1, 1)),
        "TOP_K": ("int32", (1, 1)),
        "REPETITION_PENALTY": ("float32", (1, 1)),
        "SEED": ("int64", (1, 1)),
        "STOP": ("object", (1, 2)),
    }
    assert words(fields["STOP"]) == ["\n", "停"]
    assert words(core.content(MUG, {}, {"text"}, {"sampling": Sampling(stop="ab")}).inputs["STOP"]) == ["ab"]


def test_odd_values_are_the_servers_to_judge():
    sampling = Sampling(max_tokens=-5, temperature=float("nan"), top_p=9.0)
    fields = core.content(Product("\x00" * 9), {}, {"text"}, {"sampling": sampling, "task": "sing"}).inputs
    assert fields["MAX_TOKENS"].item() == -5
    assert np.isnan(fields["TEMPERATURE"].item())
    assert words(fields["TASK"]) == ["sing"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"sampling": Sampling(max_tokens=2**31)}, "MAX_TOKENS"),
        ({"sampling": Sampling(max_tokens=1.5)}, "MAX_TOKENS"),
        ({"sampling": Sampling(top_k=True)}, "TOP_K"),
        ({"sampling": Sampling(seed=2**63)}, "SEED"),
        ({"sampling": Sampling(temperature="hot")}, "TEMPERATURE"),
        ({"sampling": Sampling(stop=(b"x",))}, "STOP"),
        ({"sampling": {"max_tokens": 3}}, "sampling"),
        ({"task": 3}, "TASK"),
        ({"max_characters": "80"}, "MAX_CHARACTERS"),
        ({"banned_words": [b"x"]}, "BANNED_WORDS"),
        ({"question": "\ud800"}, "QUESTION"),
        ({"history": [{"role": object()}]}, "HISTORY"),
    ],
)
def test_what_no_tensor_can_hold_is_refused_here_by_name(options, field):
    with pytest.raises(InvalidInput) as caught:
        core.content(MUG, {}, {"text"}, options)
    assert caught.value.field == field


@pytest.mark.parametrize("want", [set(), {"text", "speech"}, "text", ["embeding"]])
def test_an_unknown_want_is_refused(want):
    with pytest.raises(InvalidInput, match="text, listing, tags, keywords, embedding, condition"):
        core.content(MUG, {}, want)


def test_a_product_of_wrong_types_is_refused():
    with pytest.raises(InvalidInput, match="expected a Product"):
        core.check_product({"title": "Mug"})
    with pytest.raises(InvalidInput) as caught:
        core.check_product(Product("Mug", image=3))
    assert caught.value.field == "IMAGE"
    with pytest.raises(InvalidInput) as caught:
        core.content(Product(None), {}, {"tags"})
    assert caught.value.field == "TITLE"


def test_an_image_over_what_a_message_holds_is_too_large():
    with pytest.raises(TooLarge, match="2,146,435,072"):
        core.check_size("IMAGE", HugeBytes())


class HugeBytes(bytes):
    """Says that it is over the limit, without the memory."""

    def __len__(self):
        return core.MAX_MESSAGE + 1


def test_events_travel_as_json():
    shopper = Product("Mug", events=[{"item": "SKU 1", "event": "cart", "age_s": 90.5}])
    assert json.loads(core.events(shopper)["EVENTS"]) == [{"item": "SKU 1", "event": "cart", "age_s": 90.5}]
    assert core.kinds(shopper) == ("EVENTS",)
    assert core.events(MUG) == {}
    with pytest.raises(InvalidInput) as caught:
        core.events(Product("Mug", events=[{"item": "SKU 1", "event": "cart", "age_s": float("nan")}]))
    assert caught.value.field == "EVENTS"


def test_a_picture_is_drawn_from_a_condition_and_a_seed():
    request = core.draw("image", np.ones((7, 24)), {"image_seed": 7})
    assert (request.model, request.outputs) == ("generate_image", ("IMAGE",))
    assert request.inputs["CONDITION"].shape == (1, 7, 24)
    assert request.inputs["IMAGE_SEED"].tolist() == [[7]] and request.inputs["IMAGE_SEED"].dtype == np.int64
    assert answers.parse_drawing({"IMAGE": np.array([[b"png"]], object)}, request) == b"png"
    assert core.draw("video", np.ones((7, 24)), {}).inputs.keys() == {"CONDITION"}
    with pytest.raises(InvalidInput) as caught:
        core.draw("image", np.ones((7, 24)), {"image_seed": 1.5})
    assert caught.value.field == "IMAGE_SEED"


def test_a_script_is_spoken_with_what_was_said_of_it():
    request = core.speak("Enamel mug", "joe", "en", 1.5, "ogg")
    assert (request.model, request.outputs) == ("speak", ("AUDIO", "SECONDS"))
    said = {name: words(request.inputs[name]) for name in ("SCRIPT", "AUDIO_FORMAT", "VOICE", "LANGUAGE")}
    assert said == {"SCRIPT": ["Enamel mug"], "AUDIO_FORMAT": ["ogg"], "VOICE": ["joe"], "LANGUAGE": ["en"]}
    assert request.inputs["SPEED"].tolist() == [[1.5]] and request.inputs["SPEED"].dtype == np.float32
    assert "TIMEOUT_MS" in request.within(1.0).inputs
    assert core.speak("Enamel mug", None, None, None, "wav").inputs.keys() == {"SCRIPT", "AUDIO_FORMAT"}
    answer = {"AUDIO": np.array([[b"OggS"]], object), "SECONDS": np.array([[2.5]], np.float32)}
    assert answers.parse_speech(answer, "ogg") == Speech(b"OggS", "audio/ogg", 2.5)


@pytest.mark.parametrize(
    ("script", "voice", "language", "speed", "audio_format", "field"),
    [
        (None, None, None, None, "wav", "SCRIPT"),
        ("\ud800", None, None, None, "wav", "SCRIPT"),
        ("a", 3, None, None, "wav", "VOICE"),
        ("a", None, b"en", None, "wav", "LANGUAGE"),
        ("a", None, None, "1", "wav", "SPEED"),
        ("a", None, None, 1, 3, "AUDIO_FORMAT"),
    ],
)
def test_what_is_no_script_is_refused_by_name(script, voice, language, speed, audio_format, field):
    with pytest.raises(InvalidInput) as caught:
        core.speak(script, voice, language, speed, audio_format)
    assert caught.value.field == field


def test_a_studio_shot_is_asked_for_and_read():
    request = core.studio(b"JPEG", "shadow", "4:5", 900, "webp", "warm")
    assert (request.model, request.outputs) == ("studio", ("STUDIO_IMAGE", "SUBJECT"))
    said = {name: words(request.inputs[name]) for name in ("IMAGE", "BACKGROUND", "ASPECT", "IMAGE_FORMAT")}
    assert said == {"IMAGE": ["JPEG"], "BACKGROUND": ["shadow"], "ASPECT": ["4:5"], "IMAGE_FORMAT": ["webp"]}
    assert request.inputs["SIZE"].tolist() == [[900]] and request.inputs["SIZE"].dtype == np.int32
    assert "SIZE" not in core.studio(b"JPEG", "white", "1:1", None, "png", "natural").inputs
    with pytest.raises(InvalidInput) as caught:
        core.studio(b"JPEG", "white", "1:1", 900.5, "png", "natural")
    assert caught.value.field == "SIZE"
    answer = {"STUDIO_IMAGE": np.array([[b"RIFF"]], object), "SUBJECT": np.array([[0.25]], np.float32)}
    assert answers.parse_studio_shot(answer, "webp") == StudioShot(b"RIFF", "image/webp", 0.25)
    clip = core.studio_video({"IMAGE": b"JPEG", "MUSIC": b"RIFF"}, "shadow", "4:5", 900, "warm")
    assert (clip.model, clip.outputs) == ("studio_video", ("STUDIO_VIDEO", "SUBJECT"))
    assert "IMAGE_FORMAT" not in clip.inputs and words(clip.inputs["MUSIC"]) == ["RIFF"]
    assert {name: words(clip.inputs[name]) for name in ("BACKGROUND", "STYLE")} == {
        "BACKGROUND": ["shadow"],
        "STYLE": ["warm"],
    }
    answer = {"STUDIO_VIDEO": np.array([[b"ftyp"]], object), "SUBJECT": np.array([[0.25]], np.float32)}
    assert answers.parse_studio_video(answer) == StudioVideo(b"ftyp", 0.25)


def test_a_post_is_asked_for_and_read():
    request = core.post({"IMAGE": b"JPEG", "AUDIO": b"RIFF"}, "A mug.", "track", "photo", "1:1")
    assert (request.model, request.outputs) == ("post", ("POST", "SECONDS"))
    assert {name: words(array) for name, array in request.inputs.items()} == {
        "IMAGE": ["JPEG"],
        "AUDIO": ["RIFF"],
        "CAPTION": ["A mug."],
        "CAPTIONS": ["track"],
        "BACKGROUND": ["photo"],
        "ASPECT": ["1:1"],
    }
    fields = core.post({"VIDEO": b"ftyp"}, "", "burnt", "studio", "1:1").inputs.keys()
    assert fields == {"VIDEO", "CAPTION", "CAPTIONS", "BACKGROUND", "ASPECT"}
    answer = {"POST": np.array([[b"ftyp"]], object), "SECONDS": np.array([[7.5]], np.float32)}
    assert answers.parse_post(answer) == Post(b"ftyp", 7.5)


def test_weights_are_named_by_modality():
    request = core.content(MUG, {}, {"weights"})
    answer = {"FUSION_WEIGHTS": np.array([[0.5, 0.25, 0, 0, 0.25]], np.float32)}
    weights = answers.listing(answer, request).weights
    assert weights == {"text": 0.5, "image": 0.25, "video": 0, "audio": 0, "behavior": 0.25}


def test_an_unknown_option_is_a_type_error_that_names_the_known():
    with pytest.raises(TypeError, match="'langauge'; known: task, language"):
        core.check_options({"langauge": "en"})


def test_embeddings_of_several_are_one_request():
    request = core.embeddings([MUG, Product("Jug")], [{"IMAGE": b"1"}, {"IMAGE": b"22"}])
    assert (request.model, request.rows, request.outputs) == ("content_image", 2, ("EMBEDDING",))
    assert words(request.inputs["TITLE"]) == ["Enamel mug", "Jug"]
    assert request.inputs["IMAGE"].shape == (2, 1)


def test_the_time_that_is_left_goes_along_only_where_text_is_made():
    text = core.content(MUG, {}, {"text"}).within(1.5)
    assert text.inputs["TIMEOUT_MS"].dtype == np.int32
    assert text.inputs["TIMEOUT_MS"].item() == 1500
    assert core.content(MUG, {}, {"text"}).within(1e-9).inputs["TIMEOUT_MS"].item() == 1
    assert core.content(MUG, {}, {"text"}).within(1e12).inputs["TIMEOUT_MS"].item() == 2**31 - 1
    assert "TIMEOUT_MS" not in core.content(MUG, {}, {"text"}).within(None).inputs
    assert "TIMEOUT_MS" not in core.content(MUG, {}, {"tags"}).within(1).inputs


def test_from_a_condition_nothing_is_encoded():
    condition = np.ones((7, 24))
    request = core.from_condition(MUG, condition, {"text"}, {"language": "zh"})
    assert request.model == "generate"
    assert request.inputs["CONDITION"].dtype == np.float32
    assert request.inputs["CONDITION"].shape == (1, 7, 24)
    with pytest.raises(InvalidInput, match="embedding cannot be made from a condition"):
        core.from_condition(MUG, condition, {"text", "embedding"}, {})
    with pytest.raises(InvalidInput, match=r"got \[24\]"):
        core.from_condition(MUG, np.ones(24), {"text"}, {})
    with pytest.raises(InvalidInput, match="expected float32"):
        core.from_condition(MUG, "condition", {"text"}, {})


def test_an_answer_becomes_a_listing():
    request = core.content(MUG, {}, {"text", "tags", "embedding", "condition"})
    listing = answers.listing(answer(), request)
    assert (listing.text, listing.finish_reason, listing.prompt_tokens, listing.completion_tokens) == (
        "A mug.",
        "eos",
        31,
        4,
    )
    assert listing.edits == (Edit("price", "Only $5.", ""),)
    assert listing.tags == (Tag("mug", 0.75), Tag("杯", 0.5))
    assert (listing.embedding.shape, listing.condition.shape) == ((24,), (7, 24))
    assert listing.embedding.flags.writeable


def test_variants_are_rows_with_a_seed_each():
    condition = np.ones((7, 24), np.float32)
    options = {"sampling": Sampling(stop=("a", "b")), "banned_words": ["x"]}
    request = core.variants(MUG, condition, [3, 4, 5], options).within(2.0)
    assert request.rows == 3 and {len(array) for array in request.inputs.values()} == {3}
    assert request.inputs["SEED"].ravel().tolist() == [3, 4, 5]
    assert request.inputs["STOP"].shape == (3, 2) and request.inputs["TIMEOUT_MS"].tolist() == [[2000]] * 3
    assert answers.row({"TEXT": np.array([["a"], ["b"]])}, 1) == {"TEXT": np.array([["b"]])}
    sampling = core.varied({"sampling": Sampling(seed=9, temperature=0.0)})
    assert (sampling[0]["sampling"].temperature, sampling[0]["sampling"].seed, sampling[1]) == (0.0, None, 9)
    assert core.varied({"task": "ad"})[0]["sampling"].temperature == core.VARIED_TEMPERATURE


def test_the_most_diverse_begin_with_the_nearest_and_pass_over_twins():
    product, other, third = np.eye(3, dtype=np.float32)
    near = np.array([0.9, np.sqrt(1 - 0.81), 0], np.float32)
    twin = near + np.array([0, 0, 1e-3], np.float32)
    mixed = np.array([0.5, 0, np.sqrt(0.75)], np.float32)
    chosen, distance = answers.most_diverse(np.stack([other, near, twin, mixed]), product, 2)
    assert chosen == [1, 3] and distance == pytest.approx(1 - 0.45)
    assert answers.most_diverse(np.stack([third]), product, 4) == ([0], 0.0)


def test_what_the_policy_says_is_read_and_what_it_blocks_is_raised():
    weapons = {
        "category": "weapons",
        "action": "block",
        "field": "TITLE",
        "by": "words",
        "evidence": "gun",
        "score": 1.0,
    }
    wine = {"category": "alcohol", "action": "flag", "field": "TEXT", "by": "words", "evidence": "wine", "score": 1.0}

    def said(action, *findings, **arrays):
        written = json.dumps({"action": action, "findings": findings}).encode()
        return answer(MODERATION=np.array([[written]]), TEXT_MODERATION=np.array([[written]]), **arrays)

    assert answers.listing(said("block", weapons), core.content(MUG, {}, {"moderation"})).moderation == Moderation(
        "block", (Finding(**weapons),)
    )
    text = core.content(MUG, {}, {"text"})
    assert answers.listing(said("flag", wine), text).moderation == Moderation("flag", (Finding(**wine),))
    blocked = said("block", wine, weapons, TEXT=np.array([[b""]]), FINISH_REASON=np.array([[b"blocked"]]))
    with pytest.raises(Blocked, match=r"TITLE by words: gun \(weapons\)") as caught:
        answers.listing(blocked, text)
    assert (caught.value.field, caught.value.findings) == ("TITLE", (Finding(**weapons),))
    both = core.content(MUG, {"IMAGE": b"photo"}, {"text", "label_text"})
    unread = {"LABEL_TEXT": np.array([[b'{"lines": [], "omitted": 0, "failed": true}']], object)}
    with pytest.raises(Blocked):  # a label that could not be read is why it is blocked
        answers.listing(blocked | unread, both)


@pytest.mark.parametrize("options", [{"max_characters": 80}, {"banned_words": ["cheap"]}])
def test_a_stream_is_not_edited_and_says_so(options):
    tags = {"TAGS": np.array([[b"a"] * 5], object), "TAG_SCORES": np.ones((1, 5), np.float32)}
    with pytest.raises(InvalidInput, match="use generate") as caught:
        core.prompt(MUG, tags, options)
    assert caught.value.field == next(iter(options)).upper()


def test_what_was_not_asked_is_none():
    listing = answers.listing(answer(), core.content(MUG, {}, {"tags"}))
    assert (listing.text, listing.embedding, listing.condition) == (None, None, None)
    assert repr(Listing(text="x", embedding=np.ones(24))).count("1.") == 0


def test_an_answer_that_lacks_an_output_or_a_row_is_a_server_error():
    request = core.embeddings([MUG, MUG], [{}, {}])
    with pytest.raises(ServerError, match="1 rows answered of 2") as caught:
        answers.check_rows(answer(rows=1), request)
    assert (caught.value.model, caught.value.field) == ("content", "EMBEDDING")
    with pytest.raises(ServerError, match="lacks EMBEDDING"):
        answers.check_rows({}, request)


def test_a_products_repr_does_not_print_its_picture():
    assert repr(Product("Mug", b"x" * 5000)) == "Product(title='Mug', image=<5000 bytes>, attributes={})"


def requests_of_every_kind():
    everything = Sampling(1, 1.0, 1.0, 1, 1.0, 1, ("x",))
    options = {
        "task": "ad",
        "language": "en",
        "tone": "formal",
        "question": "q",
        "history": [{"role": "shop"}],
        "sampling": everything,
    }
    full, wants = Product("Mug", attributes={"a": "b"}), {"text", "tags", "embedding", "condition"}
    condition = np.ones(assembly.load().model("tagger").inputs[0].dims, np.float32)
    tags = {"TAGS": np.array([[b"a"] * 5], object), "TAG_SCORES": np.ones((1, 5), np.float32)}
    edited = options | {"max_characters": 80, "banned_words": ["cheap", "best"]}
    yield core.content(full, {}, wants, edited)
    yield core.content(full, {"IMAGE": b"jpeg"}, wants, options)
    yield core.from_condition(full, condition, {"text", "tags"}, edited)
    yield core.speak("A mug", None, None, 1.5, "ogg")
    yield core.recommend([{"item": "a", "event": "view", "age_s": 1}], 5)
    yield core.read_label(b"JPEG")
    yield core.studio(b"JPEG", "white", "1:1", 900, "jpeg", "warm")
    yield core.post({"IMAGE": b"JPEG", "VIDEO": b"ftyp", "AUDIO": b"RIFF"}, "A mug.", "burnt", "studio", "9:16")
    yield core.tags_of(condition)
    yield core.prompt(full, tags, options)
    yield core.decode({"PROMPT": np.array([[b"prompt"]], object)}, options)


@pytest.mark.parametrize("request_", requests_of_every_kind(), ids=lambda request: request.model)
def test_every_tensor_sent_is_one_the_graph_has(request_):
    bundle = assembly.load()
    graph = {each.name: each for each in (*bundle.models, *bundle.ensembles)}[request_.model]
    inputs = {tensor.name: tensor for tensor in graph.inputs}
    sent = request_.within(1.0).inputs
    assert sent.keys() <= inputs.keys()
    assert {name for name, tensor in inputs.items() if not tensor.optional} <= sent.keys()
    assert set(request_.outputs) <= {tensor.name for tensor in graph.outputs}
    for name, array in sent.items():
        dtype = {"object": "BYTES", "int32": "INT32", "int64": "INT64", "float32": "FP32"}[str(array.dtype)]
        assert dtype == inputs[name].dtype
        dims = inputs[name].shape
        assert len(array.shape) == len(dims) + 1
        assert all(dim in (-1, size) for size, dim in zip(array.shape[1:], dims, strict=True))


def test_a_transcript_is_asked_for_of_a_sound_and_given_without_one():
    request = core.content(MUG, {"AUDIO": b"RIFF"}, {"transcript", "tags"})
    assert "TRANSCRIPT" in request.outputs and "TRANSCRIPT" not in request.inputs
    answer = {"TRANSCRIPT": np.array([["Ein Becher. 😀".encode()]], object)}
    answer["TRANSCRIPT_LANGUAGE"] = np.array([[b"de"]], object)
    answer |= {"TAGS": np.array([[b"mug"]], object), "TAG_SCORES": np.array([[0.5]], np.float32)}
    found = answers.listing(answer, request)
    assert found.transcript_language == "de"
    assert found.transcript == "Ein Becher. 😀" and core.told({}, found) == {"transcript": "Ein Becher. 😀"}
    assert core.told({"task": "ad"}, Listing(transcript="")) == {"task": "ad"}
    assert core.derived({"AUDIO": b"RIFF"}) == {"transcript"} and core.derived({"IMAGE": b"JPEG"}) == {"label_text"}
    given = core.from_condition(MUG, np.zeros((7, 24), np.float32), {"text"}, {"transcript": "A mug."})
    assert words(given.inputs["TRANSCRIPT"]) == ["A mug."]
    for media, want, options, field in (
        ({}, {"transcript"}, {}, "AUDIO"),
        ({"AUDIO": b"RIFF"}, {"text"}, {"transcript": "A mug."}, "TRANSCRIPT"),
    ):
        with pytest.raises(InvalidInput) as caught:
            core.content(MUG, media, want, options)
        assert caught.value.field == field


PRINTED = LabelText((LabelLine("茶 250 g", ((1, 2), (30, 2), (30, 12), (1, 12)), 0.97),), omitted=2)


def label_tensor(failed=False):
    lines = [
        {"text": line.text, "box": [list(corner) for corner in line.box], "confidence": 0.97} for line in PRINTED.lines
    ]
    return np.array([[json.dumps({"lines": lines, "omitted": 2, "failed": failed}).encode()]], object)


def test_a_label_text_is_asked_for_of_a_photo_and_given_without_one():
    request = core.content(MUG, {"IMAGE": b"JPEG"}, {"label_text"})
    assert request.outputs == ("LABEL_TEXT",) and "LABEL_TEXT" not in request.inputs
    found = answers.listing({"LABEL_TEXT": label_tensor()}, request)
    assert found.label_text == PRINTED and str(PRINTED) == "茶 250 g"
    assert core.told({}, found) == {"label_text": PRINTED} and core.told({}, Listing(label_text=LabelText())) == {}
    given = core.from_condition(MUG, np.zeros((7, 24), np.float32), {"text"}, {"label_text": PRINTED})
    (sent,) = words(given.inputs["LABEL_TEXT"])
    assert json.loads(sent) == json.loads(label_tensor().item())
    for media, want, options, field in (
        ({}, {"label_text"}, {}, "IMAGE"),
        ({"IMAGE": b"JPEG"}, {"text"}, {"label_text": PRINTED}, "LABEL_TEXT"),
        ({}, {"text"}, {"label_text": "茶"}, "LABEL_TEXT"),
    ):
        with pytest.raises(InvalidInput) as caught:
            core.content(MUG, media, want, options)
        assert caught.value.field == field


def test_a_label_that_could_not_be_read_is_an_error_not_an_empty_label():
    with pytest.raises(ServerError, match="the label could not be read"):
        answers.label_text(label_tensor(failed=True))


def test_what_the_policy_is_asked_about_goes_along():
    shelf = Product("Shelf", attributes={"material": "oak"})
    request = core.content(shelf, {}, {"moderation"}, {"transcript": "An oak shelf.", "task": "ad"})
    assert request.inputs.keys() == {"TITLE", "ATTRIBUTES", "TRANSCRIPT"}
    assert core.content(shelf, {}, {"embedding"}).inputs.keys() == {"TITLE"}


def test_keywords_go_with_what_is_said_of_the_product():
    shelf = Product("Shelf", attributes={"material": "oak"})
    request = core.content(shelf, {}, {"keywords"})
    assert request.inputs.keys() == {"TITLE", "ATTRIBUTES"} and request.outputs == ("KEYWORDS",)
    answer = {"KEYWORDS": np.array([[b"shelf", "木".encode(), b""]], object)}
    assert answers.listing(answer, request).keywords == ("shelf", "木")
    later = core.from_condition(shelf, np.zeros((7, 24), np.float32), {"keywords"}, {})
    assert later.inputs.keys() == {"CONDITION", "TITLE", "ATTRIBUTES"}

"""The content check on the served bundle: what the policy blocks does not appear, and says so."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
import yaml
from vitrina_client import AsyncVitrina, Blocked, Product, Sampling, Vitrina, _command

from server import Server, ServerFailed, ServerOptions
from tests.spoken import recording
from tests.unit.stages.test_footage import filmed, pan, scene
from tests.unit.stages.test_video import clip

CUP = Path(__file__).parent.parent.parent / "samples" / "espresso-cup.jpg"
TULIPS = CUP.with_name("tulips.jpg")
OWN = {
    "version": 1,
    "likeness": 0.35,
    "sure_likeness": 0.35,
    "class_score": 0.3,
    "ordinary": ["a wooden chair", "a red lamp for the desk", "a soft blanket", "thank you for your order"],
    "categories": {
        "cups": {"action": "block", "classes": ["espresso", "cup"]},
        "pirates": {
            "action": "block",
            "words": {"en": ["parrot"]},
            "examples": ["a pirate ship with a black flag", "treasure map of the seven seas", "a hook for a captain"],
        },
        "lamps": {"action": "flag", "words": {"en": ["lamp"]}},
    },
}
RIFLE, TABLE = Product("AK-47 rifle with scope"), Product("Oak table with six chairs")


@pytest.fixture(params=["grpc", "http"])
def vitrina(request, server):
    with Vitrina(f"{request.param}://{getattr(server, f'{request.param}_url')}") as client:
        yield client


@pytest.fixture(scope="module")
def own(bundle, tmp_path_factory):
    """A server with a policy of its own."""
    path = tmp_path_factory.mktemp("policy") / "own.yaml"
    path.write_text(yaml.safe_dump(OWN))
    models = ["content", "content_image", "content_video", "content_image_video", "content_audio"]
    models += ["studio", "studio_video", "post", "speak"]
    with (
        Server(ServerOptions(http_port=0, grpc_port=0, metrics_port=0, models=models, policy=path)) as running,
        Vitrina(f"grpc://{running.grpc_url}") as client,
    ):
        yield client


def test_the_check_gives_reasons_and_lets_the_rest_through(vitrina):
    assert vitrina.check(TABLE).action == "allow"
    said = vitrina.check(RIFLE)
    assert said.action == "block"
    assert {(each.category, each.field, each.by) for each in said.findings} == {
        ("weapons", "TITLE", "words"),
        ("weapons", "TITLE", "likeness"),
    }
    flagged = vitrina.check(Product("Bottle of red wine"))
    assert (flagged.action, flagged.findings[0].evidence) == ("flag", "wine")


def test_attributes_are_judged_before_anything_is_written(vitrina):
    comb = Product("Comb", attributes={"material": "elephant ivory"})
    assert {(each.category, each.field) for each in vitrina.check(comb).findings} >= {("wildlife", "ATTRIBUTES")}
    for make in (lambda: vitrina.generate(comb), lambda: list(vitrina.stream(comb))):
        with pytest.raises(Blocked, match="wildlife") as caught:
            make()
        assert caught.value.field == "ATTRIBUTES"


def test_a_given_transcript_is_judged(vitrina):
    seen = vitrina.generate(TABLE, want={"condition"})
    for condition in (None, seen.condition):
        with pytest.raises(Blocked, match="weapons") as caught:
            vitrina.generate(TABLE, condition=condition, transcript="There is an AK-47 rifle in it.")
        assert caught.value.field == "TRANSCRIPT"


def test_what_is_blocked_does_not_appear_and_says_so(vitrina):
    for make in (
        lambda: vitrina.generate(RIFLE),
        lambda: vitrina.generate(RIFLE, want={"image"}),
        lambda: list(vitrina.stream(RIFLE)),
    ):
        with pytest.raises(Blocked, match="weapons") as caught:
            make()
        assert caught.value.field == "TITLE" and caught.value.findings[0].evidence == "AK-47"
    assert vitrina.generate(RIFLE, want={"embedding"}).embedding is not None  # nothing of it is shown
    flagged = vitrina.generate(Product("Bottle of red wine"))
    assert flagged.text and flagged.moderation.action == "flag"


def test_a_stream_stops_before_a_word_of_the_policy(server):
    """Asked of the decoder itself: the prompt has it say the word."""
    said, ends = [], []
    with triton.InferenceServerClient(server.grpc_url) as client:
        inputs = {
            "PROMPT": np.array([["one apple, one pistol, " * 3 + "one apple,"]], object),
            "MAX_TOKENS": np.array([[24]], np.int32),
            "REPETITION_PENALTY": np.array([[1.0]], np.float32),
        }
        asked = []
        for name, value in inputs.items():
            kinds = {"O": "BYTES", "i": "INT32", "f": "FP32"}
            asked.append(triton.InferInput(name, [1, 1], kinds[value.dtype.kind]))
            asked[-1].set_data_from_numpy(value)
        done = threading.Event()

        def heard(result, error):
            if error is not None:
                ends.append(str(error))
                done.set()
            else:
                said.append(result.as_numpy("TEXT").ravel()[0].decode())

        client.start_stream(heard)
        client.async_stream_infer("text_decoder", asked)
        assert done.wait(30)
        client.stop_stream()
    assert "vitrina/blocked TEXT: TEXT says 'pistol' (weapons)" in ends[0]
    assert "one" in "".join(said) and "pist" not in "".join(said)


def test_a_clip_is_looked_at_too(own, server):
    cups = clip(filmed(scene("espresso-cup.jpg"), pan(12)))
    for product in (Product("Oak table", video=cups), Product("Oak table", image=TULIPS, video=cups)):
        said = own.check(product)
        assert [(each.category, each.field, each.by) for each in said.findings] == [("cups", "VIDEO", "class")]
        assert said.action == "block"
    for image in (None, TULIPS):
        with pytest.raises(Blocked, match=r"shows '(espresso|cup)'") as caught:
            own.post(image, "A gift.", video=cups)
        assert caught.value.field == ("VIDEO" if image else "IMAGE")
    tulips = clip(filmed(scene("tulips.jpg"), pan(12)))
    assert own.check(Product("Oak table", video=tulips)).action == "allow"


def test_the_copy_itself_is_checked(vitrina):
    """A title says nothing, the question does; from a condition too, where nothing else was checked."""
    asked = {
        "sampling": Sampling(temperature=0.0),
        "task": "question",
        "question": "Can I buy a handgun here?",
    }
    condition = vitrina.generate(Product("it"), want={"condition"}).condition
    for given in ({}, {"condition": condition}):
        with pytest.raises(Blocked) as caught:
            vitrina.generate(Product("it"), **given, **asked)
        assert caught.value.field == "TEXT"


def test_one_row_s_verdict_is_its_own(server):
    rows = ["Oak table with six chairs", "AK-47 rifle with scope", "Soft wool blanket"]
    with triton.InferenceServerClient(server.grpc_url) as client:
        sent = triton.InferInput("TITLE", [3, 1], "BYTES")
        sent.set_data_from_numpy(np.array([[row.encode()] for row in rows], object))
        greedy = triton.InferInput("TEMPERATURE", [3, 1], "FP32")  # what is drawn may be edited away
        greedy.set_data_from_numpy(np.zeros((3, 1), np.float32))
        names = ["TEXT", "FINISH_REASON", "COMPLETION_TOKENS", "MODERATION", "TEXT_MODERATION"]
        answer = client.infer("content", [sent, greedy], outputs=[triton.InferRequestedOutput(name) for name in names])
    got = {name: answer.as_numpy(name).ravel().tolist() for name in names}
    assert [json.loads(said)["action"] for said in got["MODERATION"]] == ["allow", "block", "allow"]
    assert [json.loads(said)["action"] for said in got["TEXT_MODERATION"]] == ["allow", "block", "allow"]
    assert [bool(text) for text in got["TEXT"]] == [True, False, True]
    assert got["FINISH_REASON"][1] == b"blocked" and b"blocked" not in (
        got["FINISH_REASON"][0],
        got["FINISH_REASON"][2],
    )
    assert got["COMPLETION_TOKENS"][1] == 1  # not written out for nobody


def test_results_that_the_product_blocks_fail_alone(vitrina):
    product = Product(RIFLE.title, image=CUP)
    results = {each.output: each for each in vitrina.iter_results(product, {"text", "image", "studio"})}
    assert isinstance(results["text"].error, Blocked) and isinstance(results["image"].error, Blocked)
    assert results["studio"].error is None  # the photo shows a cup


async def test_asynchronously_too(server):
    async with AsyncVitrina(f"grpc://{server.grpc_url}") as vitrina:
        assert (await vitrina.check(RIFLE)).action == "block"
        with pytest.raises(Blocked):
            await vitrina.generate(RIFLE)


def test_the_command(server, capsys):
    url = f"grpc://{server.grpc_url}"
    assert _command.main(["check", "--url", url, "--title", RIFLE.title]) == 7
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "block" and shown[1].split("\t")[:4] == ["block", "weapons", "TITLE", "words"]
    assert _command.main(["check", "--url", url, "--title", TABLE.title]) == 0
    assert _command.main(["speak", "--url", url, "--text", "a handgun", "--out", "/tmp/never.wav"]) == 7


def test_a_policy_of_one_s_own_by_words_likeness_and_class(own):
    assert own.check(RIFLE).action == "allow"
    assert own.check(Product("a lamp")).action == "flag"
    said = own.check(Product("The pirate's ship flies a black flag", image=CUP))
    assert {(each.category, each.field, each.by) for each in said.findings} == {
        ("pirates", "TITLE", "likeness"),
        ("cups", "IMAGE", "class"),
    }


def test_a_photo_is_not_shown_and_a_script_not_spoken(own):
    for make, field in (
        (lambda: own.studio(CUP), "IMAGE"),
        (lambda: own.studio_video(CUP), "IMAGE"),
        (lambda: own.post(CUP, "A red lamp."), "IMAGE"),
        (lambda: own.generate(Product("thing", image=CUP)), "IMAGE"),
        (lambda: own.speak("A parrot sits on my shoulder."), "SCRIPT"),
    ):
        with pytest.raises(Blocked) as caught:
            make()
        assert caught.value.field == field


def test_a_server_with_a_wrong_policy_does_not_start(bundle, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(OWN | {"likenes": 1}))
    options = ServerOptions(http_port=0, grpc_port=0, metrics_port=0, models=["content"], policy=path)
    with (
        pytest.raises(ServerFailed, match=r"policy .*policy\.yaml: likenes: Extra inputs are not permitted"),
        Server(options),
    ):
        pass
    with pytest.raises(ValueError, match=r"none\.yaml' is no file"):
        ServerOptions(policy=tmp_path / "none.yaml")


def test_what_is_said_in_a_sound_is_checked(server, own):
    with Vitrina(f"grpc://{server.grpc_url}") as anybody:
        parrot, pigeon = (
            recording(anybody, f"A {bird} sits on the roof of the house.", bird) for bird in ("parrot", "pigeon")
        )
    assert own.check(Product("Roof", audio=pigeon)).action == "allow"
    for make in (
        lambda: own.generate(Product("Roof", audio=parrot)),
        lambda: list(own.stream(Product("Roof", audio=parrot))),
        lambda: own.post(TULIPS, "A bunch of tulips.", audio=parrot, aspect="1:1"),
    ):
        with pytest.raises(Blocked, match="parrot") as caught:
            make()
        assert caught.value.field == "TRANSCRIPT"
    assert own.post(TULIPS, "A bunch of tulips.", audio=pigeon, aspect="1:1").video

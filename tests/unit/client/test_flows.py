"""What each call does, driven step by step with no transport: the effects it asks for and what it makes of answers."""

import numpy as np
import pytest
from vitrina_client import (
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    NotReady,
    Piece,
    Product,
    QueueFull,
    ServerError,
    Speech,
    Timeout,
    _flows,
)
from vitrina_client._errors import not_connected
from vitrina_client._steps import CallPolicy, StreamState

from tests.unit.client.answers import answer


class Script:
    """A transport whose answers are written down: it takes the place of the driver and of the server, not of a flow.

    Args:
        answers: what each effect that reaches a server gives, in order; an exception is raised.
    """

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.slept = []
        self.cancelled = 0

    def _next(self):
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def infer(self, request, deadline):
        self.asked.append(request)
        return self._next()

    def open(self, request, deadline):
        self.asked.append(request)
        return self

    def receive(self, deadline):
        return self._next()

    def cancel(self):
        self.cancelled += 1

    def ask(self, what, deadline):
        return self._next()

    def read(self, path):
        raise FileNotFoundError(2, "No such file or directory")

    def sleep(self, seconds):
        self.slept.append(seconds)

    def steps(self, flow):
        """Drives `flow`; yields its pieces, returns its result."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Piece):
                    yield step
                    step = next(flow)
                    continue
                try:
                    given = step(self)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(given)
        except StopIteration as end:
            return end.value

    def run(self, flow):
        """The result of a flow that has no pieces."""
        steps = self.steps(flow)
        with pytest.raises(StopIteration) as end:
            next(steps)
        return end.value.value


def policy(retries=2, **limits):
    return CallPolicy(Timeout(**limits), retries)


PATIENT = policy()
MUG = Product("Mug")


def generate(script, policy=PATIENT, product=MUG):
    return script.run(_flows.generate(policy, product, {"tags"}, None, {}))


def stream(script, state=None, condition=None):
    return script.steps(_flows.stream(PATIENT, state or StreamState(), MUG, condition, {"task": "ad"}))


def piece(text, reason=""):
    return answer(TEXT=np.array([[text.encode()]], object), FINISH_REASON=np.array([[reason.encode()]], object))


PROMPT = {
    "PROMPT": np.array([[b"<prompt>"]], object),
    "REQUEST": np.array([[b"{}"]], object),
    "MAX_TOKENS": np.array([[96]], np.int32),
    **{name: np.array([[0.5]], np.float32) for name in ("TEMPERATURE", "TOP_P", "REPETITION_PENALTY")},
}


def test_a_full_queue_is_tried_again_with_growing_pauses():
    script = Script(QueueFull("1"), QueueFull("2"), answer())
    assert generate(script).tags[0].name == "mug"
    assert len(script.asked) == 3
    assert 0.05 <= script.slept[0] <= 0.1 <= script.slept[1] <= 0.2


def test_no_connection_is_tried_again_until_the_retries_are_spent():
    script = Script(*[not_connected("h:1", "refused", "content") for _ in range(3)])
    with pytest.raises(ConnectionFailed):
        generate(script)
    assert len(script.asked) == 3


@pytest.mark.parametrize(
    "error", [ConnectionFailed("broke"), ServerError("no"), InvalidInput("no"), DeadlineExceeded("late")]
)
def test_nothing_else_is_tried_again(error):
    script = Script(error)
    with pytest.raises(type(error)):
        generate(script)
    assert script.slept == []


def test_no_retries_means_none():
    script = Script(QueueFull("full"))
    with pytest.raises(QueueFull):
        generate(script, policy(retries=0))
    assert script.slept == []


def test_a_pause_that_outlasts_the_deadline_is_not_begun():
    script = Script(QueueFull("full"))
    with pytest.raises(QueueFull):
        generate(script, policy(total=0.04))
    assert script.slept == []


def test_a_missing_file_names_itself():
    with pytest.raises(InvalidInput, match=r"IMAGE: cannot read 'no/mug.jpg': No such file"):
        generate(Script(), product=Product("Mug", "no/mug.jpg"))


def test_pictures_are_drawn_from_the_condition_that_came_first():
    drawn = {name: {name: np.array([[name.encode()]], object)} for name in ("IMAGE", "VIDEO")}
    script = Script(answer(), drawn["IMAGE"], drawn["VIDEO"])
    want = {"text", "image", "video"}
    listing = script.run(_flows.generate(PATIENT, Product("Mug"), want, None, {"image_seed": 3}))
    assert (listing.image, listing.video, listing.condition) == (b"IMAGE", b"VIDEO", None)
    assert listing.text
    assert [request.model for request in script.asked] == ["content", "generate_image", "generate_video"]
    assert "CONDITION" in script.asked[0].outputs
    np.testing.assert_array_equal(script.asked[1].inputs["CONDITION"], answer()["CONDITION"])


def test_from_a_condition_a_picture_alone_is_one_request():
    script = Script({"IMAGE": np.array([[b"png"]], object)})
    listing = script.run(_flows.generate(PATIENT, Product("Mug"), {"image"}, np.ones((7, 24)), {}))
    assert listing.image == b"png"
    assert [request.model for request in script.asked] == ["generate_image"]


def test_a_script_is_one_request_and_no_phonemes_is_not_tried_again():
    script = Script({"AUDIO": np.array([[b"RIFF"]], object), "SECONDS": np.array([[1.5]], np.float32)})
    assert script.run(_flows.speak(PATIENT, "A mug.", None, None, None, "wav")) == Speech(b"RIFF", "audio/wav", 1.5)
    script = Script(NotReady("speech needs piper-tts", field="SCRIPT"))
    with pytest.raises(NotReady):
        script.run(_flows.speak(PATIENT, "A mug.", None, None, None, "wav"))
    assert len(script.asked) == 1 and script.slept == []


def test_embeddings_come_back_in_the_order_given_in_batches_of_eight():
    products = [Product(str(place), b"x" if place % 3 == 0 else None) for place in range(30)]

    class Server(Script):
        def infer(self, request, deadline):
            self.asked.append(request)
            rows = [int(title) for title in request.inputs["TITLE"].ravel()]
            return {"EMBEDDING": np.repeat(np.array(rows, np.float32)[:, None], 24, axis=1)}

    script = Server()
    made = script.run(_flows.embed(PATIENT, products))
    assert made.dtype == np.float32
    assert made[:, 0].tolist() == list(range(30))
    sizes = [(request.model, request.rows) for request in script.asked]
    assert sizes == [("content_image", 8), ("content_image", 2), ("content", 8), ("content", 8), ("content", 4)]


@pytest.mark.parametrize("size", [24, "24"], ids=["over HTTP", "over gRPC"])
def test_of_no_products_there_are_no_embeddings_of_the_server_s_width(size):
    class Server(Script):
        def ask(self, what, deadline):
            assert what == "content"
            return {"outputs": [{"name": "TEXT", "shape": [-1, 1]}, {"name": "EMBEDDING", "shape": [-1, size]}]}

    assert Server().run(_flows.embed(PATIENT, [])).shape == (0, 24)


def test_a_refused_batch_says_which_products_it_held():
    products = [Product(str(place)) for place in range(10)]
    script = Script(answer(rows=8), InvalidInput("bad", field="TITLE"))
    with pytest.raises(InvalidInput) as caught:
        script.run(_flows.embed(PATIENT, products))
    assert caught.value.__notes__ == ["in the request with products 8, 9 (counted from 0)"]


def test_a_stream_is_tags_then_prompt_then_pieces():
    state, script = StreamState(), Script(answer(), PROMPT, piece("A "), piece("mug.", "eos"), None)
    pieces = list(stream(script, state))
    assert [request.model for request in script.asked] == ["content", "prompter", "text_decoder"]
    assert [(each.text, each.finish_reason) for each in pieces] == [("A ", None), ("mug.", "eos")]
    assert state.tags[0].name == "mug"
    assert script.asked[1].inputs["TAGS"].ravel()[0] == b"mug"
    assert script.asked[1].inputs["TAG_SCORES"].shape == (1, 5)
    assert script.asked[2].inputs["PROMPT"].item() == b"<prompt>"
    assert script.asked[2].inputs["MAX_TOKENS"].item() == 96
    assert 0 < script.asked[2].inputs["TIMEOUT_MS"].item() <= 120_000
    assert script.cancelled == 0


def test_a_stream_from_a_condition_encodes_nothing():
    script = Script(answer(), PROMPT, piece("x", "eos"), None)
    list(stream(script, condition=np.ones((7, 24))))
    assert [request.model for request in script.asked] == ["tagger", "prompter", "text_decoder"]


def test_a_stream_is_tried_again_before_its_first_piece_only():
    script = Script(answer(), PROMPT, QueueFull("full"), piece("A "), QueueFull("strange"))
    pieces = stream(script)
    assert next(pieces).text == "A "
    assert len(script.slept) == 1
    with pytest.raises(QueueFull, match="strange"):
        next(pieces)
    assert len(script.slept) == 1


def test_a_stream_that_is_left_is_cancelled():
    script = Script(answer(), PROMPT, piece("A "))
    flow = _flows.stream(PATIENT, StreamState(), MUG, None, {})
    assert next(script.steps(flow)).text == "A "
    flow.close()
    assert script.cancelled == 1


def test_a_stream_that_ends_without_a_last_piece_is_a_server_error():
    script = Script(answer(), PROMPT, piece("A "), None)
    with pytest.raises(ServerError, match="ended before the text did"):
        list(stream(script))


def test_a_server_that_is_up_but_not_ready_has_a_status():
    script = Script({"live": True}, {}, {"name": "triton", "version": "2.51.0"}, {"models": [{"name": "content"}]})
    status = script.run(_flows.status(PATIENT))
    assert (status.live, status.ready, status.version) == (True, False, "2.51.0")
    assert status.models[0].name == "content"
    assert status.models[0].state == ""

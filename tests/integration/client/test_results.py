"""Results and errors: what is sent arrives, what comes back is what was asked for, whatever goes wrong has its type."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from vitrina_client import (
    ConnectionFailed,
    InvalidInput,
    ModelNotFound,
    NotReady,
    Product,
    QueueFull,
    Sampling,
    ServerError,
    Timeout,
    Vitrina,
    VitrinaError,
    _requests,
    _steps,
)

from tests.integration.client.stand_in.forwarder import Forwarder
from tests.unit.client.test_errors import KINDS


def test_status(vitrina):
    status = vitrina.status()
    assert (status.live, status.ready, status.server) == (True, True, "triton")
    models = {model.name: (model.version, model.state) for model in status.models}
    assert models["content_image"] == ("1", "READY")
    assert models["text_decoder"] == ("1", "READY")


def test_everything_that_is_said_of_a_product_arrives(vitrina, tmp_path):
    picture = tmp_path / "杯.jpg"
    picture.write_bytes(bytes(range(256)) * 40)
    product = Product("Mug 杯 🫖", picture, {"颜色": "red"})
    history = [{"role": "customer", "text": "Is it blue?"}]
    sampling = Sampling(9, 0.5, 0.75, 40, 1.25, 2**40, ("。", "\n"))
    listing = vitrina.generate(
        product,
        task="reply",
        language="zh",
        question="q?",
        history=history,
        sampling=sampling,
        max_characters=80,
        banned_words=["最好", "cheap"],
        want={"text", "tags"},
    )
    sent = json.loads(listing.text)
    assert 0 < sent.pop("TIMEOUT_MS") <= 120_000
    assert json.loads(sent.pop("HISTORY")[0]) == history
    assert json.loads(sent.pop("ATTRIBUTES")[0]) == {"颜色": "red"}
    assert sent == {
        "IMAGE": 10240,
        "TASK": ["reply"],
        "LANGUAGE": ["zh"],
        "QUESTION": ["q?"],
        "STOP": ["。", "\n"],
        "MAX_TOKENS": 9,
        "TEMPERATURE": 0.5,
        "TOP_P": 0.75,
        "TOP_K": 40,
        "REPETITION_PENALTY": 1.25,
        "SEED": 2**40,
        "MAX_CHARACTERS": 80,
        "BANNED_WORDS": ["最好", "cheap"],
    }
    assert listing.edits == ()
    assert listing.evidence == (((1, "title", "", "Mug", 1.0),), (("A mug.", (1,)),))
    assert listing.conflicts == (("mass", (1, 2), ("Mug, 300 g", "0.4 kg")),)
    assert (listing.finish_reason, listing.prompt_tokens, listing.completion_tokens) == ("eos", 7, 3)
    assert listing.tags == (("mug", 0.75), ("cup", 0.25))
    assert listing.embedding is None


def test_a_structured_listing_comes_with_its_copy(vitrina):
    made = vitrina.generate(Product("Mug"), want={"listing"}, brand={"style": "Short.", "never": ["cheap"]})
    assert made.listing.category == (("Home", "Mugs"), 0.9) and made.listing.bullets == (("A mug.", (1,)),)
    assert made.evidence is not None and made.tags is None


def test_what_is_not_said_is_not_sent(vitrina):
    sent = json.loads(vitrina.generate(Product("Mug"), timeout=Timeout(total=None), want={"text"}).text)
    assert sent == {"IMAGE": 0}


def test_arrays(vitrina):
    listing = vitrina.generate(Product("Mug", b"12345"), want={"embedding", "condition"})
    assert (listing.embedding.dtype, listing.embedding.shape) == (np.float32, (24,))
    assert listing.condition.shape == (7, 24)
    assert listing.text is None
    # The stand-in turns its ramp by the lengths of title and image.
    assert listing.embedding.argmin() == len("Mug") + 5


def test_a_condition_goes_back_in(vitrina):
    condition = vitrina.generate(Product("Mug"), want={"condition"}).condition
    listing = vitrina.generate(Product("Mug"), condition=condition, task="ad")
    assert json.loads(listing.text)["TASK"] == ["ad"]
    assert listing.tags[0].name == "mug"
    with vitrina.stream(Product("pieces:2"), condition=condition) as stream:
        assert [piece.text for piece in stream] == ["词0 ", "词1 "]


def test_many_products_embed_as_each_alone(vitrina):
    products = [Product("x" * place, b"y" * place if place % 2 else None) for place in range(1, 20)]
    together = vitrina.embed(products)
    assert together.shape == (19, 24)
    assert np.array_equal(together, np.stack([vitrina.embed(product) for product in products]))
    assert vitrina.embed([]).shape == (0, 24)


def test_a_large_picture_travels(vitrina):
    sent = json.loads(vitrina.generate(Product("Mug", b"x" * 20_000_000), want={"text"}).text)
    assert sent["IMAGE"] == 20_000_000


def test_a_stream_comes_in_pieces_the_last_of_which_says_why(vitrina):
    with vitrina.stream(Product("pieces:3")) as stream:
        pieces = list(stream)
        assert stream.tags == (("mug", 0.75), ("cup", 0.25))
    assert [(piece.text, piece.finish_reason) for piece in pieces] == [
        ("词0 ", None),
        ("词1 ", None),
        ("词2 ", "length"),
    ]
    assert (pieces[-1].prompt_tokens, pieces[-1].completion_tokens) == (7, 3)


def test_a_client_serves_on_after_every_kind_of_end(vitrina):
    for title in ("fail:internal", "pieces:3", "pieces:2 break:internal", "pieces:3"):
        with vitrina.stream(Product(title)) as stream:
            try:
                texts = [piece.text for piece in stream]
            except ServerError:
                continue
            assert len(texts) == 3


@pytest.mark.parametrize("code", KINDS)
def test_each_code_is_its_exception(make, address, code):
    vitrina = make(address, retries=0)
    with pytest.raises(VitrinaError) as caught:
        vitrina.generate(Product(f"fail:{code}", b"image"))
    assert type(caught.value) is KINDS[code]
    assert (caught.value.model, caught.value.field) == ("content_image", "TITLE")
    assert caught.value.message.startswith("the title asked for it")
    with pytest.raises(VitrinaError) as caught:
        next(vitrina.stream(Product(f"refuse:{code}")))
    assert type(caught.value) is KINDS[code]
    assert (caught.value.model, caught.value.field) == ("text_decoder", "PROMPT")


def test_a_fault_in_a_step_is_a_server_error(vitrina):
    with pytest.raises(ServerError, match="RuntimeError: a fault inside the step") as caught:
        vitrina.generate(Product("raise"))
    assert caught.value.model == "content"


def test_an_error_in_mid_stream_comes_after_what_was_written(vitrina):
    stream = vitrina.stream(Product("pieces:3 break:internal"))
    assert [next(stream).text, next(stream).text] == ["词0 ", "词1 "]
    with pytest.raises(ServerError, match="in the place of the last piece"):
        next(stream)


def test_a_step_that_answers_fewer_rows_is_noticed(vitrina):
    with pytest.raises(ServerError, match="1 rows answered of 2"):
        vitrina.embed([Product("short"), Product("Mug")])


def test_bad_input_in_a_batch_names_the_products(vitrina):
    with pytest.raises(InvalidInput) as caught:
        vitrina.embed([Product("fail:invalid_input"), Product("Mug")])
    assert caught.value.__notes__ == ["in the request with products 0, 1 (counted from 0)"]


def test_a_missing_picture_is_told_before_anything_is_sent(vitrina):
    with pytest.raises(InvalidInput, match="IMAGE: cannot read"):
        vitrina.generate(Product("Mug", "no-such.jpg"))


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_model_that_the_server_lacks(stand_in, scheme):
    request = _requests.Request("content_video", {"TITLE": np.array([[b"x"]], object)}, ("TAGS",))
    with Vitrina(f"{scheme}://{getattr(stand_in, f'{scheme}_url')}") as vitrina:
        policy = vitrina.policy(None)
        with pytest.raises(ModelNotFound, match="content_video") as caught:
            vitrina._run(_steps.send(policy, _steps.Deadline("total", 5), request))
        assert isinstance(caught.value, NotReady)
        unknown = _requests.Request("content", {"TITEL": np.array([[b"x"]], object)}, ("TAGS",))
        with pytest.raises(InvalidInput, match="TITEL"):
            vitrina._run(_steps.send(policy, _steps.Deadline("total", 5), unknown))


def test_a_full_queue_is_tried_again(vitrina, journal, title):
    words = f"once:queue_full:{title}"
    assert vitrina.generate(Product(words)).finish_reason == "eos"
    assert journal.awaited(words, count=2) == ["queue_full", "finished"]


def test_a_stream_refused_by_a_full_queue_is_tried_again(vitrina, journal, title):
    words = f"pieces:2 refuse_once:queue_full:{title}"
    assert len(list(vitrina.stream(Product(words)))) == 2
    assert journal.awaited(words, "text_decoder", 2) == ["queue_full", "finished"]


def test_without_retries_a_full_queue_is_told(make, address, journal, title):
    words = f"once:queue_full:{title}"
    with pytest.raises(QueueFull):
        make(address, retries=0).generate(Product(words))
    assert journal.outcomes(words) == ["queue_full"]


def test_a_stream_is_not_tried_again_after_its_first_piece(vitrina, journal, title):
    words = f"pieces:2 break:queue_full {title}"
    stream = vitrina.stream(Product(words))
    assert next(stream).text == "词0 "
    with pytest.raises(QueueFull):
        next(stream)
    assert journal.awaited(words, "text_decoder") == ["queue_full"]


def test_no_server_is_connection_failed(make):
    forwarder = Forwarder("127.0.0.1:1")
    try:
        with pytest.raises(ConnectionFailed, match=f"content: cannot connect to {forwarder.address}") as caught:
            make(forwarder.address, retries=1).generate(Product("Mug"))
        assert caught.value.safe_to_retry
        assert caught.value.__cause__ is not None
    finally:
        forwarder.close()


def test_a_server_that_comes_up_meanwhile_is_found(make, address, monkeypatch):
    forwarder = Forwarder(address)
    pauses = []
    grow = _steps.random.uniform

    def uniform(low, high):
        pauses.append(low)
        if len(pauses) == 2:
            forwarder.open()
        return grow(low, high)

    monkeypatch.setattr(_steps.random, "uniform", uniform)
    try:
        assert make(forwarder.address, retries=6).generate(Product("Mug")).finish_reason == "eos"
        assert forwarder.connections == 1
        assert len(pauses) >= 2
    finally:
        forwarder.close()


def test_a_connection_that_breaks_is_told_and_not_tried_again(make, address, journal, title):
    forwarder = Forwarder(address)
    forwarder.open()
    words = f"wait:1 {title}"
    try:
        vitrina = make(forwarder.address, retries=3)
        vitrina.status()
        with (
            journal.once_begun(words, "stand_in", forwarder.cut),
            pytest.raises(ConnectionFailed, match="broke") as caught,
        ):
            vitrina.generate(Product(words))
        assert not caught.value.safe_to_retry
        assert journal.awaited(words) == ["finished"]
    finally:
        forwarder.close()


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_threads_share_one_client(stand_in, scheme):
    def calls(number: int) -> bool:
        title = "x" * number
        embedding = vitrina.embed(Product(title))
        text = [piece.text for piece in vitrina.stream(Product(f"pieces:{number} every:0.01"))]
        return embedding.argmin() == number and len(text) == number

    with Vitrina(f"{scheme}://{getattr(stand_in, f'{scheme}_url')}") as vitrina, ThreadPoolExecutor(12) as pool:
        assert all(pool.map(calls, [*range(1, 13)] * 3))

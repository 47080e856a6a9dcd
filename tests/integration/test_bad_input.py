"""Bad input through the real server: a typed error that names the field and the limit, or the right result.

Every bad request is sent amid good ones that wait in the same queue, and those must come out as they do alone.
"""

from __future__ import annotations

import json
import queue
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from PIL import ExifTags, Image
from tritonclient.utils import InferenceServerException

SAMPLES = Path(__file__).parents[2] / "samples"
PRODUCTS = [
    (product["title"].encode(), (SAMPLES / product["image"]).read_bytes())
    for product in json.loads((SAMPLES / "products.json").read_text("utf-8"))
]
TITLE, PHOTO = PRODUCTS[0]
KINDS = {"O": "BYTES", "i4": "INT32", "i8": "INT64", "f4": "FP32", "f8": "FP64", "u1": "UINT8"}
GREEDY = {"MAX_TOKENS": np.array([[8]], np.int32), "TEMPERATURE": np.array([[0.0]], np.float32)}


def text(*rows: bytes) -> np.ndarray:
    return np.array([[row] for row in rows], object)


@dataclass
class Caller:
    """One protocol's client of the served bundle."""

    module: object
    client: object

    def tensors(self, inputs: dict[str, np.ndarray]) -> list:
        made = []
        for name, array in inputs.items():
            kind = KINDS["O" if array.dtype == object else array.dtype.str[1:]]
            made.append(self.module.InferInput(name, list(array.shape), kind))
            made[-1].set_data_from_numpy(array)
        return made

    def __call__(self, model: str, inputs: dict[str, np.ndarray], *outputs: str) -> list[np.ndarray]:
        wanted = [self.module.InferRequestedOutput(name) for name in outputs]
        answer = self.client.infer(model, self.tensors(inputs), outputs=wanted)
        return [answer.as_numpy(name) for name in outputs]

    def refusal(self, model: str, inputs: dict[str, np.ndarray], output: str) -> str:
        """The message of the error, whose status must say that the request is at fault."""
        with pytest.raises(InferenceServerException) as caught:
            self(model, inputs, output)
        assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400"), caught.value
        return caught.value.message()


@pytest.fixture(params=["grpc", "http"])
def call(request, server):
    module = {"grpc": triton_grpc, "http": triton_http}[request.param]
    client = module.InferenceServerClient(getattr(server, f"{request.param}_url"), **_patience(request.param))
    yield Caller(module, client)
    client.close()


def _patience(protocol: str) -> dict:
    return {"connection_timeout": 120.0, "network_timeout": 120.0} if protocol == "http" else {}


@pytest.fixture
def grpc(server):
    with triton_grpc.InferenceServerClient(server.grpc_url) as client:
        yield Caller(triton_grpc, client)


def together(caller: Caller, model: str, requests: list[dict[str, np.ndarray]], *outputs: str) -> list:
    """Sends all at once, then waits: for each request its outputs or its error."""
    answers: list = [None] * len(requests)
    done: queue.SimpleQueue = queue.SimpleQueue()
    wanted = [triton_grpc.InferRequestedOutput(name) for name in outputs]
    for number, inputs in enumerate(requests):
        caller.client.async_infer(
            model,
            caller.tensors(inputs),
            lambda result, error, number=number: done.put((number, result, error)),
            outputs=wanted,
        )
    for _ in requests:
        number, result, error = done.get(timeout=120)
        answers[number] = error or [result.as_numpy(name) for name in outputs]
    return answers


# --- the pictures ----------------------------------------------------------------------------------------------------


def encode(picture: Image.Image, format: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int, rows: int) -> bytes:
    """A grey PNG that claims `height` rows and holds `rows`."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress((b"\0" + b"\x80" * width) * rows)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def turned() -> bytes:
    """The photo as a camera on its side stores it, with the tag that says so."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return encode(Image.open(BytesIO(PHOTO)).transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)


def sixteen_bit() -> bytes:
    grey = np.asarray(Image.open(BytesIO(PHOTO)).convert("L")).astype(np.uint16) * 257
    return encode(Image.fromarray(grey), "PNG")


def blue(side: int) -> bytes:
    return encode(Image.new("RGB", (side, side), (9, 99, 200)), "PNG")


COLOUR = Image.open(BytesIO(PHOTO)).convert("RGB")
#: Unusual picture → a plain one that must give the same embedding, and how far it may be from it (cosine).
UNUSUAL = {
    "exif-rotated": (turned(), encode(COLOUR, "PNG"), 1e-4),
    "animated": (encode(COLOUR, "WEBP", save_all=True, append_images=[COLOUR.rotate(180)], lossless=True), PHOTO, 0.02),
    "cmyk": (encode(COLOUR.convert("CMYK"), "JPEG", quality=95), PHOTO, 0.05),
    "16-bit": (sixteen_bit(), encode(COLOUR.convert("L"), "PNG"), 1e-4),
    "alpha": (encode(COLOUR.convert("RGBA"), "PNG"), encode(COLOUR, "PNG"), 1e-4),
    "1x1": (blue(1), blue(224), 1e-4),
}  # fmt: skip

BAD_PICTURES = {
    "zero bytes": (
        b"",
        "vitrina/invalid_input IMAGE: is empty (0 bytes); send JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF",
    ),
    "truncated": (PHOTO[:20_000], "vitrina/invalid_input IMAGE: is a broken JPEG file: image file is truncated"),
    "not a picture": (
        b"%PDF-1.7 ...",
        "vitrina/invalid_input IMAGE: is a PDF file; send JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF",
    ),
    "truncated bmp": (encode(COLOUR, "BMP")[:-999], "vitrina/invalid_input IMAGE: is a broken BMP file: image file is"),
    "bomb": (png(20_000, 20_000, 1), "vitrina/too_large IMAGE: 20,000 x 20,000 pixels (400.0 megapixels), the limit"),
    "png that claims more": (png(640, 480, 10), "vitrina/invalid_input IMAGE: is a broken PNG file: claims 640 x 480"),
    "too many bytes": (PHOTO + bytes(33 * 2**20), "vitrina/too_large IMAGE: 34,6"),
}

BAD_TITLES = {
    "100 kB": (b"a" * 100_000, "vitrina/too_large TITLE: 100,000 bytes of text, the limit is 8,192 bytes"),
    "not utf-8": (b"caf\xe9", "vitrina/invalid_input TITLE: is not UTF-8: byte 0xe9 at offset 3"),
}

#: Title → the same title as a person would type it.
UNUSUAL_TITLES = {
    "empty": ("", "   "),
    "control characters": ("red\x00 mug\x07", "red mug"),
    "bidi override": ("\u202ered mug\u202c", "red mug"),
    "emoji": ("☕ mug 👩‍👩‍👧", "☕  mug 👩‍👩‍👧"),
    "right to left": ("كوب قهوة أحمر", " كوب قهوة أحمر\n"),
    "chinese": ("红色陶瓷咖啡杯", "红色陶瓷咖啡杯\u3000"),
    "8 kB": ("mug " * 2_000, "mug " * 200),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_pictures_come_out_right(call, name: str) -> None:
    unusual, plain, distance = UNUSUAL[name]
    (seen,) = call("content_image", {"TITLE": text(b""), "IMAGE": text(unusual)}, "EMBEDDING")
    (meant,) = call("content_image", {"TITLE": text(b""), "IMAGE": text(plain)}, "EMBEDDING")
    assert 1 - float(seen[0] @ meant[0]) < distance


@pytest.mark.parametrize("name", UNUSUAL_TITLES)
def test_unusual_titles_come_out_right(call, name: str) -> None:
    unusual, plain = UNUSUAL_TITLES[name]
    (seen,) = call("content", {"TITLE": text(unusual.encode())}, "EMBEDDING")
    (meant,) = call("content", {"TITLE": text(plain.encode())}, "EMBEDDING")
    np.testing.assert_allclose(seen, meant, atol=1e-4)
    assert np.linalg.norm(seen) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_bad_pictures_are_refused(call, name: str) -> None:
    picture, said = BAD_PICTURES[name]
    assert said in call.refusal("content_image", {"TITLE": text(TITLE), "IMAGE": text(picture)}, "EMBEDDING")


@pytest.mark.parametrize("name", BAD_TITLES)
def test_bad_titles_are_refused(call, name: str) -> None:
    title, said = BAD_TITLES[name]
    assert said in call.refusal("content", {"TITLE": text(title)}, "EMBEDDING")
    assert said in call.refusal("content_image", {"TITLE": text(title), "IMAGE": text(PHOTO)}, "TEXT")


def test_an_error_of_one_row_names_the_row(call) -> None:
    pictures = text(PHOTO, BAD_PICTURES["truncated"][0])
    said = call.refusal("content_image", {"TITLE": text(TITLE, TITLE), "IMAGE": pictures}, "EMBEDDING")
    assert "vitrina/invalid_input IMAGE: row 1 of 2: is a broken JPEG file" in said


# --- beside good requests --------------------------------------------------------------------------------------------


def test_bad_pictures_leave_those_beside_them_unharmed(grpc) -> None:
    alone = [grpc("content_image", {"TITLE": text(t), "IMAGE": text(p)}, "EMBEDDING", "CONDITION") for t, p in PRODUCTS]
    # The first pictures are slow to read, so that the others wait behind them.
    slow = encode(COLOUR.resize((3000, 3000)), "PNG", compress_level=1)
    requests, meant = [{"TITLE": text(b""), "IMAGE": text(slow)}] * 3, [None] * 3
    small = {name: bad for name, bad in BAD_PICTURES.items() if len(bad[0]) < 2**20}
    for number, (picture, said) in enumerate(small.values()):
        title, photo = PRODUCTS[number % len(PRODUCTS)]
        requests += [{"TITLE": text(title), "IMAGE": text(photo)}, {"TITLE": text(title), "IMAGE": text(picture)}]
        meant += [alone[number % len(PRODUCTS)], said]
    answers = together(grpc, "content_image", requests, "EMBEDDING", "CONDITION")
    for answer, expected in zip(answers, meant, strict=True):
        if isinstance(expected, str):
            assert isinstance(answer, InferenceServerException), answer
            assert expected in answer.message()
        elif expected is not None:
            np.testing.assert_allclose(answer[0], expected[0], atol=1e-4)
            np.testing.assert_allclose(answer[1], expected[1], atol=1e-3)


def test_bad_titles_leave_those_beside_them_unharmed(grpc) -> None:
    good = [title for title, _ in PRODUCTS]
    alone = [grpc("content", {"TITLE": text(title)}, "EMBEDDING")[0] for title in good]
    bad = [title for title, _ in BAD_TITLES.values()]
    requests = [{"TITLE": text(title)} for _ in range(8) for title in (*good, *bad)]
    answers = together(grpc, "content", requests, "EMBEDDING")
    for number, answer in enumerate(answers):
        place = number % (len(good) + len(bad))
        if place < len(good):
            np.testing.assert_allclose(answer[0], alone[place], atol=1e-4)
        else:
            assert list(BAD_TITLES.values())[place - len(good)][1] in answer.message()


def test_a_storm_of_bad_requests_leaves_the_server_standing(grpc) -> None:
    """Errors at every moment of a request's life: what a step's failure beside another step did to Triton 24.10."""
    small = [picture for picture, _ in BAD_PICTURES.values() if len(picture) < 2**15]
    pictures, titles = [PHOTO, *small], [TITLE, b"caf\xe9", b"", b"mug"]
    requests = [
        {"TITLE": text(titles[number % len(titles)]), "IMAGE": text(pictures[number % len(pictures)])}
        for number in range(100)
    ]
    for _ in range(8):
        answers = together(grpc, "content_image", requests, "EMBEDDING")
        for inputs, answer in zip(requests, answers, strict=True):
            bad = inputs["TITLE"].item() == b"caf\xe9" or inputs["IMAGE"].item() != PHOTO
            assert isinstance(answer, InferenceServerException) == bad, answer
            assert not bad or "vitrina/" in answer.message()
    assert grpc.client.is_server_ready()


def of(value: object, dtype: type) -> np.ndarray:
    return np.array([[value]], dtype)


#: What the prompt and the sampling can get wrong → what is said of it.
BAD_FIELDS = {
    "max_tokens 0": ({"MAX_TOKENS": of(0, np.int32)}, "vitrina/invalid_input MAX_TOKENS: "),
    "max_tokens negative": ({"MAX_TOKENS": of(-5, np.int32)}, "vitrina/invalid_input MAX_TOKENS: "),
    "max_characters 0": ({"MAX_CHARACTERS": of(0, np.int32)}, "vitrina/invalid_input MAX_CHARACTERS: "),
    "too many banned words": (
        {"BANNED_WORDS": np.full((1, 501), b"x", object)},
        "vitrina/too_large BANNED_WORDS: ",
    ),
    "banned words no utf-8": ({"BANNED_WORDS": np.array([[b"\xff"]], object)}, "vitrina/invalid_input BANNED_WORDS: "),
    "max_tokens huge": ({"MAX_TOKENS": of(2**31 - 1, np.int32)}, "vitrina/too_large MAX_TOKENS: "),
    "temperature nan": ({"TEMPERATURE": of(np.nan, np.float32)}, "vitrina/invalid_input TEMPERATURE: "),
    "temperature infinite": ({"TEMPERATURE": of(np.inf, np.float32)}, "vitrina/invalid_input TEMPERATURE: "),
    "temperature negative": ({"TEMPERATURE": of(-1, np.float32)}, "vitrina/invalid_input TEMPERATURE: "),
    "top_p 0": ({"TOP_P": of(0, np.float32)}, "vitrina/invalid_input TOP_P: "),
    "top_k negative": ({"TOP_K": of(-1, np.int32)}, "vitrina/invalid_input TOP_K: "),
    "repetition penalty nan": ({"REPETITION_PENALTY": of(np.nan, np.float32)}, "vitrina/invalid_input REPETITION_PEN"),
    "seed negative": ({"SEED": of(-1, np.int64)}, "vitrina/invalid_input SEED: "),
    "unknown task": ({"TASK": text(b"descripton")}, "vitrina/invalid_input TASK: 'descripton' is unknown; did"),
    "unknown language": ({"LANGUAGE": text(b"de")}, "vitrina/invalid_input LANGUAGE: 'de' is not a language"),
    "unknown tone": ({"TONE": text(b"plaful")}, "vitrina/invalid_input TONE: 'plaful' is unknown; did you mean 'playf"),
    "no question": ({"TASK": text(b"question")}, "vitrina/invalid_input QUESTION: is missing or empty"),
    "no history": ({"TASK": text(b"reply")}, "vitrina/invalid_input HISTORY: is missing or empty"),
    "history no json": ({"HISTORY": text(b"{")}, "vitrina/invalid_input HISTORY: is not JSON"),
    "attributes a list": ({"ATTRIBUTES": text(b"[]")}, "vitrina/invalid_input ATTRIBUTES: is a JSON list"),
    "question too long": ({"QUESTION": text(b"a" * 2_000)}, "vitrina/too_large QUESTION: 2,000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_bad_fields_are_refused(call, name: str) -> None:
    fields, said = BAD_FIELDS[name]
    assert said in call.refusal("content", {"TITLE": text(TITLE), **GREEDY, **fields}, "TEXT")


def test_bad_fields_leave_the_texts_beside_them_unharmed(grpc) -> None:
    alone = [grpc("content", {"TITLE": text(title), **GREEDY}, "TEXT")[0] for title, _ in PRODUCTS]
    requests, meant = [], []
    for number, (fields, said) in enumerate(BAD_FIELDS.values()):
        title = PRODUCTS[number % len(PRODUCTS)][0]
        requests += [{"TITLE": text(title), **GREEDY}, {"TITLE": text(title), **GREEDY, **fields}]
        meant += [alone[number % len(PRODUCTS)], said]
    for answer, expected in zip(together(grpc, "content", requests, "TEXT"), meant, strict=True):
        if isinstance(expected, str):
            assert isinstance(answer, InferenceServerException), answer
            assert expected in answer.message()
        else:
            assert answer[0] == expected


@pytest.mark.parametrize("name", ["temperature nan", "max_tokens 0", "unknown task", "no question"])
def test_a_stream_ends_in_the_typed_error(grpc, name: str) -> None:
    fields, said = BAD_FIELDS[name]
    (condition,) = grpc("content", {"TITLE": text(TITLE)}, "CONDITION")
    answers: queue.SimpleQueue = queue.SimpleQueue()
    grpc.client.start_stream(lambda result, error: answers.put(error))
    inputs = {"TITLE": text(TITLE), "CONDITION": condition, **GREEDY, **fields}
    grpc.client.async_stream_infer("text_stream", grpc.tensors(inputs))
    error = answers.get(timeout=60)
    grpc.client.stop_stream()
    assert said in error.message()


# --- more than the server can take -----------------------------------------------------------------------------------


def test_a_full_queue_refuses_at_once_and_the_server_lives_on(grpc) -> None:
    product = {"TITLE": text(TITLE), "IMAGE": text(PHOTO)}
    (alone,) = grpc("content_image", product, "EMBEDDING")
    answers = together(grpc, "content_image", [product] * 700, "EMBEDDING")
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert 0 < len(refused) < 444
    for error in refused:
        assert error.status() == "StatusCode.UNAVAILABLE"
        assert "vitrina/queue_full -: 256 requests wait already" in error.message()
    for answer in answers:
        if not isinstance(answer, Exception):
            np.testing.assert_allclose(answer[0], alone, atol=1e-4)
    (after,) = grpc("content_image", product, "EMBEDDING")
    np.testing.assert_allclose(after, alone, atol=1e-4)


def test_a_request_that_waits_longer_than_its_timeout_is_refused(grpc) -> None:
    product = {"TITLE": text(TITLE), "IMAGE": text(PHOTO)}
    done: queue.SimpleQueue = queue.SimpleQueue()
    wanted = [triton_grpc.InferRequestedOutput("EMBEDDING")]
    for number in range(120):
        limit = 20_000 if number % 2 else None  # microseconds
        grpc.client.async_infer(
            "content_image",
            grpc.tensors(product),
            lambda result, error, limit=limit: done.put((limit, error)),
            outputs=wanted,
            timeout=limit,
        )
    answers = [done.get(timeout=120) for _ in range(120)]
    assert not [error for limit, error in answers if limit is None and error]
    late = [error for limit, error in answers if limit and error]
    assert late
    assert all("vitrina/deadline_exceeded" in error.message() for error in late)


# --- wrong tensors, which Triton itself refuses ----------------------------------------------------------------------

WRONG_TENSORS = {
    "unknown name": ({"TITEL": text(TITLE)}, "TITEL"),
    "nothing": ({}, "'content'"),
    # The core counts inputs, and an optional one in TITLE's place satisfies the count: refused, but not by name.
    "another in its place": ({"TASK": text(b"ad")}, "'content'"),
    "dtype": ({"TITLE": of(5, np.int32)}, "TITLE"),
    "dtype of a number": ({"TITLE": text(TITLE), "MAX_TOKENS": of(5, np.int64)}, "MAX_TOKENS"),
    "rank": ({"TITLE": np.array([TITLE], object)}, "TITLE"),
    "rank of a number": ({"TITLE": text(TITLE), "TEMPERATURE": np.array([0.5], np.float32)}, "TEMPERATURE"),
    "two values a row": ({"TITLE": np.array([[TITLE, TITLE]], object)}, "TITLE"),
    "batch over the limit": ({"TITLE": text(*[TITLE] * 9)}, "batch-size"),
    "batch sizes that differ": ({"TITLE": text(TITLE, TITLE), "TASK": text(b"ad")}, "'content'"),
}


@pytest.mark.parametrize("name", WRONG_TENSORS)
def test_wrong_tensors_are_refused_by_name(call, name: str) -> None:
    inputs, said = WRONG_TENSORS[name]
    assert said in call.refusal("content", inputs, "TEXT")


def test_an_unknown_output_is_refused_by_name(call) -> None:
    assert "EMBEDING" in call.refusal("content", {"TITLE": text(TITLE)}, "EMBEDING")

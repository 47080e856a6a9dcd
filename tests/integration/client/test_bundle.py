"""The client against the whole bundle: its networks' answers, its stages' errors, its decoder's places."""

import asyncio
import re
import shutil
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from vitrina_client import (
    AsyncVitrina,
    DeadlineExceeded,
    InvalidInput,
    Product,
    Sampling,
    Timeout,
    Vitrina,
    VitrinaError,
)
from vitrina_client._types import OUTPUTS

from graph.assembly import load
from tests.integration.client.stand_in.faces import FACES

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
CUP = Product("Espresso cup and saucer, terracotta red", SAMPLES / "espresso-cup.jpg")
GREEDY = Sampling(max_tokens=16, temperature=0)


@pytest.fixture
def address(face, server) -> str:
    return getattr(server, f"{FACES[face][0]}_url")


def active(server) -> float:
    """Places of the decoder that are taken, by its own account."""
    with urllib.request.urlopen(f"http://{server.metrics_url}/metrics", timeout=10) as answer:
        found = re.findall(r"^vitrina_decoder_active\S* (\S+)$", answer.read().decode(), re.MULTILINE)
    return sum(map(float, found))


def test_everything_at_once_and_from_its_condition(vitrina):
    whole = vitrina.generate(CUP, want={"text", "tags", "embedding", "condition"}, sampling=GREEDY)
    assert whole.text.strip()
    assert whole.finish_reason in ("eos", "length")
    assert 0 < whole.completion_tokens <= 16
    assert whole.tags
    assert np.linalg.norm(whole.embedding) == pytest.approx(1, abs=1e-4)
    again = vitrina.generate(Product(CUP.title), condition=whole.condition, sampling=GREEDY)
    assert (again.text, again.tags) == (whole.text, whole.tags)


def test_the_stream_is_the_text(vitrina):
    whole = vitrina.generate(CUP, want={"text", "tags"}, sampling=GREEDY)
    with vitrina.stream(CUP, sampling=GREEDY) as stream:
        pieces = list(stream)
        assert stream.tags == whole.tags
    written = "".join(piece.text for piece in pieces).strip()
    assert written == whole.text or whole.edits
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    last = pieces[-1]
    assert (last.finish_reason, last.completion_tokens) == (whole.finish_reason, whole.completion_tokens)
    assert last.prompt_tokens == whole.prompt_tokens


def test_every_sentence_names_the_facts_that_it_rests_on_and_every_attribute_is_told(vitrina):
    facts = {"material": "solid oak", "height": "182 cm", "shelves": "5", "weight (kg)": "41"}
    case = Product("Aldous oak bookcase, 80 cm high", attributes=facts)
    listing = vitrina.generate(case, want={"text"}, task="description", sampling=Sampling(temperature=0.0))
    numbers = {fact.number: fact for fact in listing.evidence.facts}
    assert [numbers[n].source for n in range(1, 6)] == ["title", *["attribute"] * 4]
    assert "".join(s.text for s in listing.evidence.sentences).replace(" ", "") == listing.text.replace(" ", "")
    told = {number for sentence in listing.evidence.sentences for number in sentence.facts}
    assert told >= set(range(1, 6))
    assert all(value in listing.text for value in ("oak", "182", "41"))
    assert [conflict.facts for conflict in listing.conflicts] == [(1, 3)]


def test_a_structured_listing_is_made_of_the_facts(vitrina):
    facts = {
        "colour": "sea blue",
        "height": "9 cm",
        "warning": "hot when filled",
        "manufacturer": "Halden Oy, Espoo",
    }
    mug = Product("Halden stoneware mug, 350 ml", attributes=facts)
    made = vitrina.generate(mug, want={"listing"}, sampling=Sampling(temperature=0.0))
    listing = made.listing
    assert listing.description == made.text and listing.category.path == ("Home", "Kitchen", "Cups & Mugs")
    assert {(each.name, each.value, each.source) for each in listing.attributes} >= {
        ("colour", "sea blue", "attribute"),
        ("capacity", "350 ml", "title"),
    }
    assert [tuple(each) for each in listing.warnings] == [("warning", "hot when filled")]
    assert [tuple(each) for each in listing.makers] == [("manufacturer", "Halden Oy, Espoo")]
    shop = {"id": "1", "link": "https://shop.example/1", "image_link": "https://shop.example/1.jpg", "brand": "Halden"}
    assert not listing.check("google", **shop, mpn="1", price="9.90 EUR", availability="in_stock")
    assert "9 cm" in listing.to_shopify_csv(price="9.90")


def test_the_voice_of_the_brand_is_kept_to(vitrina):
    plain = vitrina.generate(CUP, want={"text"}, sampling=GREEDY).text
    word = max(plain.replace(".", " ").split(), key=len)
    assert word not in vitrina.generate(CUP, want={"text"}, sampling=GREEDY, brand={"never": [word]}).text
    with pytest.raises(InvalidInput, match="BRAND"):
        vitrina.generate(CUP, want={"text"}, brand={"tone": "warm"})


def test_how_much_copy_may_claim_is_asked_for(vitrina):
    with pytest.raises(InvalidInput, match="CLAIMS"):
        vitrina.generate(CUP, want={"text"}, claims="lax")
    texts = {
        level: vitrina.generate(CUP, want={"text"}, claims=level, sampling=GREEDY).text for level in ("strict", "free")
    }
    assert all(texts.values())


def test_a_stream_is_held_to_the_facts_sentence_by_sentence(vitrina):
    """What the whole text has stated behind it, the stream has too, and no sentence comes in two pieces."""
    facts = {"net weight": "100 g", "cocoa": "35%", "allergens": "milk, hazelnuts, soya"}
    bar = Product("Hazelnut milk chocolate bar", attributes=facts)
    pieces = [piece.text for piece in vitrina.stream(bar, task="description", sampling=Sampling(temperature=0.0))]
    assert "".join(pieces).endswith("Allergens: milk, hazelnuts, soya.")
    assert all(piece.rstrip().endswith((".", "!", "?")) for piece in pieces if piece)
    assert not re.search(r"allerg(?!ens: )|free from|contains no", "".join(pieces), re.IGNORECASE)


def test_embeddings_of_many_are_those_of_each(vitrina):
    products = [CUP, Product("Bunch of ten pink tulips"), Product("", SAMPLES / "tulips.jpg"), Product("Tulips")] * 3
    together = vitrina.embed(products)
    alone = np.stack([vitrina.embed(product) for product in products[:4]])
    np.testing.assert_allclose(together, np.tile(alone, (3, 1)), atol=1e-4)
    tulips, cup = together[1] @ together[3], together[1] @ together[0]
    assert tulips > cup


@pytest.mark.parametrize(
    ("product", "options", "field"),
    [
        (Product("Mug", b"no picture"), {}, "IMAGE"),
        (Product("Mug", b""), {}, "IMAGE"),
        (Product("x" * 100_000), {}, "TITLE"),
        (Product("Mug"), {"task": "sing"}, "TASK"),
        (Product("Mug"), {"language": "tlh"}, "LANGUAGE"),
        (Product("Mug"), {"sampling": Sampling(max_tokens=0)}, "MAX_TOKENS"),
        (Product("Mug"), {"sampling": Sampling(max_tokens=-1)}, "MAX_TOKENS"),
        (Product("Mug"), {"sampling": Sampling(temperature=float("nan"))}, "TEMPERATURE"),
    ],
)
def test_what_the_stages_refuse_names_its_field(vitrina, product, options, field):
    for call in (lambda: vitrina.generate(product, **options), lambda: next(vitrina.stream(product, **options))):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == field


def test_a_stream_that_is_left_frees_its_place(vitrina, server):
    with vitrina.stream(CUP, sampling=Sampling(max_tokens=400, temperature=0.8, seed=1)) as stream:
        next(stream)
    end = time.monotonic() + 20
    while active(server) > 0:
        assert time.monotonic() < end, "the decoder goes on for a caller that has left"
        time.sleep(0.1)


def test_total_ends_the_decoders_work(vitrina, server):
    with pytest.raises(DeadlineExceeded):
        # At this temperature hardly any text ends by itself.
        vitrina.generate(CUP, sampling=Sampling(max_tokens=400, temperature=2.0, seed=1), timeout=Timeout(total=0.6))
    end = time.monotonic() + 20
    while active(server) > 0:
        assert time.monotonic() < end, "the decoder goes on after TIMEOUT_MS"
        time.sleep(0.1)


def too_soon(number: int) -> Timeout:
    """A limit that ends while the request is read or encoded, at another place for each number."""
    return Timeout(total=0.01 + 0.005 * (number % 10))


def test_deadlines_that_pass_and_clients_that_close_end_nobody_elses_requests(server):
    # Had the calls been cancelled, tritonserver would die of it (triton-inference-server/core#483).
    def hurried(number: int) -> bool:
        with Vitrina(server.grpc_url) as vitrina:
            try:
                vitrina.embed(CUP, timeout=too_soon(number))
            except DeadlineExceeded:
                return True
        return False

    with Vitrina(server.grpc_url) as patient, ThreadPoolExecutor(8) as pool:
        alone = patient.embed(CUP)
        assert sum(pool.map(hurried, range(200))) > 100
        np.testing.assert_allclose(patient.embed(CUP), alone, atol=1e-4)


async def test_tasks_that_are_cancelled_end_nobody_elses_requests(server):
    async with AsyncVitrina(server.grpc_url) as vitrina:
        alone = await vitrina.embed(CUP)
        for number in range(40):
            tasks = [asyncio.create_task(vitrina.embed(CUP, timeout=too_soon(number))) for _ in range(4)]
            await asyncio.sleep(0.03)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        np.testing.assert_allclose(await vitrina.embed(CUP), alone, atol=1e-4)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_the_readmes_code_runs(server, scheme, tmp_path, monkeypatch, capsys):
    readme = (SAMPLES.parent / "client" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    shutil.copy(SAMPLES / "espresso-cup.jpg", tmp_path / "mug.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("grpc://localhost:8001", f"{scheme}://{getattr(server, f'{scheme}_url')}"), {})
    printed = capsys.readouterr().out
    assert f"({load().facts['fusion']['width']},)" in printed
    assert printed.endswith("True\n")


def test_every_output_comes_as_it_is_ready_and_is_what_it_says(vitrina):
    results = {result.output: result for result in vitrina.iter_results(CUP, OUTPUTS, sampling=GREEDY)}
    assert results.keys() == set(OUTPUTS) and not [result.error for result in results.values() if result.error]
    order = list(results)
    assert order.index("text") < order.index("speech") < order.index("post")
    text = results["text"].value
    assert text.text.strip() and text.tags and text.edits is not None
    magic = {
        "image": (results["image"].value, b"\x89PNG"),
        "studio": (results["studio"].value.image, b"\xff\xd8"),
        "speech": (results["speech"].value.audio, b"RIFF"),
    }
    assert all(data.startswith(head) for data, head in magic.values())
    for film in (results["video"].value, results["post"].value.video):
        assert film[4:8] == b"ftyp"
    seconds = [result.seconds for result in results.values()]
    assert seconds == sorted(seconds)


async def test_what_has_no_photo_fails_alone(server):
    async with AsyncVitrina(f"grpc://{server.grpc_url}") as vitrina:
        lamp = Product("Desk lamp")
        results = {r.output: r async for r in vitrina.iter_results(lamp, {"text", "studio", "post"}, sampling=GREEDY)}
    assert results["text"].error is None and "lamp" in results["text"].value.text.lower()
    for output in ("studio", "post"):
        error = results[output].error
        assert isinstance(error, InvalidInput) and error.field == "IMAGE" and results[output].value is None


def test_left_early_the_rest_is_not_begun(vitrina):
    for result in vitrina.iter_results(CUP, {"text", "post"}, sampling=GREEDY):
        assert result.output == "text"
        break
    assert vitrina.generate(CUP, sampling=GREEDY).text.strip()


@pytest.mark.parametrize("scheme", ["grpc", "http"])
async def test_many_at_once_get_their_own_answers(server, scheme):
    titles = ["Red sneakers", "Cordless drill", "Floor lamp", "Sofa", "Teapot"]
    async with AsyncVitrina(f"{scheme}://{getattr(server, f'{scheme}_url')}") as vitrina:

        async def both(title: str) -> tuple[str, str]:
            streamed = [piece.text async for piece in vitrina.stream(Product(title), sampling=GREEDY)]
            whole = await vitrina.generate(Product(title), want={"text"}, sampling=GREEDY)
            return "".join(streamed), whole.text

        alone = {title: await both(title) for title in titles}
        together = await asyncio.gather(*(both(title) for title in titles * 3), return_exceptions=True)
    assert not [each for each in together if isinstance(each, VitrinaError)]
    assert together == [alone[title] for title in titles * 3]
    # A stream is not cut; whole, a sentence that the limit cut off is taken out.
    assert all(whole and streamed.strip().startswith(whole) for streamed, whole in alone.values())

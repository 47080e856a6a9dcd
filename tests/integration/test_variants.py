"""Ad creatives of the served bundle: several, different, about the product."""

import pytest
from vitrina_client import AsyncVitrina, Blocked, InvalidInput, Product, Sampling, Vitrina, _command

MUG = Product("Enamel mug, 350 ml, blue")


@pytest.fixture(params=["grpc", "http"])
def vitrina(request, server):
    with Vitrina(f"{request.param}://{getattr(server, f'{request.param}_url')}") as client:
        yield client


def test_as_many_as_asked_for_all_different_and_the_same_again_for_a_seed(vitrina):
    made = vitrina.variants(MUG, 3, sampling=Sampling(seed=5, max_tokens=24))
    texts = [each.text for each in made.listings]
    assert len(set(texts)) == 3 and all(texts) and made.written == 6 and made.diversity > 0.1
    assert "mug" in texts[0].lower()
    assert [each.text for each in vitrina.variants(MUG, 3, sampling=Sampling(seed=5, max_tokens=24)).listings] == texts
    alone = vitrina.variants(MUG, 1, sampling=Sampling(seed=5, max_tokens=8))
    assert (len(alone.listings), alone.diversity) == (1, 0.0)


def test_more_than_one_request_holds(vitrina):
    made = vitrina.variants(MUG, 6, task="description", sampling=Sampling(seed=1, max_tokens=12))
    assert 4 <= len(made.listings) <= 6 and made.written == 12


def test_greedy_ones_are_one(vitrina):
    assert len(vitrina.variants(MUG, 4, sampling=Sampling(temperature=0.0, max_tokens=12)).listings) == 1


def test_what_cannot_be_is_refused(vitrina):
    for count in (0, 9, 2.5):
        with pytest.raises(InvalidInput, match="expected 1 to 8") as caught:
            vitrina.variants(MUG, count)
        assert caught.value.field == "count"
    with pytest.raises(InvalidInput) as caught:
        vitrina.variants(MUG, 2, task="poem")
    assert caught.value.field == "TASK"
    with pytest.raises(Blocked):
        vitrina.variants(Product("AK-47 rifle with scope"), 2)


async def test_asynchronously_and_from_a_shell(server, capsys):
    url = f"grpc://{server.grpc_url}"
    async with AsyncVitrina(url) as vitrina:
        made = await vitrina.variants(MUG, 2, sampling=Sampling(seed=7))
    assert _command.main(["variants", "--url", url, "--title", MUG.title, "--count", "2", "--seed", "7"]) == 0
    shown = capsys.readouterr()
    assert [text for text in shown.out.split("\n\n") if text] == [each.text for each in made.listings]
    assert "chosen of 4" in shown.err

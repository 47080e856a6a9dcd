"""Recommendations on the served bundle: from what a shopper did to products, and what is refused."""

import asyncio
import json

import numpy as np
import pytest
from vitrina_client import AsyncVitrina, InvalidInput, TooLarge, Vitrina, VitrinaError, _command

from stages.history import ItemIndex


@pytest.fixture(scope="module")
def index(bundle) -> ItemIndex:
    from graph.configs import MODELS_ROOT

    return ItemIndex.load(MODELS_ROOT / "recommender" / "1" / "items.npz")


@pytest.fixture(params=["grpc", "http"])
def vitrina(request, server):
    with Vitrina(f"{request.param}://{getattr(server, f'{request.param}_url')}") as client:
        yield client


def seen(index, *words, event="click"):
    """Events on products of whose titles one of `words` is part, the last of them the latest."""
    ids = [each for each, title in zip(index.ids, index.titles, strict=True) if set(words) & set(title.lower().split())]
    return [{"item": each, "event": event, "age_s": 60 * (len(ids) - place)} for place, each in enumerate(ids)]


def test_who_looks_at_beds_is_shown_beds_and_who_looks_at_sofas_sofas(vitrina, index):
    for words in (("bed",), ("sofa",)):
        events = seen(index, *words)[:4]
        found = vitrina.recommend(events, count=5)
        assert len(found) == 5 and events[-1]["item"] not in [each.item for each in found]
        titles = dict(zip(index.ids, index.titles, strict=True))
        assert [each.title for each in found] == [titles[each.item] for each in found]
        assert sum(bool(set(words) & set(each.title.lower().split())) for each in found) >= 3
        scores = [each.score for each in found]
        assert scores == sorted(scores, reverse=True)


def test_ten_unless_said_and_no_more_than_there_are(vitrina, index):
    events = seen(index, "bed")[:2]
    assert len(vitrina.recommend(events)) == 10
    assert len({each.item for each in vitrina.recommend(events, count=100)}) == 100


@pytest.mark.parametrize(
    ("events", "count", "field", "said"),
    [
        ([], None, "EVENTS", "holds no event"),
        (
            [{"item": "nothing like it", "event": "view", "age_s": 1}],
            None,
            "EVENTS",
            "the catalogue index does not have",
        ),
        ([{"item": "x", "event": "view", "age_s": float("nan")}], None, "EVENTS", "cannot be written as JSON"),
        ("one", 0, "COUNT", "send 1 to 100"),
        ("one", 101, "COUNT", "send 1 to 100"),
        ("one", "ten", "COUNT", "expected"),
    ],
)
def test_what_is_wrong_is_refused_by_name(vitrina, index, events, count, field, said):
    given = seen(index, "chair")[:1] if events == "one" else events
    with pytest.raises(InvalidInput, match=said) as caught:
        vitrina.recommend(given, count=count)
    assert caught.value.field == field


def test_a_history_beyond_the_limit_is_too_large(vitrina, index):
    with pytest.raises(TooLarge):
        vitrina.recommend(seen(index, "chair")[:1] * 10_000)


async def test_bad_histories_harm_none_beside_them(server, index):
    good, bad = seen(index, "table")[:3], [{"item": "?", "event": "view", "age_s": 1}]
    async with AsyncVitrina(f"grpc://{server.grpc_url}") as vitrina:
        alone = await vitrina.recommend(good)
        calls = (vitrina.recommend(bad if number % 3 == 0 else good) for number in range(30))
        together = await asyncio.gather(*calls, return_exceptions=True)
    for number, answer in enumerate(together):
        if number % 3 == 0:
            assert isinstance(answer, VitrinaError)
        else:
            assert [each.item for each in answer] == [each.item for each in alone]
            np.testing.assert_allclose([e.score for e in answer], [e.score for e in alone], atol=1e-4)


def test_the_command_prints_a_line_each_and_its_copy(server, index, tmp_path, capsys):
    (tmp_path / "events.json").write_text(json.dumps(seen(index, "chair")[:2]), encoding="utf-8")
    command = ["recommend", "--events", str(tmp_path / "events.json"), "--count", "2", "--url", server.grpc_url]
    assert _command.main(command) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2 and all(len(line) == 3 and float(line[0]) <= 1.001 for line in lines)
    assert _command.main([*command, "--copy"]) == 0
    with_copy = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in with_copy] == lines
    assert all(line[2].split()[-1].lower().rstrip("s") in line[3].lower() for line in with_copy)

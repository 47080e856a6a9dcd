"""Every scenario's sample call gives what it promises."""

import pytest
from vitrina_client import Vitrina

from samples.scenarios import SCENARIOS


@pytest.fixture(scope="module")
def vitrina(server):
    with Vitrina(f"grpc://{server.grpc_url}") as client:
        yield client


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_something(vitrina, name):
    lines = list(SCENARIOS[name](vitrina))
    assert lines and all(len(line) > 10 for line in lines), lines
    said = " ".join(lines).lower()
    words = {
        "product_page": ("cup", "studio shot"),
        "recommendation": ("you",),
        "ad_creatives": ("cup", "mean distance"),
        "question": ("350",),
        "customer_service": ("sorry",),
        "promotion": ("cup5",),
        "delivery_notice": ("cup", "blue pigeon", "bp-20417", "monday"),
        "content_check": ("allow", "flag", "block", "weapons"),
    }
    assert all(word in said for word in words.get(name, ())), lines

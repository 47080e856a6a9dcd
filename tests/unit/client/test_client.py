"""Making clients: their URLs, retries and lives."""

import pytest
from vitrina_client import AsyncVitrina, ClientClosed, Product, Timeout, Vitrina
from vitrina_client._client import parse_url


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("grpc://shop:9001", ("grpc", "shop:9001")),
        ("http://shop:9000/", ("http", "shop:9000")),
        ("shop:9001", ("grpc", "shop:9001")),
        ("shop", ("grpc", "shop:8001")),
        ("http://shop", ("http", "shop:8000")),
        ("grpc://[::1]:9001", ("grpc", "[::1]:9001")),
        ("http://[::1]", ("http", "[::1]:8000")),
    ],
)
def test_urls(url, parsed):
    assert parse_url(url) == parsed


@pytest.mark.parametrize("url", ["https://shop:1", "ftp://shop", "grpc://", "", "http://shop:http", "http://shop/a:1"])
def test_a_url_that_cannot_be_is_refused(url):
    with pytest.raises(ValueError, match="grpc://host:port or http://host:port"):
        Vitrina(url)


@pytest.mark.parametrize("retries", [-1, 1.5, True, None])
def test_retries_are_a_count(retries):
    with pytest.raises(ValueError, match="0 or more"):
        Vitrina("localhost:1", retries=retries)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_closed_client_says_so(scheme):
    with Vitrina(f"{scheme}://localhost:1", timeout=Timeout(total=1)) as vitrina:
        pass
    with pytest.raises(ClientClosed, match=rf"Vitrina\('{scheme}://localhost:1'.*was closed"):
        vitrina.generate(Product("Mug"))
    with pytest.raises(ClientClosed):
        vitrina.stream(Product("Mug"))
    vitrina.close()


async def test_a_closed_async_client_says_so():
    async with AsyncVitrina("localhost:1") as vitrina:
        pass
    with pytest.raises(ClientClosed):
        await vitrina.embed(Product("Mug"))


def test_a_misspelt_option_is_a_type_error():
    with Vitrina("localhost:1") as vitrina, pytest.raises(TypeError, match="'langauge'"):
        vitrina.generate(Product("Mug"), langauge="en")

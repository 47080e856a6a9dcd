"""One Triton with the stand-ins for all tests here, and the client's four faces on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server import Server, ServerOptions
from tests.integration.client.stand_in import build
from tests.integration.client.stand_in.faces import FACES
from tests.integration.client.stand_in.journal import Journal


@pytest.fixture(scope="package")
def journal(tmp_path_factory) -> Journal:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    path.touch()
    return Journal(path)


@pytest.fixture(scope="package")
def stand_in(journal, tmp_path_factory) -> Iterator[Server]:
    """The server; what its models do with a request is told by the request's title (see the models)."""
    options = ServerOptions(
        model_roots=[build(tmp_path_factory.mktemp("repository"))],
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        exit_timeout_s=5,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINA_TEST_JOURNAL", str(journal.path))
        with Server(options) as server:
            yield server


@pytest.fixture(params=FACES)
def face(request) -> str:
    return request.param


@pytest.fixture
def address(face, stand_in) -> str:
    """``host:port`` of the server for this face's protocol."""
    return getattr(stand_in, f"{FACES[face][0]}_url")


@pytest.fixture
def make(face) -> Iterator:
    """`make(address, **settings)` → a client with this face, closed after the test."""
    scheme, client = FACES[face]
    made = []

    def make(address: str, **settings):
        made.append(client(f"{scheme}://{address}", **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def vitrina(make, address):
    return make(address)


@pytest.fixture
def title(request) -> str:
    """A word of its own for each test, by which the journal knows the test's requests."""
    return f"[{request.node.name}]"

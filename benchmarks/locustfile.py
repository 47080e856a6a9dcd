"""Locust users of the served bundle: EMBEDDING and TEXT, whole and streamed, over gRPC and HTTP.

`python -m benchmarks.load` runs this headless and makes a page of it. By hand, with Locust's own page:
``locust -f benchmarks/locustfile.py --grpc localhost:8001 --http localhost:8000``.

A user asks at most `rate` times a second, and not before its last answer came: what all users together would ask is
the offered rate, which ``--samples FILE`` records beside every request, because where the server is slower than its
users the latency alone does not tell.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import grpc.experimental.gevent
from locust import User, constant_throughput, events, task

# Locust has patched Python's sockets by now; gRPC has its own, which would stop every other user while one waits.
grpc.experimental.gevent.init_gevent()

from vitrina_client import Product, Sampling, Timeout, Vitrina, VitrinaError  # noqa: E402  (after the patching)

for scheme in ("grpc", "http"):
    Vitrina(f"{scheme}://localhost").close()  # imports what each needs now, not inside somebody's first request

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SAMPLE_EVERY = 0.5  # seconds between two looks at how many users there are


def products() -> list[Product]:
    """The sample products, their photos read once."""
    listed = json.loads((SAMPLES / "products.json").read_text(encoding="utf-8"))
    return [Product(entry["title"], (SAMPLES / entry["image"]).read_bytes()) for entry in listed]


@events.init_command_line_parser.add_listener
def _arguments(parser: Any) -> None:
    parser.add_argument("--grpc", default="localhost:8001", help="the server's gRPC address, host:port")
    parser.add_argument("--http", default="localhost:8000", help="the server's HTTP address, host:port")
    parser.add_argument("--max-tokens", type=int, default=32, help="most tokens of a copy")
    parser.add_argument("--samples", default="", help="JSON lines of every request and of the offered rate go there")


class Shop(User):
    """A user with a connection of its own."""

    abstract = True
    protocol: str
    rate: float

    def on_start(self) -> None:
        options = self.environment.parsed_options
        url = f"{self.protocol}://{getattr(options, self.protocol)}"
        # No retries: what a user was refused is to be seen.
        self.vitrina = Vitrina(url, timeout=Timeout(total=60), retries=0)
        self.vitrina.status()  # connects
        self.products = products()
        self.sampling = Sampling(max_tokens=options.max_tokens)

    def on_stop(self) -> None:
        self.vitrina.close()

    def wait_time(self) -> float:
        return constant_throughput(self.rate)(self)

    def product(self) -> Product:
        return random.choice(self.products)

    @contextmanager
    def row(self, name: str) -> Iterator[Callable[[], None]]:
        """One request of that row; the body may call what it is given when its first token came."""
        start = time.perf_counter()

        def fire(what: str, error: Exception | None = None) -> None:
            self.environment.events.request.fire(
                request_type=self.protocol,
                name=what,
                response_time=(time.perf_counter() - start) * 1000,
                response_length=0,
                exception=error,
                context={},
            )

        try:
            yield lambda: fire(f"{name}: first token")
        except VitrinaError as error:
            fire(name, error)
        else:
            fire(name)


class Embedding(Shop):
    abstract = True
    rate = 4.0
    row_name = "EMBEDDING"

    @task
    def embed(self) -> None:
        with self.row(self.row_name):
            self.vitrina.embed(self.product())


class Text(Shop):
    abstract = True
    rate = 0.25
    row_name = "TEXT"

    @task
    def generate(self) -> None:
        with self.row(self.row_name):
            self.vitrina.generate(self.product(), want={"text"}, sampling=self.sampling)


class TextStream(Shop):
    abstract = True
    rate = 0.25
    row_name = "TEXT stream"

    @task
    def stream(self) -> None:
        with (
            self.row(self.row_name) as first_token,
            self.vitrina.stream(self.product(), sampling=self.sampling) as text,
        ):
            for number, _ in enumerate(text):
                if number == 0:
                    first_token()


class EmbeddingGrpc(Embedding):
    protocol = "grpc"


class EmbeddingHttp(Embedding):
    protocol = "http"


class TextGrpc(Text):
    protocol = "grpc"


class TextHttp(Text):
    protocol = "http"


class TextStreamGrpc(TextStream):
    protocol = "grpc"


class TextStreamHttp(TextStream):
    protocol = "http"


# --------------------------------------------------------------------------------------------------------- samples


@events.test_start.add_listener
def _record(environment: Any, **_: Any) -> None:
    """Writes JSON lines: what each request took, and what the users there are would ask."""
    if not environment.parsed_options.samples:
        return
    file = Path(environment.parsed_options.samples).open("w", encoding="utf-8")  # noqa: SIM115  (closed at test_stop)
    began = time.perf_counter()

    def write(**line: Any) -> None:
        file.write(json.dumps({"t": round(time.perf_counter() - began, 3), **line}) + "\n")

    def on_request(request_type: str, name: str, response_time: float, exception: Any, **_: Any) -> None:
        error = None if exception is None else type(exception).__name__
        write(protocol=request_type, row=name, ms=round(response_time, 3), error=error)

    looking = gevent.spawn(_look, environment, write)

    def stop(**_: Any) -> None:
        looking.kill()
        environment.events.request.remove_listener(on_request)
        file.close()

    environment.events.request.add_listener(on_request)
    environment.events.test_stop.add_listener(stop)


def _look(environment: Any, write: Callable[..., None]) -> None:
    classes = {each.__name__: each for each in environment.user_classes}
    while True:
        counts = environment.runner.user_classes_count
        offered = {
            f"{classes[name].row_name} {classes[name].protocol}": count * classes[name].rate
            for name, count in counts.items()
        }
        write(offered=offered)
        gevent.sleep(SAMPLE_EVERY)

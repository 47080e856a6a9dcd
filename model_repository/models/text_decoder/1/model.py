"""The text decoder: streams deltas of the text that continues PROMPT. Decoupled; all work is `decoding`'s.

Config parameters, each with a default: `execution_provider` CPU (or CUDA), `slots` 8, `max_queue` 64, `threads` 0 (one
a core), `max_length` 0 (of the checkpoint), `spinning` 1, `prefix_cache_mb` 64, `stream_interval_ms` 80, and, where a
request has none, `repetition_penalty` 1.1. Keys and values have the dtype of the exported graph.

With REQUEST (`stages.request`), a stream goes out sentence by sentence, without those that may not stay
(`stages.editing`); without it, as it is written. It ends in the typed error `blocked` where it would say a word that
the policy blocks (`stages.moderation`). text_collector asks through `decoding.link`, for whole texts.
"""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from decoding.delivery import Delivery
from decoding.engine import Engine
from decoding.link import LinkServer, meeting_place
from decoding.metrics import publish
from decoding.request import Request as Order
from decoding.sampling import Sampling
from decoding.streams import Stream, send_error
from stages.editing import Editor, StreamEditor, prepare
from stages.moderation import Policy, Watch
from stages.prompts import Prompts
from stages.request import Request
from stages.text import decode_utf8
from stages.triton import Step

DEFAULTS: dict[str, Any] = {
    "slots": 8,
    "max_queue": 64,
    "threads": 0,
    "max_length": 0,
    "spinning": 1,
    "prefix_cache_mb": 64,
    "stream_interval_ms": 80,
    "repetition_penalty": 1.1,
    "execution_provider": "CPU",
}


class TritonPythonModel(Step):
    def set_up(self) -> None:
        options = self.options = read_options(self.parameters)
        limits = {name: options[name] for name in ("slots", "max_queue", "threads", "max_length", "prefix_cache_mb")}
        spinning, provider = bool(options["spinning"]), options["execution_provider"]
        self.engine = Engine(self.folder, **limits, spinning=spinning, provider=provider)
        self.policy = Policy.in_force()
        self.prompts = Prompts.load(self.folder / "prompts.json")
        prepare()
        self.delivery = Delivery(interval_s=options["stream_interval_ms"] / 1000)
        self.link = LinkServer(meeting_place("text_decoder"), self.engine, self.delivery, self.read)
        self.stopping = threading.Event()
        self.metrics = threading.Thread(target=publish, args=(self.engine, self.stopping), name="metrics", daemon=True)
        self.metrics.start()

    def execute(self, requests: Sequence[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                self.begin(request, sender)
            except Exception as error:
                send_error(sender, error)

    def begin(self, request: Any, sender: Any) -> None:
        """Hands one request to the engine; its answers go through `sender`, from the delivery's thread."""
        fields = {tensor.name(): tensor.as_numpy()[0] for tensor in request.inputs()}
        handle = self.engine.submit(self.read(fields), self.delivery.notify)
        stream = Stream(sender, handle, self.editor(fields), Watch(self.policy))
        self.delivery.add(handle, stream.send, stream.gone)

    def editor(self, fields: Mapping[str, np.ndarray]) -> Callable[[str, str], str]:
        """What takes a stream's text and why it has ended, empty while it goes on, and gives what may go out."""
        if "REQUEST" not in fields:
            return lambda text, finish: text
        return StreamEditor(Editor(Request.loads(fields["REQUEST"].item()), self.prompts))

    def read(self, fields: Mapping[str, np.ndarray]) -> Order:
        """A request's tensors, each without its batch axis, checked."""

        def number(name: str, kind: Callable[[Any], Any], default: Any) -> Any:
            return kind(fields[name].reshape(-1)[0]) if name in fields else default

        sampling = Sampling(
            temperature=number("TEMPERATURE", float, 0.0),
            top_p=number("TOP_P", float, 1.0),
            top_k=number("TOP_K", int, 0),
            repetition_penalty=number("REPETITION_PENALTY", float, self.options["repetition_penalty"]),
            seed=number("SEED", int, None),
        )
        return self.engine.request(
            text("PROMPT", fields["PROMPT"].reshape(-1)[0]),
            prefix=fields.get("PREFIX"),
            max_tokens=number("MAX_TOKENS", int, None),
            sampling=sampling,
            stops=[text("STOP", stop) for stop in fields.get("STOP", np.empty(0)).reshape(-1)],
            timeout_ms=number("TIMEOUT_MS", int, None),
        )

    def finalize(self) -> None:
        self.link.close()
        self.engine.close()
        self.delivery.close()
        self.stopping.set()
        self.metrics.join()


def text(field: str, data: bytes) -> str:
    """Bytes of a request as text; the engine knows how long one may be."""
    return decode_utf8(data, field, sys.maxsize)


def read_options(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The config's parameters, with the defaults where it has none."""
    options = dict(DEFAULTS)
    for name, default in DEFAULTS.items():
        if name in parameters:
            try:
                options[name] = type(default)(parameters[name])
            except ValueError as error:
                raise ValueError(f"text_decoder: parameter {name!r} is {parameters[name]!r}; write a number") from error
    return options

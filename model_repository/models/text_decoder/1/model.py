"""The text decoder: streams deltas of the text that continues PROMPT. Decoupled; all work is `decoding`'s.

Config parameters, each with a default: `slots` 8, `max_queue` 64, `threads` 0 (one a core), `max_length` 0 (of the
checkpoint), `spinning` 1, `prefix_cache_mb` 64, `stream_interval_ms` 80, and, where a request has none,
`repetition_penalty` 1.1.

With REQUEST (`stages.request`), a stream goes out sentence by sentence, without those that may not stay
(`stages.editing`); without it, as it is written. It ends in the typed error `blocked` where it would say a word that
the policy blocks (`stages.moderation`). text_collector asks through `decoding.link`, for whole texts.
"""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from decoding.delivery import Delivery
from decoding.engine import Engine
from decoding.link import LinkServer, meeting_place
from decoding.sampling import Sampling
from stages.editing import Editor, StreamEditor, prepare
from stages.errors import StageError, invalid
from stages.moderation import Policy, Watch
from stages.prompts import Prompts
from stages.request import Request
from stages.triton import triton_error

DEFAULTS = {
    "slots": 8,
    "max_queue": 64,
    "threads": 0,
    "max_length": 0,
    "spinning": 1,
    "prefix_cache_mb": 64,
    "stream_interval_ms": 80,
    "repetition_penalty": 1.1,
}
METRICS_PERIOD_S = 0.5


class TritonPythonModel:
    def initialize(self, args):
        self.options = read_options(json.loads(args["model_config"]).get("parameters", {}))
        folder = Path(args["model_repository"]) / args["model_version"]
        names = ("slots", "max_queue", "threads", "max_length", "prefix_cache_mb")
        limits = {name: self.options[name] for name in names}
        self.engine = Engine(folder, **limits, spinning=bool(self.options["spinning"]))
        self.policy = Policy.in_force()
        self.prompts = Prompts.load(folder / "prompts.json")
        prepare()
        self.delivery = Delivery(interval_s=self.options["stream_interval_ms"] / 1000)
        self.link = LinkServer(meeting_place("text_decoder"), self.engine, self.delivery, self.read)
        self.stopping = threading.Event()
        self.metrics = threading.Thread(target=publish, args=(self.engine, self.stopping), name="metrics", daemon=True)
        self.metrics.start()

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            try:
                self.begin(request, sender)
            except Exception as error:
                send_error(sender, error)

    def begin(self, request, sender):
        """Hands one request to the engine; its answers go through `sender`, from the delivery's thread."""
        fields = {tensor.name(): tensor.as_numpy()[0] for tensor in request.inputs()}
        handle = self.engine.submit(self.read(fields), self.delivery.notify)

        stream = Stream(sender, handle, self.editor(fields), Watch(self.policy))
        self.delivery.add(handle, stream.send, stream.gone)

    def editor(self, fields):
        """What takes a stream's text and whether it has ended, and gives what may go out."""
        if "REQUEST" not in fields:
            return lambda text, finish: text
        return StreamEditor(Editor(Request.loads(fields["REQUEST"].item()), self.prompts))

    def read(self, fields):
        """A request's tensors, each without its batch axis, as a checked `decoding.request.Request`."""

        def number(name, kind, default):
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

    def finalize(self):
        self.link.close()
        self.engine.close()
        self.delivery.close()
        self.stopping.set()
        self.metrics.join()


class Stream:
    """One request's answers, as far as editor and policy let them through."""

    def __init__(self, sender, handle, edit, watch):
        self.sender, self.handle, self.edit, self.watch = sender, handle, edit, watch
        self.held = ()
        self.refused = False

    def send(self, message):
        """A delta, or the error that ends the request."""
        if self.refused:
            return
        if not isinstance(message, StageError):
            try:
                passing = self.watch(self.edit(message.text, message.finish), bool(message.finish))
            except StageError as error:
                message = error
                self.refused = True
                self.handle.cancel()
        if isinstance(message, StageError):
            send_error(self.sender, message)
            return
        self.held += message.ids
        if passing or message.finish:
            response = answer(replace(message, text=passing, ids=self.held))
            self.sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL * bool(message.finish))
            self.held = ()

    def gone(self):
        """Whether nobody waits any more; after its last answer the caller must not be asked for."""
        return self.refused or self.sender.is_cancelled()


def read_options(parameters):
    """The config's parameters as numbers, with the defaults where it has none."""
    options = dict(DEFAULTS)
    for name, default in DEFAULTS.items():
        if name in parameters:
            text = parameters[name]["string_value"]
            try:
                options[name] = type(default)(text)
            except ValueError as error:
                raise ValueError(f"text_decoder: parameter {name!r} is {text!r}; write a number") from error
    return options


def text(field, value):
    """Bytes of a request as text."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(field, f"it is not UTF-8: {error}") from error


def answer(delta):
    """One response."""
    outputs = {
        "TEXT": np.array([[delta.text.encode("utf-8")]], np.object_),
        "TOKEN_IDS": np.array([delta.ids], np.int64),
        "FINISH_REASON": np.array([[delta.finish.encode()]], np.object_),
        "PROMPT_TOKENS": np.array([[delta.prompt_tokens]], np.int32),
        "COMPLETION_TOKENS": np.array([[delta.completion_tokens]], np.int32),
    }
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])


def send_error(sender, error):
    """Ends a request with a typed error."""
    response = pb_utils.InferenceResponse([], error=triton_error(error))
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def publish(engine, stopping):
    """Keeps Triton's metrics in step with the engine's statistics until `stopping` is set."""
    kinds = pb_utils.MetricFamily.GAUGE, pb_utils.MetricFamily.COUNTER
    families = {
        "active": pb_utils.MetricFamily("vitrina_decoder_active", "requests that hold a slot", kinds[0]),
        "queued": pb_utils.MetricFamily("vitrina_decoder_queued", "requests that wait for a slot", kinds[0]),
        "rate": pb_utils.MetricFamily("vitrina_decoder_tokens_per_second", "written, over ten seconds", kinds[0]),
        "steps": pb_utils.MetricFamily("vitrina_decoder_steps_total", "steps of the network", kinds[1]),
        "tokens": pb_utils.MetricFamily("vitrina_decoder_tokens_total", "tokens read, reused and written", kinds[1]),
        "ended": pb_utils.MetricFamily("vitrina_decoder_requests_total", "ended requests by outcome", kinds[1]),
    }
    series, counted = {}, {}

    def write(family, value, **labels):
        key = family, *labels.values()
        if key not in series:
            series[key] = families[family].Metric(labels=labels)
        if family in ("active", "queued", "rate"):
            if counted.get(key) != value:
                series[key].set(value)
        elif value > counted.get(key, 0):
            series[key].increment(value - counted.get(key, 0))
        counted[key] = value

    while not stopping.wait(METRICS_PERIOD_S):
        now = engine.statistics()
        write("active", now.active)
        write("queued", now.queued)
        write("rate", now.tokens_per_second)
        write("steps", now.steps)
        write("tokens", now.prompt_tokens, kind="prompt")
        write("tokens", now.reused_tokens, kind="reused")
        write("tokens", now.completion_tokens, kind="completion")
        for outcome, count in now.outcomes.items():
            write("ended", count, outcome=outcome)

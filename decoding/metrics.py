"""The engine's statistics as Triton's metrics."""

from __future__ import annotations

import threading
from typing import Any

from decoding.engine import Engine

PERIOD_S = 0.5


def publish(engine: Engine, stopping: threading.Event) -> None:
    """Keeps the metrics in step with the statistics until `stopping` is set."""
    import triton_python_backend_utils as pb_utils

    kinds = pb_utils.MetricFamily.GAUGE, pb_utils.MetricFamily.COUNTER
    families = {
        "active": pb_utils.MetricFamily("vitrina_decoder_active", "requests that hold a slot", kinds[0]),
        "queued": pb_utils.MetricFamily("vitrina_decoder_queued", "requests that wait for a slot", kinds[0]),
        "rate": pb_utils.MetricFamily(
            "vitrina_decoder_tokens_per_second", "tokens a second, over the last ten", kinds[0]
        ),
        "steps": pb_utils.MetricFamily("vitrina_decoder_steps_total", "steps of the network", kinds[1]),
        "tokens": pb_utils.MetricFamily("vitrina_decoder_tokens_total", "tokens read, reused and written", kinds[1]),
        "ended": pb_utils.MetricFamily("vitrina_decoder_requests_total", "ended requests by outcome", kinds[1]),
    }
    series: dict[tuple[str, ...], Any] = {}
    counted: dict[tuple[str, ...], float] = {}

    def write(family: str, value: float, **labels: str) -> None:
        key = family, *labels.values()
        if key not in series:
            series[key] = families[family].Metric(labels=labels)
        if family in ("active", "queued", "rate"):
            if counted.get(key) != value:
                series[key].set(value)
        elif value > counted.get(key, 0):
            series[key].increment(value - counted.get(key, 0))
        counted[key] = value

    while not stopping.wait(PERIOD_S):
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

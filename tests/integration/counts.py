"""Triton's own counts of a model's runs, for tests that say how often something ran."""

from __future__ import annotations

from time import sleep
from typing import Any

import tritonclient.http as triton

from server import Server

#: Seconds without a change after which counts are complete: Triton counts a run a moment after it has answered.
QUIET = 0.3


def statistics(server: Server, model: str) -> dict[str, Any]:
    """Triton's statistics of a model whose requests have been answered, once they no longer change."""
    with triton.InferenceServerClient(server.http_url) as client:
        found = None
        while (latest := client.get_inference_statistics(model)["model_stats"][0]) != found:
            found = latest
            sleep(QUIET)
    return latest

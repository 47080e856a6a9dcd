"""Whole texts from the text decoder: every row of a batch is a request of its own to the engine (`decoding.collector`).

`execute` answers later, so that no batch waits for another.
"""

from collections.abc import Sequence
from typing import Any

from decoding.collector import Collector
from decoding.link import Link, meeting_place


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.collector = Collector(Link(meeting_place("text_decoder")))

    def execute(self, requests: Sequence[Any]) -> None:
        for request in requests:
            self.collector.begin(request)

    def finalize(self) -> None:
        self.collector.close()

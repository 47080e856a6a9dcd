"""Understands the lines that tritonserver writes: what loads, what is ready, what failed and why."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from server.options import REPOSITORY

LINE = re.compile(r"^(?P<level>[EWIV])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ \S+:\d+\] ?(?P<text>.*)$")
LOADING = re.compile(r"^loading: (?P<name>.+):\d+$")
LOADED = re.compile(r"^successfully loaded '(?P<name>[^']+)'")
FAILED = re.compile(r"^failed to load '(?P<name>[^']+)' version \d+: (?P<why>.*)", re.DOTALL)
FRAME = re.compile(r"^  (?P<file>.+)\((?P<line>\d+)\): ", re.MULTILINE)
REFUSED = re.compile(r"^Poll failed for model directory '(?P<name>[^']+)': (?P<why>.*)", re.DOTALL)
RANK = {"error": 0, "warning": 1, "info": 2, "verbose": 3}

#: Said at every start on a machine without a GPU; of no use to anybody.
NOISE = (
    "Unable to allocate pinned system memory",
    "failed to allocate pinned system memory",
    "CudaDriverHelper has not been",
    "DCGM unable to start",
)


def parse(line: str) -> tuple[str, str] | None:
    """Level (a letter of EWIV) and text of a line of Triton's own; None for what a model printed.

    Triton quotes its texts and writes a line break inside as two characters.
    """
    match = LINE.match(line)
    if match is None:
        return None
    text = match["text"]
    if text.startswith('"'):
        text = text.strip('"').replace("\\n", "\n").replace('\\"', '"')
    return match["level"], text


def passes(line: str, level: str) -> bool:
    """Whether a line is of the level or graver; what a model prints counts as info."""
    parsed = parse(line)
    if parsed is None:
        return RANK[level] >= RANK["info"]
    return RANK[level] >= "EWIV".index(parsed[0]) and not parsed[1].startswith(NOISE)


@dataclass
class Loading:
    """What the log has told so far; fed by one thread, read by another."""

    since: dict[str, float] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def feed(self, line: str) -> str | None:
        """Takes one line; the name of the model that became ready with it, if one did."""
        if line.startswith("error: "):  # of tritonserver's main function, not of its logger
            self.errors.append(line.removeprefix("error: "))
        parsed = parse(line)
        if parsed is None:
            return None
        level, text = parsed
        if level == "E" and not text.startswith(NOISE):
            self.errors.append(text)
        if found := LOADING.match(text):
            self.since.setdefault(found["name"], time.monotonic())
        elif found := LOADED.match(text):
            self.took_s[found["name"]] = time.monotonic() - self.since.get(found["name"], time.monotonic())
            return found["name"]
        elif found := FAILED.match(text) or REFUSED.match(text):
            self.failed[found["name"]] = plain(found["why"])
        return None


def plain(why: str) -> str:
    """A reason, with the innermost line of this repository in place of the stack that pybind11 adds.

    ``TritonModelException`` is raised to say something in its own words: its name and place add nothing.
    """
    message, _, stack = why.partition("\n\nAt:\n")
    if "TritonModelException: " in message:
        return message.replace("TritonModelException: ", "", 1)
    places = [place for place in FRAME.findall(stack) if place[0].startswith(f"{REPOSITORY}/")]
    where = f" ({Path(places[0][0]).relative_to(REPOSITORY)}:{places[0][1]})" if places else ""
    return message.strip() + where

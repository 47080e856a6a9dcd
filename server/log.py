"""Understands the lines that tritonserver writes: what loads, what is ready, what failed and why."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field

LINE = re.compile(r"^(?P<level>[EWIV])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ (?P<source>\S+:\d+)\] ?(?P<text>.*)$")
LOADING = re.compile(r"^loading: (?P<name>.+):\d+$")
LOADED = re.compile(r"^successfully loaded '(?P<name>[^']+)'")
FAILED = re.compile(r"^failed to load '(?P<name>[^']+)' version \d+: (?P<why>.*)", re.DOTALL)
REFUSED = re.compile(r"^Poll failed for model directory '(?P<name>[^']+)': (?P<why>.*)", re.DOTALL)
RANK = {"E": 0, "W": 1, "I": 2, "V": 3}
THRESHOLD = {"error": 0, "warning": 1, "info": 2, "verbose": 3}

#: Said at every start on a machine without a GPU; of no use to anybody.
NOISE = ("Unable to allocate pinned system memory", "CudaDriverHelper has not been", "DCGM unable to start")


@dataclass
class Loading:
    """What the log has told so far about the models; safe to read from another thread."""

    since: dict[str, float] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    _open: tuple[dict[str, str], str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def feed(self, line: str) -> str | None:
        """Takes one line; the name of the model that became ready with it, if one did."""
        with self._lock:
            match = LINE.match(line)
            if match is None:
                if self._open is not None:  # an error that goes over several lines
                    where, name = self._open
                    where[name] += f"\n{line}"
                    if line.endswith('"'):
                        self._close()
                return None
            self._close()
            text = match["text"].strip()
            quoted = text.startswith('"')
            text = text.removeprefix('"')
            if match["level"] == "E" and not text.startswith(NOISE):
                self.errors.append(text.removesuffix('"'))
            if found := LOADING.match(text.removesuffix('"')):
                self.since.setdefault(found["name"], time.monotonic())
            elif found := LOADED.match(text):
                self.took_s[found["name"]] = time.monotonic() - self.since.get(found["name"], time.monotonic())
                return found["name"]
            elif found := FAILED.match(text) or REFUSED.match(text):
                self.failed[found["name"]] = found["why"]
                if quoted and not text.endswith('"'):
                    self._open = (self.failed, found["name"])
                else:
                    self.failed[found["name"]] = found["why"].removesuffix('"')
            return None

    def _close(self) -> None:
        if self._open is not None:
            where, name = self._open
            where[name] = where[name].rstrip('"\n ')
            self._open = None


def passes(line: str, level: str) -> bool:
    """Whether a line is of the level or graver; lines without a level (a model's prints) count as info."""
    match = LINE.match(line)
    if match is None:
        return THRESHOLD[level] >= RANK["I"]
    return THRESHOLD[level] >= RANK[match["level"]] and not any(noise in line for noise in NOISE)

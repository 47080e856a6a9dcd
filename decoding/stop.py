"""When and where a text ends: the stop rules over a stream of text, and text from tokens without half characters."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from stages.errors import invalid, too_large

MAX_STOPS = 8
MAX_STOP_LENGTH = 64
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def check_stops(stops: Sequence[str]) -> None:
    """Raises StageError unless there are at most 8 stop strings of 1 to 64 characters."""
    if len(stops) > MAX_STOPS:
        raise too_large("STOP", f"{len(stops)} stop strings; the limit is {MAX_STOPS}")
    for stop in stops:
        if not stop:
            raise invalid("STOP", "an empty stop string; leave it out, or send 1 to 64 characters")
        if len(stop) > MAX_STOP_LENGTH:
            raise too_large("STOP", f"a stop string of {len(stop)} characters; the limit is {MAX_STOP_LENGTH}")


class Detokenizer:
    """Token ids in, whole characters out: a character whose bytes are spread over tokens waits for the last of them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._context = 0  # from here on ids are decoded again, so that joins between tokens come out right
        self._done = 0  # up to here their text has been given out

    def push(self, token: int) -> str:
        """The text that has become certain with this token; often a word, sometimes nothing."""
        self._ids.append(token)
        before = self._decode(self._context, self._done)
        after = self._decode(self._context, len(self._ids))
        if len(after) <= len(before) or after.endswith(_UNFINISHED):
            return ""
        self._context, self._done = self._done, len(self._ids)
        return after[len(before) :]

    def _decode(self, begin: int, end: int) -> str:
        return self._tokenizer.decode(self._ids[begin:end], skip_special_tokens=True)


class StopText:
    """Text in, text out up to the first stop string; what may be the beginning of one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self.held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that can be given out now; sets `stopped` when a stop string has come up."""
        if not self._stops:
            return text
        text = self.held + text
        found = min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)
        if found >= 0:
            self.held, self.stopped = "", True
            return text[:found]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, once no more text comes."""
        held, self.held = self.held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0

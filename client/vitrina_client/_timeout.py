"""How long a call may take."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from vitrina_client._errors import DeadlineExceeded


@dataclass(frozen=True)
class Timeout:
    """Limits of one call, in seconds; None lifts a limit.

    ========================  =======================  ====================  ==============================
    used by                   ``connect``              ``first_token``       ``total``
    ========================  =======================  ====================  ==============================
    ``generate``, ``embed``   one try to connect       not used              call → result, retries included
    ``stream``                one try to connect       call → first piece    call → last piece
    ``speak``                 one try to connect       not used              call → result, retries included
    ``status``                one try to connect       not used              call → result
    ========================  =======================  ====================  ==============================

    What is left of ``total`` goes to the server with every request (as its ``timeout`` for the queues, and as
    ``TIMEOUT_MS`` for the text decoder and for speech), so that a call that ended here leaves no work behind there. A
    limit that passes raises :class:`~vitrina_client.DeadlineExceeded`, a connection not made in time
    :class:`~vitrina_client.ConnectionFailed`.

    ``Timeout(total=5)`` changes one limit, ``client.generate(..., timeout=Timeout(total=5))`` that of one call.
    """

    total: float | None = 120.0
    connect: float | None = 5.0
    first_token: float | None = 60.0

    def __post_init__(self) -> None:
        for name in ("total", "connect", "first_token"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"Timeout({name}={value!r}): expected seconds or None")
            if not value > 0 or math.isinf(value):
                raise ValueError(f"Timeout({name}={value!r}): expected seconds above 0, or None for no limit")


class Deadline:
    """The moment at which a limit of one call passes.

    Args:
        limit: the field of :class:`Timeout` that it comes from.
        seconds: from now; None for never.
    """

    def __init__(self, limit: str, seconds: float | None) -> None:
        self._limit = limit
        self._seconds = seconds
        self.end = math.inf if seconds is None else time.monotonic() + seconds

    def left(self, model: str | None = None) -> float | None:
        """Seconds left, None without a limit; raises :class:`DeadlineExceeded` once it has passed."""
        if self._seconds is None:
            return None
        left = self.end - time.monotonic()
        if left <= 0:
            raise self.passed(model)
        return left

    def passed(self, model: str | None = None) -> DeadlineExceeded:
        """The error for its passing while `model` was awaited."""
        return DeadlineExceeded(
            f"no answer within {self._limit}={self._seconds:g} s; raise Timeout({self._limit}=…) or ask for less",
            model=model,
        )

    def allows(self, seconds: float) -> bool:
        """Whether a pause of `seconds` ends before it."""
        return time.monotonic() + seconds < self.end

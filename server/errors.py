"""The one exception of this room."""

from __future__ import annotations

from pathlib import Path


class ServerFailed(RuntimeError):
    """Triton could not be started, or must not serve.

    The text says what was wrong, with which value, and the mend; then, where Triton ran, the end of its log.

    Args:
        reason: a sentence or more: what was wrong, with which value.
        mend: what to do about it; empty if nobody knows.
        log: the last lines that Triton wrote.
        log_path: where the whole log lies, if it was kept.
    """

    def __init__(self, reason: str, mend: str = "", log: str = "", log_path: Path | None = None) -> None:
        self.reason = reason
        self.mend = mend
        self.log = log
        self.log_path = log_path
        parts = [reason]
        if mend:
            parts.append(f"To mend it: {mend}")
        if log_path is not None:
            parts.append(f"Whole log: {log_path}")
        if log:
            parts.append(f"Last lines of the log:\n{log}")
        super().__init__("\n".join(parts))

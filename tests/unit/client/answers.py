"""Answers of a server, as a transport hands them on."""

import numpy as np


def answer(rows=1, **changes):
    """Every output of the ensembles, for so many rows."""
    made = {
        "TEXT": np.array([[b"A mug."]] * rows, object),
        "FINISH_REASON": np.array([[b"eos"]] * rows, object),
        "PROMPT_TOKENS": np.full((rows, 1), 31, np.int32),
        "COMPLETION_TOKENS": np.full((rows, 1), 4, np.int32),
        "EDITS": np.array([[b'[{"kind": "price", "before": "Only $5.", "after": ""}]']] * rows, object),
        "EVIDENCE": np.array([[b'{"facts": [], "sentences": [{"text": "A mug.", "facts": []}]}']] * rows, object),
        "CONFLICTS": np.array([[b"[]"]] * rows, object),
        "MODERATION": np.array([[b'{"action": "allow", "findings": []}']] * rows, object),
        "TEXT_MODERATION": np.array([[b'{"action": "allow", "findings": []}']] * rows, object),
        "LABEL_TEXT": np.array([[b'{"lines": [], "omitted": 0, "failed": false}']] * rows, object),
        "TAGS": np.array([[b"mug", "杯".encode(), b"", b"", b""]] * rows, object),
        "TAG_SCORES": np.tile(np.array([[0.75, 0.5, 0, 0, 0]], np.float32), (rows, 1)),
        "EMBEDDING": np.ones((rows, 24), np.float32),
        "CONDITION": np.ones((rows, 7, 24), np.float32),
    }
    return made | changes

"""Coverage-guided fuzzing of the readers: ``python -m tests.fuzz READER [options of libFuzzer]``.

READER is a key of `READERS`. It begins with the hostile files and stops at the first input that gives anything but a
result or a typed error, which it leaves as ``crash-…``; ``-runs=N`` ends it after N inputs, ``-max_total_time=S`` after
S seconds.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["stages"]):
    from stages.audio import read_audio
    from stages.errors import StageError
    from stages.footage import best_moments
    from stages.history import ItemIndex, read_history
    from stages.image import read_image
    from stages.text import read_title
    from stages.video import read_video

LARGEST = 200_000  # bytes of a file to begin with
ITEMS = ItemIndex(["mug", "lamp"], np.eye(2, 24, dtype=np.float32), ["Mug", "Lamp"])
EVENTS = (
    b'[{"item": "mug", "event": "view", "age_s": 5}, {"item": "lamp", "event": "buy", "at": "2026-01-02T03:04:05Z"}]'
)
READERS: dict[str, Callable[[bytes], object]] = {
    "image": lambda data: read_image(data, 224),
    "video": lambda data: read_video(data, 112),
    "footage": lambda data: best_moments(data, 0.5, 12),
    "audio": read_audio,
    "events": lambda data: read_history(data, ITEMS, 1e9),
    "title": read_title,
}


def seeds(reader: str) -> list[bytes]:
    """What to begin with: files that are right, and the hostile ones."""
    from tests import hostile
    from tests.unit.stages import test_audio, test_image

    if reader == "events":
        return [EVENTS]
    if reader == "title":
        return ["Red mug ☕ 350 ml\u200d 红色".encode()]
    kinds = {"image": hostile.PHOTOS, "audio": hostile.SOUNDS}
    files = [make() for make in kinds.get(reader, hostile.CLIPS).values()]
    right = {"image": test_image.RIGHT, "audio": test_audio.RIGHT}.get(reader, {})
    files += [file[0] if isinstance(file, tuple) else file for file in right.values()]
    return [file for file in files if len(file) <= LARGEST]


def main(reader: str, options: list[str]) -> None:
    """Fuzzes until libFuzzer's options say that it is enough; ends the process."""
    read = READERS[reader]

    def one(data: bytes) -> None:
        try:
            read(data)
        except StageError as error:
            assert error.code in ("invalid_input", "too_large"), error

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(reader)):
            (Path(corpus) / str(number)).write_bytes(seed)
        child = os.fork()  # libFuzzer ends its process at once: somebody else has to clear away
        if not child:
            atheris.Setup([f"fuzz {reader}", corpus, "-timeout=20", "-rss_limit_mb=3000", *options], one)
            atheris.Fuzz()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(status)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"usage: python -m tests.fuzz {{{','.join(READERS)}}} [options of libFuzzer]")
    main(sys.argv[1], sys.argv[2:])

"""The decoders of pictures, before and after: noise from a seed; files that say that they are generated."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
from PIL import Image

from stages.errors import invalid
from stages.marked import GENERATED, film_file, picture_file
from stages.soundtrack import tune
from stages.text import choice

MAX_SEED = 2**63 - 1
PICTURE_PX = 512  # height and width of what a caller gets
CLIP_PX = 384
FRAMES_A_SECOND = 12
LAPS = 2  # turns that a clip shows
SOURCE = GENERATED
FORMATS = ("png", "jpeg", "webp")


def noise(seed: int | None, shape: Sequence[int]) -> np.ndarray:
    """float32 of that shape, normally distributed: the same for the same seed, another one each time without.

    Raises:
        StageError: on field ``IMAGE_SEED``: below 0.
    """
    if seed is not None and seed < 0:
        raise invalid("IMAGE_SEED", f"{seed} is below 0; send 0 to {MAX_SEED}")
    rng = np.random.default_rng(secrets.randbits(63) if seed is None else seed)
    return rng.standard_normal(tuple(shape), np.float32)


def picture(pixels: np.ndarray, file_format: bytes | None = None) -> bytes:
    """uint8 [H, W, 3] → a picture's file of 512 pixels a side, marked as generated in its XMP.

    Args:
        file_format: one of :data:`FORMATS`; the first where it is left out.

    Raises:
        StageError: ``invalid_input`` on ``IMAGE_FORMAT``.
    """
    kind = choice("IMAGE_FORMAT", file_format, FORMATS)
    enlarged = Image.fromarray(pixels).resize((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    return picture_file(enlarged, kind.upper(), SOURCE)


def mp4(frames: np.ndarray, music: bytes | None = None) -> bytes:
    """uint8 [T, H, W, 3] → two turns as MP4 (H.264, 12 frames a second, index first), marked as generated.

    Args:
        music: a sound file that is heard, as AAC.

    Raises:
        StageError: on field ``MUSIC``.
    """
    enlarged = [Image.fromarray(frame).resize((CLIP_PX, CLIP_PX), Image.Resampling.LANCZOS) for frame in frames]
    comment = f"generated; DigitalSourceType {SOURCE}"
    sound = tune(music, LAPS * len(frames) / FRAMES_A_SECOND)
    return film_file(enlarged * LAPS, (CLIP_PX, CLIP_PX), FRAMES_A_SECOND, 18, comment, sound)

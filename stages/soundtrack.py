"""What is heard of a film: a voice, a tune that gives way to it, a logo's sound at the end.

What reads and levels sounds is imported where a film has one: it takes a second, and a process that makes silent films
and pictures never needs it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

RATE = 48_000  # samples a second
MUSIC_DB, DUCKED_DB = -6.0, -18.0  # of music beside a voice: between its words, and under them
DUCKING_S = 0.25  # in which music gives way
LOGO_AFTER = 0.25  # seconds of silence before and after it


def tune(music: bytes | None, seconds: float) -> tuple[np.ndarray, int] | None:
    """A sound file as what is heard of a film: float32 [samples] and their rate; None where there is none.

    Raises:
        StageError: on field ``MUSIC``.
    """
    if music is None:
        return None
    from stages.audio import read_voice

    return mixed(None, read_voice(music, RATE, field="MUSIC"), round(seconds * RATE)), RATE


def heard_together(voice: np.ndarray | None, logo: np.ndarray | None, length: int) -> np.ndarray | None:
    """The voice from the beginning, the logo's sound at the end: float32 [length]; None where there is neither."""
    if voice is None and logo is None:
        return None
    heard = np.zeros(length, np.float32)
    if voice is not None:
        heard[: len(voice)] = voice[:length]
    if logo is not None:
        begins = max(0, length - len(logo) - round(LOGO_AFTER * RATE))
        heard[begins : begins + len(logo)] += logo[: length - begins]
    return heard


def mixed(voice: np.ndarray | None, music: np.ndarray, length: int) -> np.ndarray:
    """Music for the whole post, under whatever else is heard, fading out at its end: float32 [length]."""
    from stages.spoken import PEAK, level

    tune = level(music, RATE)
    fade = min(len(tune) // 4, round(0.1 * RATE))
    if fade:  # so that it does not click where it begins again
        tune = tune.copy()
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        tune[:fade] *= ramp
        tune[-fade:] *= ramp[::-1]
    tune = np.resize(tune, length)
    end = min(length, RATE)
    tune[-end:] *= np.linspace(1, 0, end, dtype=np.float32)
    if voice is None:
        return tune
    width = round(DUCKING_S * RATE)
    speaking = uniform_filter1d(maximum_filter1d(np.abs(voice), 2 * width) > 0.02, width, output=np.float32)
    gain = 10 ** ((MUSIC_DB + (DUCKED_DB - MUSIC_DB) * speaking) / 20)
    both = voice[:length] + tune * gain
    return (both / max(1.0, float(np.abs(both).max()) / PEAK)).astype(np.float32)

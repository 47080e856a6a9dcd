"""The speech decoder, after: one loudness, limited peaks; WAV and OGG files that say that they are generated.

Loudness is that of ITU-R BS.1770, as pyloudnorm measures it.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import soundfile
from pyloudnorm import Meter
from scipy.ndimage import convolve1d, minimum_filter1d

from stages.marked import GENERATED

LOUDNESS = -19.0  # LUFS of one channel, which two speakers play as loud as -16 of two: what podcasts are mastered to
PEAK = 10 ** (-1 / 20)  # of full scale, -1 dB: no sample goes beyond
_FADE = 0.005  # seconds in which the limiter turns a peak down
#: format → libsndfile's names for container and coding.
_CODINGS = {"wav": ("WAV", "PCM_16"), "ogg": ("OGG", "VORBIS")}
_BLOCK = 2**16  # samples: libvorbis overflows its stack where it is given minutes at once (libsndfile#1095)


def encode(samples: np.ndarray, rate: int, audio_format: str) -> bytes:
    """float32 [samples] → a file of one channel (``"wav"``: 16 bits; ``"ogg"``: Vorbis), marked as generated."""
    container, coding = _CODINGS[audio_format]
    data = BytesIO()
    with soundfile.SoundFile(data, "w", rate, 1, coding, format=container) as file:
        file.comment = f"generated; DigitalSourceType {GENERATED}"
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    return data.getvalue()


def level(samples: np.ndarray, rate: int) -> np.ndarray:
    """float32 [samples] at :data:`LOUDNESS`, no peak beyond :data:`PEAK`; silence stays silent."""
    if np.abs(samples).max(initial=0) < 1e-4:
        return samples
    louder = samples * 10 ** ((LOUDNESS - loudness(samples, rate)) / 20)
    # A limiter that looks ahead: the least gain that any sample near by needs, faded in and out by a window as wide.
    width = 2 * round(_FADE * rate) + 1
    gain = minimum_filter1d(PEAK / np.maximum(PEAK, np.abs(louder)), width)
    window = np.hanning(width + 2)[1:-1]
    return (louder * convolve1d(gain, window / window.sum(), mode="nearest")).astype(np.float32)


def loudness(samples: np.ndarray, rate: int) -> float:
    """Integrated loudness in LUFS; of what is shorter than the standard's block of 400 ms, that of one block."""
    meter = Meter(rate, block_size=min(0.4, len(samples) / rate))
    return float(meter.integrated_loudness(samples.astype(np.float64)))

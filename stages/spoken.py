"""The speech decoder, after: one loudness, limited peaks; WAV and OGG files that say that they are generated.

Source of the loudness: ITU-R BS.1770-5, annex 1, its filters for any sample rate after De Man 2014.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import soundfile
from scipy.ndimage import convolve1d, minimum_filter1d
from scipy.signal import lfilter

from stages.drawn import SOURCE

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
        file.comment = f"generated; DigitalSourceType {SOURCE}"
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
    """Integrated loudness in LUFS: K-weighted power over blocks of 400 ms, silent and quiet ones left out."""
    for numerator, denominator in _k_weighting(rate):
        samples = lfilter(numerator, denominator, samples)
    size = min(len(samples), round(0.4 * rate))
    blocks = np.lib.stride_tricks.sliding_window_view(samples, size)[:: max(1, size // 4)]
    power = (blocks**2).mean(1)
    gates = 10 ** ((-70 + 0.691) / 10), 10 ** (-10 / 10)
    power = power[power >= min(gates[0], power.max())]
    return float(-0.691 + 10 * np.log10(max(1e-12, power[power >= gates[1] * power.mean()].mean())))


def _k_weighting(rate: int) -> tuple[tuple[list[float], list[float]], ...]:
    """Two biquads: a shelf of 4 dB for the head, and a high pass."""
    k, q, gain = np.tan(np.pi * 1681.974450955533 / rate), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle, norm = gain**0.4996667741545416, 1 + k / q + k * k
    shelf = [(gain + middle * k / q + k * k) / norm, 2 * (k * k - gain) / norm, (gain - middle * k / q + k * k) / norm]
    poles = [1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm]
    k, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    norm = 1 + k / q + k * k
    return (shelf, poles), ([1, -2, 1], [1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm])

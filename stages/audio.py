"""Read a sound or a spoken note: file bytes in, whisper's log-mel spectrogram out.

Source of the spectrogram: Radford et al. 2022 (arXiv:2212.04356), 2.2; Slaney 1998, Auditory Toolbox, for its mels.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from io import BytesIO

import av
import numpy as np
import soundfile
from scipy.signal import get_window, resample_poly

from stages.errors import StageError, invalid, too_large

RATE = 16_000  # samples a second of everything below
WINDOW = 400  # samples of a frame's window, 25 ms
HOP = 160  # samples from frame to frame, 10 ms
FRAMES_A_SECOND = RATE // HOP
MAX_SECONDS = 30  # what whisper's encoder has positions for
#: Frames that a spectrogram is padded to, so that clips of about one length share a batch.
BUCKETS = (200, 300, 400, 600, 800, 1200, 1600, 2400, MAX_SECONDS * FRAMES_A_SECOND)

MAX_AUDIO_BYTES = 16 * 2**20  # 30 s of 16-bit stereo at 48 kHz are 6 MB
MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 4_000, 192_000
PRIMING = 4_096  # samples that an AAC encoder may put before and after
MIN_SECONDS = 0.05  # shorter is a click
QUIET = 1e-4  # -80 dB of full scale: a clip no louder than this is silent
TRIM_BELOW = 10 ** (-40 / 20)  # of the loudest frame; what is quieter at either end is cut off
TRIM_MARGIN = 0.1  # seconds kept before and after

ACCEPTED = "send WAV, FLAC, OGG, MP3 or M4A"
_OTHER_MAGICS = {
    b"\x1aE\xdf\xa3": "a Matroska or WebM file",
    b"FORM": "an AIFF file",
    b"#!AMR": "an AMR file",
    b"caff": "a CAF file",
    b"0&\xb2u": "a WMA file",
    b"%PDF": "a PDF file",
    b"\xff\xd8\xff": "a JPEG file",
    b"\x89PNG": "a PNG file",
}


def read_audio(data: bytes) -> np.ndarray:
    """Decodes a clip, mixes its channels, resamples it, and cuts off silence at both ends.

    Args:
        data: a whole WAV, FLAC, OGG (Vorbis or Opus), MP3 or M4A (or other MP4 with sound) file of at most
            :data:`MAX_AUDIO_BYTES`, :data:`MAX_SECONDS` and :data:`MAX_CHANNELS`.

    Returns:
        float32 [samples], mono, 16 kHz, in [-1, 1]; at most 30 s.

    Raises:
        StageError: on field ``AUDIO``, ``too_large`` or ``invalid_input``.
    """
    return _trim(_resample(*_decoded(data), RATE))


def read_voice(data: bytes, rate: int, field: str = "AUDIO") -> np.ndarray:
    """Decodes as :func:`read_audio` does, for people to hear: float32 [samples], mono, at `rate`, nothing cut off.

    Raises:
        StageError: as :func:`read_audio`, on `field`.
    """
    try:
        return _resample(*_decoded(data), rate)
    except StageError as error:
        raise StageError(error.code, field, error.message) from error


def _decoded(data: bytes) -> tuple[np.ndarray, int]:
    """The mean of the channels, float32 [samples], and its samples a second."""
    kind = _check(data)
    try:
        if kind == "M4A":
            return _mp4_sound(data)
        with soundfile.SoundFile(BytesIO(data)) as file:
            _check_shape(file.channels, file.samplerate)
            claimed = file.frames
            # One more than allowed is read, whatever the header claims: some formats do not know their length.
            samples = file.read(MAX_SECONDS * file.samplerate + 1, dtype="float32", always_2d=True)
            rate = file.samplerate
    except StageError:
        raise
    except soundfile.LibsndfileError as error:
        raise broken(kind, error.error_string) from error
    except Exception as error:  # what a hostile header makes of numbers
        raise broken(kind, " ".join(str(error).split()) or type(error).__name__) from error
    if len(samples) > MAX_SECONDS * rate:
        raise _too_long(max(claimed, len(samples)) / rate)
    if kind == "FLAC" and len(samples) < claimed:
        raise broken(kind, f"claims {claimed / rate:.2f} s but holds {len(samples) / rate:.2f} s; save it again")
    return _mono(samples), rate


def _mp4_sound(data: bytes) -> tuple[np.ndarray, int]:
    """The sound track of an MP4, which libsndfile does not read: as :func:`_decoded` gives it."""
    with av.open(BytesIO(data), "r", format="mp4") as container:
        if not container.streams.audio:
            others = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
            raise invalid("AUDIO", f"is an MP4 file without a sound track (tracks: {others}); {ACCEPTED}")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise invalid("AUDIO", "is an MP4 file of a codec that cannot be decoded; save it as AAC or WAV")
        channels, rate = stream.codec_context.channels, stream.codec_context.sample_rate
        _check_shape(channels, rate)
        claimed = float((stream.duration or 0) * (stream.time_base or 0))
        if claimed > MAX_SECONDS:
            raise _too_long(claimed)
        resampler, parts, held = av.AudioResampler(format="fltp"), [], 0
        for frame in container.decode(stream):
            shape = frame.layout.nb_channels, frame.sample_rate
            # A damaged packet may give a frame of other channels; of more than eight PyAV reads beyond its planes.
            if shape != (channels, rate):
                raise broken("M4A", f"its sound changes to {shape[0]} channels of {shape[1]:,} Hz; save it again")
            for part in resampler.resample(frame):
                parts.append(part.to_ndarray())
                held += part.samples
            if held > MAX_SECONDS * rate + PRIMING:
                raise _too_long(held / rate)
        samples = np.concatenate(parts, 1).T if parts else np.zeros((0, 1), np.float32)
        if samples.shape[0] < 0.9 * claimed * rate:
            raise broken("M4A", f"claims {claimed:.2f} s but holds {len(samples) / rate:.2f} s; save it again")
    return _mono(samples[: MAX_SECONDS * rate]), rate


def no_sound(mels: int) -> np.ndarray:
    """What stands for the log-mel of a sound that is not there, because Triton sends no tensor without elements.

    Returns:
        float32 [mels, frames], zeros.
    """
    return np.zeros((mels, BUCKETS[0]), np.float32)


def log_mel(samples: np.ndarray, mels: int) -> np.ndarray:
    """Whisper's log-mel spectrogram of a clip, padded with silence to the next of :data:`BUCKETS`.

    Equal to what transformers' ``WhisperFeatureExtractor`` gives for the same padded samples, which pads to 30 s
    instead: the encoder's work grows with the frames, and most spoken titles last less than two seconds.

    Args:
        samples: float32 [samples], mono, 16 kHz, at most 30 s.
        mels: bands of the spectrogram.

    Returns:
        float32 [mels, frames], 100 frames a second.

    Raises:
        ValueError: longer than 30 s.
    """
    if len(samples) > MAX_SECONDS * RATE:
        raise ValueError(f"{len(samples) / RATE:.2f} s of samples, at most {MAX_SECONDS} s")
    frames = next(bucket for bucket in BUCKETS if bucket * HOP >= len(samples))
    padded = np.pad(samples.astype(np.float32), (0, frames * HOP - len(samples)))
    padded = np.pad(padded, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: frames * HOP : HOP]
    power = np.abs(np.fft.rfft(windows * get_window("hann", WINDOW))) ** 2
    log = np.log10(np.maximum(_mel_filters(mels) @ power.T, 1e-10))
    return ((np.maximum(log, log.max() - 8) + 4) / 4).astype(np.float32)


def log_mels(clips: Sequence[np.ndarray], mels: int) -> np.ndarray:
    """:func:`log_mel` of several clips, all padded to the longest: float32 [clips, mels, frames]."""
    longest = max(len(clip) for clip in clips)
    return np.stack([log_mel(np.pad(clip, (0, longest - len(clip))), mels) for clip in clips])


def broken(kind: str, cause: str) -> StageError:
    """The error for a file of an accepted format that cannot be decoded."""
    return invalid("AUDIO", f"is a broken {kind} file: {cause}")


@cache
def _mel_filters(count: int) -> np.ndarray:
    """float64 [count, 201]: triangles of area one, centred evenly on the mel scale from 0 to 8000 Hz."""
    # The scale is linear to 1000 Hz (15 mels) and logarithmic above.
    step = np.log(6.4) / 27
    mels = np.linspace(0, 15 + np.log(RATE / 2 / 1000) / step, count + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    widths = np.diff(edges)[:, None]
    rising, falling = (bins - edges[:-2, None]) / widths[:-1], (edges[2:, None] - bins) / widths[1:]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def _check(data: bytes) -> str:
    """The format of a sound file: ``"WAV"``, ``"FLAC"``, ``"OGG"``, ``"MP3"`` or ``"M4A"``."""
    if not data:
        raise invalid("AUDIO", f"is empty (0 bytes); {ACCEPTED}, or leave the field out")
    if len(data) > MAX_AUDIO_BYTES:
        raise too_large("AUDIO", f"{len(data):,} bytes, the limit is {MAX_AUDIO_BYTES:,} bytes; shorten the clip")
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        _check_wav(data)
        return "WAV"
    if data.startswith(b"fLaC"):
        return "FLAC"
    if data.startswith(b"OggS"):
        return "OGG"
    # A frame of MPEG audio begins with eleven ones, and 00 for the layer would be AAC; a tag may stand before it.
    if data.startswith(b"ID3") or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x06):
        return "MP3"
    if data[4:8] == b"ftyp":
        return "M4A"
    raise invalid("AUDIO", f"is {_name(data)}; {ACCEPTED}")


def _check_wav(data: bytes) -> None:
    """Refuses a WAV whose samples end before its header says; libsndfile would read what is there."""
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind == b"data":
            held = len(data) - at - 8
            # A program that writes to a pipe does not know the size and leaves it zero or all ones.
            if held < size < 0x7FFFFFFF:
                raise broken("WAV", f"claims {size:,} bytes of samples but holds {held:,}; save it again")
            return
        at += 8 + size + size % 2
    raise broken("WAV", f"holds no samples in its {len(data):,} bytes; save it again")


def _check_shape(channels: int, rate: int) -> None:
    if channels > MAX_CHANNELS:
        raise too_large("AUDIO", f"{channels} channels, the limit is {MAX_CHANNELS}; mix them to mono or stereo")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise invalid(
            "AUDIO",
            f"has a sample rate of {rate:,} Hz, allowed is {MIN_RATE:,} to {MAX_RATE:,} Hz; resample it",
        )


def _too_long(seconds: float) -> StageError:
    return too_large("AUDIO", f"{seconds:.1f} s of sound, the limit is {MAX_SECONDS} s; send a shorter clip")


def _name(data: bytes) -> str:
    """What a file of no accepted format looks like."""
    for magic, name in _OTHER_MAGICS.items():
        if data.startswith(magic):
            return name
    return f"no sound: {len(data):,} bytes that begin with {data[:8].hex(' ')}"


def _mono(samples: np.ndarray) -> np.ndarray:
    """The mean of the channels [frames, channels], within [-1, 1]."""
    bad = ~np.isfinite(samples)
    if bad.any():
        raise invalid(
            "AUDIO",
            f"has {np.count_nonzero(bad):,} samples that are NaN or infinite, the first at frame "
            f"{int(bad.any(1).argmax()):,}; save it again as 16-bit samples",
        )
    loudest = float(np.abs(samples).max(initial=0))
    if loudest > 1:  # files of floating point may go beyond full scale
        samples = samples / loudest
    return samples.mean(1, dtype=np.float32)


def _resample(mono: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    if rate == wanted or not len(mono):
        return mono
    # A ratio of small numbers, off by less than a millionth, keeps the filter short for odd rates.
    ratio = Fraction(wanted, rate).limit_denominator(1000)
    return resample_poly(mono, ratio.numerator, ratio.denominator).astype(np.float32)[: MAX_SECONDS * wanted]


def _trim(mono: np.ndarray) -> np.ndarray:
    """Without what is silent at both ends."""
    if len(mono) < MIN_SECONDS * RATE:
        lasts = f"lasts {len(mono) / RATE * 1000:.0f} ms, the least is {MIN_SECONDS * 1000:.0f} ms"
        raise invalid("AUDIO", f"{lasts}; send a longer clip")
    whole = mono[: len(mono) // HOP * HOP].reshape(-1, HOP)
    level = np.sqrt((whole**2).mean(1))
    if level.max() < QUIET:
        decibels = 20 * np.log10(max(float(level.max()), 1e-10))
        raise invalid(
            "AUDIO",
            f"is silent: its loudest 10 ms lie at {decibels:.0f} dB of full scale; record it louder, or leave it out",
        )
    loud = np.flatnonzero(level >= level.max() * TRIM_BELOW)
    margin = int(TRIM_MARGIN * RATE)
    return mono[max(0, loud[0] * HOP - margin) : (loud[-1] + 1) * HOP + margin]

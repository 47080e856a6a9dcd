"""Files that a shop never meant to send, and some that mean harm: made by code, told by name.

``PHOTOS``, ``CLIPS`` and ``SOUNDS`` hold what a reader may refuse or make the best of; what it may not do is to break,
to hang or to take the server's memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import soundfile
from PIL import Image

from stages.marked import film_file
from tests.heic import heic
from tests.unit.stages import test_audio, test_image
from tests.unit.stages.test_video import clip, grey


def _turning(number: int) -> list[np.ndarray]:
    return [grey(20 + index % 200) for index in range(number)]


def _picture(width: int, height: int, format: str, **options: object) -> bytes:
    file = BytesIO()
    Image.radial_gradient("L").resize((width, height)).convert("RGB").save(file, format, **options)
    return file.getvalue()


def _wav(seconds: float, rate: int, channels: int = 1) -> bytes:
    file = BytesIO()
    samples = 0.3 * np.sin(np.arange(round(seconds * rate)) * 2000 / rate)
    soundfile.write(file, np.repeat(samples[:, None], channels, 1), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _patched(data: bytes, box: bytes, at: int, value: bytes) -> bytes:
    """The file with `value` from the `at`-th byte after every `box`'s name."""
    found, patched = -1, bytearray(data)
    while (found := data.find(box, found + 1)) >= 0:
        patched[found + len(box) + at : found + len(box) + at + len(value)] = value
    assert bytes(patched) != data
    return bytes(patched)


def _captions_only() -> bytes:
    """An MP4 that holds a track of text and nothing else."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        track = container.add_stream("mov_text")
        track.codec_context.subtitle_header = b"[Script Info]\n"
        track.codec_context.time_base = Fraction(1, 1000)
        track.codec_context.open()
        packet = av.Packet(b"\0\5hello")
        packet.stream, packet.time_base = track, Fraction(1, 1000)
        packet.pts = packet.dts = 0
        packet.duration = 1000
        container.mux(packet)
    return file.getvalue()


def _long_gif() -> bytes:
    """Two thousand frames that never end."""
    frames = [Image.new("P", (32, 32), index % 250) for index in range(2_000)]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], loop=0, duration=1)
    return file.getvalue()


def _text_beside_pictures() -> bytes:
    """A film with a track of text beside its pictures."""
    pictures = [Image.fromarray(frame) for frame in _turning(20)]
    return film_file(pictures, pictures[0].size, 10, 30, "", captions=[("<script>" * 500, 0, 1)])


_PLAIN = clip(_turning(20))
_PHOTO = _picture(640, 480, "JPEG")
_SOUND = _wav(1.0, 16_000)

#: Name → what makes the file.
PHOTOS: dict[str, Callable[[], bytes]] = {
    **{name: (lambda data=data: data) for name, (data, _, _) in test_image.REFUSED.items()},
    "jpeg bomb": test_image.bomb_jpeg,
    "webp bomb": lambda: test_image.bomb_webp(b"VP8X"),
    "endless gif": _long_gif,
    "heic": lambda: heic(Image.radial_gradient("L").convert("RGB"), tile=128),
    "heic bomb": lambda: heic(Image.radial_gradient("L").convert("RGB"), claimed=(30_000, 30_000)),
    "a clip": lambda: _PLAIN,
    "a sound": lambda: _SOUND,
    "a line of 60,000 pixels": lambda: _picture(60_000, 1, "PNG"),
    "zeros": lambda: bytes(100_000),
    "a jpeg in a jpeg": lambda: _PHOTO + _PHOTO,
    "50 megapixels": lambda: _picture(8_000, 6_200, "JPEG", quality=30),
    "51 megapixels": lambda: _picture(8_300, 6_200, "JPEG", quality=30),
}
CLIPS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "zeros": lambda: bytes(100_000),
    "a photo": lambda: _PHOTO,
    "a gif": _long_gif,
    "a sound": lambda: test_audio.m4a(test_audio.tone(rate=44_100)),
    "text only": _captions_only,
    "text beside pictures": _text_beside_pictures,
    "cut off": lambda: _PLAIN[: len(_PLAIN) // 2],
    "without its index": lambda: _PLAIN[:200],
    "8k": lambda: clip([np.zeros((4_320, 7_680, 3), np.uint8)]),
    "100 frames a second": lambda: clip(_turning(300), times=[10 * index for index in range(300)]),
    "0 frames a second": lambda: _patched(_PLAIN, b"stts", 8, bytes([0, 0, 0, 20, 0, 0, 0, 0])),
    "claims 24 hours": lambda: _patched(_PLAIN, b"mvhd", 12, struct.pack(">II", 1, 86_400)),
    "24 hours of two frames": lambda: clip(_turning(2), times=[0, 86_400_000]),
    "claims 4 billion frames": lambda: _patched(_PLAIN, b"stsz", 8, b"\xff" * 4),
    "a box larger than the file": lambda: _patched(_PLAIN, b"mvhd", -8, b"\x7f\xff\xff\xff"),
    "webm without clusters": lambda: clip(_turning(4), "webm", "libvpx")[:400],
    "one frame": lambda: clip(_turning(1)),
    "black": lambda: clip([np.zeros((96, 96, 3), np.uint8)] * 20),
    "one pixel high": lambda: clip([np.full((2, 512, 3), 90, np.uint8)] * 10),
}
SOUNDS: dict[str, Callable[[], bytes]] = {
    **{name: (lambda data=data: data) for name, (data, _, _) in test_audio.WRONG.items()},
    "a photo": lambda: _PHOTO,
    "a clip without sound": lambda: _PLAIN,
    "zeros": lambda: bytes(100_000),
    "192 kHz": lambda: _wav(1.0, 192_000),
    "8 channels": lambda: _wav(1.0, 48_000, 8),
    "claims 24 hours": lambda: test_audio.header_only() + bytes(10),
    "a tag of 200 MB": lambda: b"ID3\x04\0\0\x5f\x5e\x10\0" + bytes(5_000),
    "flac of 2^36 samples": lambda: b"fLaC\0\0\0\x22" + bytes(10) + b"\x0a\xc4\x42\xff\xff\xff\xff\xff" + bytes(30),
}

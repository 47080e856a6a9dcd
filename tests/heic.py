"""Makes HEIC files, which no library here writes: HEVC by libx265, the boxes by hand (ISO/IEC 23008-12)."""

from __future__ import annotations

import re
import struct
from fractions import Fraction

import av
import numpy as np
from PIL import Image


def box(kind: bytes, content: bytes) -> bytes:
    """A box."""
    return struct.pack(">I4s", len(content) + 8, kind) + content


def full(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags) + content)


def hevc(picture: Image.Image) -> tuple[bytes, bytes]:
    """A picture as one HEVC frame: its parameters (hvcC) and its data, each unit behind its length."""
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height = picture.size
    encoder.pix_fmt, encoder.time_base = "yuv444p", Fraction(1, 1)
    encoder.options = {"x265-params": "log-level=none:range=full:info=0", "crf": "4", "preset": "ultrafast"}
    frame = av.VideoFrame.from_ndarray(np.asarray(picture.convert("RGB")), format="rgb24")
    stream = b"".join(
        bytes(packet)
        for packet in [
            *encoder.encode(frame.reformat(format="yuv444p", dst_color_range="JPEG")),
            *encoder.encode(None),
        ]
    )
    units = [unit for unit in re.split(rb"\x00?\x00\x00\x01", stream) if unit]
    parameters = {kind: [unit for unit in units if unit[0] >> 1 & 63 == kind] for kind in (32, 33, 34)}
    arrays = b"".join(
        struct.pack(">BH", 0x80 | kind, len(found)) + b"".join(struct.pack(">H", len(unit)) + unit for unit in found)
        for kind, found in parameters.items()
    )
    pictures = [unit for unit in units if unit[0] >> 1 & 63 < 32]
    head = b"\1" + bytes(20) + b"\3"  # lengths take four bytes
    return head + bytes([len(parameters)]) + arrays, b"".join(struct.pack(">I", len(u)) + u for u in pictures)


def heic(
    picture: Image.Image,
    tile: int | None = None,
    shown: tuple[bytes, ...] = (),
    profile: bytes | None = None,
    inside: bool = False,
    brand: bytes = b"heic",
    claimed: tuple[int, int] | None = None,
) -> bytes:
    """A photo as a HEIC file.

    Args:
        tile: pixels a side of a grid's tiles, each a picture of its own; None for one picture.
        shown: boxes that say how it is shown, in their order: turned, mirrored, cropped.
        profile: its ICC profile.
        inside: the pictures' data lies within the index instead of behind it.
        claimed: the size that it says, if not the true one.
    """
    width, height = picture.size
    if tile is None:
        pictures = [picture]
    else:
        columns, rows = -(-width // tile), -(-height // tile)
        places = [(left * tile, top * tile) for top in range(rows) for left in range(columns)]
        pictures = [picture.crop((left, top, left + tile, top + tile)) for left, top in places]
    coded = [hevc(each) for each in pictures]
    properties = [box(b"hvcC", coded[0][0]), full(b"ispe", struct.pack(">II", *pictures[0].size))]
    properties.append(full(b"ispe", struct.pack(">II", *(claimed or picture.size))))
    properties += [*shown, *([box(b"colr", b"prof" + profile)] if profile else [])]
    extra = list(range(4, 4 + len(properties) - 3))
    parts = [data for _, data in coded]
    main = len(parts) + 1 if tile else 1
    kinds = {number + 1: b"hvc1" for number in range(len(parts))} | ({main: b"grid"} if tile else {})
    of = {number: [1, 2] for number in kinds} | {main: [3, *extra] if tile else [1, 3, *extra]}
    order = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height) if tile else b""

    held = b"".join(parts) + order
    lengths = [*map(len, parts), *([len(order)] if tile else [])]

    def index(start: int) -> bytes:
        at, places = start, b""
        for number, length in enumerate(lengths, 1):
            places += struct.pack(">HHHHII", number, int(inside), 0, 1, at, length)
            at += length
        infos = b"".join(full(b"infe", struct.pack(">HH4s", n, 0, kind) + b"\0", 2) for n, kind in kinds.items())
        links = b"".join(struct.pack(">HB", n, len(ps)) + bytes(ps) for n, ps in of.items())
        references = struct.pack(f">HH{len(parts)}H", main, len(parts), *range(1, len(parts) + 1))
        return full(
            b"meta",
            full(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + full(b"pitm", struct.pack(">H", main))
            + full(b"iloc", b"\x44\0" + struct.pack(">H", len(lengths)) + places, version=1)
            + full(b"iinf", struct.pack(">H", len(kinds)) + infos)
            + (full(b"iref", box(b"dimg", references)) if tile else b"")
            + box(b"iprp", box(b"ipco", b"".join(properties)) + full(b"ipma", struct.pack(">I", len(of)) + links))
            + (box(b"idat", held) if inside else b""),
        )

    head = box(b"ftyp", brand + bytes(4) + b"mif1heic")
    if inside:
        return head + index(0)
    return head + index(len(head) + len(index(0)) + 8) + box(b"mdat", held)


def turned(quarters: int) -> bytes:
    """Says: turn it by so many quarters, against the clock."""
    return box(b"irot", bytes([quarters]))


def mirrored(axis: int) -> bytes:
    """Says: mirror it, top and bottom (0) or left and right (1)."""
    return box(b"imir", bytes([axis]))


def cropped(width: int, height: int, aside: int = 0, down: int = 0) -> bytes:
    """Says: show only a part of that size, its middle so far from the picture's."""
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, aside, 1, down, 1))

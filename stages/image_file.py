"""What a picture file claims about itself, read from its headers and checked before anything is decoded.

Pillow decodes safely what it decodes, but it trusts some claims that cost a server dear: thousands of tiny metadata
segments (quadratic in their number), thousands of scans, a PNG that ends before its last row.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

from stages.errors import StageError, invalid, too_large

MAX_IMAGE_BYTES = 32 * 2**20
#: 50 megapixels is the largest picture that common phones write. Others are decoded through copies of it.
#: So a picture takes at most 400 MB while it is read.
MAX_PIXELS = dict.fromkeys(("JPEG", "PNG", "HEIC"), 50_000_000) | dict.fromkeys(
    ("WEBP", "AVIF", "GIF", "BMP", "TIFF"), 25_000_000
)
MAX_METADATA = 512  # JPEG segments before the first scan, or PNG chunks without pixels; 5 to 60 are usual
MAX_IDAT = 65_536  # PNG chunks that hold pixels; 8 kB each is usual
MAX_SCANS = 40  # of a progressive JPEG, 10 are usual; each walks the whole picture again

ACCEPTED = "send JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF"

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_OTHER_MAGICS = {
    b"%PDF": "a PDF file",
    b"<svg": "an SVG file",
    b"<?xml": "an XML file",
    b"\0\0\1\0": "an ICO file",
}


def check_file(data: bytes) -> str:
    """The format of a picture file, a key of :data:`MAX_PIXELS`, within the limits above.

    Raises:
        StageError: on field ``IMAGE``, ``too_large`` or ``invalid_input``.
    """
    if not data:
        raise invalid("IMAGE", f"is empty (0 bytes); {ACCEPTED}, or leave the field out")
    if len(data) > MAX_IMAGE_BYTES:
        raise too_large("IMAGE", f"{len(data):,} bytes, the limit is {MAX_IMAGE_BYTES:,} bytes; shrink the picture")
    if data.startswith(b"\xff\xd8\xff"):
        _check_jpeg(data)
        return "JPEG"
    if data.startswith(_PNG_MAGIC):
        _check_png(data)
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        check_size("WEBP", *_webp_size(data))
        return "WEBP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    if data.startswith(b"BM"):
        return "BMP"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "AVIF"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1"):
        return "HEIC"
    raise invalid("IMAGE", f"is {_name(data)}; {ACCEPTED}")


def check_size(kind: str, width: int, height: int) -> None:
    """Refuses a picture over the :data:`MAX_PIXELS` of its format."""
    if width * height > MAX_PIXELS[kind]:
        raise too_large(
            "IMAGE",
            f"{width:,} x {height:,} pixels ({width * height / 1e6:.1f} megapixels), "
            f"the limit for {kind} is {MAX_PIXELS[kind] / 1e6:g} megapixels; shrink the picture",
        )


def check_png_rows(data: bytes) -> None:
    """Refuses a PNG whose pixel data ends before its last row; Pillow would leave the missing rows black."""
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    claimed = _png_bytes(width, height, depth * channels, interlace == 1)
    held = _inflated_bytes((data[at : at + size] for kind, at, size in _png_chunks(data) if kind == b"IDAT"), claimed)
    if held < claimed:
        raise broken(
            "PNG",
            f"claims {width:,} x {height:,} pixels, {claimed:,} bytes, but holds {held:,} bytes; save it again",
        )


def broken(kind: str, cause: str) -> StageError:
    """The error for a file of an accepted format that cannot be decoded."""
    return invalid("IMAGE", f"is a broken {kind} file: {cause}")


def _name(data: bytes) -> str:
    """What a file of no accepted format looks like."""
    if data[4:8] == b"ftyp":
        return f"an ISO media file of brand {data[8:12].decode('latin-1')!r} (MP4, for example)"
    for magic, name in _OTHER_MAGICS.items():
        if data.startswith(magic):
            return name
    return f"no picture: {len(data):,} bytes that begin with {data[:8].hex(' ')}"


def _check_jpeg(data: bytes) -> None:
    at, walked, components, progressive = 2, 0, 0, False
    while walked <= MAX_METADATA:
        marker = data.find(b"\xff", at)
        if marker < 0 or marker + 10 > len(data):
            raise broken("JPEG", "it ends before its pixels begin; save it again")
        kind = data[marker + 1]
        if kind == 0xDA:
            # A baseline picture in one scan ends with it. Otherwise FF DA begins a scan wherever it stands (B.1.1.5).
            several = progressive or data[marker + 4] < components
            if several and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
                raise too_large(
                    "IMAGE", f"a JPEG of {scans:,} scans, the limit is {MAX_SCANS}; save it as baseline JPEG"
                )
            return
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # a frame header (table B.1)
            components, progressive = data[marker + 9], kind & 3 == 2
        walked += 1 + marker - at  # junk between segments is skipped byte by byte, so each byte counts
        # A stuffed zero, TEM, RSTn, SOI, EOI and a fill byte have no length and no payload (B.1.1.3).
        alone = kind in (0x00, 0x01, 0xFF) or 0xD0 <= kind <= 0xD9
        at = marker + (1 if alone else 2 + int.from_bytes(data[marker + 2 : marker + 4], "big"))
    raise too_large("IMAGE", f"a JPEG of more than {MAX_METADATA} metadata segments; save it without them")


def _check_png(data: bytes) -> None:
    idat = metadata = 0
    for kind, _, _ in _png_chunks(data):
        if kind in (b"IDAT", b"fdAT", b"fcTL"):
            idat += 1
        else:
            metadata += 1
        if idat > MAX_IDAT or metadata > MAX_METADATA:
            raise too_large(
                "IMAGE",
                f"a PNG of more than {MAX_IDAT:,} pixel chunks or {MAX_METADATA} metadata chunks; save it again",
            )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, offset of the payload and its length for every chunk (PNG 5.3)."""
    at = len(_PNG_MAGIC)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, size
        at += size + 12


def _png_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Bytes of a PNG's filtered rows: one filter byte and the packed pixels a row, over Adam7's passes (PNG 8.2)."""
    adam7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    total = 0
    for x, y, step_x, step_y in adam7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _inflated_bytes(parts: Iterable[bytes], enough: int, piece: int = 1 << 16) -> int:
    """How many bytes a zlib stream holds, counted `piece` by `piece`; stops at `enough`."""
    stream, held = zlib.decompressobj(), 0
    for part in parts:
        while held < enough and not stream.eof:
            inflated = len(stream.decompress(part, piece))
            held += inflated
            part = stream.unconsumed_tail
            if inflated < piece:
                break
    return held


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas (RFC 9649, 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise broken("WEBP", f"no size in its first {min(len(data), 30)} bytes; save it again")

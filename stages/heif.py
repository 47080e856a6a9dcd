"""HEIC photos, as iPhones take them: the boxes of ISO/IEC 23008-12 read here, the pictures in them decoded by FFmpeg.

A photo is one HEVC picture, or a grid of them. What a file says of itself is checked before anything is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import av
from PIL import Image

from stages.image_file import MAX_PIXELS, broken, check_size

KIND = "HEIC"
MAX_ITEMS = 4_096  # a photo of 48 megapixels has some 200
_FULL = 4  # bytes of version and flags before a full box's content


@dataclass
class _Item:
    """One entry of the file: what it is, where its bytes lie (offset, length), in the file or in `idat`."""

    kind: bytes = b""
    inside: bool = False
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)

    def of(self, kind: bytes) -> bytes | None:
        """The content of its property of a kind."""
        return next((content for name, content in self.properties if name == kind), None)


def open_heif(file: BytesIO) -> Image.Image:
    """The photo, upright, mode RGB, its ICC profile in ``info``.

    Raises:
        StageError: on field ``IMAGE``: too large, or of another codec.
        Exception: of many types, if the file is broken.
    """
    data = file.getvalue()
    meta = next((content for kind, content in _boxes(data) if kind == b"meta"), None)
    if meta is None:
        raise broken(KIND, "it has no index of its pictures (box meta); save it again")
    primary, items, idat = _index(meta[_FULL:])
    if primary not in items:
        raise broken(KIND, f"its main picture, number {primary}, is not there; save it again")
    item = items[primary]
    width, height = _size(item)
    check_size(KIND, width, height)
    if item.kind == b"grid":
        picture = _grid(data, item, items, idat)
    elif item.kind == b"hvc1":
        picture = _Decoder().picture(item, _bytes(data, item, idat))
    else:
        raise broken(KIND, f"its picture is of codec {item.kind.decode('latin-1')!r}, not HEVC; save it as JPEG")
    picture = _shown(picture.crop((0, 0, width, height)), item)
    first = items[item.parts[0]] if item.parts else item
    profile = item.of(b"colr") or first.of(b"colr") or b""
    if profile[:4] in (b"prof", b"rICC"):
        picture.info["icc_profile"] = profile[4:]
    return picture


def _boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes that stand one after the other."""
    at, count = start, 0
    while at + 8 <= len(data) and count < MAX_ITEMS:
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        size = size or len(data) - at
        if size < head or at + size > len(data):
            raise broken(KIND, f"box {kind.decode('latin-1')!r} claims {size:,} bytes; save it again")
        yield kind, data[at + head : at + size]
        at += size
        count += 1


def _index(meta: bytes) -> tuple[int, dict[int, _Item], bytes]:
    """The main picture's number, every item by its number, and the data that lies in the index itself."""
    boxes: dict[bytes, bytes] = {}
    for kind, content in _boxes(meta):
        boxes.setdefault(kind, content)
    for kind in (b"pitm", b"iinf", b"iloc", b"iprp"):
        if kind not in boxes:
            raise broken(KIND, f"its index has no box {kind.decode()}; save it again")
    items: dict[int, _Item] = {}
    _kinds(boxes[b"iinf"], items)
    _places(boxes[b"iloc"], items)
    _properties(boxes[b"iprp"], items)
    if b"iref" in boxes:
        _parts(boxes[b"iref"], items)
    pitm = boxes[b"pitm"]
    primary = int.from_bytes(pitm[4:6] if pitm[0] == 0 else pitm[4:8], "big")
    return primary, items, boxes.get(b"idat", b"")


def _kinds(iinf: bytes, items: dict[int, _Item]) -> None:
    for kind, content in _boxes(iinf, 6 if iinf[0] == 0 else 8):
        if kind == b"infe" and content[0] >= 2:
            number, _, what = struct.unpack_from(">HH4s" if content[0] == 2 else ">IH4s", content, 4)
            items[number] = _Item(what)


def _places(iloc: bytes, items: dict[int, _Item]) -> None:
    reader = _Reader(iloc, 4)
    version, sizes = iloc[0], reader.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    for _ in range(min(reader.number(wide), MAX_ITEMS)):
        item = items.setdefault(reader.number(wide), _Item())
        method = reader.number(2) & 15 if version else 0
        if method > 1:
            raise broken(KIND, f"its data lies in another item (method {method}); save it as JPEG")
        item.inside = method == 1
        reader.number(2)  # in which file: this one
        base = reader.number(base_size)
        for _ in range(min(reader.number(2), MAX_ITEMS)):
            reader.number(index_size if version else 0)
            item.extents.append((base + reader.number(offset_size), reader.number(length_size)))


def _properties(iprp: bytes, items: dict[int, _Item]) -> None:
    boxes = list(_boxes(iprp))
    known = [entry for kind, content in boxes if kind == b"ipco" for entry in _boxes(content)]
    for kind, content in boxes:
        if kind != b"ipma":
            continue
        reader, wide = _Reader(content, 4), content[3] & 1
        for _ in range(min(reader.number(4), MAX_ITEMS)):
            item = items.setdefault(reader.number(4 if content[0] else 2), _Item())
            for _ in range(reader.number(1)):
                place = reader.number(2) & 0x7FFF if wide else reader.number(1) & 0x7F
                if 0 < place <= len(known):
                    item.properties.append(known[place - 1])


def _parts(iref: bytes, items: dict[int, _Item]) -> None:
    wide = 4 if iref[0] else 2
    for kind, content in _boxes(iref, 4):
        if kind == b"dimg":
            reader = _Reader(content, 0)
            item = items.setdefault(reader.number(wide), _Item())
            item.parts = [reader.number(wide) for _ in range(min(reader.number(2), MAX_ITEMS))]


class _Reader:
    """Numbers of so many bytes, one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def number(self, size: int) -> int:
        """The next number; one of no bytes is 0."""
        if self._at + size > len(self._data):
            raise broken(KIND, "its index ends in the middle of a number; save it again")
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")


def _size(item: _Item) -> tuple[int, int]:
    extents = item.of(b"ispe")
    if extents is None:
        raise broken(KIND, "its picture has no size (property ispe); save it again")
    width, height = struct.unpack_from(">II", extents, 4)
    if not width or not height:
        raise broken(KIND, f"its picture is {width} x {height} pixels; save it again")
    return width, height


def _bytes(data: bytes, item: _Item, idat: bytes) -> bytes:
    source, found = idat if item.inside else data, []
    for at, length in item.extents:
        if at + length > len(source):
            raise broken(
                KIND, f"a picture in it ends {at + length - len(source):,} bytes after the file; save it again"
            )
        found.append(source[at : at + length or None])
    return b"".join(found)


def _grid(data: bytes, item: _Item, items: dict[int, _Item], idat: bytes) -> Image.Image:
    """The picture of a grid's tiles, each drawn over the one before where they overlap."""
    order = _bytes(data, item, idat)
    rows, columns = order[2] + 1, order[3] + 1
    if len(item.parts) != rows * columns:
        raise broken(KIND, f"a grid of {rows} x {columns} has {len(item.parts)} tiles; save it again")
    tiles = [items[part] for part in item.parts]
    wide, high = _size(tiles[0])
    check_size(KIND, wide * columns, high * rows)
    whole, decoder = Image.new("RGB", (wide * columns, high * rows)), _Decoder()
    for number, tile in enumerate(tiles):
        if tile.kind != b"hvc1":
            raise broken(KIND, f"a tile is of codec {tile.kind.decode('latin-1')!r}, not HEVC; save it as JPEG")
        place = number % columns * wide, number // columns * high
        whole.paste(decoder.picture(tile, _bytes(data, tile, idat)).crop((0, 0, wide, high)), place)
    return whole


class _Decoder:
    """Decodes HEVC pictures; the tiles of a grid share one context."""

    def __init__(self) -> None:
        self._set: bytes | None = None
        self._context: av.VideoCodecContext

    def picture(self, item: _Item, data: bytes) -> Image.Image:
        """One item's picture."""
        parameters = item.of(b"hvcC")
        if parameters is None:
            raise broken(KIND, "a picture in it has no parameters (property hvcC); save it again")
        if parameters != self._set:
            self._context = av.CodecContext.create("hevc", "r")
            self._context.extradata = parameters
            self._context.options = {"max_pixels": str(MAX_PIXELS[KIND])}
            self._set = parameters
        frames = [*self._context.decode(av.Packet(data)), *self._context.decode(None)]
        self._context.flush_buffers()
        if not frames:
            raise broken(KIND, "a picture in it cannot be decoded; save it again")
        frame = frames[0]
        told = item.of(b"colr") or b""
        if told[:4] == b"nclx" and len(told) >= 11:
            matrix, whole = int.from_bytes(told[8:10], "big"), told[10] >> 7
            frame.colorspace, frame.color_range = matrix, 2 if whole else 1
        return frame.to_image()


def _shown(picture: Image.Image, item: _Item) -> Image.Image:
    """The picture cropped, turned and mirrored as its properties say, in their order."""
    for kind, content in item.properties:
        if kind == b"clap":
            picture = picture.crop(_aperture(content, picture.size))
        elif kind == b"irot" and content[0] & 3:
            turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
            picture = picture.transpose(turns[(content[0] & 3) - 1])
        elif kind == b"imir":
            across = Image.Transpose.FLIP_LEFT_RIGHT if content[0] & 1 else Image.Transpose.FLIP_TOP_BOTTOM
            picture = picture.transpose(across)
    return picture


def _aperture(clap: bytes, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box that a clean aperture leaves: its size and how far its middle is from the picture's, as fractions."""
    numbers = struct.unpack(">IIIIiIiI", clap[:32])
    wide, high, aside, down = (a / b for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    left, top = round(size[0] / 2 + aside - wide / 2), round(size[1] / 2 + down - high / 2)
    right, bottom = left + round(wide), top + round(high)
    if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
        raise broken(
            KIND, f"it shows a part of {round(wide)} x {round(high)} pixels that lies outside it; save it again"
        )
    return left, top, right, bottom

"""Photos in: every kind that a shop sends comes out right, everything else as a typed error, in bounded memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps

from stages import image, image_file
from stages.errors import StageError

SIDE_PX = 224  # of the square; any other would do


def read_image(data: bytes) -> np.ndarray:
    """The photo in a square of :data:`SIDE_PX`."""
    return image.read_image(data, SIDE_PX)


RED, GREEN, BLUE, WHITE = (220, 30, 40), (20, 180, 60), (30, 60, 200), (255, 255, 255)


def encode(picture: Image.Image, format: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def quarters(width: int = 320, height: int = 320) -> Image.Image:
    """Red, green, blue and white quarters, so that every turn and mirroring shows."""
    picture = Image.new("RGB", (width, height), WHITE)
    picture.paste(RED, (0, 0, width // 2, height // 2))
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    return picture


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int, rows: int, *extra: bytes) -> bytes:
    """A grey 8-bit RGB PNG that claims `height` rows and holds `rows`."""
    pixels = (b"\0" + b"\x80" * (3 * width)) * rows
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def swapped_profile() -> bytes:
    """sRGB with the red and blue primaries changed over, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "xBGR".encode("utf-16-be"))
    return profile.replace(b"rXYZ", b"-XYZ").replace(b"bXYZ", b"rXYZ").replace(b"-XYZ", b"bXYZ")


def corners(pixels: np.ndarray) -> list[np.ndarray]:
    a, b = SIDE_PX // 4, 3 * SIDE_PX // 4
    return [pixels[a, a], pixels[a, b], pixels[b, a], pixels[b, b]]


def assert_quarters(pixels: np.ndarray, tolerance: int) -> None:
    assert pixels.shape == (SIDE_PX, SIDE_PX, 3)
    assert pixels.dtype == np.uint8
    for seen, meant in zip(corners(pixels), (RED, GREEN, BLUE, WHITE), strict=True):
        assert np.abs(seen.astype(int) - meant).max() <= tolerance, (seen, meant)


def refusal(data: bytes) -> StageError:
    with pytest.raises(StageError) as caught:
        read_image(data)
    assert caught.value.field == "IMAGE"
    return caught.value


def animated(format: str) -> bytes:
    frames = [quarters(), Image.new("RGB", (320, 320), (0, 0, 0))]
    options = {} if format == "TIFF" else {"lossless": True}
    return encode(frames[0], format, save_all=True, append_images=frames[1:], **options)


RIGHT = {
    "jpeg": (encode(quarters(), "JPEG", quality=95), 4),
    "jpeg progressive": (encode(quarters(), "JPEG", quality=95, progressive=True), 4),
    "jpeg of 12 megapixels": (encode(quarters(4000, 4000), "JPEG", quality=80), 6),
    "jpeg cmyk": (encode(quarters().convert("CMYK"), "JPEG", quality=95), 6),
    "png": (encode(quarters(), "PNG"), 0),
    "png palette": (encode(quarters().quantize(4), "PNG"), 2),
    "png opaque alpha": (encode(quarters().convert("RGBA"), "PNG"), 0),
    "png animated": (animated("PNG"), 0),
    "png swapped profile": (
        encode(Image.merge("RGB", quarters().split()[::-1]), "PNG", icc_profile=swapped_profile()),
        3,
    ),
    "webp": (encode(quarters(), "WEBP", quality=95), 8),
    "webp lossless alpha": (encode(quarters().convert("RGBA"), "WEBP", lossless=True), 0),
    "webp animated": (animated("WEBP"), 0),
    "avif": (encode(quarters(), "AVIF", quality=95), 8),
    "avif with alpha": (encode(quarters().convert("RGBA"), "AVIF", quality=95), 8),
    "avif animated": (animated("AVIF"), 16),
    "gif": (encode(quarters(), "GIF"), 0),
    "gif that never ends": (animated("GIF")[:-1] + animated("GIF")[400:-1] * 50, 0),
    "bmp": (encode(quarters(), "BMP"), 0),
    "tiff": (encode(quarters(), "TIFF"), 0),
    "tiff lzw": (encode(quarters(), "TIFF", compression="tiff_lzw"), 0),
    "tiff jpeg": (encode(quarters(), "TIFF", compression="jpeg", quality=95), 6),
    "tiff cmyk": (encode(quarters().convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"), 6),
    "tiff of two pages": (animated("TIFF"), 0),
    "tiff swapped profile": (
        encode(Image.merge("RGB", quarters().split()[::-1]), "TIFF", icc_profile=swapped_profile()),
        3,
    ),
    "smaller than the square": (encode(quarters(40, 40), "PNG"), 0),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    assert_quarters(read_image(RIGHT[name][0]), RIGHT[name][1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    # The file holds the picture as the camera's sensor saw it: transposed once, and upright after the tag is obeyed.
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    turned = quarters(320, 240)
    turned.getexif()[ExifTags.Base.Orientation] = inverse
    stored = ImageOps.exif_transpose(turned)
    pixels = read_image(encode(stored, format, exif=exif, quality=95))
    margin = (SIDE_PX - SIDE_PX * 240 // 320) // 2
    assert (pixels[:margin] == pixels[0, 0]).all()
    assert_quarters(pixels, 9)


def test_wide_and_tall_fit_between_margins_of_their_border_colour() -> None:
    framed = Image.new("RGB", (400, 100), RED)
    framed.paste(BLUE, (8, 8, 392, 92))
    wide = read_image(encode(framed, "PNG"))
    assert (wide[:84] == RED).all()
    assert (wide[100:124, 20:200] == BLUE).all()
    assert (wide[140:] == RED).all()
    tall = read_image(encode(framed.transpose(Image.Transpose.TRANSPOSE), "PNG"))
    assert (tall == wide.swapaxes(0, 1)).all()


def test_margins_mix_the_colours_of_the_border() -> None:
    halves = Image.new("RGB", (400, 200), (0, 0, 0))
    halves.paste((200, 100, 50), (0, 0, 200, 200))
    assert np.abs(read_image(encode(halves, "PNG"))[0].astype(int) - (100, 50, 25)).max() <= 1


def test_one_pixel() -> None:
    for format in ("PNG", "WEBP"):
        pixels = read_image(encode(Image.new("RGB", (1, 1), RED), format, lossless=True))
        assert (pixels == RED).all()
    assert np.abs(read_image(encode(Image.new("RGB", (1, 1), RED), "JPEG")).astype(int) - RED).max() <= 6


def test_one_pixel_line_as_long_as_a_format_allows() -> None:
    assert (read_image(encode(Image.new("L", (60_000, 1), 90), "PNG")) == 90).all()


@pytest.mark.parametrize("alpha", [0, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_lies_on_white(mode: str, alpha: int) -> None:
    if mode == "P":
        data = encode(Image.new("P", (8, 8), 0), "PNG", transparency=bytes([alpha]))  # colour 0 of the palette is black
    else:
        data = encode(Image.new("RGBA", (8, 8), (0, 0, 0, alpha)).convert(mode), "PNG")
    assert (read_image(data) == 255 - alpha).all()


def test_transparent_colour_of_a_plain_png_lies_on_white() -> None:
    assert (read_image(encode(Image.new("RGB", (8, 8), RED), "PNG", transparency=RED)) == 255).all()


@pytest.mark.parametrize("level", [0, 300, 32_768, 65_535])
def test_sixteen_bit_grey_keeps_its_range(level: int) -> None:
    pixels = read_image(encode(Image.fromarray(np.full((8, 8), level, np.uint16)), "PNG"))
    assert (pixels == level // 257).all()


def test_sixteen_bit_colour() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    rows = (b"\0" + struct.pack(">3H", *(c * 257 for c in RED)) * 4) * 4
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert (read_image(data) == RED).all()


def test_interlaced_png_that_holds_all() -> None:
    assert (read_image(interlaced(262)) == 0).all()


def test_one_bit() -> None:
    assert (read_image(encode(Image.new("1", (9, 9), 1), "PNG")) == 255).all()


def test_grey_profile_and_broken_profiles_leave_the_picture_readable() -> None:
    grey = Image.new("L", (8, 8), 90)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, srgb[:200], b"no profile", swapped_profile()):
        pixels = read_image(encode(grey, "JPEG", icc_profile=profile, quality=100))
        assert np.abs(pixels.astype(int) - 90).max() <= 2


# --- refused ---------------------------------------------------------------------------------------------------------


def interlaced(held: int) -> bytes:
    """A black 9 x 9 RGB PNG of Adam7's seven passes that holds `held` of its 262 bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(held))) + chunk(b"IEND", b"")


def bomb_gif() -> bytes:
    """A small GIF whose screen claims 60,000 x 60,000."""
    data = bytearray(encode(quarters(), "GIF"))
    data[6:10] = struct.pack("<HH", 60_000, 60_000)
    return bytes(data)


def bomb_bmp() -> bytes:
    """A small BMP whose header claims 60,000 x 60,000."""
    data = bytearray(encode(quarters(), "BMP"))
    data[18:26] = struct.pack("<ii", 60_000, 60_000)
    return bytes(data)


def bomb_tiff() -> bytes:
    """A small TIFF whose tags claim 60,000 x 60,000."""
    side = {tag: struct.pack("<HHI", tag, 3, 1) for tag in (256, 257)}
    data = encode(quarters(), "TIFF", compression="tiff_lzw")
    for head in side.values():
        assert head in data
        at = data.index(head) + len(head)
        data = data[:at] + struct.pack("<I", 60_000) + data[at + 4 :]
    return data


REFUSED = {
    "empty": (b"", "invalid_input", "0 bytes"),
    "no picture": (b"hello, I am a text", "invalid_input", "68 65 6c"),
    "truncated bmp": (encode(quarters(), "BMP")[:-100], "invalid_input", "broken BMP"),
    "bmp magic": (b"BM", "invalid_input", "broken BMP"),
    "bmp bomb": (bomb_bmp(), "too_large", "60,000 x 60,000"),
    "gif magic": (b"GIF89a", "invalid_input", "broken GIF"),
    "truncated gif": (encode(quarters(), "GIF")[:-200], "invalid_input", "broken GIF"),
    "gif bomb": (bomb_gif(), "too_large", "60,000 x 60,000"),
    "avif magic": (b"\0\0\0\x1cftypavif" + bytes(20), "invalid_input", "broken AVIF"),
    "truncated avif": (encode(quarters(), "AVIF")[:-100], "invalid_input", "broken AVIF"),
    "tiff magic": (b"II*\0", "invalid_input", "broken TIFF"),
    "truncated tiff": (encode(quarters(), "TIFF", compression="tiff_lzw")[:90], "invalid_input", "broken TIFF"),
    "tiff of other pixels": (bomb_tiff(), "too_large", "60,000 x 60,000"),
    "heic magic": (b"\0\0\0\x18ftypheic" + bytes(20), "invalid_input", "broken HEIC"),
    "mp4": (b"\0\0\0\x18ftypisom" + bytes(20), "invalid_input", "'isom' (MP4, for example)"),
    "only a magic number": (b"\x89PNG\r\n\x1a\n", "invalid_input", "broken PNG"),
    "jpeg magic": (b"\xff\xd8\xff\xe0", "invalid_input", "broken JPEG"),
    "webp magic": (b"RIFF\0\0\0\0WEBP", "invalid_input", "broken WEBP"),
    "truncated jpeg": (RIGHT["jpeg"][0][:-400], "invalid_input", "broken JPEG"),
    "truncated png": (RIGHT["png"][0][:-60], "invalid_input", "broken PNG"),
    "truncated webp": (RIGHT["webp"][0][:-200], "invalid_input", "broken WEBP"),
    "png that claims more": (png(900, 900, 10), "invalid_input", "claims 900 x 900 pixels"),
    "png that claims one row more": (png(90, 90, 89), "invalid_input", "holds 24,119 bytes"),
    "interlaced png that claims more": (
        interlaced(261),
        "invalid_input",
        "broken PNG",
    ),
    "png bomb": (png(20_000, 20_000, 1), "too_large", "20,000 x 20,000 pixels (400.0 megapixels)"),
    "too many bytes": (b"\xff\xd8\xff" + bytes(image_file.MAX_IMAGE_BYTES), "too_large", "33,554,432 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, code, said = REFUSED[name]
    error = refusal(data)
    assert error.code == code
    assert said in error.message


def bomb_jpeg() -> bytes:
    """A small JPEG whose frame header claims 20,000 x 20,000."""
    data = bytearray(encode(quarters(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 20_000, 20_000)
    return bytes(data)


def bomb_webp(kind: bytes) -> bytes:
    header = {
        b"VP8X": bytes(4) + (19_999).to_bytes(3, "little") * 2,
        b"VP8L": b"\x2f" + (16_382 | 16_382 << 14).to_bytes(4, "little") + bytes(5),
        b"VP8 ": bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383),
    }[kind]
    return b"RIFF" + struct.pack("<I", 4 + 8 + len(header)) + b"WEBP" + kind + struct.pack("<I", len(header)) + header


@pytest.mark.parametrize("data", [bomb_jpeg(), *(bomb_webp(kind) for kind in (b"VP8X", b"VP8L", b"VP8 "))])
def test_bombs_are_refused_by_their_header(data: bytes) -> None:
    error = refusal(data)
    assert error.code == "too_large"
    assert "megapixels" in error.message


def test_too_much_metadata_is_refused() -> None:
    picture = RIGHT["jpeg"][0]
    assert refusal(picture[:2] + b"\xff\xe1\x00\x08Exif\0\0" * 10_000 + picture[2:]).code == "too_large"
    assert refusal(picture[:20] + b"\0" * 10_000 + picture[20:]).code == "too_large"
    progressive = RIGHT["jpeg progressive"][0]
    assert refusal(progressive[:-2] + b"\xff\xda" * 50 + progressive[-2:]).code == "too_large"
    assert refusal(png(8, 8, 8, *[chunk(b"tEXt", b"a\0b")] * 1_000)).code == "too_large"
    assert refusal(png(8, 8, 8, *[chunk(b"IDAT", b"")] * 70_000)).code == "too_large"


def test_hostile_files_stay_within_memory(tmp_path: Path) -> None:
    """In a process of its own, whose peak the kernel counts: bombs in pixels, text and profile chunks."""
    script = """
import resource, sys
from pathlib import Path
from stages.errors import StageError
from stages.image import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_image(Path(path).read_bytes(), 224)
    except StageError as error:
        assert error.code in ("invalid_input", "too_large"), error
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    zeros = zlib.compress(bytes(256 * 2**20))
    files = [
        png(8, 8, 8, *[chunk(b"zTXt", b"k\0\0" + zeros)] * 200),
        png(8, 8, 8, *[chunk(b"iTXt", b"k\0\1\0\0\0" + zeros)] * 200),
        png(8, 8, 8, *[chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000)))] * 200),
        png(8, 8, 8, chunk(b"iCCP", b"k\0\0" + zeros)),
        png(8, 8, 8, chunk(b"IDAT", zeros)),
        png(20_000, 20_000, 1),
        bomb_jpeg(),
        bomb_webp(b"VP8X"),
        bomb_gif(),
        bomb_bmp(),
        bomb_tiff(),
    ]
    paths = [tmp_path / str(number) for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150, f"{done.stdout.strip()} MB more than before"


def test_threads_do_not_disturb_each_other() -> None:
    files = [data for data, _ in RIGHT.values()] + [data for data, _, _ in REFUSED.values()]

    def read(data: bytes) -> bytes | str:
        try:
            return read_image(data).tobytes()
        except StageError as error:
            return error.wire()

    alone = [read(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, files * 3)) == alone * 3


# --- properties ------------------------------------------------------------------------------------------------------

SMALL = [
    encode(quarters(40, 28), "JPEG", exif=Image.Exif().tobytes(), icc_profile=swapped_profile()),
    encode(quarters(40, 28), "JPEG", progressive=True),
    encode(quarters(40, 28).convert("CMYK"), "JPEG"),
    encode(quarters(40, 28), "PNG", icc_profile=swapped_profile()),
    encode(quarters(40, 28).quantize(4), "PNG", transparency=1),
    encode(Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 70), "PNG"),
    encode(quarters(40, 28), "PNG", save_all=True, append_images=[quarters(40, 28).rotate(180)]),
    encode(quarters(40, 28), "BMP"),
    encode(quarters(40, 28), "TIFF", compression="tiff_lzw"),
    encode(quarters(40, 28).convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
    encode(quarters(40, 28), "WEBP"),
    encode(quarters(40, 28).convert("RGBA"), "WEBP", lossless=True, exif=Image.Exif().tobytes()),
]


def read_or_refuse(data: bytes) -> None:
    """The property: a StageError that names the field and fits on a line, or an array of the promised form."""
    try:
        pixels = read_image(data)
    except StageError as error:
        assert error.wire().startswith(("vitrina/invalid_input IMAGE: ", "vitrina/too_large IMAGE: "))
        assert "\n" not in error.wire()
        return
    assert pixels.shape == (SIDE_PX, SIDE_PX, 3)
    assert pixels.dtype == np.uint8


@settings(max_examples=300)
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8X"]), st.binary(max_size=300)
)
def test_any_bytes(magic: bytes, rest: bytes) -> None:
    read_or_refuse(magic + rest)


@settings(max_examples=300)
@given(st.sampled_from(SMALL), st.floats(0, 1))
def test_truncated_anywhere(data: bytes, share: float) -> None:
    read_or_refuse(data[: int(len(data) * share)])


@settings(max_examples=500)
@given(
    st.sampled_from(SMALL),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8),
)
def test_flipped_bits(data: bytes, flips: list[tuple[float, int]]) -> None:
    damaged = bytearray(data)
    for share, mask in flips:
        damaged[int(len(data) * share)] ^= mask
    read_or_refuse(bytes(damaged))

"""Read a product photo: file bytes in; out the RGB square that the image encoder wants, or the photo itself.

Each format is read through Pillow's own plugin class, HEIC by :mod:`stages.heif`. ``Image.open`` is not used: it tries
every format it knows, and its guard against bombs is a global of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageCms
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from stages.errors import StageError
from stages.heif import open_heif
from stages.image_file import broken, check_file, check_png_rows, check_size

BACKGROUND = (255, 255, 255)  # shown through alpha, as in shop photos
FILTER = Image.Resampling.BICUBIC
MAX_PROFILE_BYTES = 4 * 2**20  # of an ICC profile; a larger one is not applied

_PLUGINS: dict[str, Callable[[BytesIO], Image.Image]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "AVIF": AvifImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "HEIC": open_heif,
}

#: EXIF orientation → the transposition that sets the picture upright (EXIF 2.32, tag 0x0112).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

#: Colour space of an ICC profile → the mode whose pixels it describes.
_PROFILE_MODE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def read_image(data: bytes, side: int) -> np.ndarray:
    """Decodes a photo, sets it upright, brings it to sRGB and fits it into the encoder's square.

    The first frame of an animated file, or page of a TIFF, is taken; alpha lies on white; a picture smaller than the
    square is enlarged; beside one that is not square lie margins in the mean colour of its border, which named more
    products right than white margins, a centre crop or squashing did.

    Args:
        data: a whole JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF file within the limits of :mod:`stages.image_file`.
        side: pixels of the square.

    Returns:
        uint8 [side, side, 3], RGB.

    Raises:
        StageError: on field ``IMAGE``, ``too_large`` or ``invalid_input``.
    """
    return in_square(np.asarray(_decoded(data, side, enlarge=True)[0]), side)


def read_photo(data: bytes, longest: int) -> Image.Image:
    """Decodes a photo as :func:`read_image` does, whole: mode RGB, at most `longest` pixels on its longer side.

    Raises:
        StageError: as :func:`read_image`.
    """
    return _decoded(data, longest, enlarge=False)[0]


def read_photo_and_scale(data: bytes, longest: int) -> tuple[Image.Image, float]:
    """The photo of :func:`read_photo`, and how many of the file's own pixels stand behind one of it, side by side."""
    return _decoded(data, longest, enlarge=False)


def for_encoder(photo: Image.Image, side: int) -> np.ndarray:
    """A photo of :func:`read_photo` as the image encoder reads it: uint8 [side, side, 3]."""
    scale = side / max(photo.size)
    width, height = (max(1, round(pixels * scale)) for pixels in photo.size)
    return in_square(np.asarray(photo.resize((width, height), FILTER, reducing_gap=2.0)), side)


def _decoded(data: bytes, longest: int, enlarge: bool) -> tuple[Image.Image, float]:
    """The upright picture in sRGB, its longer side `longest` pixels, or what it has if it shall not be enlarged.

    And the file's pixels to one of it.
    """
    kind = check_file(data)
    try:
        picture = _PLUGINS[kind](BytesIO(data))
        check_size(kind, *picture.size)
        own = max(picture.size)
        small = _shrink(picture, data, longest if enlarge else min(longest, max(picture.size)))
        upright = _to_srgb(small, picture.info.get("icc_profile"))
        orientation = _orientation(picture)
        scale = own / max(upright.size)
        return (upright.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else upright), scale
    except StageError:
        raise
    except Exception as error:
        # Pillow raises many types on a broken file: OSError, SyntaxError, ValueError, EOFError, struct.error, …
        raise broken(kind, " ".join(str(error).split()) or type(error).__name__) from error


def _shrink(picture: Image.Image, data: bytes, longest: int) -> Image.Image:
    """Decodes and resizes: mode L, RGB or CMYK, the longer side `longest`."""
    scale = longest / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    # JPEG only: the decoder scales by 1/2, 1/4 or 1/8 inside its inverse DCT, at a fraction of the cost.
    drafted = picture.draft(None, (width, height))
    picture.load()
    if isinstance(picture, PngImageFile) and _may_lack_rows(picture):
        check_png_rows(data)
    small = _plain(picture).resize((width, height), FILTER, box=drafted and drafted[1], reducing_gap=2.0)
    if small.mode == "RGBA":
        flat = Image.new("RGB", small.size, BACKGROUND)
        flat.paste(small, mask=small.getchannel("A"))
        return flat
    return small


def _may_lack_rows(picture: PngImageFile) -> bool:
    """Whether the last row is all zero, as a missing one is; interlaced rows come in another order."""
    if picture.info.get("interlace"):
        return True
    last_row = picture.crop((0, picture.height - 1, picture.width, picture.height))
    return not last_row.tobytes().strip(b"\0")


def _plain(picture: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized: L, RGB, RGBA or CMYK, eight bits a channel."""
    if picture.mode in ("I;16", "I;16B", "I"):
        return Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    if picture.mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        return picture.convert("RGBA")
    if picture.mode == "1":
        return picture.convert("L")
    return picture if picture.mode in ("L", "RGB", "RGBA", "CMYK") else picture.convert("RGB")


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Mode RGB, in sRGB where the file's profile can be applied; a broken profile is ignored, as browsers do."""
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        mode, transform = _transform(profile)
        if transform is not None and (picture.mode == mode or (picture.mode, mode) == ("L", "RGB")):
            return ImageCms.applyTransform(picture.convert(mode), transform) or picture.convert("RGB")
    return picture.convert("RGB")


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode that a profile describes and its transform to sRGB; None where it is broken or is sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = _PROFILE_MODE.get(source.profile.xcolor_space.strip(), "")
        if not mode or "sRGB" in ImageCms.getProfileDescription(source):
            return mode, None
        return mode, ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # whatever a hostile profile provokes, the picture can be shown without it
        return "", None


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or it is broken."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken metadata does not make the picture unreadable
        return 1


def in_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """An upright picture uint8 [height, width, 3] in the middle of a square, on its mean border colour."""
    if pixels.shape[:2] == (side, side):
        return pixels
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean(axis=0)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = border.round()
    height, width, _ = pixels.shape
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square

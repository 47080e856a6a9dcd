"""The decoders of pictures, before and after: noise from a seed; PNG and MP4 that say that they are generated."""

from __future__ import annotations

import secrets
import tempfile
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stages.errors import invalid

NOISE_SHAPE = (3, 64, 64)
MAX_SEED = 2**63 - 1
PICTURE_PX = 512  # height and width of what a caller gets
CLIP_PX = 384
FRAMES_A_SECOND = 12
LAPS = 2  # turns that a clip shows
#: IPTC's term for media made by a trained model (cv.iptc.org/newscodes/digitalsourcetype).
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def xmp(source: str) -> str:
    """A picture's XMP that names how it came to be, one of IPTC's digital source types."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{source}"/></rdf:RDF></x:xmpmeta>'
    )


def noise(seed: int | None) -> np.ndarray:
    """float32 [3, 64, 64], normally distributed: the same for the same seed, another one each time without.

    Raises:
        StageError: on field ``IMAGE_SEED``: below 0.
    """
    if seed is not None and seed < 0:
        raise invalid("IMAGE_SEED", f"{seed} is below 0; send 0 to {MAX_SEED}")
    rng = np.random.default_rng(secrets.randbits(63) if seed is None else seed)
    return rng.standard_normal(NOISE_SHAPE, np.float32)


def png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 3] → a PNG of 512 pixels a side, marked as generated in its XMP."""
    picture = Image.fromarray(pixels).resize((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    note = PngInfo()
    note.add_itxt("XML:com.adobe.xmp", xmp(SOURCE))
    file = BytesIO()
    picture.save(file, "PNG", pnginfo=note, compress_level=6)
    return file.getvalue()


def mp4(frames: np.ndarray) -> bytes:
    """uint8 [T, H, W, 3] → two turns as MP4 (H.264, 12 frames a second, index first), marked as generated."""
    enlarged = [
        np.asarray(Image.fromarray(frame).resize((CLIP_PX, CLIP_PX), Image.Resampling.LANCZOS)) for frame in frames
    ]
    # The index goes first by reading the file once more, which wants a name.
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        options = {"movflags": "faststart+use_metadata_tags"}
        with av.open(file.name, "w", format="mp4", options=options) as container:
            container.metadata["comment"] = f"generated; DigitalSourceType {SOURCE}"
            stream = container.add_stream("libx264", rate=FRAMES_A_SECOND, options={"crf": "18", "preset": "veryfast"})
            stream.width = stream.height = CLIP_PX
            stream.pix_fmt = "yuv420p"
            for frame in enlarged * LAPS:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return Path(file.name).read_bytes()

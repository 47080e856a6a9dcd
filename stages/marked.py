"""Pictures and films as files that say in their metadata how they came to be (IPTC's digital source types)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

#: Terms of cv.iptc.org/newscodes/digitalsourcetype: made by a trained model; a photo that an algorithm improved and
#: that still shows what it showed; put together of photos and of what a model made.
_TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = _TERMS + "trainedAlgorithmicMedia"
ENHANCED = _TERMS + "algorithmicallyEnhanced"
COMPOSED = _TERMS + "compositeWithTrainedAlgorithmicMedia"


def picture_file(picture: Image.Image, kind: str, source: str) -> bytes:
    """The picture as ``"PNG"``, ``"WEBP"`` or ``"JPEG"``, `source` in its XMP."""
    note = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{source}"/></rdf:RDF></x:xmpmeta>'
    )
    file = BytesIO()
    if kind == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", note)
        picture.save(file, kind, pnginfo=info, compress_level=6)
    elif kind == "WEBP":
        picture.save(file, kind, quality=92, method=4, xmp=note.encode())
    else:
        picture.save(file, kind, quality=92, optimize=True, xmp=note.encode())
    return file.getvalue()


def film_file(
    frames: Iterable[Image.Image],
    size: tuple[int, int],
    frames_a_second: int,
    crf: int,
    comment: str,
    sound: tuple[np.ndarray, int] | None = None,
    captions: Sequence[tuple[str, float, float]] = (),
) -> bytes:
    """Frames of mode RGB as an MP4 (H.264, index first) with a comment.

    Args:
        sound: as AAC: float32 [samples], its rate.
        captions: as a track of text (3GPP timed text) that a player shows: each from one second to another, in order.
    """
    # The index goes first by reading the file once more, which wants a name.
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w", format="mp4", options={"movflags": "faststart+use_metadata_tags"}) as container:
            container.metadata["comment"] = comment
            # With threads that look ahead, fades are not encoded alike twice.
            steady = "sync-lookahead=0:lookahead-threads=1"
            options = {"crf": str(crf), "preset": "veryfast", "x264-params": steady}
            stream = container.add_stream("libx264", rate=frames_a_second, options=options)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            track = None if sound is None else container.add_stream("aac", rate=sound[1], layout="mono")
            texts = _text_track(container) if captions else None
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_image(frame)))
            container.mux(stream.encode())
            if track is not None and sound is not None:
                samples, rate = sound
                whole = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
                whole.sample_rate = rate
                container.mux(track.encode(whole))
                container.mux(track.encode())
            if texts is not None:
                for text, begins, ends in captions:
                    container.mux(_caption(text, begins, ends, texts))
        return Path(file.name).read_bytes()


def _text_track(container: av.container.OutputContainer) -> av.subtitles.stream.SubtitleStream:
    track = container.add_stream("mov_text")
    context = track.codec_context
    context.subtitle_header = b"[Script Info]\n"  # its encoder does not open without one
    context.time_base = Fraction(1, 1000)
    context.open()
    return track


def _caption(text: str, begins: float, ends: float, track: av.subtitles.stream.SubtitleStream) -> av.Packet:
    """A sample of timed text: the number of its bytes in two, and UTF-8. The encoder would take braces for commands."""
    data = text.encode()
    packet = av.Packet(len(data).to_bytes(2, "big") + data)
    packet.stream = track
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = round(begins * 1000)
    packet.duration = round(ends * 1000) - packet.pts
    return packet

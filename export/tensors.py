"""docs/tensors.md: every tensor that a caller sends or gets, in one table, rendered from the pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from export import pipeline
from export.pipeline import Tensor

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tensors.md"

#: Input → what it means, and what is taken where it may be left out.
INPUTS: dict[str, tuple[str, str]] = {
    "TITLE": ("the product's title, UTF-8, at most 8,192 bytes; may be empty", ""),
    "IMAGE": (
        "a photo's file: JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF, at most 32 MiB and 50 megapixels",
        "none",
    ),
    "VIDEO": ("a clip's file: MP4, MOV or WebM, at most 64 MiB", "none"),
    "AUDIO": ("a sound's file: WAV, FLAC, OGG, MP3 or M4A, at most 16 MiB and 30 s", "none"),
    "EVENTS": ('what the shopper did, JSON: `[{"item": id, "event": "view", "age_s": 90}, …]`', ""),
    "CONDITION": ("of an earlier `content…`; what the product is, for every decoder", ""),
    "TASK": ("description, ad, review, question, reply, recommendation, promotion or delivery", "description"),
    "LANGUAGE": ("en or zh", "the title's; of `speak` the script's"),
    "TONE": ("neutral, friendly, playful, formal or luxurious", "neutral"),
    "QUESTION": ("what the shopper asks, for task question; at most 1,000 bytes", "none"),
    "HISTORY": ('the chat so far, for task reply, JSON: `[{"role": "customer", "text": "…"}, …]`', "none"),
    "ATTRIBUTES": ('facts of the product, JSON object of strings: `{"colour": "red"}`', "none"),
    "TRANSCRIPT": ("what is said of it, at most 4,096 bytes; with AUDIO it is written down from that", "none"),
    "LABEL_TEXT": ("what is printed on it, as `read_label` gives it; with IMAGE it is read from that", "none"),
    "MAX_TOKENS": ("most tokens of the text, 1 to 1,024", "by task"),
    "TEMPERATURE": ("0 (greedy) to 5", "by task"),
    "TOP_P": ("share of probability to draw from, above 0 to 1", "by task"),
    "TOP_K": ("number of tokens to draw from; 0 for all", "0"),
    "REPETITION_PENALTY": ("above 1 makes repeats less likely, above 0 to 10", "by task"),
    "SEED": ("the same seed gives the same text", "another each time"),
    "STOP": ("up to 8 texts that end the copy", "none"),
    "TIMEOUT_MS": ("milliseconds until the request is given up, 1 to 600,000", "no limit"),
    "MAX_CHARACTERS": ("of the text, 20 to 10,000; whole sentences where they fit", "no limit"),
    "BANNED_WORDS": ("a sentence with one of them is taken out", "none"),
    "IMAGE_SEED": ("the same seed gives the same picture and clip", "another each time"),
    "BACKGROUND": ("white, shadow, studio, transparent, or photo: nothing is cut out", "white; of a post studio"),
    "ASPECT": ("1:1, 4:5, 9:16 or 16:9, width to height", "1:1; of a post 9:16"),
    "SIZE": ("pixels of the longer side, 256 to 2,048; of a clip to 1,080", "1,200; of a clip 720"),
    "IMAGE_FORMAT": ("jpeg, png or webp", "jpeg; of a generated picture png"),
    "STYLE": ("natural, vivid, soft, warm, cool or mono", "natural"),
    "CAPTION": ("the copy that a post shows, at most 1,000 characters", ""),
    "CAPTIONS": ("how: burnt into the pictures, or track, text that a player shows or not", "burnt"),
    "MUSIC": ("a tune's file, as AUDIO, heard under a post or a clip", "none"),
    "LOGO_SOUND": ("the shop's own sound at the end, as AUDIO, at most 6 s", "none"),
    "SCRIPT": ("what is to be spoken, at most 2,000 characters", ""),
    "VOICE": ("one of docs/speech.md", "the language's first"),
    "SPEED": ("0.5 to 2 times the voice's own", "1"),
    "AUDIO_FORMAT": ("wav or ogg", "wav"),
    "COUNT": ("how many products, 1 to 100", "10"),
}
#: Output → what it means.
OUTPUTS: dict[str, str] = {
    "TEXT": "the copy, edited and let through; empty where FINISH_REASON is blocked",
    "FINISH_REASON": "eos, length, stop or blocked; empty until the last piece of a stream",
    "PROMPT_TOKENS": "tokens that were read",
    "COMPLETION_TOKENS": "tokens that were written",
    "EDITS": 'what was changed in the copy, JSON: `[{"kind": "price", "before": "…", "after": ""}, …]`',
    "MODERATION": 'what the policy says of all that was given, JSON: `{"action": "flag", "findings": […]}`',
    "TEXT_MODERATION": "the same of the copy, with what was said before it was written",
    "TRANSCRIPT": "what is said in AUDIO, in its own language; empty where nobody speaks",
    "TRANSCRIPT_LANGUAGE": "the language of it, an ISO 639-1 code such as en or zh; empty where nobody speaks",
    "LABEL_TEXT": 'what is printed on the product, JSON: `{"lines": [{"text": "…", "box": [[x, y], …]}], …}`',
    "CONDITION": "what the product is, for every decoder",
    "EMBEDDING": "of unit length, for search",
    "FUSION_WEIGHTS": "how much text, image, video, audio and behaviour counted, together one",
    "TAGS": "words for what the product is, best first, empty ones as padding",
    "TAG_SCORES": "their probabilities",
    "KEYWORDS": "words that it is searched by, without stop words, empty ones as padding",
    "IMAGE": "a picture's file, generated; says so in its XMP",
    "VIDEO": "MP4, generated; says so in its metadata",
    "STUDIO_IMAGE": "the product's own photo, cut out; says in its XMP what was done",
    "STUDIO_VIDEO": "MP4: the studio shot swinging to and fro, four seconds to be shown in a loop",
    "SUBJECT": "share of the photo that the product covers; 0 where the photo is shown whole",
    "POST": "MP4, composed of photo, clip, studio shot, captions and sound; says so in its metadata",
    "AUDIO": "the script spoken, WAV or OGG; says in its metadata that it is generated",
    "SECONDS": "how long it lasts",
    "ITEMS": "ids of the item index, likeliest first",
    "TITLES": "their titles",
    "SCORES": "higher is likelier",
}


def render() -> str:
    """The page.

    Raises:
        KeyError: a tensor of an ensemble has no meaning here, or a meaning has no tensor.
    """
    lines = [
        "# What goes in, what comes out",
        "",
        "Every tensor of the ensembles by name; `python -m export configs` writes this page from `export/pipeline.py`.",
        "The first axis, left out here, is the batch. `content…` are the sixteen: `content`, and with any of `_image`,",
        "`_video`, `_audio` and `_behavior` behind it in this order, each of which adds its input. Ask only for the",
        "outputs you want: no step runs for the others.",
        "",
    ]
    for title, meanings, side in (("In", INPUTS, "inputs"), ("Out", OUTPUTS, "outputs")):
        found = _tensors(side)
        if missing := found.keys() ^ meanings.keys():
            raise KeyError(f"{', '.join(sorted(missing))}: {side} of export/tensors.py and export/pipeline.py differ")
        lines += [f"## {title}", "", "| name | type | of | meaning |" + (" left out |" if side == "inputs" else "")]
        lines.append("|---|---|---|---|" + ("---|" if side == "inputs" else ""))
        for name, meaning in meanings.items():
            tensor, owners = found[name]
            dims = ", ".join("n" if isinstance(dim, str) else str(dim) for dim in tensor.dims)
            cells = [f"`{name}`", f"{tensor.dtype} [{dims}]", ", ".join(owners)]
            cells += list(meaning) if isinstance(meaning, tuple) else [meaning]
            lines.append("| " + " | ".join(cells).replace("| |", "|  |") + " |")
        lines.append("")
    return "\n".join(lines)


def _tensors(side: str) -> dict[str, tuple[Tensor, list[str]]]:
    """Name → the tensor and the ensembles that have it, the sixteen as one."""
    found: dict[str, tuple[Tensor, list[str]]] = {}
    for owner, tensor in _owned(side):
        _, owners = found.setdefault(tensor.name, (tensor, []))
        if owner not in owners:
            owners.append(owner)
    return found


def _owned(side: str) -> Iterator[tuple[str, Tensor]]:
    for ensemble in pipeline.ensembles():
        owner = "content…" if ensemble.name.startswith("content") else ensemble.name
        for tensor in getattr(ensemble, side):
            yield owner, tensor

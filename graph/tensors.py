"""Every tensor that more than one model or ensemble has: name, dtype, dims, and for those that callers see a sentence.

What a caller may leave out says what is taken instead; docs/tensors.md is rendered from these rows. An input and an
output of one name are two rows where they hold different things. A size that a network has is a fact of its slot.
"""

from __future__ import annotations

from graph.schema import Tensor

TAGS = 5
MOST_KEYWORDS = 20  # as stages/keywords.py has them
KINDS_OF_INPUT = 5  # text and the optional modalities
PICTURE_DIMS = ("image_decoder.side", "image_decoder.side", 3)
FRAME_DIMS = ("video_decoder.frames", "video_decoder.side", "video_decoder.side", 3)
OPACITY_DIMS = ("cutout.side", "cutout.side")
PIXEL_DIMS = ("image_encoder.side", "image_encoder.side", 3)


def _text(name: str, meaning: str, left_out: str = "") -> Tensor:
    """One text or file; `left_out` is for an ensemble that does without."""
    return Tensor(name, "BYTES", (1,), meaning=meaning, left_out=left_out)


def _option(name: str, dtype: str, meaning: str, left_out: str, dim: int | str = 1, client_type: str = "") -> Tensor:
    """What a request may leave out."""
    return Tensor(name, dtype, (dim,), True, meaning, left_out, client_type)


# ------------------------------------------------------------------------------------- what a request is made of

TITLE = _text("TITLE", "the product's title, UTF-8, at most 8,192 bytes; may be empty")
IMAGE = _text(
    "IMAGE",
    "a photo's file: JPEG, PNG, HEIC, WebP, AVIF, GIF, BMP or TIFF, at most 32 MiB and 50 megapixels",
    "none",
)
VIDEO = _text("VIDEO", "a clip's file: MP4, MOV or WebM, at most 64 MiB", "none")
AUDIO = _text("AUDIO", "a sound's file: WAV, FLAC, OGG, MP3 or M4A, at most 16 MiB and 30 s", "none")
EVENTS = _text("EVENTS", 'what the shopper did, JSON: `[{"item": id, "event": "view", "age_s": 90}, …]`')
SCRIPT = _text("SCRIPT", "what is to be spoken, at most 2,000 characters")
CAPTION = _text("CAPTION", "the copy that a post shows, at most 1,000 characters")
LOGO_SOUND = _text("LOGO_SOUND", "the shop's own sound at the end, as AUDIO, at most 6 s", "none")
MUSIC = _option("MUSIC", "BYTES", "a tune's file, as AUDIO, heard under a post or a clip", "none", client_type="Media")
CAPTIONS = _option(
    "CAPTIONS", "BYTES", "how: burnt into the pictures, or track, text that a player shows or not", "burnt"
)
#: Of text, and of speech.
LANGUAGE = _option("LANGUAGE", "BYTES", "en or zh", "the title's; of `speak` the script's")
TIMEOUT_MS = _option("TIMEOUT_MS", "INT32", "milliseconds until the request is given up, 1 to 600,000", "no limit")
#: What shapes the prompt.
PROMPT_FIELDS = (
    _option(
        "TASK",
        "BYTES",
        "description, ad, review, question, reply, recommendation, promotion or delivery",
        "description",
    ),
    LANGUAGE,
    _option("TONE", "BYTES", "neutral, friendly, playful, formal or luxurious", "neutral"),
    _option(
        "CLAIMS",
        "BYTES",
        "what copy may say beyond the facts: strict (no word that nobody gave), balanced (no material, colour, place, "
        "part, certificate or promise) or free (no figure and no statement on safety)",
        "strict",
    ),
    _option("QUESTION", "BYTES", "what the shopper asks, for task question; at most 1,000 bytes", "none"),
    _option(
        "HISTORY",
        "BYTES",
        'the chat so far, for task reply, JSON: `[{"role": "customer", "text": "…"}, …]`',
        "none",
        client_type="Sequence[Message]",
    ),
    _option("ATTRIBUTES", "BYTES", 'facts of the product, JSON object of strings: `{"colour": "red"}`', "none"),
    _option(
        "TRANSCRIPT",
        "BYTES",
        "what is said of it, at most 4,096 bytes; with AUDIO it is written down from that",
        "none",
    ),
    _option(
        "LABEL_TEXT",
        "BYTES",
        "what is printed on it, as `read_label` gives it; with IMAGE it is read from that",
        "none",
        client_type="LabelText",
    ),
    _option(
        "BRAND",
        "BYTES",
        "the shop's voice, which is never a fact: how it writes, words that it likes and words that it never uses, "
        'JSON: `{"style": "…", "words": ["…"], "never": ["…"]}`',
        "the server's",
        client_type="Brand",
    ),
)
#: What shapes the sampling.
SAMPLING_FIELDS = (
    _option("MAX_TOKENS", "INT32", "most tokens of the text, 1 to 1,024", "by task"),
    _option("TEMPERATURE", "FP32", "0 (greedy) to 5", "by task"),
    _option("TOP_P", "FP32", "share of probability to draw from, above 0 to 1", "by task"),
    _option("TOP_K", "INT32", "number of tokens to draw from; 0 for all", "0"),
    _option("REPETITION_PENALTY", "FP32", "above 1 makes repeats less likely, above 0 to 10", "by task"),
    _option("SEED", "INT64", "the same seed gives the same text", "another each time"),
    _option("STOP", "BYTES", "up to 8 texts that end the copy", "none", "stops"),
    TIMEOUT_MS,
)
#: Of these the prompter fills in what suits the task where the request has none.
TASK_SAMPLING = ("MAX_TOKENS", "TEMPERATURE", "TOP_P", "REPETITION_PENALTY")
#: What a channel asks of a whole text.
EDIT_FIELDS = (
    _option(
        "MAX_CHARACTERS",
        "INT32",
        "of the text, 20 to 10,000; whole sentences where they fit; not for streams",
        "no limit",
    ),
    _option(
        "BANNED_WORDS",
        "BYTES",
        "a sentence with one of them is taken out; not for streams",
        "none",
        "words",
    ),
)
IMAGE_SEED = _option("IMAGE_SEED", "INT64", "the same seed gives the same picture and clip", "another each time")
IMAGE_FORMAT = _option(
    "IMAGE_FORMAT", "BYTES", "jpeg, png or webp", "jpeg; of a generated picture png", client_type="ImageFormat"
)
#: What a studio shot is made by.
STUDIO_FIELDS = (
    _option(
        "BACKGROUND",
        "BYTES",
        "white, shadow, studio, transparent, or photo: nothing is cut out",
        "white; of a post studio",
    ),
    _option("ASPECT", "BYTES", "1:1, 4:5, 9:16 or 16:9, width to height", "1:1; of a post 9:16"),
    _option("SIZE", "INT32", "pixels of the longer side, 256 to 2,048; of a clip to 1,080", "1,200; of a clip 720"),
    IMAGE_FORMAT,
    _option("STYLE", "BYTES", "natural, vivid, soft, warm, cool or mono", "natural"),
)
#: And a clip of it.
FILM_FIELDS = (*(tensor for tensor in STUDIO_FIELDS if tensor is not IMAGE_FORMAT), MUSIC)
#: What a script is spoken with.
SPEECH_FIELDS = (
    _option("SPEED", "FP32", "0.5 to 2 times the voice's own", "1"),
    _option("AUDIO_FORMAT", "BYTES", "wav or ogg", "wav"),
    TIMEOUT_MS,
    _option("VOICE", "BYTES", "a voice's name, see docs/speech.md", "the language's first"),
    LANGUAGE,
)
COUNT = _option("COUNT", "INT32", "how many products, 1 to 100", "10")

# ----------------------------------------------------------------------------------------- what an answer is made of

CONDITION = Tensor(
    "CONDITION",
    "FP32",
    ("fusion.tokens", "fusion.width"),
    meaning="what the product is, for every decoder; `content…` gives it",
)
EMBEDDING = Tensor("EMBEDDING", "FP32", ("fusion.width",), meaning="of unit length, for search")
FUSION_WEIGHTS = Tensor(
    "FUSION_WEIGHTS",
    "FP32",
    (KINDS_OF_INPUT,),
    meaning="how much text, image, video, audio and behaviour counted, together one",
)
TEXT_OUTPUTS = (
    _text("TEXT", "the copy, edited and let through; empty where FINISH_REASON is blocked"),
    _text("FINISH_REASON", "eos, length, stop or blocked; empty until the last piece of a stream"),
    Tensor("PROMPT_TOKENS", "INT32", (1,), meaning="tokens that were read"),
    Tensor("COMPLETION_TOKENS", "INT32", (1,), meaning="tokens that were written"),
)
#: What the text optimizer says of the copy.
EDIT_OUTPUTS = (
    _text(
        "EDITS", 'what was changed in the copy, JSON: `[{"kind": "price", "before": "…", "after": "", "why": "…"}, …]`'
    ),
    _text(
        "EVIDENCE",
        "the numbered facts, and for each sentence of the copy the numbers of those that it rests on, JSON: "
        '`{"facts": [{"number": 1, "source": "title", "name": "", "text": "…", "confidence": 1.0}, …], '
        '"sentences": [{"text": "…", "facts": [1, 3]}, …]}`',
    ),
    _text(
        "CONFLICTS",
        "facts that cannot both be true, by their numbers in EVIDENCE, JSON: "
        '`[{"kind": "material", "facts": [1, 3], "texts": ["…", "…"]}, …]`',
    ),
    _text(
        "LISTING",
        "title, bullets, description, category, attributes, questions and what else a shop's page has, JSON as "
        "docs/listing.md has it",
    ),
)
TAG_OUTPUTS = (
    Tensor("TAGS", "BYTES", (TAGS,), meaning="words for what the product is, best first, empty ones as padding"),
    Tensor("TAG_SCORES", "FP32", (TAGS,), meaning="their probabilities"),
)
KEYWORDS = Tensor(
    "KEYWORDS",
    "BYTES",
    (MOST_KEYWORDS,),
    meaning="words that it is searched by, without stop words, empty ones as padding",
)
MODERATION = _text(
    "MODERATION", 'what the policy says of all that was given, JSON: `{"action": "flag", "findings": […]}`'
)
TEXT_MODERATION = _text("TEXT_MODERATION", "the same of the copy, with what was said before it was written")
TRANSCRIPT = _text("TRANSCRIPT", "what is said in AUDIO, in its own language; empty where nobody speaks")
TRANSCRIPT_LANGUAGE = _text(
    "TRANSCRIPT_LANGUAGE", "the language of it, an ISO 639-1 code such as en or zh; empty where nobody speaks"
)
LABEL_TEXT = _text(
    "LABEL_TEXT", 'what is printed on the product, JSON: `{"lines": [{"text": "…", "box": [[x, y], …]}], …}`'
)
DRAWN_IMAGE = _text("IMAGE", "a picture's file, generated; says so in its XMP")
DRAWN_VIDEO = _text("VIDEO", "MP4, generated; says so in its metadata")
STUDIO_IMAGE = _text("STUDIO_IMAGE", "the product's own photo, cut out; says in its XMP what was done")
STUDIO_VIDEO = _text("STUDIO_VIDEO", "MP4: the studio shot swinging to and fro, four seconds to be shown in a loop")
SUBJECT = Tensor(
    "SUBJECT", "FP32", (1,), meaning="share of the photo that the product covers; 0 where the photo is shown whole"
)
SECONDS = Tensor("SECONDS", "FP32", (1,), meaning="how long it lasts")
POST_OUTPUTS = (
    _text("POST", "MP4, composed of photo, clip, studio shot, captions and sound; says so in its metadata"),
    SECONDS,
)
SPEECH_OUTPUTS = (
    _text("AUDIO", "the script spoken, WAV or OGG; says in its metadata that it is generated"),
    SECONDS,
)
RECOMMENDED = (
    Tensor("ITEMS", "BYTES", ("ranked",), meaning="ids of the item index, likeliest first"),
    Tensor("TITLES", "BYTES", ("ranked",), meaning="their titles"),
    Tensor("SCORES", "FP32", ("ranked",), meaning="higher is likelier"),
)

# -------------------------------------------------------------------------------------------- what only the steps see

FRAMES = Tensor("FRAMES", "UINT8", ("frames", "video_encoder.side", "video_encoder.side", 3))  # of a clip
LOG_MEL = Tensor("LOG_MEL", "FP32", ("transcriber.mels", "mel_frames"))  # of a sound
PRESENCE = Tensor("PRESENCE", "FP32", FUSION_WEIGHTS.dims)  # one where a modality is there
IMAGE_SCORES = Tensor("IMAGE_SCORES", "FP32", ("image_encoder.classes",), optional=True)
#: A shopper's events, as the behaviour encoder takes them.
EVENT_TENSORS = (
    Tensor("item_embeddings", "FP32", ("events", "item_index.width")),
    Tensor("event_kinds", "INT64", ("events",)),
    Tensor("event_ages", "FP32", ("events",)),
    Tensor("event_mask", "FP32", ("events",)),
)
#: Texts that the moderator reads; FINISHED is why one of them ended, EARLIER what the policy has said already.
JUDGED = ("TITLE", "ATTRIBUTES", "TRANSCRIPT", "LABEL_TEXT", "WRITTEN", "FINISHED", "SCRIPT", "CAPTION", "EARLIER")
#: Row of the product of the latest event in the item index, and how many others are asked for.
RANKING = (Tensor("LATEST", "INT64", (1,)), Tensor("SHOWN", "INT32", (1,)))
IS_FRAME = Tensor("IS_FRAME", "BOOL", (1,))  # the photo is one of the clip's
PHOTO = Tensor("PHOTO", "UINT8", ("height", "width", 3))
OPACITY = Tensor("OPACITY", "FP32", OPACITY_DIMS)
SAMPLES = Tensor("SAMPLES", "FP32", ("samples",))
SAMPLE_RATE = Tensor("SAMPLE_RATE", "INT32", (1,))
#: What the prompter read, for whoever edits a text.
REQUEST = Tensor("REQUEST", "BYTES", (1,), optional=True)
PROMPT = Tensor("PROMPT", "BYTES", (1,))
DECODER_INPUTS = (PROMPT, Tensor("PREFIX", "FP32", ("prefix", "hidden"), optional=True), *SAMPLING_FIELDS)


def features(encoder: str) -> Tensor:
    """What an encoder hands to fusion, in one tensor."""
    return Tensor("features", "FP32", (f"{encoder}.rows", f"{encoder}.width"))


def noise(decoder: str) -> Tensor:
    """What a decoder of pictures starts from."""
    return Tensor(
        f"{decoder.removesuffix('_decoder').upper()}_NOISE", "FP32", (3, f"{decoder}.side", f"{decoder}.side")
    )

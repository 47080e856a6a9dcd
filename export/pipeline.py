"""The one description of the graph: models, their tensors, and the ensembles that chain them.

Every `config.pbtxt` under `model_repository/` is rendered from here (`python -m export configs`), the ONNX export takes
its dynamic axes from here, and TensorRT its profiles. A new modality is an entry in :data:`MODALITIES` and its models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations

#: A dynamic axis by meaning → (least, usual, most) size. Tensor dims name these; "batch" is never written in dims.
AXES: dict[str, tuple[int, int, int]] = {
    "batch": (1, 8, 8),
    "length": (1, 32, 128),  # tokens of a title
    "image_rows": (33, 81, 81),  # of a picture's features, the least where it is absent
    "frames": (1, 8, 16),  # of a clip
    "mel_frames": (200, 400, 3000),  # of a sound, a hundred a second
    "events": (1, 16, 64),  # of a shopper's history
    "prefix": (0, 8, 64),  # soft-prefix vectors before the prompt
    "hidden": (1, 1536, 16384),  # width of the text decoder's embeddings, which it checks itself
    "stops": (1, 1, 8),  # stop strings
    "words": (1, 4, 32),  # banned words
    "ranked": (1, 10, 100),  # products that are recommended
    "pieces": (1, 1, 64),  # token ids in one streamed piece
    "sentences": (1, 1, 1),  # in one run of the speech decoder
    "phonemes": (5, 160, 1600),  # ids of one spoken sentence
    "signs": (3, 8, 512),  # the same of Kokoro, which makes long work of a warm-up's zeros
    "samples": (1, 100_000, 6_000_000),  # of speech
    "height": (1, 1_536, 2_048),  # of a photo, in pixels
    "width": (1, 1_536, 2_048),
    "label_height": (32, 736, 960),  # of what the label detector sees, multiples of 32
    "label_width": (32, 736, 960),
    "line_width": (64, 320, 1_920),  # of a printed line at 48 pixels of height
    "line_steps": (8, 40, 240),  # of its recognizer, an eighth
    "any": (0, 4, 64),
}
MAX_BATCH = AXES["batch"][2]

CONDITION_TOKENS = 36  # as networks/fusion.py lays them out
WIDTH = 384  # of the fused space, which is MiniLM's
FEATURE_ROWS = 9  # of video, audio and history, as networks/features.py lays them out
TAGS = 5
MOST_KEYWORDS = 20  # as stages/keywords.py has them


@dataclass(frozen=True)
class Tensor:
    """A tensor of a model, without its batch axis.

    Args:
        name: as the model or the ensemble names it.
        dtype: Triton's name (``FP32``, ``INT64``, ``UINT8``, ``BYTES``…).
        dims: sizes, a string being a dynamic axis of :data:`AXES`.
        optional: a request may leave it out.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    optional: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Triton's dims: -1 for each dynamic axis."""
        return tuple(-1 if isinstance(d, str) else d for d in self.dims)


@dataclass(frozen=True)
class Model:
    """A model that Triton loads from `model_repository/models/`.

    Args:
        backend: ``python`` or ``onnxruntime``; an onnxruntime model also gets `configs/cuda.pbtxt`, and one with
            `engine` a `configs/tensorrt.pbtxt`.
        instances: how many run at once on CPU; on GPU it is one. A step that keeps its own queue has so many workers.
        cpu_batch: rows of one run on CPU, where more take memory and no less time; None: as many as on GPU.
        max_queue: requests that may wait in a python step with a queue of its own (`stages.triton.Queued`), one more
            being refused; 0 for any number, in Triton's. A step that runs beside another one must never refuse: Triton
            24.10 then hangs for good (see :func:`_encode`).
        parameters: `parameters` of the config.
        calls: models that it calls by itself, outside any ensemble's edges; who loads it loads them too.
        files: what the export of a slot puts beside the model, as ``file name → slot``.
    """

    name: str
    backend: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = MAX_BATCH
    instances: int = 1
    cpu_batch: int | None = None
    decoupled: bool = False
    batches: bool = True
    engine: bool = False
    max_queue: int = 0
    parameters: dict[str, str] = field(default_factory=dict)
    calls: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One model of an ensemble; both maps go from the model's tensor name to the ensemble's."""

    model: str
    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Ensemble:
    """A chain of models that Triton loads from `model_repository/ensembles/`."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    max_batch_size: int = MAX_BATCH
    decoupled: bool = False


def same(*names: str) -> dict[str, str]:
    """Tensors whose name in the ensemble is the model's own."""
    return {name: name for name in names}


# ---------------------------------------------------------------------------------------------------------- fields

TITLE = Tensor("TITLE", "BYTES", (1,))
IMAGE = Tensor("IMAGE", "BYTES", (1,))
VIDEO = Tensor("VIDEO", "BYTES", (1,))
AUDIO = Tensor("AUDIO", "BYTES", (1,))
MUSIC = Tensor("MUSIC", "BYTES", (1,), optional=True)  # under a film
LOGO_SOUND = Tensor("LOGO_SOUND", "BYTES", (1,))  # at its end
EVENTS = Tensor("EVENTS", "BYTES", (1,))  # what the shopper did
FRAMES = Tensor("FRAMES", "UINT8", ("frames", 112, 112, 3))  # of a clip
LOG_MEL = Tensor("LOG_MEL", "FP32", (80, "mel_frames"))  # of a sound
SCRIPT = Tensor("SCRIPT", "BYTES", (1,))  # what is to be spoken
TRANSCRIPT = Tensor("TRANSCRIPT", "BYTES", (1,))  # what is said of the product
TRANSCRIPT_LANGUAGE = Tensor("TRANSCRIPT_LANGUAGE", "BYTES", (1,))
LABEL_TEXT = Tensor("LABEL_TEXT", "BYTES", (1,))  # what is printed on it, JSON
CONDITION = Tensor("CONDITION", "FP32", (CONDITION_TOKENS, WIDTH))
EMBEDDING = Tensor("EMBEDDING", "FP32", (WIDTH,))
FEATURES = Tensor("features", "FP32", (FEATURE_ROWS, WIDTH))  # what an encoder hands to fusion
FUSION_WEIGHTS = Tensor("FUSION_WEIGHTS", "FP32", (5,))  # text, image, video, audio, behavior
PRESENCE = Tensor("PRESENCE", "FP32", FUSION_WEIGHTS.dims)  # one where a modality is there
IMAGE_SEED = Tensor("IMAGE_SEED", "INT64", (1,), optional=True)
NOISE = Tensor("NOISE", "FP32", (3, 64, 64))
PICTURE_DIMS = (64, 64, 3)  # as the image decoder draws it
FRAME_DIMS = (24, *PICTURE_DIMS)
TAG_OUTPUTS = (Tensor("TAGS", "BYTES", (TAGS,)), Tensor("TAG_SCORES", "FP32", (TAGS,)))

#: A shopper's events, as the behaviour encoder takes them.
EVENT_TENSORS = (
    Tensor("item_embeddings", "FP32", ("events", WIDTH)),
    Tensor("event_kinds", "INT64", ("events",)),
    Tensor("event_ages", "FP32", ("events",)),
    Tensor("event_mask", "FP32", ("events",)),
)
#: What shapes the prompt; every one may be left out.
PROMPT_FIELDS = tuple(
    Tensor(name, "BYTES", (1,), optional=True)
    for name in ("TASK", "LANGUAGE", "TONE", "QUESTION", "HISTORY", "ATTRIBUTES", "TRANSCRIPT", "LABEL_TEXT")
)
#: What shapes the sampling; every one may be left out.
SAMPLING_FIELDS = (
    Tensor("MAX_TOKENS", "INT32", (1,), optional=True),
    Tensor("TEMPERATURE", "FP32", (1,), optional=True),
    Tensor("TOP_P", "FP32", (1,), optional=True),
    Tensor("TOP_K", "INT32", (1,), optional=True),
    Tensor("REPETITION_PENALTY", "FP32", (1,), optional=True),
    Tensor("SEED", "INT64", (1,), optional=True),
    Tensor("STOP", "BYTES", ("stops",), optional=True),
    Tensor("TIMEOUT_MS", "INT32", (1,), optional=True),
)
#: Of these the prompter fills in what suits the task where the request has none.
TASK_SAMPLING = ("MAX_TOKENS", "TEMPERATURE", "TOP_P", "REPETITION_PENALTY")
TEXT_OUTPUTS = (
    Tensor("TEXT", "BYTES", (1,)),
    Tensor("FINISH_REASON", "BYTES", (1,)),
    Tensor("PROMPT_TOKENS", "INT32", (1,)),
    Tensor("COMPLETION_TOKENS", "INT32", (1,)),
)
#: What a channel asks of a whole text; every one may be left out.
EDIT_FIELDS = (
    Tensor("MAX_CHARACTERS", "INT32", (1,), optional=True),
    Tensor("BANNED_WORDS", "BYTES", ("words",), optional=True),
)
KEYWORDS = Tensor("KEYWORDS", "BYTES", (MOST_KEYWORDS,))  # that a product is searched by
EDITS = Tensor("EDITS", "BYTES", (1,))
#: What the shop's policy says, as JSON: of what the request carries, and of that and the text that was written.
MODERATION = Tensor("MODERATION", "BYTES", (1,))
TEXT_MODERATION = Tensor("TEXT_MODERATION", "BYTES", (1,))
#: How many products are recommended.
COUNT = Tensor("COUNT", "INT32", (1,), optional=True)
#: Row of the product of the latest event, and how many others are asked for.
#: Texts that the moderator reads; FINISHED is why one of them ended, EARLIER what the policy has said already.
JUDGED = ("TITLE", "ATTRIBUTES", "TRANSCRIPT", "LABEL_TEXT", "WRITTEN", "FINISHED", "SCRIPT", "CAPTION", "EARLIER")
RANKING = (Tensor("LATEST", "INT64", (1,)), Tensor("SHOWN", "INT32", (1,)))
RECOMMENDED = (
    Tensor("ITEMS", "BYTES", ("ranked",)),
    Tensor("TITLES", "BYTES", ("ranked",)),
    Tensor("SCORES", "FP32", ("ranked",)),
)
#: What a script is spoken with; every one may be left out.
SPEECH_FIELDS = (
    Tensor("SPEED", "FP32", (1,), optional=True),
    Tensor("AUDIO_FORMAT", "BYTES", (1,), optional=True),
    Tensor("TIMEOUT_MS", "INT32", (1,), optional=True),
    Tensor("VOICE", "BYTES", (1,), optional=True),
    Tensor("LANGUAGE", "BYTES", (1,), optional=True),
)
IMAGE_FORMAT = Tensor("IMAGE_FORMAT", "BYTES", (1,), optional=True)
#: What a studio shot is made by; every one may be left out.
STUDIO_FIELDS = (
    Tensor("BACKGROUND", "BYTES", (1,), optional=True),
    Tensor("ASPECT", "BYTES", (1,), optional=True),
    Tensor("SIZE", "INT32", (1,), optional=True),
    IMAGE_FORMAT,
    Tensor("STYLE", "BYTES", (1,), optional=True),
)
#: And a clip of it.
FILM_FIELDS = (*(tensor for tensor in STUDIO_FIELDS if tensor is not IMAGE_FORMAT), MUSIC)
IS_FRAME = Tensor("IS_FRAME", "BOOL", (1,))  # the photo is one of the clip's
PHOTO = Tensor("PHOTO", "UINT8", ("height", "width", 3))
OPACITY_DIMS = (320, 320)  # as the cutout network reads and gives
CAPTION = Tensor("CAPTION", "BYTES", (1,))  # what a post says
CAPTIONS = Tensor("CAPTIONS", "BYTES", (1,), optional=True)  # and how
POST_OUTPUTS = (Tensor("POST", "BYTES", (1,)), Tensor("SECONDS", "FP32", (1,)))
SUBJECT = Tensor("SUBJECT", "FP32", (1,))  # the share of the photo that the product covers
SAMPLES = Tensor("SAMPLES", "FP32", ("samples",))
SAMPLE_RATE = Tensor("SAMPLE_RATE", "INT32", (1,))
#: What the prompter read, for whoever edits a stream.
REQUEST = Tensor("REQUEST", "BYTES", (1,), optional=True)
DECODER_INPUTS = (
    Tensor("PROMPT", "BYTES", (1,)),
    Tensor("PREFIX", "FP32", ("prefix", "hidden"), optional=True),
    *SAMPLING_FIELDS,
)


# ------------------------------------------------------------------------------------------------------ modalities


@dataclass(frozen=True)
class Modality:
    """A kind of input: what the request carries, what the reader makes of it, and the encoder that feeds fusion.

    Args:
        edge: the request's tensor, which the reader takes.
        read: the reader's output → the ensemble's tensor.
        steps: from there to `<name>_features`. None of them may refuse a request (see :func:`_encode`).
        absent: the reader's output that stands in for those where the modality is not there.
    """

    name: str
    edge: Tensor
    read: dict[str, str]
    steps: tuple[Step, ...]
    absent: str

    @property
    def features(self) -> str:
        """Fusion's input, and the ensemble's tensor where the modality is there."""
        return f"{self.name}_features"


def _aligned(name: str, edge: Tensor, read: dict[str, str], network_inputs: dict[str, str], *more: Step) -> Modality:
    """A modality whose encoder gives an embedding in the fused space and eight tokens."""
    return Modality(
        name=name,
        edge=edge,
        read=read,
        steps=(Step(f"{name}_encoder", network_inputs, {"features": f"{name}_features"}), *more),
        absent="NO_FEATURES",
    )


IMAGE_MODALITY = Modality(
    name="image",
    edge=IMAGE,
    read={"PIXELS": "pixels"},
    steps=(Step("image_encoder", same("pixels"), {"features": "image_features", "class_scores": "image_scores"}),),
    absent="NO_IMAGE_FEATURES",
)
#: The optional ones. The text is always there (it may be empty).
MODALITIES = (
    IMAGE_MODALITY,
    _aligned("video", VIDEO, {"FRAMES": "frames"}, same("frames")),
    _aligned(
        "audio",
        AUDIO,
        {"LOG_MEL": "log_mel"},
        same("log_mel"),
        Step(
            "transcriber",
            {"LOG_MEL": "log_mel"},
            same("TRANSCRIPT", "TRANSCRIPT_LANGUAGE") | {"TRANSCRIPT_COPY": "transcript"},
        ),
    ),
    _aligned(
        "behavior",
        EVENTS,
        {name.upper(): name for name in ("item_embeddings", "event_kinds", "event_ages", "event_mask")},
        same("item_embeddings", "event_kinds", "event_ages", "event_mask"),
    ),
)

# ---------------------------------------------------------------------------------------------------------- models

#: Threads of one network on CPU. The heaviest has two instances instead of two threads, which never wait for each other
#: inside a run.
_ONE_THREAD = {"intra_op_thread_count": "1"}


def _encoder(name: str, inputs: tuple[Tensor, ...]) -> Model:
    return Model(
        f"{name}_encoder",
        "onnxruntime",
        inputs,
        (FEATURES,),
        parameters=_ONE_THREAD,
        engine=True,
        files={"model.onnx": f"{name}_encoder"},
    )


def _drawer(name: str, output: Tensor, cpu_batch: int | None = None) -> Model:
    """A decoder of pictures: from the condition and noise, of which the same gives the same."""
    return Model(
        name,
        "onnxruntime",
        (replace(CONDITION, name="condition"), replace(NOISE, name="noise")),
        (output,),
        cpu_batch=cpu_batch,
        engine=True,
        files={"model.onnx": name},
    )


def _finisher(name: str, drawn: Tensor, field: Tensor, output: Tensor) -> Model:
    """From what a decoder drew to a file; its optional field differs from request to request."""
    return Model(name, "python", (drawn, field), (output,), batches=False)


MODELS: tuple[Model, ...] = (
    Model(
        "canary",
        "python",
        (Tensor("INTS", "INT64", ("any",)), Tensor("FLOATS", "FP32", ("any",)), Tensor("WORDS", "BYTES", ("any",))),
        (
            Tensor("INTS_ECHO", "INT64", ("any",)),
            Tensor("FLOATS_ECHO", "FP32", ("any",)),
            Tensor("WORDS_ECHO", "BYTES", ("any",)),
        ),
        max_batch_size=0,
        batches=False,
    ),
    Model(
        "reader",
        "python",
        (TITLE, *(replace(modality.edge, optional=True) for modality in MODALITIES)),
        (
            Tensor("INPUT_IDS", "INT64", ("length",)),
            Tensor("ATTENTION_MASK", "INT64", ("length",)),
            Tensor("PIXELS", "UINT8", (224, 224, 3)),
            FRAMES,
            LOG_MEL,
            *(replace(t, name=t.name.upper()) for t in EVENT_TENSORS),
            PRESENCE,
            Tensor("NO_IMAGE_FEATURES", "FP32", (AXES["image_rows"][0], WIDTH)),
            replace(FEATURES, name="NO_FEATURES"),
        ),
        batches=False,
        max_queue=256,
        files={"tokenizer.json": "text_encoder", "items.npz": "item_index"},
    ),
    Model(
        "text_encoder",
        "onnxruntime",
        (Tensor("input_ids", "INT64", ("length",)), Tensor("attention_mask", "INT64", ("length",))),
        (Tensor("sentence_embedding", "FP32", (WIDTH,)),),
        parameters=_ONE_THREAD,
        engine=True,
        files={"model.onnx": "text_encoder"},
    ),
    Model(
        "image_encoder",
        "onnxruntime",
        (Tensor("pixels", "UINT8", (224, 224, 3)),),
        (
            replace(FEATURES, dims=(AXES["image_rows"][2], WIDTH)),
            Tensor("class_scores", "FP32", (1000,)),
        ),
        instances=2,
        parameters=_ONE_THREAD,
        engine=True,
        files={"model.onnx": "image_encoder"},
    ),
    _encoder("video", (replace(FRAMES, name="frames"),)),
    _encoder("audio", (replace(LOG_MEL, name="log_mel"),)),
    _encoder("behavior", EVENT_TENSORS),
    Model(
        "transcriber",
        "python",
        (LOG_MEL,),
        (TRANSCRIPT, replace(TRANSCRIPT, name="TRANSCRIPT_COPY"), TRANSCRIPT_LANGUAGE),
        files=dict.fromkeys(
            ("model.bin", "config.json", "vocabulary.txt", "tokenizer.json", "transcriber.json"), "transcriber"
        ),
    ),
    Model(
        "label_detector",
        "onnxruntime",
        (Tensor("pixels", "UINT8", ("label_height", "label_width", 3)),),
        (Tensor("text", "FP32", ("label_height", "label_width")),),
        max_batch_size=1,  # photos differ in shape
        batches=False,
        parameters=_ONE_THREAD,
        files={"model.onnx": "label_detector"},
    ),
    Model(
        "label_classifier",
        "onnxruntime",
        (Tensor("pixels", "UINT8", (48, 192, 3)),),
        (Tensor("directions", "FP32", (2,)),),
        batches=False,
        parameters=_ONE_THREAD,
        files={"model.onnx": "label_classifier"},
    ),
    Model(
        "label_recognizer",
        "onnxruntime",
        (Tensor("pixels", "UINT8", (48, "line_width", 3)),),
        (
            Tensor("characters", "INT64", ("line_steps",)),
            Tensor("probabilities", "FP32", ("line_steps",)),
            Tensor("spaces", "FP32", ("line_steps",)),
        ),
        batches=False,
        parameters=_ONE_THREAD,
        files={"model.onnx": "label_recognizer"},
    ),
    # How many lines a photo has, no ensemble can count out: the reader calls the three networks (BLS). With PRESENCE it
    # runs beside other steps and never fails.
    Model(
        "label_reader",
        "python",
        (IMAGE, replace(PRESENCE, optional=True)),
        (LABEL_TEXT, replace(LABEL_TEXT, name="LABEL_TEXT_COPY")),
        batches=False,
        calls=("label_detector", "label_classifier", "label_recognizer"),
        files={"characters.json": "label_recognizer"},
    ),
    Model(
        "fusion",
        "onnxruntime",
        (
            Tensor("text_embedding", "FP32", (WIDTH,)),
            replace(FEATURES, name="image_features", dims=("image_rows", WIDTH)),
            *(replace(FEATURES, name=f"{name}_features") for name in ("video", "audio", "behavior")),
            replace(PRESENCE, name="presence"),
        ),
        (
            Tensor("condition", "FP32", CONDITION.dims),
            Tensor("embedding", "FP32", EMBEDDING.dims),
            Tensor("weights", "FP32", FUSION_WEIGHTS.dims),
            Tensor("condition_copy", "FP32", CONDITION.dims),  # for the next steps, see `_encode`
        ),
        parameters=_ONE_THREAD,
        engine=True,
        files={"model.onnx": "fusion"},
    ),
    _drawer("image_decoder", Tensor("picture", "UINT8", PICTURE_DIMS)),
    _drawer("video_decoder", Tensor("frames", "UINT8", FRAME_DIMS), cpu_batch=1),
    Model("seeder", "python", (CONDITION, IMAGE_SEED), (NOISE,), batches=False),
    _finisher("image_optimizer", Tensor("PICTURE", "UINT8", PICTURE_DIMS), IMAGE_FORMAT, IMAGE),
    _finisher("video_optimizer", Tensor("DRAWN", "UINT8", FRAME_DIMS), MUSIC, VIDEO),
    Model(
        "tagger",
        "python",
        (CONDITION,),
        (*TAG_OUTPUTS, Tensor("TAGS_COPY", "BYTES", (TAGS,)), Tensor("TAG_SCORES_COPY", "FP32", (TAGS,))),
        files={"tags.npz": "tagger"},
    ),
    Model(
        "prompter",
        "python",
        (
            TITLE,
            *TAG_OUTPUTS,
            *PROMPT_FIELDS,
            *(t for t in SAMPLING_FIELDS if t.name in TASK_SAMPLING),
            *EDIT_FIELDS,
            replace(MODERATION, optional=True),
        ),
        (
            Tensor("PROMPT", "BYTES", (1,)),
            KEYWORDS,
            replace(REQUEST, optional=False),
            *(replace(t, optional=False) for t in SAMPLING_FIELDS if t.name in TASK_SAMPLING),
        ),
        batches=False,  # optional fields differ from request to request
        files={"prompts.json": "text_decoder"},
    ),
    Model(
        "text_decoder",
        "python",
        (*DECODER_INPUTS, REQUEST),
        (TEXT_OUTPUTS[0], Tensor("TOKEN_IDS", "INT64", ("pieces",)), *TEXT_OUTPUTS[1:]),
        max_batch_size=1,
        decoupled=True,
        batches=False,
        files=dict.fromkeys(
            (
                "model.onnx",
                "model.onnx.data",
                "embeddings.npy",
                "tokenizer.json",
                "prompts.json",
                "decoder.json",
            ),
            "text_decoder",
        ),
    ),
    Model("text_collector", "python", DECODER_INPUTS, TEXT_OUTPUTS, batches=False, calls=("text_decoder",)),
    Model(
        "text_optimizer",
        "python",
        (Tensor("WRITTEN", "BYTES", (1,)), Tensor("FINISHED", "BYTES", (1,)), TITLE, *PROMPT_FIELDS, *EDIT_FIELDS),
        (TEXT_OUTPUTS[0], EDITS),
        batches=False,  # optional fields differ from request to request
        files={"prompts.json": "text_decoder"},
    ),
    Model(
        "moderator",
        "python",
        (
            *(Tensor(name, "BYTES", (1,), optional=True) for name in JUDGED),
            Tensor("IMAGE_SCORES", "FP32", (1000,), optional=True),
            replace(FRAMES, optional=True),
            replace(PRESENCE, optional=True),  # which is there once the reader can refuse nothing any more
        ),
        (MODERATION, replace(MODERATION, name="MODERATION_COPY"), *TEXT_OUTPUTS[:2]),
        batches=False,  # optional fields differ from request to request
        calls=("text_encoder", "image_encoder"),
        files={"tokenizer.json": "text_encoder"},
    ),
    Model(
        "history_reader",
        "python",
        (EVENTS, COUNT),
        (*(replace(t, name=t.name.upper()) for t in EVENT_TENSORS), *RANKING),
        max_batch_size=1,
        batches=False,
        files={"items.npz": "item_index"},
    ),
    Model(
        "recommender",
        "python",
        (replace(FEATURES, name="SHOPPER"), *RANKING),
        RECOMMENDED,
        max_batch_size=1,
        batches=False,
        files={"items.npz": "item_index"},
    ),
    Model(
        "photo_reader",
        "python",
        (*(replace(media, optional=True) for media in (IMAGE, VIDEO, AUDIO)), *STUDIO_FIELDS),
        (
            PHOTO,
            IS_FRAME,
            FRAMES,
            LOG_MEL,
            Tensor("PIXELS", "UINT8", (*OPACITY_DIMS, 3)),
            Tensor("VIEW", "UINT8", (224, 224, 3)),
        ),
        max_batch_size=1,
        batches=False,
        max_queue=64,
    ),
    Model(
        "cutout",
        "onnxruntime",
        (Tensor("pixels", "UINT8", (*OPACITY_DIMS, 3)),),
        (Tensor("opacity", "FP32", OPACITY_DIMS),),
        cpu_batch=1,
        engine=True,
        files={"model.onnx": "cutout"},
    ),
    Model(
        "studio_composer",
        "python",
        (PHOTO, Tensor("OPACITY", "FP32", OPACITY_DIMS), MODERATION, *STUDIO_FIELDS),
        (IMAGE, SUBJECT),
        max_batch_size=1,
        batches=False,
        max_queue=64,
    ),
    Model(
        "studio_filmer",
        "python",
        (PHOTO, Tensor("OPACITY", "FP32", OPACITY_DIMS), MODERATION, *FILM_FIELDS),
        (VIDEO, SUBJECT),
        max_batch_size=1,
        batches=False,
        max_queue=64,
    ),
    Model(
        "post_composer",
        "python",
        (
            PHOTO,
            Tensor("OPACITY", "FP32", OPACITY_DIMS),
            MODERATION,
            CAPTION,
            IS_FRAME,
            *(replace(media, optional=True) for media in (AUDIO, VIDEO, MUSIC, LOGO_SOUND)),
            CAPTIONS,
            *STUDIO_FIELDS[:2],
        ),
        POST_OUTPUTS,
        max_batch_size=1,
        batches=False,
        max_queue=64,
    ),
    # A script's sentences are runs of their own, which no ensemble can count out: the synthesizer calls the decoder for
    # each (BLS). So runs stay short, a deadline is heeded between them, and scripts take turns.
    Model(
        "synthesizer",
        "python",
        (SCRIPT, MODERATION, *SPEECH_FIELDS),
        (SAMPLES, SAMPLE_RATE),
        max_batch_size=1,
        instances=2,
        batches=False,
        max_queue=64,
        calls=("speech_decoder", "speech_decoder_zh"),
        files={"vits.json": "speech_decoder", "kokoro.json": "speech_decoder_zh", "styles.npy": "speech_decoder_zh"},
    ),
    Model(
        "speech_decoder",
        "onnxruntime",
        (
            Tensor("input", "INT64", ("sentences", "phonemes")),
            Tensor("input_lengths", "INT64", ("sentences",)),
            Tensor("scales", "FP32", (3,)),
        ),
        (Tensor("output", "FP32", ("sentences", 1, 1, "samples")),),
        max_batch_size=0,
        batches=False,
        instances=2,
        parameters=_ONE_THREAD,
        files={"model.onnx": "speech_decoder"},
    ),
    # Several threads: on one it speaks hardly faster than people do.
    Model(
        "speech_decoder_zh",
        "onnxruntime",
        (
            Tensor("tokens", "INT64", (1, "signs")),
            Tensor("style", "FP32", (1, 256)),
            Tensor("speed", "FP32", (1,)),
        ),
        (Tensor("audio", "FP32", ("samples",)),),
        max_batch_size=0,
        batches=False,
        files={"model.onnx": "speech_decoder_zh"},
    ),
    Model(
        "audio_optimizer",
        "python",
        (SAMPLES, SAMPLE_RATE, SPEECH_FIELDS[1]),
        (AUDIO, Tensor("SECONDS", "FP32", (1,))),
        max_batch_size=1,
        batches=False,
    ),
)

# ------------------------------------------------------------------------------------------------------- ensembles


# Triton prunes an ensemble to the outputs asked for, with two traps (`ensemble_scheduler.cc`, seen in 24.10):
# - an output that is not asked for counts as unused even where a step reads it, and a step of which all outputs are so
#   counted is dropped. So what one step reads of another is never an output of the ensemble, but a copy of it.
# - an input of the ensemble that is no longer needed is taken for an output of step 0, which may be dropped for it. So
#   the decoder stands first: where there are such inputs, it has gone already.


def _encode(present: tuple[Modality, ...]) -> list[Step]:
    """From what the request carries to condition and embedding; an absent modality is wired to few zeros.

    One step reads and checks all that the request carries, because Triton 24.10 crashes or hangs for good if a step
    fails while another one of the same request is under way or still to be scheduled.
    """
    read = {"INPUT_IDS": "input_ids", "ATTENTION_MASK": "attention_mask", "PRESENCE": "presence"}
    fused = same("text_embedding", "presence")
    steps: list[Step] = []
    for modality in MODALITIES:
        if modality in present:
            read |= modality.read
            steps += modality.steps
            fused[modality.features] = modality.features
        else:
            read[modality.absent] = modality.absent.lower()
            fused[modality.features] = modality.absent.lower()
    steps += [
        Step("reader", same("TITLE", *(modality.edge.name for modality in present)), read),
        Step("text_encoder", same("input_ids", "attention_mask"), {"sentence_embedding": "text_embedding"}),
    ]
    outputs = {
        "condition": "CONDITION",
        "embedding": "EMBEDDING",
        "weights": "FUSION_WEIGHTS",
        "condition_copy": "condition",
    }
    judged = _judged(present) | {PRESENCE.name: "presence"}
    if IMAGE_MODALITY in present:
        judged["IMAGE_SCORES"] = "image_scores"
    if FRAMES.name in read:
        judged[FRAMES.name] = read[FRAMES.name]
    verdict = same("MODERATION") | {"MODERATION_COPY": "moderation"}
    read_from_media = [_read_label({PRESENCE.name: "presence"})] if IMAGE_MODALITY in present else []
    return [*steps, *read_from_media, Step("moderator", judged, verdict), Step("fusion", fused, outputs)]


def _read_label(more: dict[str, str]) -> Step:
    """What is printed on the product of IMAGE: the output, and a copy for the next steps."""
    return Step("label_reader", same("IMAGE") | more, same("LABEL_TEXT") | {"LABEL_TEXT_COPY": "label_text"})


def _derived(present: tuple[Modality, ...]) -> dict[str, Tensor]:
    """Text fields that a step makes from a medium, which are outputs then: the ensemble's tensor → the field."""
    made = {"AUDIO": ("transcript", TRANSCRIPT), "IMAGE": ("label_text", LABEL_TEXT)}
    return dict(made[modality.edge.name] for modality in present if modality.edge.name in made)


def _told(present: tuple[Modality, ...]) -> dict[str, str]:
    """The text fields; a step writes down what is said in a sound and printed in a photo."""
    derived = {field.name: tensor for tensor, field in _derived(present).items()}
    return same("TITLE", *(t.name for t in PROMPT_FIELDS)) | derived


def _judged(present: tuple[Modality, ...]) -> dict[str, str]:
    """Of these, what the policy is asked about before anything is written."""
    return {name: tensor for name, tensor in _told(present).items() if name in JUDGED}


def _write(condition: str, told: dict[str, str], checked: dict[str, str]) -> list[Step]:
    """From the tensor `condition` and the text fields to a whole TEXT, edited and let through, and TAGS.

    Args:
        told: as :func:`_told` gives it.
        checked: what the moderator shall judge beside the text, or what it has said already (EARLIER).
    """
    written = {"TEXT": "written", "FINISH_REASON": "finished"} | same("PROMPT_TOKENS", "COMPLETION_TOKENS")
    limits = same(*(t.name for t in EDIT_FIELDS))
    taken = {"WRITTEN": "written", "FINISHED": "finished"} | told | limits
    early = {"MODERATION": checked["EARLIER"]} if "EARLIER" in checked else {}
    let_through = {"MODERATION": "TEXT_MODERATION"} | same("TEXT", "FINISH_REASON")
    return [
        *_prompted("text_collector", condition, written, same("TAGS", "TAG_SCORES", "KEYWORDS"), told | limits | early),
        Step("text_optimizer", taken, {"TEXT": "edited"} | same("EDITS")),
        Step("moderator", {"WRITTEN": "edited", "FINISHED": "finished"} | checked, let_through),
    ]


def _prompted(
    decoder: str, condition: str, written: dict[str, str], shown: dict[str, str], told: dict[str, str]
) -> list[Step]:
    """From the tensor `condition` and the text fields to what a decoder writes.

    Args:
        written: the decoder's outputs → the ensemble's tensors; `shown` those of tagger and prompter that are outputs.
        told: the prompter's fields, as :func:`_told` gives them; also those that it refuses early where they are wrong,
            and what the policy says so far, which has it wait until nothing but itself can fail (see :func:`_encode`).
    """
    chosen = {name: name.lower() for name in TASK_SAMPLING}
    sampling = {tensor.name: chosen.get(tensor.name, tensor.name) for tensor in SAMPLING_FIELDS}
    copies = {"TAGS_COPY": "tags", "TAG_SCORES_COPY": "tag_scores"}
    asked = told | same(*TASK_SAMPLING)
    words = {name: tensor for name, tensor in shown.items() if name == KEYWORDS.name}
    tags = {name: tensor for name, tensor in shown.items() if name not in words}
    read = {REQUEST.name: "request"} if REQUEST in model(decoder).inputs else {}
    made = {"PROMPT": "prompt"} | read
    return [
        Step(decoder, made | sampling, written),
        Step("tagger", {"CONDITION": condition}, copies | tags),
        Step("prompter", {"TAGS": "tags", "TAG_SCORES": "tag_scores", **asked}, made | chosen | words),
    ]


def _draw(
    name: str,
    decoder: str,
    drawn: str,
    optimizer: str,
    taken: str,
    field: Tensor,
    output: Tensor,
    rows: int = MAX_BATCH,
) -> Ensemble:
    """From a condition to a picture or a clip: a chain of its own, which no other output waits for or fails with."""
    steps = (
        Step("seeder", same("CONDITION", "IMAGE_SEED"), {"NOISE": "noise"}),
        Step(decoder, {"condition": "CONDITION", "noise": "noise"}, {drawn: "drawn"}),
        Step(optimizer, {taken: "drawn"} | same(field.name), same(output.name)),
    )
    return Ensemble(name, (CONDITION, IMAGE_SEED, field), (output,), steps, max_batch_size=rows)


def ensembles() -> Iterator[Ensemble]:
    """Every ensemble: one `content…` per subset of the optional modalities, `generate…`, `speak` and `text_stream`."""
    streamed = (*PROMPT_FIELDS, *SAMPLING_FIELDS)
    fields = (*streamed, *EDIT_FIELDS)
    for count in range(len(MODALITIES) + 1):
        for present in combinations(MODALITIES, count):
            derived = tuple(_derived(present).values())
            made = {tensor.name for tensor in derived}
            yield Ensemble(
                "_".join(["content", *(m.name for m in present)]),
                (TITLE, *(m.edge for m in present), *(t for t in fields if t.name not in made)),
                (
                    *(*TEXT_OUTPUTS, EDITS, TEXT_MODERATION, CONDITION, EMBEDDING, FUSION_WEIGHTS, *TAG_OUTPUTS),
                    *(KEYWORDS, MODERATION, *derived, *((TRANSCRIPT_LANGUAGE,) if TRANSCRIPT in derived else ())),
                ),
                (*_write("condition", _told(present), {"EARLIER": "moderation"}), *_encode(present)),
            )
    yield Ensemble(
        "generate",
        (CONDITION, TITLE, *fields),
        (*TEXT_OUTPUTS, EDITS, TEXT_MODERATION, *TAG_OUTPUTS, KEYWORDS),
        tuple(_write("CONDITION", _told(()), _judged(()))),
    )
    yield Ensemble("read_label", (IMAGE,), (LABEL_TEXT,), (Step("label_reader", same("IMAGE"), same("LABEL_TEXT")),))
    yield _draw("generate_image", "image_decoder", "picture", "image_optimizer", "PICTURE", IMAGE_FORMAT, IMAGE)
    yield _draw("generate_video", "video_decoder", "frames", "video_optimizer", "DRAWN", MUSIC, VIDEO, rows=1)
    read = {"PHOTO": "photo", "PIXELS": "pixels", "VIEW": "view"}
    seen = (
        Step("cutout", same("pixels"), same("opacity")),
        Step("image_encoder", {"pixels": "view"}, {"class_scores": "image_scores"}),
    )
    shown = {"PHOTO": "photo", "OPACITY": "opacity", "MODERATION": "moderation"}
    judged, verdict = {"IMAGE_SCORES": "image_scores"}, {"MODERATION": "moderation"}
    # A clip is an ensemble of its own: two last steps of one could fail beside each other (see `_encode`).
    for name, last, fields, made in (
        ("studio", "studio_composer", STUDIO_FIELDS, IMAGE),
        ("studio_video", "studio_filmer", FILM_FIELDS, VIDEO),
    ):
        order = same(*(tensor.name for tensor in fields))
        yield Ensemble(
            name,
            (IMAGE, *fields),
            (replace(made, name=f"STUDIO_{made.name}"), SUBJECT),
            (
                Step("photo_reader", same("IMAGE") | {n: t for n, t in order.items() if n != "MUSIC"}, read),
                *seen,
                Step("moderator", judged, verdict),
                Step(last, shown | order, {made.name: f"STUDIO_{made.name}"} | same("SUBJECT")),
            ),
            max_batch_size=1,
        )
    yield Ensemble(
        "post",
        (
            *(replace(media, optional=True) for media in (IMAGE, VIDEO, AUDIO, MUSIC, LOGO_SOUND)),
            CAPTION,
            CAPTIONS,
            *STUDIO_FIELDS[:2],
        ),
        POST_OUTPUTS,
        (
            Step(
                "photo_reader",
                same("IMAGE", "VIDEO", "AUDIO", "ASPECT"),
                read | {"IS_FRAME": "is_frame", "FRAMES": "frames", "LOG_MEL": "log_mel"},
            ),
            *seen,
            Step("transcriber", {"LOG_MEL": "log_mel"}, {"TRANSCRIPT": "transcript"}),
            Step("moderator", same("CAPTION") | judged | {"FRAMES": "frames", "TRANSCRIPT": "transcript"}, verdict),
            Step(
                "post_composer",
                shown
                | {"IS_FRAME": "is_frame"}
                | same("CAPTION", "CAPTIONS", "AUDIO", "VIDEO", "MUSIC", "LOGO_SOUND", "ASPECT", "BACKGROUND"),
                same("POST", "SECONDS"),
            ),
        ),
        max_batch_size=1,
    )
    ranking = {tensor.name: tensor.name.lower() for tensor in RANKING}
    yield Ensemble(
        "recommend",
        (EVENTS, COUNT),
        RECOMMENDED,
        (
            Step("history_reader", same("EVENTS", "COUNT"), {t.name.upper(): t.name for t in EVENT_TENSORS} | ranking),
            Step("behavior_encoder", same(*(t.name for t in EVENT_TENSORS)), {"features": "shopper"}),
            Step("recommender", {"SHOPPER": "shopper"} | ranking, same(*(t.name for t in RECOMMENDED))),
        ),
        max_batch_size=1,
    )
    yield Ensemble(
        "speak",
        (SCRIPT, *SPEECH_FIELDS),
        (AUDIO, Tensor("SECONDS", "FP32", (1,))),
        (
            Step("moderator", same("SCRIPT"), verdict),
            Step(
                "synthesizer",
                {"MODERATION": "moderation"} | same("SCRIPT", *(t.name for t in SPEECH_FIELDS)),
                {"SAMPLES": "samples", "SAMPLE_RATE": "sample_rate"},
            ),
            Step(
                "audio_optimizer",
                {"SAMPLES": "samples", "SAMPLE_RATE": "sample_rate", "AUDIO_FORMAT": "AUDIO_FORMAT"},
                same("AUDIO", "SECONDS"),
            ),
        ),
        max_batch_size=1,
    )
    yield Ensemble(
        "text_stream",
        (CONDITION, TITLE, *streamed),
        TEXT_OUTPUTS,
        tuple(_prompted("text_decoder", "CONDITION", same(*(t.name for t in TEXT_OUTPUTS)), {}, _told(()))),
        max_batch_size=1,
        decoupled=True,
    )


def model(name: str) -> Model:
    """The model of that name; `KeyError` names the known ones."""
    for entry in MODELS:
        if entry.name == name:
            return entry
    raise KeyError(f"no model {name!r} in the pipeline; known: {', '.join(m.name for m in MODELS)}")

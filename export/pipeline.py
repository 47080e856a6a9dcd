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
    "tokens": (1, 49, 49),  # spatial tokens of a picture, one zero token where it is absent
    "prefix": (0, 8, 64),  # soft-prefix vectors before the prompt
    "stops": (1, 1, 8),  # stop strings
    "pieces": (1, 1, 64),  # token ids in one streamed piece
    "any": (0, 4, 64),
}
MAX_BATCH = AXES["batch"][2]

CONDITION_TOKENS = 8
WIDTH = 384  # of the fused space, which is MiniLM's
TAGS = 5


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
        instances: how many run at once on CPU; on GPU it is one.
        max_queue: requests that may wait, one more being refused; 0 for any number. A step that runs beside another one
            must never refuse: Triton 24.10 then hangs for good (see :func:`_encode`).
        parameters: `parameters` of the config.
        files: what the export of a slot puts beside the model, as ``file name → slot``.
    """

    name: str
    backend: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = MAX_BATCH
    instances: int = 1
    decoupled: bool = False
    batches: bool = True
    engine: bool = False
    max_queue: int = 256
    parameters: dict[str, str] = field(default_factory=dict)
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
CONDITION = Tensor("CONDITION", "FP32", (CONDITION_TOKENS, WIDTH))
EMBEDDING = Tensor("EMBEDDING", "FP32", (WIDTH,))
TAG_OUTPUTS = (Tensor("TAGS", "BYTES", (TAGS,)), Tensor("TAG_SCORES", "FP32", (TAGS,)))

#: What shapes the prompt; every one may be left out.
PROMPT_FIELDS = tuple(
    Tensor(name, "BYTES", (1,), optional=True) for name in ("TASK", "LANGUAGE", "QUESTION", "HISTORY", "ATTRIBUTES")
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
DECODER_INPUTS = (
    Tensor("PROMPT", "BYTES", (1,)),
    Tensor("PREFIX", "FP32", ("prefix", 576), optional=True),
    *SAMPLING_FIELDS,
)


# ------------------------------------------------------------------------------------------------------ modalities


@dataclass(frozen=True)
class Modality:
    """A kind of input: what the request carries, what the reader makes of it, and the encoder that feeds fusion.

    Args:
        edge: the request's tensor, which the reader takes.
        read: the reader's output → the ensemble's tensor.
        steps: from there to `fused`. None of them may refuse a request (see :func:`_encode`).
        fused: fusion's input → the ensemble tensor that holds it when the modality is there.
        absent: the same inputs → the reader's output that stands in where it is not.
    """

    name: str
    edge: Tensor
    read: dict[str, str]
    steps: tuple[Step, ...]
    fused: dict[str, str]
    absent: dict[str, str] = field(default_factory=dict)


IMAGE_MODALITY = Modality(
    name="image",
    edge=IMAGE,
    read={"PIXELS": "pixels", "IMAGE_MASK": "image_mask"},
    steps=(
        Step(
            "image_encoder",
            {"pixels": "pixels"},
            {
                "image_embedding": "image_embedding",
                "spatial_tokens": "image_tokens",
                "class_scores": "image_scores",
            },
        ),
    ),
    fused=same("image_embedding", "image_tokens", "image_scores", "image_mask"),
    absent={
        "image_embedding": "NO_IMAGE_EMBEDDING",
        "image_tokens": "NO_IMAGE_TOKENS",
        "image_scores": "NO_IMAGE_SCORES",
        "image_mask": "NO_IMAGE_MASK",
    },
)
#: The optional ones. The text is always there (it may be empty).
MODALITIES = (IMAGE_MODALITY,)

# ---------------------------------------------------------------------------------------------------------- models

#: Threads of one network on CPU. The heaviest has two instances instead of two threads, which never wait for each other
#: inside a run.
_ONE_THREAD = {"intra_op_thread_count": "1"}

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
        (TITLE, replace(IMAGE, optional=True)),
        (
            Tensor("INPUT_IDS", "INT64", ("length",)),
            Tensor("ATTENTION_MASK", "INT64", ("length",)),
            Tensor("TEXT_MASK", "FP32", (1,)),
            Tensor("PIXELS", "UINT8", (224, 224, 3)),
            Tensor("IMAGE_MASK", "FP32", (1,)),
            Tensor("NO_IMAGE_EMBEDDING", "FP32", (1280,)),
            Tensor("NO_IMAGE_TOKENS", "FP32", ("tokens", 320)),
            Tensor("NO_IMAGE_SCORES", "FP32", (1000,)),
            Tensor("NO_IMAGE_MASK", "FP32", (1,)),
        ),
        files={"tokenizer.json": "text_encoder"},
    ),
    Model(
        "text_encoder",
        "onnxruntime",
        (Tensor("input_ids", "INT64", ("length",)), Tensor("attention_mask", "INT64", ("length",))),
        (Tensor("sentence_embedding", "FP32", (WIDTH,)),),
        max_queue=0,
        parameters=_ONE_THREAD,
        engine=True,
        files={"model.onnx": "text_encoder"},
    ),
    Model(
        "image_encoder",
        "onnxruntime",
        (Tensor("pixels", "UINT8", (224, 224, 3)),),
        (
            Tensor("image_embedding", "FP32", (1280,)),
            Tensor("spatial_tokens", "FP32", (49, 320)),
            Tensor("class_scores", "FP32", (1000,)),
        ),
        max_queue=0,
        instances=2,
        parameters=_ONE_THREAD,
        engine=True,
        files={"model.onnx": "image_encoder"},
    ),
    Model(
        "fusion",
        "onnxruntime",
        (
            Tensor("text_embedding", "FP32", (WIDTH,)),
            Tensor("text_mask", "FP32", (1,)),
            Tensor("image_embedding", "FP32", (1280,)),
            Tensor("image_tokens", "FP32", ("tokens", 320)),
            Tensor("image_scores", "FP32", (1000,)),
            Tensor("image_mask", "FP32", (1,)),
        ),
        (
            Tensor("condition", "FP32", CONDITION.dims),
            Tensor("embedding", "FP32", EMBEDDING.dims),
            Tensor("condition_copy", "FP32", CONDITION.dims),  # for the next steps, see `_encode`
        ),
        parameters=_ONE_THREAD,
        engine=True,
        files={"model.onnx": "fusion"},
    ),
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
        (TITLE, *TAG_OUTPUTS, *PROMPT_FIELDS, *(t for t in SAMPLING_FIELDS if t.name in TASK_SAMPLING)),
        (
            Tensor("PROMPT", "BYTES", (1,)),
            *(replace(t, optional=False) for t in SAMPLING_FIELDS if t.name in TASK_SAMPLING),
        ),
        batches=False,  # optional fields differ from request to request
        files={"chat_template.jinja": "text_decoder"},
    ),
    Model(
        "text_decoder",
        "python",
        DECODER_INPUTS,
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
                "chat_template.jinja",
                "decoder.json",
            ),
            "text_decoder",
        ),
    ),
    Model("text_collector", "python", DECODER_INPUTS, TEXT_OUTPUTS, batches=False),
)

# ------------------------------------------------------------------------------------------------------- ensembles


# Triton prunes an ensemble to the outputs asked for, with two traps (`ensemble_scheduler.cc`, seen in 24.10):
# - an output that is not asked for counts as unused even where a step reads it, and a step of which all outputs are so
#   counted is dropped. So what one step reads of another is never an output of the ensemble, but a copy of it.
# - an input of the ensemble that is no longer needed is taken for an output of step 0, which may be dropped for it. So
#   the decoder stands first: where there are such inputs, it has gone already.


def _encode(present: tuple[Modality, ...]) -> list[Step]:
    """From what the request carries to condition and embedding; an absent modality is wired to small zeros.

    One step reads and checks all that the request carries, because Triton 24.10 crashes or hangs for good if a step
    fails while another one of the same request is under way or still to be scheduled.
    """
    read = {"INPUT_IDS": "input_ids", "ATTENTION_MASK": "attention_mask", "TEXT_MASK": "text_mask"}
    fused = {"text_embedding": "text_embedding", "text_mask": "text_mask"}
    steps: list[Step] = []
    for modality in MODALITIES:
        if modality in present:
            read |= modality.read
            steps += modality.steps
            fused |= modality.fused
        else:
            read |= {zeros: zeros.lower() for zeros in modality.absent.values()}
            fused |= {name: zeros.lower() for name, zeros in modality.absent.items()}
    steps += [
        Step("reader", same("TITLE", *(modality.edge.name for modality in present)), read),
        Step("text_encoder", same("input_ids", "attention_mask"), {"sentence_embedding": "text_embedding"}),
    ]
    outputs = {"condition": "CONDITION", "embedding": "EMBEDDING", "condition_copy": "condition"}
    return [*steps, Step("fusion", fused, outputs)]


def _write(decoder: str, condition: str, *tags: str) -> list[Step]:
    """From the tensor `condition` and the text fields to TEXT; `tags` are those of the tagger's outputs to give."""
    chosen = {name: name.lower() for name in TASK_SAMPLING}
    sampling = {tensor.name: chosen.get(tensor.name, tensor.name) for tensor in SAMPLING_FIELDS}
    copies = {"TAGS_COPY": "tags", "TAG_SCORES_COPY": "tag_scores"}
    asked = same("TITLE", *(t.name for t in PROMPT_FIELDS), *TASK_SAMPLING)
    return [
        Step(decoder, {"PROMPT": "prompt"} | sampling, same(*(t.name for t in TEXT_OUTPUTS))),
        Step("tagger", {"CONDITION": condition}, copies | same(*tags)),
        Step("prompter", {"TAGS": "tags", "TAG_SCORES": "tag_scores", **asked}, {"PROMPT": "prompt"} | chosen),
    ]


def ensembles() -> Iterator[Ensemble]:
    """Every ensemble: one `content…` per subset of the optional modalities, `generate` and `text_stream`."""
    fields = (*PROMPT_FIELDS, *SAMPLING_FIELDS)
    for count in range(len(MODALITIES) + 1):
        for present in combinations(MODALITIES, count):
            yield Ensemble(
                "_".join(["content", *(m.name for m in present)]),
                (TITLE, *(m.edge for m in present), *fields),
                (*TEXT_OUTPUTS, CONDITION, EMBEDDING, *TAG_OUTPUTS),
                (*_write("text_collector", "condition", "TAGS", "TAG_SCORES"), *_encode(present)),
            )
    yield Ensemble(
        "generate",
        (CONDITION, TITLE, *fields),
        (*TEXT_OUTPUTS, *TAG_OUTPUTS),
        tuple(_write("text_collector", "CONDITION", "TAGS", "TAG_SCORES")),
    )
    yield Ensemble(
        "text_stream",
        (CONDITION, TITLE, *fields),
        TEXT_OUTPUTS,
        tuple(_write("text_decoder", "CONDITION")),
        max_batch_size=1,
        decoupled=True,
    )


def model(name: str) -> Model:
    """The model of that name; `KeyError` names the known ones."""
    for entry in MODELS:
        if entry.name == name:
            return entry
    raise KeyError(f"no model {name!r} in the pipeline; known: {', '.join(m.name for m in MODELS)}")

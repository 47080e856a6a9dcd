"""What the graph is made of: axes, tensors, models and ensembles, and the facts that their sizes come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Slot → fact → value, as each slot's exporter reads them off its checkpoint; a text ``<slot>.<fact>`` is that fact's
#: value. A slot that a recipe leaves out is not there.
Facts = Mapping[str, Mapping[str, Any]]
#: A size: a number, the name of a dynamic axis of :data:`AXES`, or a fact as ``<slot>.<fact>``.
Size = int | str

MAX_BATCH = 8
#: A dynamic axis by meaning → (least, usual, most) size. Tensor dims name these; "batch" is never written in dims.
AXES: dict[str, tuple[Size, Size, Size]] = {
    "batch": (1, MAX_BATCH, MAX_BATCH),
    "length": (1, 32, "text_encoder.tokens"),  # tokens of a title
    "image_rows": ("image_encoder.least_rows", "image_encoder.rows", "image_encoder.rows"),  # the least where absent
    "frames": (1, 8, 16),  # of a clip
    "mel_frames": (200, 400, "transcriber.mel_frames"),  # of a sound, a hundred a second
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


def _fixed_axes() -> dict[str, tuple[int, int, int]]:
    """The axes whose bounds are numbers."""
    fixed = (axis for axis, bounds in AXES.items() if all(isinstance(bound, int) for bound in bounds))
    return {axis: resolve_axis(axis, {}) for axis in fixed}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a model, without its batch axis.

    Args:
        name: as the model or the ensemble names it.
        dtype: Triton's name (``FP32``, ``INT64``, ``UINT8``, ``BYTES``…).
        dims: sizes.
        optional: a request may leave it out.
        meaning: of a caller's tensor, for docs/tensors.md. No export goes stale by this or by `left_out`.
        left_out: what is taken where a request leaves it out.
        client_type: what the client's caller gives, where it is not the dtype's own (text, number, a sequence of them).
    """

    name: str
    dtype: str
    dims: tuple[Size, ...]
    optional: bool = False
    meaning: str = field(default="", repr=False, compare=False)
    left_out: str = field(default="", repr=False, compare=False)
    client_type: str = field(default="", repr=False, compare=False)

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
        parameters: `parameters` of the config on CPU; a fact is written as ``<slot>.<fact>``.
        cuda: those of `configs/cuda.pbtxt`, which a python model that has any gets too.
        calls: models that it calls by itself, outside any ensemble's edges; who loads it loads them too.
        files: what the export of a slot puts beside the model, as ``file name → slot``.
        axes: the bounds of the dynamic axes, as :data:`AXES` has them; without facts, those that need none.
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
    cuda: dict[str, str] = field(default_factory=dict)
    calls: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    axes: Mapping[str, tuple[int, int, int]] = field(default_factory=_fixed_axes, repr=False, compare=False)


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


@dataclass(frozen=True)
class Graph:
    """All that Triton loads, every size a number or a dynamic axis: what :func:`graph.assembly.assemble` makes.

    Args:
        facts: what it was made from.
    """

    facts: Facts
    models: tuple[Model, ...]
    ensembles: tuple[Ensemble, ...]

    def model(self, name: str) -> Model:
        """The model of that name; `KeyError` names the known ones."""
        for entry in self.models:
            if entry.name == name:
                return entry
        raise KeyError(f"no model {name!r} in the graph; known: {', '.join(m.name for m in self.models)}")


def resolve_size(size: Size, facts: Facts) -> Size:
    """A size with a fact's value in its place; the name of an axis stays.

    Raises:
        KeyError: no such fact.
    """
    slot, dot, fact = str(size).partition(".")
    if not dot:
        return size
    if slot not in facts or fact not in facts[slot]:
        raise KeyError(f"{size} is not known; {slot} says {', '.join(facts.get(slot, ())) or 'nothing'}")
    return resolve_size(facts[slot][fact], facts)


def resolve_axis(axis: str, facts: Facts) -> tuple[int, int, int]:
    """Least, usual and most size of an axis; the usual one is never over the most."""
    least, usual, most = (int(resolve_size(size, facts)) for size in AXES[axis])
    return least, min(usual, most), most


def resolve_tensor(tensor: Tensor, facts: Facts) -> Tensor:
    """The tensor with each fact replaced by its value; an axis that the facts bound to one size becomes that number."""

    def size(dim: Size) -> Size:
        dim = resolve_size(dim, facts)
        if isinstance(dim, str) and any("." in str(bound) for bound in AXES[dim]):
            least, _, most = resolve_axis(dim, facts)
            return least if least == most else dim
        return dim

    return replace(tensor, dims=tuple(size(dim) for dim in tensor.dims))

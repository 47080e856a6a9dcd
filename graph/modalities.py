"""The kinds of input that a request may carry, and how each reaches fusion."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graph.schema import Facts, Step, Tensor, same
from graph.tensors import AUDIO, EVENT_TENSORS, EVENTS, FRAMES, IMAGE, LOG_MEL, PIXEL_DIMS, VIDEO, features


@dataclass(frozen=True)
class Modality:
    """A kind of input: what the request carries, what the reader makes of it, and the encoder that feeds fusion.

    Args:
        slots: that must be filled for the bundle to have it.
        edge: the request's tensor, which the reader takes.
        read: what the reader makes of it, which the ensemble has in small letters.
        steps: from there to `<name>_features`. None of them may refuse a request (see :func:`_encode`).
        taken: fusion's input, and the ensemble's tensor where the modality is there.
        absent: the reader's output that stands in for it where the modality is not there.
    """

    name: str
    slots: frozenset[str]
    edge: Tensor
    read: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    taken: Tensor
    absent: Tensor

    @property
    def reading(self) -> dict[str, str]:
        """The reader's output → the ensemble's tensor."""
        return {tensor.name: tensor.name.lower() for tensor in self.read}


def _aligned(name: str, edge: Tensor, read: tuple[Tensor, ...], *more: Step, slots: tuple[str, ...] = ()) -> Modality:
    """A modality whose encoder gives an embedding in the fused space, perhaps with tokens.

    The encoders of all of these give as many rows of one width, so that one tensor of zeros stands in for any.
    """
    encoder = f"{name}_encoder"
    taken = same(*(tensor.name.lower() for tensor in read))
    return Modality(
        name=name,
        slots=frozenset((encoder, *slots)),
        edge=edge,
        read=read,
        steps=(Step(encoder, taken, {"features": f"{name}_features"}), *more),
        taken=replace(features(encoder), name=f"{name}_features"),
        absent=replace(features(encoder), name="NO_FEATURES"),
    )


IMAGE_MODALITY = Modality(
    name="image",
    slots=frozenset({"image_encoder"}),
    edge=IMAGE,
    read=(Tensor("PIXELS", "UINT8", PIXEL_DIMS),),
    steps=(Step("image_encoder", same("pixels"), {"features": "image_features", "class_scores": "image_scores"}),),
    taken=Tensor("image_features", "FP32", ("image_rows", "image_encoder.width")),
    absent=Tensor("NO_IMAGE_FEATURES", "FP32", ("image_encoder.least_rows", "image_encoder.width")),
)
_TRANSCRIBE = Step(
    "transcriber", {"LOG_MEL": "log_mel"}, same("TRANSCRIPT", "TRANSCRIPT_LANGUAGE") | {"TRANSCRIPT_COPY": "transcript"}
)
#: A sound where encoders share a space and none is of sounds: what is said in it, read by the text encoder.
_SPOKEN = Modality(
    name="audio",
    slots=frozenset({"transcriber"}),
    edge=AUDIO,
    read=(LOG_MEL,),
    steps=(_TRANSCRIBE, Step("transcript_encoder", {"TRANSCRIPT": "transcript"}, {"features": "audio_features"})),
    taken=Tensor("audio_features", "FP32", (1, "text_encoder.width")),
    absent=Tensor("NO_FEATURES", "FP32", (1, "text_encoder.width")),
)
#: The optional ones. The text is always there (it may be empty).
MODALITIES = (
    IMAGE_MODALITY,
    _aligned("video", VIDEO, (FRAMES,)),
    _aligned(
        "audio",
        AUDIO,
        (LOG_MEL,),
        _TRANSCRIBE,
        slots=("transcriber",),
    ),
    _aligned("behavior", EVENTS, tuple(replace(t, name=t.name.upper()) for t in EVENT_TENSORS), slots=("item_index",)),
)


def modalities_of(facts: Facts) -> tuple[Modality, ...]:
    """The optional modalities of a bundle with these facts."""
    spoken = facts["fusion"].get("hears") == "transcript" and "audio_encoder" not in facts
    known = (_SPOKEN if spoken and modality.name == _SPOKEN.name else modality for modality in MODALITIES)
    return tuple(modality for modality in known if modality.slots <= facts.keys())

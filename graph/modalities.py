"""The kinds of input that a request may carry, and how each reaches fusion."""

from __future__ import annotations

from dataclasses import dataclass

from graph.schema import Step, Tensor, same
from graph.tensors import (
    AUDIO,
    EVENTS,
    IMAGE,
    VIDEO,
)


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

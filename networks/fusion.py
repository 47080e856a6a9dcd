"""Fusion: every modality's features and a presence mask → condition [B, 36, 384], a unit embedding [B, 384], weights.

All variants share projectors and differ in how they mix what is present:

=========  ==========================================================================================
concat     one linear layer over all summaries and masks, on top of their mean
mean       the mean of the summaries that are there
weighted   their mean, weighted by a gate that reads each summary
attention  queries attend over the summaries and the modalities' own tokens
deep       two transformer layers over the same tokens
=========  ==========================================================================================

Rows of the condition: 0 the fused summary, of which ``embedding`` is the direction; 1 the classes that the image
encoder named, as words; 2 to 6 the summaries of text, image, video, audio and behaviour by themselves; 7 to 10 the
variant's view of the details; 11 to 35 the photo's thumbnail (`networks/thumbnail.py`), for decoders that keep the
product. Rows of an absent modality are zero. ``weights`` [B, 5] says how much each modality counted, a share of one.

The space is the sentence encoder's: a text passes almost unchanged, and a picture starts as the mean of the label
embeddings that its class scores weigh (ConSE, Norouzi et al. 2013, arXiv:1312.5650), which learned projections of the
pooled and spatial features correct. The encoders of video, audio and behaviour are trained towards it and are corrected
here. A further such modality is a line in :data:`MODALITIES` and its arguments of `forward`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks import thumbnail

DETAILS = 4
TOKENS = 8  # of video, audio and behaviour
#: Of the reference encoders: MiniLM's vectors, EfficientNet-Lite0's features after its head convolution and before it,
#: its classes.
WIDTH, POOLED, SPATIAL, CLASSES = 384, 1280, 320, 1000
BOTTLENECK = 192
INNER = 128  # of the deep variant's attention
HEADS = 4


@dataclass(frozen=True)
class Shape:
    """Sizes of a fusion network, which are those of its encoders.

    Args:
        width: of the text encoder's vectors, hence of the fused space.
        pooled, spatial: of the image encoder's features of a whole picture, and of those at a place.
        classes: of its class scores.
    """

    width: int = WIDTH
    pooled: int = POOLED
    spatial: int = SPATIAL
    classes: int = CLASSES

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Shape:
        """The sizes that a network's weights were trained for.

        Raises:
            KeyError: they are none of a fusion.
        """
        return cls(
            width=weights["empty"].shape[0],
            pooled=weights["projectors.image.pooled.layers.0.weight"].shape[0],
            spatial=weights["projectors.image.detail_norm.weight"].shape[0],
            classes=weights["projectors.image.labels"].shape[0],
        )

    @property
    def thumbnail_rows(self) -> int:
        """Rows of the condition that hold a thumbnail's rows."""
        return -(-thumbnail.ROWS * thumbnail.WIDTH // self.width)

    @property
    def condition_tokens(self) -> int:
        """Rows of the condition."""
        return FIRST_THUMBNAIL_ROW + self.thumbnail_rows


@dataclass
class Projected:
    """A modality in the fused space: `summary` [B, D] of unit length and `tokens` [B, N, D] with its details."""

    summary: Tensor
    tokens: Tensor


def unit(x: Tensor) -> Tensor:
    """`x` over its length along the last axis; zero stays zero."""
    # A clamp, not an added epsilon: the ONNX exporter takes a tiny addend for zero and drops it, which gave NaN.
    return F.normalize(x, dim=-1, eps=1e-6)


class Residual(nn.Module):
    """Normalise, narrow, GELU, widen: a correction that is zero before training."""

    def __init__(self, width_in: int, width_out: int, hidden: int = BOTTLENECK) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width_in),
            nn.Linear(width_in, hidden),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, width_out),
        )
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TextProjector(nn.Module):
    """text_embedding [B, D] → itself, slightly corrected."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.correction = Residual(width, width)

    def forward(self, embedding: Tensor) -> Projected:
        summary = unit(embedding + self.correction(embedding))
        return Projected(summary, summary.unsqueeze(1))


class ImageProjector(nn.Module):
    """image_embedding [B, P], image_tokens [B, T, S], image_scores [B, C] → the fused space.

    `labels` [C, D] are the sentence embeddings of the class names.
    """

    labels: Tensor

    def __init__(self, labels: Tensor, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("labels", labels.clone())
        #: Below one: scores are flattened, so that near classes say something too.
        self.sharpness = nn.Parameter(torch.tensor(0.5))
        self.pooled = Residual(shape.pooled, shape.width)
        self.detail_norm = nn.LayerNorm(shape.spatial)
        self.detail_attention = nn.Linear(shape.spatial, DETAILS)
        self.detail = Residual(shape.spatial, shape.width)
        self.classes_share = nn.Parameter(torch.tensor(1.0))

    def classes(self, scores: Tensor, sharpness: Tensor | float = 1.0) -> Tensor:
        """The mean label embedding [B, D] under the scores, raised to `sharpness` and made to sum to one."""
        weights = (scores.clamp(min=1e-6).log() * sharpness).softmax(-1)
        return weights @ self.labels

    def forward(self, embedding: Tensor, tokens: Tensor, scores: Tensor) -> Projected:
        # An attention map per detail over the picture's positions.
        weights = self.detail_attention(self.detail_norm(tokens)).softmax(1)
        details = self.detail(weights.transpose(1, 2) @ tokens)
        named = unit(self.classes(scores, self.sharpness))
        summary = unit(self.classes_share * named + self.pooled(embedding) + details.mean(1))
        return Projected(summary, details)


class AlignedProjector(nn.Module):
    """An embedding [B, D] that its encoder put into the space, corrected; tokens [B, 8, D] as they are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.correction = Residual(width, width)

    def forward(self, embedding: Tensor, tokens: Tensor) -> Projected:
        summary = unit(embedding + self.correction(embedding))
        details = tokens.reshape(tokens.shape[0], DETAILS, TOKENS // DETAILS, -1).mean(2)
        return Projected(summary, details)


#: Modality → its inputs, in the order of `forward` and of `presence`.
MODALITIES: dict[str, tuple[str, ...]] = {
    "text": ("text_embedding",),
    "image": ("image_embedding", "image_tokens", "image_scores", "image_thumbnail"),
    "video": ("video_embedding", "video_tokens"),
    "audio": ("audio_embedding", "audio_tokens"),
    "behavior": ("behavior_embedding", "behavior_tokens"),
}
ALIGNED = ("video", "audio", "behavior")
#: Fusion's inputs by name, in order.
INPUTS: tuple[str, ...] = (*(name for inputs in MODALITIES.values() for name in inputs), "presence")
SUMMARY_ROWS = {modality: 2 + place for place, modality in enumerate(MODALITIES)}
FIRST_THUMBNAIL_ROW = 2 + len(MODALITIES) + DETAILS
CONDITION_TOKENS = Shape().condition_tokens  # of the reference encoders


class Fusion(nn.Module):
    """What the variants share: projections, presence, the layout of the condition. A variant gives `mix`."""

    def __init__(self, labels: Tensor, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        projectors = {"text": TextProjector(shape.width), "image": ImageProjector(labels, shape)}
        self.projectors = nn.ModuleDict(projectors | {modality: AlignedProjector(shape.width) for modality in ALIGNED})
        #: What stands for "nothing is there".
        self.empty = nn.Parameter(
            F.normalize(torch.randn(shape.width, generator=torch.Generator().manual_seed(0)), dim=0)
        )

    def mix(
        self, summaries: Tensor, presence: Tensor, tokens: Tensor, token_masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """summaries [B, M, D] with presence [B, M], tokens [B, N, D] with token_masks [B, N].

        Gives the fused summary [B, D], details [B, 4, D] and weights [B, M], which need not sum to one. Whatever is
        masked is zero.
        """
        raise NotImplementedError

    def forward(
        self,
        text_embedding: Tensor,
        image_embedding: Tensor,
        image_tokens: Tensor,
        image_scores: Tensor,
        image_thumbnail: Tensor,
        video_embedding: Tensor,
        video_tokens: Tensor,
        audio_embedding: Tensor,
        audio_tokens: Tensor,
        behavior_embedding: Tensor,
        behavior_tokens: Tensor,
        presence: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tensors in the order of :data:`INPUTS` → condition [B, rows, D], embedding [B, D], weights [B, 5]."""
        projected = {
            "text": self.projectors["text"](text_embedding),
            "image": self.projectors["image"](image_embedding, image_tokens, image_scores),
            "video": self.projectors["video"](video_embedding, video_tokens),
            "audio": self.projectors["audio"](audio_embedding, audio_tokens),
            "behavior": self.projectors["behavior"](behavior_embedding, behavior_tokens),
        }
        fused, summaries, details, weights = self.combine(list(projected.values()), presence)
        seen = presence[:, 1:2]
        image = self.projectors["image"]
        assert isinstance(image, ImageProjector)
        named = image.classes(image_scores) * seen
        rows = image_thumbnail * seen.unsqueeze(2)
        rows = F.pad(rows, (0, 0, 0, thumbnail.ROWS - rows.shape[1]))
        if self.shape.width != thumbnail.WIDTH:
            room = self.shape.thumbnail_rows * self.shape.width - thumbnail.ROWS * thumbnail.WIDTH
            rows = F.pad(rows.flatten(1), (0, room)).unflatten(1, (self.shape.thumbnail_rows, self.shape.width))
        condition = torch.cat([fused.unsqueeze(1), named.unsqueeze(1), summaries, details, rows], 1)
        return condition, unit(fused), weights

    def combine(self, projected: list[Projected], presence: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Modalities as in :data:`MODALITIES`, presence [B, 5] → fused [B, D], summaries, details, weights."""
        masks = presence.unbind(1)
        summaries = torch.stack([p.summary for p in projected], 1) * presence.unsqueeze(2)
        tokens = torch.cat([p.tokens * mask[:, None, None] for p, mask in zip(projected, masks, strict=True)], 1)
        token_masks = torch.cat(
            [mask[:, None].expand(-1, p.tokens.shape[1]) for p, mask in zip(projected, masks, strict=True)], 1
        )
        fused, details, weights = self.mix(summaries, presence, tokens, token_masks)
        nothing = 1 - presence.amax(1, keepdim=True)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
        return fused * (1 - nothing) + self.empty * nothing, summaries, details, weights


def mean_details(tokens: Tensor, token_masks: Tensor) -> Tensor:
    """The mean over what is there of every modality's four details (the text has none): [B, 4, D]."""
    batch, width = tokens.shape[0], tokens.shape[-1]
    each = tokens[:, 1:].reshape(batch, -1, DETAILS, width)
    there = token_masks[:, 1:].reshape(batch, -1, DETAILS, 1)
    return (each * there).sum(1) / there.sum(1).clamp(min=1)


def masked_mean(x: Tensor, weights: Tensor) -> Tensor:
    """x [B, N, D] under weights [B, N], which may all be zero → [B, D]."""
    return (x * weights.unsqueeze(-1)).sum(1) / weights.sum(1, keepdim=True).clamp(min=1e-6)


class MeanFusion(Fusion):
    """The mean of what is there."""

    def mix(
        self, summaries: Tensor, presence: Tensor, tokens: Tensor, token_masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return masked_mean(summaries, presence), mean_details(tokens, token_masks), presence


class ConcatFusion(Fusion):
    """One linear layer over everything side by side, added to the mean."""

    def __init__(self, labels: Tensor, shape: Shape) -> None:
        super().__init__(labels, shape)
        count = len(MODALITIES)
        self.correction = Residual(count * shape.width + count, shape.width)

    def mix(
        self, summaries: Tensor, presence: Tensor, tokens: Tensor, token_masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        side_by_side = torch.cat([summaries.flatten(1), presence], 1)
        fused = masked_mean(summaries, presence) + self.correction(side_by_side)
        return fused, mean_details(tokens, token_masks), presence


class WeightedFusion(Fusion):
    """A gate reads each summary and says how much it counts."""

    def __init__(self, labels: Tensor, shape: Shape) -> None:
        super().__init__(labels, shape)
        self.gate = nn.ModuleDict({modality: Residual(shape.width, 1, 64) for modality in MODALITIES})

    def mix(
        self, summaries: Tensor, presence: Tensor, tokens: Tensor, token_masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        gates = torch.cat([self.gate[m](summaries[:, i]) for i, m in enumerate(MODALITIES)], 1)
        weights = gates.exp() * presence
        return masked_mean(summaries, weights), mean_details(tokens, token_masks), weights


def masked_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Multi-head attention: query [B, Q, D] over key and value [B, N, D] where mask [B, N] is one."""
    batch, width = query.shape[0], query.shape[-1]

    def heads(x: Tensor) -> Tensor:
        return x.reshape(batch, -1, HEADS, width // HEADS).transpose(1, 2)

    scores = heads(query) @ heads(key).transpose(2, 3) / (width // HEADS) ** 0.5
    # A large finite number: a row of infinities only would give NaN.
    weights = (scores + (mask - 1)[:, None, None, :] * 1e4).softmax(-1)
    return (weights @ heads(value)).transpose(1, 2).reshape(batch, -1, width)


class AttentionFusion(Fusion):
    """Learned queries attend over `empty`, the summaries and the tokens; the first corrects the gated mean."""

    def __init__(self, labels: Tensor, shape: Shape) -> None:
        super().__init__(labels, shape)
        self.queries = nn.Parameter(torch.randn(1 + DETAILS, shape.width) * shape.width**-0.5)
        self.kinds = nn.Parameter(torch.randn(2 * len(MODALITIES) + 1, shape.width) * shape.width**-0.5)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.gate = nn.Linear(shape.width, len(MODALITIES))
        self.correction = Residual(shape.width, shape.width)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def sequence(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        """Everything that can be attended to [B, 1+M+N, D] and its mask; `empty` is always there."""
        batch, count = masks.shape
        empty = self.empty.expand(batch, 1, -1) + self.kinds[:1]
        of_tokens = self.kinds[1 + count :]
        # The text has one token, its summary once more; the others have as many details each.
        kinds = torch.cat([of_tokens[:1], of_tokens[1:].repeat_interleave(DETAILS, 0)], 0)
        sequence = torch.cat([empty, summaries + self.kinds[1 : 1 + count], tokens + kinds], 1)
        return sequence, torch.cat([torch.ones_like(masks[:, :1]), masks, token_masks], 1)

    def mix(
        self, summaries: Tensor, presence: Tensor, tokens: Tensor, token_masks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        sequence, mask = self.sequence(summaries, presence, tokens, token_masks)
        queries = self.queries.expand(presence.shape[0], -1, -1)
        seen = masked_attention(queries, self.key(sequence), self.value(sequence), mask)
        weights = self.gate(seen[:, 0]).exp() * presence
        return masked_mean(summaries, weights) + self.correction(seen[:, 0]), seen[:, 1:], weights


class DeepFusion(AttentionFusion):
    """Two transformer layers before the queries look."""

    def __init__(self, labels: Tensor, shape: Shape) -> None:
        super().__init__(labels, shape)
        self.layers = nn.ModuleList(Layer(shape.width) for _ in range(2))

    def sequence(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        sequence, mask = super().sequence(summaries, masks, tokens, token_masks)
        for layer in self.layers:
            sequence = layer(sequence, mask)
        return sequence, mask


class Layer(nn.Module):
    """A pre-norm transformer layer, narrow inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * INNER)
        self.out = nn.Linear(INNER, width)
        self.feed = Residual(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.project(self.norm(x)).chunk(3, -1)
        x = x + self.out(masked_attention(query, key, value, mask))
        return x + self.feed(x)


VARIANTS: dict[str, type[Fusion]] = {
    "concat": ConcatFusion,
    "mean": MeanFusion,
    "weighted": WeightedFusion,
    "attention": AttentionFusion,
    "deep": DeepFusion,
}


def create(variant: str, labels: Tensor | None = None, shape: Shape | None = None) -> Fusion:
    """An untrained variant; `labels` [C, D] may be left out where a checkpoint will be loaded.

    Args:
        shape: the reference encoders' if left out.

    Raises:
        ValueError: no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"no fusion variant {variant!r}; known: {', '.join(VARIANTS)}")
    shape = shape or Shape()
    return VARIANTS[variant](torch.zeros(shape.classes, shape.width) if labels is None else labels, shape)

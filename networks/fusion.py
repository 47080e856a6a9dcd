"""Fusion: every modality's features and a presence mask → condition [B, 8, 384] and a unit embedding [B, 384].

All variants share projectors and differ in how they mix what is present:

=========  ==========================================================================================
concat     one linear layer over all summaries and masks, on top of their mean
mean       the mean of the summaries that are there
weighted   their mean, weighted by a gate that reads each summary
attention  queries attend over the summaries and the modalities' own tokens
deep       two transformer layers over the same tokens
=========  ==========================================================================================

Rows of the condition: 0 the fused summary, of which ``embedding`` is the direction; 1 the classes that the image
encoder named, as words; 2 and 3 the summaries of text and image by themselves; 4 to 7 the variant's view of the
details. Rows of an absent modality are zero.

The space is the sentence encoder's: a text passes almost unchanged, and a picture starts as the mean of the label
embeddings that its class scores weigh (ConSE, Norouzi et al. 2013, arXiv:1312.5650), which learned projections of the
pooled and spatial features correct. A further modality is a projector, a line in
:data:`MODALITIES` and its arguments of `forward`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 384  # of the sentence encoder, hence of the fused space
CONDITION_TOKENS = 8
DETAILS = 4
POOLED = 1280  # EfficientNet-Lite0's features after its head convolution
SPATIAL = 320  # and before it
CLASSES = 1000
BOTTLENECK = 192
HEADS = 4


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

    def __init__(self, width_in: int, width_out: int = WIDTH, hidden: int = BOTTLENECK) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width_in),
            nn.Linear(width_in, hidden),
            nn.GELU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, width_out),
        )
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TextProjector(nn.Module):
    """text_embedding [B, 384] → itself, slightly corrected."""

    def __init__(self) -> None:
        super().__init__()
        self.correction = Residual(WIDTH)

    def forward(self, embedding: Tensor) -> Projected:
        summary = unit(embedding + self.correction(embedding))
        return Projected(summary, summary.unsqueeze(1))


class ImageProjector(nn.Module):
    """image_embedding [B, 1280], image_tokens [B, T, 320], image_scores [B, 1000] → the fused space.

    `labels` [1000, 384] are the sentence embeddings of the class names.
    """

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        self.register_buffer("labels", labels.clone())
        #: Below one: scores are flattened, so that near classes say something too.
        self.sharpness = nn.Parameter(torch.tensor(0.5))
        self.pooled = Residual(POOLED)
        self.detail_norm = nn.LayerNorm(SPATIAL)
        self.detail_attention = nn.Linear(SPATIAL, DETAILS)
        self.detail = Residual(SPATIAL)
        self.classes_share = nn.Parameter(torch.tensor(1.0))

    def classes(self, scores: Tensor, sharpness: Tensor | float = 1.0) -> Tensor:
        """The mean label embedding [B, 384] under the scores, raised to `sharpness` and made to sum to one."""
        weights = (scores.clamp(min=1e-6).log() * sharpness).softmax(-1)
        return weights @ self.labels

    def forward(self, embedding: Tensor, tokens: Tensor, scores: Tensor) -> Projected:
        # An attention map per detail over the picture's positions.
        weights = self.detail_attention(self.detail_norm(tokens)).softmax(1)
        details = self.detail(weights.transpose(1, 2) @ tokens)
        named = unit(self.classes(scores, self.sharpness))
        summary = unit(self.classes_share * named + self.pooled(embedding) + details.mean(1))
        return Projected(summary, details)


#: Modality → its inputs, in the order of `forward`; each is followed by its mask ``<modality>_mask`` [B, 1].
MODALITIES: dict[str, tuple[str, ...]] = {
    "text": ("text_embedding",),
    "image": ("image_embedding", "image_tokens", "image_scores"),
}
#: Fusion's inputs by name, in order.
INPUTS: tuple[str, ...] = tuple(name for m, inputs in MODALITIES.items() for name in (*inputs, f"{m}_mask"))


class Fusion(nn.Module):
    """What the variants share: projections, masks, the layout of the condition. A variant gives `mix`."""

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        self.projectors = nn.ModuleDict({"text": TextProjector(), "image": ImageProjector(labels)})
        #: What stands for "nothing is there".
        self.empty = nn.Parameter(F.normalize(torch.randn(WIDTH, generator=torch.Generator().manual_seed(0)), dim=0))

    def mix(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        """summaries [B, M, D] with masks [B, M], tokens [B, N, D] with token_masks [B, N] → [B, D] and [B, 4, D].

        Whatever is masked is zero.
        """
        raise NotImplementedError

    def forward(
        self,
        text_embedding: Tensor,
        text_mask: Tensor,
        image_embedding: Tensor,
        image_tokens: Tensor,
        image_scores: Tensor,
        image_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Tensors in the order of :data:`INPUTS` → condition [B, 8, 384] and embedding [B, 384]."""
        inputs = text_embedding, text_mask, image_embedding, image_tokens, image_scores, image_mask
        given = dict(zip(INPUTS, inputs, strict=True))
        masks = [given[f"{modality}_mask"] for modality in MODALITIES]
        projected = [self.projectors[m](*(given[name] for name in names)) for m, names in MODALITIES.items()]
        fused, summaries, details = self.combine(projected, masks)
        named = self.projectors["image"].classes(image_scores) * image_mask
        condition = torch.cat([fused.unsqueeze(1), named.unsqueeze(1), summaries, details], 1)
        return condition, unit(condition[:, 0])

    def combine(self, projected: list[Projected], masks: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Modalities in the order of :data:`MODALITIES` with masks [B, 1] → fused [B, D], summaries and details."""
        summaries = torch.stack([p.summary * mask for p, mask in zip(projected, masks, strict=True)], 1)
        tokens = torch.cat([p.tokens * mask.unsqueeze(-1) for p, mask in zip(projected, masks, strict=True)], 1)
        token_masks = [mask.expand(-1, p.tokens.shape[1]) for p, mask in zip(projected, masks, strict=True)]
        fused, details = self.mix(summaries, torch.cat(masks, 1), tokens, torch.cat(token_masks, 1))
        nothing = 1 - torch.cat(masks, 1).amax(1, keepdim=True)
        return fused * (1 - nothing) + self.empty * nothing, summaries, details


def masked_mean(x: Tensor, weights: Tensor) -> Tensor:
    """x [B, N, D] under weights [B, N], which may all be zero → [B, D]."""
    return (x * weights.unsqueeze(-1)).sum(1) / weights.sum(1, keepdim=True).clamp(min=1e-6)


class MeanFusion(Fusion):
    """The mean of what is there; the details are the last tokens as they are."""

    def mix(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        return masked_mean(summaries, masks), tokens[:, -DETAILS:]


class ConcatFusion(Fusion):
    """One linear layer over everything side by side, added to the mean."""

    def __init__(self, labels: Tensor) -> None:
        super().__init__(labels)
        count = len(MODALITIES)
        self.correction = Residual(count * WIDTH + count)

    def mix(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        side_by_side = torch.cat([summaries.flatten(1), masks], 1)
        return masked_mean(summaries, masks) + self.correction(side_by_side), tokens[:, -DETAILS:]


class WeightedFusion(Fusion):
    """A gate reads each summary and says how much it counts."""

    def __init__(self, labels: Tensor) -> None:
        super().__init__(labels)
        self.gate = nn.ModuleDict({modality: Residual(WIDTH, 1, 64) for modality in MODALITIES})

    def mix(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        gates = torch.cat([self.gate[m](summaries[:, i]) for i, m in enumerate(MODALITIES)], 1)
        return masked_mean(summaries, gates.exp() * masks), tokens[:, -DETAILS:]


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

    def __init__(self, labels: Tensor) -> None:
        super().__init__(labels)
        self.queries = nn.Parameter(torch.randn(1 + DETAILS, WIDTH) * WIDTH**-0.5)
        self.kinds = nn.Parameter(torch.randn(2 * len(MODALITIES) + 1, WIDTH) * WIDTH**-0.5)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.gate = nn.Linear(WIDTH, len(MODALITIES))
        self.correction = Residual(WIDTH)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def sequence(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        """Everything that can be attended to [B, 1+M+N, D] and its mask; `empty` is always there."""
        batch, count = masks.shape
        empty = self.empty.expand(batch, 1, -1) + self.kinds[:1]
        of_tokens = self.kinds[1 + count :]
        # The text has one token, its summary once more; all others are the picture's.
        kinds = torch.cat([of_tokens[:1], of_tokens[1:].expand(tokens.shape[1] - 1, -1)], 0)
        sequence = torch.cat([empty, summaries + self.kinds[1 : 1 + count], tokens + kinds], 1)
        return sequence, torch.cat([torch.ones_like(masks[:, :1]), masks, token_masks], 1)

    def mix(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        sequence, mask = self.sequence(summaries, masks, tokens, token_masks)
        queries = self.queries.expand(masks.shape[0], -1, -1)
        seen = masked_attention(queries, self.key(sequence), self.value(sequence), mask)
        gates = self.gate(seen[:, 0]).exp() * masks
        return masked_mean(summaries, gates) + self.correction(seen[:, 0]), seen[:, 1:]


class DeepFusion(AttentionFusion):
    """Two transformer layers before the queries look."""

    def __init__(self, labels: Tensor) -> None:
        super().__init__(labels)
        self.layers = nn.ModuleList(Layer() for _ in range(2))

    def sequence(self, summaries: Tensor, masks: Tensor, tokens: Tensor, token_masks: Tensor) -> tuple[Tensor, Tensor]:
        sequence, mask = super().sequence(summaries, masks, tokens, token_masks)
        for layer in self.layers:
            sequence = layer(sequence, mask)
        return sequence, mask


class Layer(nn.Module):
    """A pre-norm transformer layer, narrow inside."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.feed = Residual(WIDTH, hidden=WIDTH)

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


def create(variant: str, labels: Tensor | None = None) -> Fusion:
    """An untrained variant; `labels` [1000, 384] may be left out where a checkpoint will be loaded.

    Raises:
        ValueError: no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"no fusion variant {variant!r}; known: {', '.join(VARIANTS)}")
    return VARIANTS[variant](torch.zeros(CLASSES, WIDTH) if labels is None else labels)

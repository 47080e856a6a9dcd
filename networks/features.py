"""What an encoder hands to fusion: one tensor FP32 [B, R, width], all zero where the modality is absent.

One for each modality and not one for each feature: a tensor costs the server the same from step to step whether
anything is in it or not, and most requests lack most modalities (`benchmarks/absent.py` has the price).

======================  ================================================================================
video, audio, behavior  the embedding, then the 8 tokens, in the width of the fused space
image                   in rows of 384, each part filled up with zeros to whole rows: the pooled embedding; the class
                        scores; the thumbnail's 25 (`networks/thumbnail.py`); each spatial token
======================  ================================================================================
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks import thumbnail
from networks.fusion import TOKENS, Shape

ROWS = 1 + TOKENS  # of video, audio and behaviour
WIDTH = thumbnail.WIDTH  # of the image's rows, whatever its encoder's


def count_rows(numbers: int) -> int:
    """How many rows hold so many numbers."""
    return -(-numbers // WIDTH)


def count_image_rows(shape: Shape, tokens: int) -> int:
    """Rows of an image's features with so many spatial tokens."""
    return count_rows(shape.pooled) + count_rows(shape.classes) + thumbnail.ROWS + tokens * count_rows(shape.spatial)


def join_features(embedding: Tensor, tokens: Tensor) -> Tensor:
    """[B, D] and [B, 8, D] → [B, 9, D]."""
    return torch.cat([embedding.unsqueeze(1), tokens], 1)


class JoinedFeatures(nn.Module):
    """A network of embedding and tokens, which gives both in one tensor FP32 [B, 9, D]; it takes what that takes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *given: Tensor) -> Tensor:
        return join_features(*self.network(*given))


def split_features(features: Tensor) -> tuple[Tensor, Tensor]:
    """The embedding [B, D] and the tokens [B, 8, D] of what :func:`join_features` gave."""
    return features[:, 0], features[:, 1:]


def join_image(embedding: Tensor, tokens: Tensor, scores: Tensor, rows: Tensor) -> Tensor:
    """[B, P], [B, T, S], [B, C] and the thumbnail's [B, 25, 384] → [B, R, 384]."""
    padded = F.pad(tokens, (0, -tokens.shape[2] % WIDTH))
    return torch.cat([_in_rows(embedding), _in_rows(scores), rows, padded.reshape(padded.shape[0], -1, WIDTH)], 1)


def split_image(features: Tensor, shape: Shape) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embedding, tokens, scores and the thumbnail's rows of what :func:`join_image` gave."""
    scores_at = count_rows(shape.pooled)
    thumbnail_at = scores_at + count_rows(shape.classes)
    tokens_at = thumbnail_at + thumbnail.ROWS
    embedding = features[:, :scores_at].flatten(1)[:, : shape.pooled]
    scores = features[:, scores_at:thumbnail_at].flatten(1)[:, : shape.classes]
    tokens = features[:, tokens_at:]
    if (each := count_rows(shape.spatial)) > 1:
        tokens = tokens.reshape(tokens.shape[0], -1, each * WIDTH)
    return embedding, tokens[:, :, : shape.spatial], scores, features[:, thumbnail_at:tokens_at]


def _in_rows(numbers: Tensor) -> Tensor:
    """[B, N] → [B, ⌈N / 384⌉, 384], zeros at the end."""
    return F.pad(numbers, (0, -numbers.shape[1] % WIDTH)).unflatten(1, (-1, WIDTH))

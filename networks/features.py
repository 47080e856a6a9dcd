"""What an encoder hands to fusion: one tensor FP32 [B, R, 384], all zero where the modality is absent.

One for each modality and not one for each feature: a tensor costs the server the same from step to step whether
anything is in it or not, and most requests lack most modalities (`benchmarks/absent.py` has the price).

======================  ================================================================================
video, audio, behavior  the embedding, then the 8 tokens
image                   the pooled embedding in 4 rows and the class scores in 3, filled up with zeros;
                        the thumbnail's 25 (`networks/thumbnail.py`); a row for each spatial token, filled up
======================  ================================================================================
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from networks import thumbnail
from networks.fusion import CLASSES, POOLED, SPATIAL, TOKENS, WIDTH

ROWS = 1 + TOKENS  # of video, audio and behaviour
_SCORES = -(-POOLED // WIDTH)  # the image's first row of scores
_THUMBNAIL = _SCORES - (-CLASSES // WIDTH)  # of the thumbnail
_TOKENS = _THUMBNAIL + thumbnail.ROWS  # and of the tokens
LEAST_IMAGE_ROWS = _TOKENS + 1  # fusion looks at one token at least, which is zero where there is no picture


def joined(embedding: Tensor, tokens: Tensor) -> Tensor:
    """[B, 384] and [B, 8, 384] → [B, 9, 384]."""
    return torch.cat([embedding.unsqueeze(1), tokens], 1)


def parted(features: Tensor) -> tuple[Tensor, Tensor]:
    """The embedding [B, 384] and the tokens [B, 8, 384] of what :func:`joined` gave."""
    return features[:, 0], features[:, 1:]


def joined_image(embedding: Tensor, tokens: Tensor, scores: Tensor, rows: Tensor) -> Tensor:
    """[B, 1280], [B, T, 320], [B, 1000] and the thumbnail's [B, 25, 384] → [B, 32 + T, 384]."""
    padded = F.pad(tokens, (0, WIDTH - SPATIAL))
    return torch.cat([_in_rows(embedding), _in_rows(scores), rows, padded], 1)


def parted_image(features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embedding, tokens, scores and the thumbnail's rows of what :func:`joined_image` gave."""
    embedding = features[:, :_SCORES].flatten(1)[:, :POOLED]
    scores = features[:, _SCORES:_THUMBNAIL].flatten(1)[:, :CLASSES]
    return embedding, features[:, _TOKENS:, :SPATIAL], scores, features[:, _THUMBNAIL:_TOKENS]


def _in_rows(numbers: Tensor) -> Tensor:
    """[B, N] → [B, ⌈N / 384⌉, 384], zeros at the end."""
    return F.pad(numbers, (0, -numbers.shape[1] % WIDTH)).unflatten(1, (-1, WIDTH))

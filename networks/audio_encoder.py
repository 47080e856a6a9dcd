"""The head over whisper's states that hears what a clip is about, in the sentence encoder's space.

Learned queries attend over the states after a few layers of its own (as in Perceiver, Jaegle et al. 2021,
arXiv:2103.03206); what they hear are the details, and the embedding is their mean with a learned correction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks import whisper

WIDTH = 384  # of the fused space
TOKENS = 8
HIDDEN = 256
HEADS = 4
LAYERS = 2
FOLD = 4  # positions of whisper, 20 ms each, that become one
DROPOUT = 0.1


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Multi-head attention of query [B, Q, H] over key and value [B, N, H]."""

    def heads(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, HEADS, HIDDEN // HEADS).transpose(1, 2)

    weights = (heads(query) @ heads(key).transpose(2, 3) * (HIDDEN // HEADS) ** -0.5).softmax(-1)
    return (weights @ heads(value)).transpose(1, 2).reshape(query.shape)


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(HIDDEN)
        self.project = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)
        self.feed = nn.Sequential(
            nn.LayerNorm(HIDDEN),
            nn.Linear(HIDDEN, 2 * HIDDEN),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(2 * HIDDEN, HIDDEN),
        )
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, H] → the same shape."""
        query, key, value = self.project(self.norm(x)).chunk(3, -1)
        x = x + self.dropout(self.out(attend(query, key, value)))
        return x + self.dropout(self.feed(x))


class Head(nn.Module):
    """Whisper's states [B, positions, S] → audio_embedding [B, 384] of unit length and audio_tokens [B, 8, 384].

    Whisper's states carry their position, so that none is added here. `states_width` is S, whisper's own width.
    """

    def __init__(self, states_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(states_width)
        self.shorten = nn.Conv1d(states_width, HIDDEN, FOLD, stride=FOLD)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.heard = nn.LayerNorm(HIDDEN)
        self.queries = nn.Parameter(torch.randn(TOKENS, HIDDEN) * 0.5)
        self.key = nn.Linear(HIDDEN, HIDDEN)
        self.value = nn.Linear(HIDDEN, HIDDEN)
        self.out = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, WIDTH))
        self.correction = nn.Sequential(nn.Linear(TOKENS * WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        x = F.gelu(self.shorten(self.norm(states).transpose(1, 2))).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        x = self.heard(x)
        queries = self.queries.expand(x.shape[0], -1, -1)
        tokens = self.out(queries + attend(queries, self.key(x), self.value(x)))
        embedding = tokens.mean(1) + self.correction(tokens.flatten(1))
        return F.normalize(embedding, dim=-1, eps=1e-6), tokens


class AudioEncoder(nn.Module):
    """log_mel FP32 [B, 80, frames], 200 to 3000 of them, 100 a second → the head's two tensors."""

    def __init__(self, encoder: whisper.Encoder, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(self.encoder(log_mel))

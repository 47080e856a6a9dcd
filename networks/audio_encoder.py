"""The head over whisper's states that hears what a clip is about, in the sentence encoder's space.

Learned queries attend over the states after a few layers of its own (as in Perceiver, Jaegle et al. 2021,
arXiv:2103.03206); what they hear are the details, and the embedding is their mean with a learned correction.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks import whisper

WIDTH = 384  # of the reference encoders' space
TOKENS = 8
HIDDEN = 256  # of the reference head
HEADS = 4
LAYERS = 2
FOLD = 4  # positions of whisper, 20 ms each, that become one
DROPOUT = 0.1


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Multi-head attention of query [B, Q, H] over key and value [B, N, H]."""

    def heads(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, HEADS, x.shape[2] // HEADS).transpose(1, 2)

    weights = (heads(query) @ heads(key).transpose(2, 3) * (query.shape[2] // HEADS) ** -0.5).softmax(-1)
    return (weights @ heads(value)).transpose(1, 2).reshape(query.shape)


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.project = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.feed = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, 2 * hidden),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(2 * hidden, hidden),
        )
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, H] → the same shape."""
        query, key, value = self.project(self.norm(x)).chunk(3, -1)
        x = x + self.dropout(self.out(attend(query, key, value)))
        return x + self.dropout(self.feed(x))


class Head(nn.Module):
    """Whisper's states [B, positions, S] → audio_embedding [B, D] of unit length and audio_tokens [B, 8, D].

    Whisper's states carry their position, so that none is added here. `states_width` is S, whisper's own width; `width`
    is D, of the fused space.
    """

    def __init__(self, states_width: int, width: int = WIDTH, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(states_width)
        self.shorten = nn.Conv1d(states_width, hidden, FOLD, stride=FOLD)
        self.layers = nn.ModuleList(Layer(hidden) for _ in range(LAYERS))
        self.heard = nn.LayerNorm(hidden)
        self.queries = nn.Parameter(torch.randn(TOKENS, hidden) * 0.5)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.out = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, width))
        self.correction = nn.Sequential(nn.Linear(TOKENS * width, hidden), nn.GELU(), nn.Linear(hidden, width))

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Head:
        """The head of a file's weights.

        Raises:
            KeyError, RuntimeError: they are none of a head.
        """
        width, hidden = weights["out.1.weight"].shape
        head = cls(len(weights["norm.weight"]), width, hidden)
        head.load_state_dict({name: value.float() for name, value in weights.items()})
        return head

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
    """log_mel FP32 [B, mels, frames], 100 a second → the head's two tensors."""

    def __init__(self, encoder: whisper.Encoder, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(self.encoder(log_mel))

"""Trains the audio encoder's head on whisper's frozen states, so that a spoken title lands where the written one does.

A cross entropy over the bank of everything that is said pulls a clip towards the sentence embedding of what it means
(InfoNCE, van den Oord et al. 2018, arXiv:1807.03748), with a little of the mass on what means nearly the same; a second
one over all words asks that one of the eight tokens be near each word heard, which makes the tokens the clip's details
and carries over to names that were never said in training. What is spoken, and by whom: `training.audio.speech`.

Fusion trains on :func:`features`: every product's name by each of `training.audio.speech.NAME_VOICES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from networks.audio_encoder import Head
from training.audio.speech import (
    HELD_OUT_VOICES,
    NAME_VOICES,
    Clip,
    Spoken,
    folder,
    held_out_names,
    name_clips,
    names,
    read,
    words_of,
)
from training.catalogue.products import Product, read_index
from training.common.embeddings import recall
from training.common.files import REPOSITORY, WEIGHTS, cache_folder, digest, sha256
from training.common.loop import Plan, minimise
from training.encoders.served import TextEncoder
from training.encoders.texts import embed

FOLDER = WEIGHTS / "audio_encoder"
SEED = 7
STEPS = 500
CHECKPOINT_EVERY = 50
BATCH = 64
LEARNING_RATE = 2e-3
WARM_UP = 60
WEIGHT_DECAY = 0.05
TEMPERATURE = 0.05
#: Share of the target that goes to what means nearly the same, and how alike it must be.
SOFT_SHARE, SOFT_TEMPERATURE = 0.2, 0.1
WORDS = 0.5  # weight of the words' term
#: Stretches of a clip that are hidden: how many at most, and how long at most, in positions of 20 ms.
HIDDEN_SPANS, HIDDEN_LENGTH = 2, 12


@dataclass
class Data:
    """Clips to learn from, grouped by length, and what they mean.

    `groups`: states float16 [n, positions, width] with clip numbers [n]; `meaning` [clips] into `bank` [M, 384];
    `spoken` [clips, W], each row summing to one over its words, of `words` [W, 384].
    """

    groups: list[tuple[Tensor, NDArray[np.int64]]]
    meaning: Tensor
    bank: Tensor
    spoken: Tensor
    words: Tensor

    @classmethod
    def of(cls, given: Spoken, encoder: Callable[[list[str]], NDArray[np.float32]]) -> Data:
        """From clips with states; `encoder` embeds texts."""
        meanings = sorted({clip.means for clip in given.clips})
        every = sorted({word for text in meanings for word in words_of(text)})
        row, column = ({text: i for i, text in enumerate(texts)} for texts in (meanings, every))
        spoken = torch.zeros(len(given.clips), len(every))
        for i, clip in enumerate(given.clips):
            for word in words_of(clip.means):
                spoken[i, column[word]] = 1
        lengths = np.array([len(states) for states in given.states])
        groups = []
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            groups.append((torch.from_numpy(np.stack([given.states[i] for i in rows])), rows))
        return cls(
            groups,
            torch.tensor([row[clip.means] for clip in given.clips]),
            torch.from_numpy(encoder(meanings)),
            spoken / spoken.sum(1, keepdim=True).clamp(min=1),
            torch.from_numpy(encoder(every)),
        )

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """States [n, positions, width] of clips of one length, some stretches hidden, and the clips' numbers [n]."""
        sizes = np.array([len(rows) for _, rows in self.groups], float)
        states, rows = self.groups[rng.choice(len(sizes), p=sizes / sizes.sum())]
        chosen = rng.choice(len(rows), min(BATCH, len(rows)), replace=False)
        shown = states[torch.from_numpy(chosen)].float()
        for clip in shown:
            for _ in range(rng.integers(HIDDEN_SPANS + 1)):
                start = rng.integers(len(clip))
                clip[start : start + rng.integers(1, HIDDEN_LENGTH + 1)] = 0
        return shown, torch.from_numpy(rows[chosen])


def losses(head: torch.nn.Module, data: Data, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
    """One step's terms, whose sum is minimised."""
    states, clips = data.draw(rng)
    embedding, tokens = head(states.to(device))
    meant = data.bank[data.meaning[clips]]
    target = SOFT_SHARE * (meant @ data.bank.T / SOFT_TEMPERATURE).softmax(-1)
    target[torch.arange(len(clips)), data.meaning[clips]] += 1 - SOFT_SHARE
    near = (F.normalize(tokens, dim=-1, eps=1e-6) @ data.words.to(device).T).amax(1)
    return {
        "clip→meaning": F.cross_entropy(embedding @ data.bank.to(device).T / TEMPERATURE, target.to(device)),
        "tokens→words": WORDS * F.cross_entropy(near / TEMPERATURE, data.spoken[clips].to(device)),
    }


def train(data: Data, checkpoint: Path, report: Callable[[int, str], None]) -> Head:
    """The trained head; goes on from `checkpoint`.

    Runs wherever `accelerate` places it; several processes draw batches of their own.

    Args:
        report: told of each step: its number and the losses.
    """
    torch.manual_seed(SEED)
    head = Head(data.groups[0][0].shape[-1])
    plan = Plan(STEPS, BATCH, LEARNING_RATE, WARM_UP, WEIGHT_DECAY, CHECKPOINT_EVERY, SEED, reseeds=False)
    return minimise(head, lambda head, rng, device: losses(head, data, rng, device), plan, checkpoint, report)


def fingerprint(clips: list[Clip], whisper: str) -> str:
    """Changes with what a training run depends on, so that a checkpoint of another one is not gone on with."""
    settings = SEED, STEPS, BATCH, LEARNING_RATE, WARM_UP, WEIGHT_DECAY, TEMPERATURE, SOFT_SHARE, SOFT_TEMPERATURE
    whole = repr((*settings, WORDS, HIDDEN_SPANS, HIDDEN_LENGTH, folder(clips, whisper).name))
    return digest(whole, REPOSITORY / "networks" / "audio_encoder.py")


def is_trained_on(clip: Clip, kept_out: set[str]) -> bool:
    """Whether a clip may be trained on: neither its voice nor what it means is held out."""
    return clip.voice not in HELD_OUT_VOICES and clip.means not in kept_out


@torch.inference_mode()
def hear(head: Head, given: Spoken) -> tuple[Tensor, Tensor]:
    """Embeddings [n, 384] and tokens [n, 8, 384] of clips, in their order."""
    embedding = torch.zeros(len(given.clips), 384)
    tokens = torch.zeros(len(given.clips), 8, 384)
    lengths = np.array([len(states) for states in given.states])
    for length in np.unique(lengths):
        for rows in torch.from_numpy(np.flatnonzero(lengths == length)).split(64):
            embedding[rows], tokens[rows] = head(
                torch.from_numpy(np.stack([given.states[i] for i in rows.tolist()])).float()
            )
    return embedding, tokens


def groups(products: list[Product], heard: set[str]) -> dict[str, Callable[[Clip], bool]]:
    """The sets that are measured, by name; `heard` are the words that training clips say."""
    kept_out = held_out_names(products)

    def new(clip: Clip) -> bool:
        return clip.means in kept_out

    def strange(clip: Clip) -> bool:
        return clip.voice in HELD_OUT_VOICES

    def by(voice: str) -> Callable[[Clip], bool]:
        return lambda clip: clip.voice == voice

    return {
        "known voices, known names (trained on)": lambda c: not strange(c) and not new(c),
        "held-out voices, known names": lambda c: strange(c) and not new(c),
        "known voices, held-out names": lambda c: not strange(c) and new(c),
        "both held out": lambda c: strange(c) and new(c),
        "both held out, every word heard in other phrases": lambda c: (
            strange(c) and new(c) and set(words_of(c.means)) <= heard
        ),
        "both held out, some word never heard": lambda c: strange(c) and new(c) and not set(words_of(c.means)) <= heard,
        **{f"{voice}, all names": by(voice) for voice in dict.fromkeys(NAME_VOICES[6:])},
    }


def found(queries: Tensor, clips: list[Clip], every: list[str], encoder: TextEncoder) -> dict[str, float]:
    """Recall @1 and @5 of clips' embeddings [n, 384] among all names, and how many there are."""
    wanted = torch.tensor([[clip.means == name for name in every] for clip in clips])
    return recall(queries, torch.from_numpy(embed(every, encoder)), wanted) | {"clips": len(clips)}


def load(path: Path = FOLDER / "model.safetensors") -> Head:
    """The head that `training.common.weights.save` wrote, in float32."""
    return Head.of(load_file(path)).eval()


def name_features() -> dict[str, NDArray]:
    """Each of the catalogue's N names, sorted, by each of the K voices of `training.audio.speech.NAME_VOICES`.

    Computed once for the committed weights, then kept in the cache: ``embedding`` float16 [N, K, 384] and ``tokens``
    float16 [N, K, 8, 384].
    """
    path = cache_folder() / "speech" / f"features-{sha256(FOLDER / 'model.safetensors')[:12]}.npz"
    if not path.exists():
        catalogue = read_index()
        embedding, tokens = hear(load(), read(name_clips(catalogue)))
        shape = len(names(catalogue)), len(NAME_VOICES)
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            embedding=embedding.view(*shape, 384).half().numpy(),
            tokens=tokens.view(*shape, 8, 384).half().numpy(),
        )
        partial.rename(path)
    with np.load(path) as file:
        return {name: file[name] for name in ("embedding", "tokens")}


def features(products: list[Product]) -> dict[str, NDArray]:
    """What fusion trains on.

    Returns:
        ``embedding`` float16 [P, K, 384] and ``tokens`` float16 [P, K, 8, 384] of each product's name by each of the K
        voices of `training.audio.speech.NAME_VOICES`; ``held_out`` bool [K], the voices that must not be trained on.
    """
    row = {name: i for i, name in enumerate(names(read_index()))}
    of = [row[p.name] for p in products]
    kept = {name: array[of] for name, array in name_features().items()}
    return kept | {"held_out": np.array([voice in HELD_OUT_VOICES for voice in NAME_VOICES])}

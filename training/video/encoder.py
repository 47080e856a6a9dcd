"""Trains the video encoder's upper part on clips cut from the turntables; its spatial part stays EfficientNet-Lite0's.

Each step draws products and a clip of each, some of its frames, forwards or backwards. A cross entropy over the names
of all training products pulls the clip towards its product's name, with a little of the mass on names of like meaning;
InfoNCE sets clips and titles of a batch against each other; a third term distils: the embedding shall lie where fusion
puts the product's pictures (the losses of `training.fusion.variants`).

What the spatial part sees is computed once: ``<cache>/video/<fingerprint>/<key>.npy``, float16 [K, 8, 192, 16], the
product's clips in the order of `training.video.clips.kinds`. For training fusion on clips: :func:`features`.
"""

from __future__ import annotations

import inspect
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from networks import video_encoder as network_module
from networks.video_encoder import SIDE, Spatial, VideoEncoder, unit
from training.catalogue import turntables
from training.catalogue.products import Product
from training.common import embeddings
from training.common.embeddings import TEMPERATURE, contrast, name_targets
from training.common.files import cache_folder, digest
from training.common.loop import Plan, minimise
from training.common.weights import restore
from training.encoders.features import TRAINED_ROWS
from training.encoders.features import read as read_pictures
from training.encoders.fused import image_only
from training.encoders.fused import load as load_fusion
from training.encoders.served import TextEncoder
from training.encoders.texts import embed, titles
from training.video import clips, lite0

SEED = 11
STEPS = 240
CHECKPOINT_EVERY = 25
BATCH = 96
LEARNING_RATE = 2e-3
WARM_UP = 30
WEIGHT_DECAY = 0.05
DISTIL = 1.0
LEAST_FRAMES = 4
#: Frames that the spatial part encodes at once; bounds memory.
CHUNK = 32


def fingerprint() -> str:
    """Changes with what the cached features depend on: the clips and the spatial part."""
    shown = f"{turntables.FRAMES} {turntables.SIDE} {turntables.QUALITY}"
    return digest(Path(clips.__file__), shown, lite0.WHEEL_SHA256)


def run_fingerprint() -> str:
    """Changes with what a training run depends on, so that a checkpoint of another one is not gone on with.

    The fusion that it is distilled from is left out: fusion is trained on this encoder's clips in turn.
    """
    code = [inspect.getsource(part) for part in (network_module, embeddings, Data, losses, train)]
    settings = (SEED, STEPS, BATCH, LEARNING_RATE, WARM_UP, WEIGHT_DECAY, DISTIL, LEAST_FRAMES)
    return digest(*code, str(settings), fingerprint())


def cached_folder() -> Path:
    """Named by what made them, so that others' features are never taken for these."""
    return cache_folder() / "video" / fingerprint()


class FrameEncoder:
    """The spatial part as it starts and stays: onnxruntime on a CPU, which is thrice as fast there, else torch."""

    def __init__(self) -> None:
        self.device = Accelerator().device
        self.network = Spatial().eval()
        lite0.load_spatial(self.network, lite0.checkpoint())
        self.session = _session(self.network) if self.device.type == "cpu" else None
        self.network.to(self.device)

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [n, 112, 112, 3] → float32 [n, 192, 16]."""
        return np.concatenate([self._run(frames[i : i + CHUNK]) for i in range(0, len(frames), CHUNK)])

    @torch.inference_mode()
    def _run(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.session is not None:
            return self.session.run(None, {"frames": frames})[0].reshape(len(frames), -1, 16)
        return self.network(torch.from_numpy(frames).to(self.device)).flatten(2).cpu().numpy()


def _session(network: Spatial) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        torch.onnx.export(
            network,
            (torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8),),
            file.name,
            input_names=["frames"],
            dynamic_axes={"frames": {0: "n"}},
            dynamo=False,
        )
        return ort.InferenceSession(file.name, options, providers=["CPUExecutionProvider"])


def compute(products: list[Product], encoder: FrameEncoder) -> Iterator[Product]:
    """Computes what is not there yet, yielding each product as it is done."""
    folder = cached_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for product in products:
        path = folder / f"{product.key}.npy"
        if not path.exists():
            frames = np.stack([clip.frames for clip in clips.clips(product)])
            seen = encoder(frames.reshape(-1, SIDE, SIDE, 3)).astype(np.float16)
            partial = path.with_suffix(".partial.npy")
            np.save(partial, seen.reshape(*frames.shape[:2], *seen.shape[1:]))
            partial.rename(path)
        yield product


def read(product: Product) -> NDArray[np.float16]:
    """[K, 8, 192, 16], as :func:`compute` left them."""
    return np.load(cached_folder() / f"{product.key}.npy")


@dataclass
class Data:
    """What the training draws from, in memory.

    P products with K clips and F titles each: `features` float16 [P, K, 8, 192, 16], `titles` [P, F, 384]; their N
    different names: `names` [N, 384], `name_of` [P] into them; `pictured` [P, 384], where fusion puts their pictures.
    """

    features: NDArray[np.float16]
    titles: Tensor
    names: Tensor
    name_of: Tensor
    pictured: Tensor

    @classmethod
    def read(cls, products: list[Product], encoder: TextEncoder, pictured: Tensor) -> Data:
        """Of the products that are trained on (`pictured` has a row for each), the clips that are."""
        kept = [p for p in products if not p.held_out]
        names = sorted({p.name for p in kept})
        forms = [titles(p) for p in kept]
        trained = [[kind == "trained" for kind in clips.kinds(p)] for p in kept]
        return cls(
            features=np.stack([read(p)[rows] for p, rows in zip(kept, trained, strict=True)]),
            titles=torch.from_numpy(embed([t for f in forms for t in f], encoder)).view(len(forms), -1, 384),
            names=torch.from_numpy(embed(names, encoder)),
            name_of=torch.tensor([names.index(p.name) for p in kept]),
            pictured=pictured,
        )

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Chosen products [n], frames of a clip of each [n, T, 192, 16], a title of each [n, 384]."""
        count = min(BATCH, len(self.titles))
        chosen = rng.choice(len(self.titles), count, replace=False)
        seen = self.features[chosen, rng.integers(self.features.shape[1], size=count)]
        length = seen.shape[1]
        kept = length if rng.random() < 0.5 else int(rng.integers(LEAST_FRAMES, length + 1))
        rows = np.sort(rng.choice(length, kept, replace=False))
        rows = np.where(rng.random((count, 1)) < 0.5, rows, rows[::-1])
        seen = np.take_along_axis(seen, rows[:, :, None, None], 1)
        title = self.titles[chosen, rng.integers(self.titles.shape[1], size=count)]
        return torch.from_numpy(chosen), torch.from_numpy(seen).float(), title


def pictured(products: list[Product], variant: str, weights: Path) -> Tensor:
    """[P, 384]: of each product that is trained on, where fusion puts its pictures, in the mean."""
    network = load_fusion(variant, weights)
    with torch.inference_mode():
        rows = [network(*image_only(read_pictures(p)[TRAINED_ROWS]).inputs())[1] for p in products if not p.held_out]
        return unit(torch.stack([row.mean(0) for row in rows]))


class Mixer(nn.Module):
    """The part of the network that is trained, as a module of its own."""

    def __init__(self, network: VideoEncoder) -> None:
        super().__init__()
        self.motion, self.norm = network.motion, network.norm
        self.attention, self.when, self.head = network.attention, network.when, network.head
        self._mix = [network]  # in a list, so that its frozen part does not count as this module's

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self._mix[0].mix(features)


def losses(mixer: nn.Module, data: Data, targets: Tensor, rng: np.random.Generator, device: torch.device) -> dict:
    """One step's terms, whose sum is minimised; `targets` as :func:`name_targets` gives them."""
    chosen, seen, title = data.draw(rng)
    names = data.name_of[chosen]
    embedding, tokens = mixer(seen.to(device))
    bank, target = data.names.to(device), targets[names].to(device)
    same = (names[:, None] == names[None]).float().to(device)
    details = unit(tokens.flatten(0, 1)) @ bank.T / TEMPERATURE
    return {
        "clip→name": F.cross_entropy(embedding @ bank.T / TEMPERATURE, target),
        "tokens→name": 0.25 * F.cross_entropy(details, target.repeat_interleave(tokens.shape[1], 0)),
        "clip↔title": 0.5 * contrast(embedding, title.to(device), same),
        "clip→pictures": DISTIL * (1 - (embedding * data.pictured[chosen].to(device)).sum(-1)).mean(),
    }


def train(
    network: VideoEncoder, data: Data, checkpoint: Path, report: Callable[[int, str], None], deadline: float = math.inf
) -> VideoEncoder:
    """Trains `network` in place, all but its spatial part; goes on from `checkpoint`.

    Args:
        report: told of each step: its number and the losses.
        deadline: by `time.monotonic`.

    Raises:
        TimeoutError: it is past the deadline; the state is saved.
    """
    torch.manual_seed(SEED)
    targets = name_targets(data.names)
    plan = Plan(STEPS, BATCH, LEARNING_RATE, WARM_UP, WEIGHT_DECAY, CHECKPOINT_EVERY, SEED, reseeds=False)
    minimise(
        Mixer(network),
        lambda mixer, rng, device: losses(mixer, data, targets, rng, device),
        plan,
        checkpoint,
        report,
        deadline,
    )
    return network.cpu().eval()


def create() -> VideoEncoder:
    """An untrained network whose spatial part is EfficientNet-Lite0's."""
    torch.manual_seed(SEED)
    network = VideoEncoder()
    lite0.load_spatial(network.spatial, lite0.checkpoint())
    return network


def is_written(path: Path, run: str) -> bool:
    """Whether the weights at `path` are those of this run."""
    if not path.exists():
        return False
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get("run") == run


def told(network: VideoEncoder) -> dict[str, Any]:
    """For the card: the network's size and the device."""
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "of which trained": sum(p.numel() for p in Mixer(network).parameters()),
        "device": str(Accelerator().device.type),
    }


def load(path: Path) -> VideoEncoder:
    """The network with the weights that `training.common.weights.save` wrote, in float32."""
    return restore(VideoEncoder(), path)


@dataclass
class ClipFeatures:
    """A product's K clips under the trained network, in the order of `training.video.clips.kinds`.

    `embedding` float32 [K, 384], `tokens` float32 [K, 8, 384]; `trained` bool [K]: which may be trained on.
    """

    embedding: NDArray[np.float32]
    tokens: NDArray[np.float32]
    trained: NDArray[np.bool_]


@torch.inference_mode()
def features(products: list[Product], network: VideoEncoder) -> dict[str, ClipFeatures]:
    """Product key → its clips' embeddings and tokens; :func:`compute` must have run."""
    found = {}
    for product in products:
        embedding, tokens = network.mix(torch.from_numpy(read(product)).float())
        trained = np.array([kind == "trained" and not product.held_out for kind in clips.kinds(product)])
        found[product.key] = ClipFeatures(embedding.numpy(), tokens.numpy(), trained)
    return found

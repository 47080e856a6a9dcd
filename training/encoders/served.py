"""The frozen encoders, as they are served: the ONNX files that `python -m export` wrote.

Training on the served files themselves means that features cannot differ between training and serving.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tokenizers import Tokenizer

from networks.features import split_image
from networks.fusion import Shape
from training.common.files import REPOSITORY, sha256

MODELS = REPOSITORY / "model_repository" / "models"
SIDE = 224
WIDTH = 384
MAX_TOKENS = 64
BATCH = 8


def _session(model: str, threads: int) -> ort.InferenceSession:
    path = onnx_file(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def onnx_file(model: str) -> Path:
    """The exported network of a model.

    Raises:
        FileNotFoundError: it was not exported yet; says the command.
    """
    path = MODELS / model / "1" / "model.onnx"
    if not path.exists():
        raise FileNotFoundError(f"no {path}; write it with `python -m export --only {model}`")
    return path


def fingerprint() -> str:
    """Changes when an encoder does, so that cached features go stale with it."""
    return sha256(onnx_file("image_encoder"))[:12] + sha256(onnx_file("text_encoder"))[:12]


def fit(picture: Image.Image) -> NDArray[np.uint8]:
    """The whole picture within the encoder's square on its mean border colour, as served: uint8 [224, 224, 3]."""
    small = ImageOps.contain(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = np.asarray(small)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean(0).round()
    square = Image.new("RGB", (SIDE, SIDE), tuple(int(c) for c in border))
    square.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    return np.asarray(square)


class TextEncoder:
    """Sentences → unit embeddings."""

    def __init__(self, threads: int = 1) -> None:
        self.session = _session("text_encoder", threads)
        self.tokenizer = Tokenizer.from_file(str(MODELS / "reader" / "1" / "tokenizer.json"))
        self.tokenizer.enable_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        """float32 [len(texts), 384]."""
        out = np.zeros((len(texts), WIDTH), np.float32)
        # Alike lengths together, so that little is padded.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            encoded = self.tokenizer.encode_batch([texts[i] for i in rows])
            feeds = {
                "input_ids": np.array([e.ids for e in encoded], np.int64),
                "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
            }
            out[rows] = self.session.run(["sentence_embedding"], feeds)[0]
        return out


class ImageEncoder:
    """Pictures → pooled features, spatial tokens and class scores."""

    def __init__(self, threads: int = 1) -> None:
        self.session = _session("image_encoder", threads)

    def __call__(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """uint8 [n, 224, 224, 3] → float32 [n, 1280], [n, 49, 320], [n, 1000]."""
        starts = range(0, len(pixels), BATCH)
        features = [self.session.run(["features"], {"pixels": pixels[i : i + BATCH]})[0] for i in starts]
        embedding, tokens, scores, _ = split_image(torch.from_numpy(np.concatenate(features)), Shape())
        return embedding.numpy(), tokens.numpy(), scores.numpy()

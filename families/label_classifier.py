"""Whether a line of text is upside down: PP-OCR's direction classifier.

Source: Du et al. 2020, PP-OCR: A Practical Ultra Lightweight OCR System (arXiv:2009.09941).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from families.common import pixels
from families.common.parity import BATCHES, difference, session
from families.common.slot import Slot

HEIGHT, WIDTH = 48, 192


def facts(checkpoint: Path, slot: Slot) -> dict:
    """Pixels of the line that it reads."""
    return {"height": HEIGHT, "width": WIDTH}


def build(checkpoint: Path, slot: Slot, out: Path) -> None:
    """Writes ``model.onnx``: uint8 [batch, 48, 192, 3] → ``directions`` float32 [batch, 2], upright and upside down.

    Args:
        checkpoint: the network as ONNX: float32 [batch, 3, height, width] → [batch, 2].

    Raises:
        ValueError: its input or output has another shape.
    """
    model = onnx.load(checkpoint)
    pixels.check_shapes(model, checkpoint.name, [None, 3, None, None], [None, 2])
    pixels.take_bytes(model, HEIGHT, WIDTH)
    node = helper.make_node("Identity", [model.graph.output[0].name], ["directions"])
    pixels.give(model, [node], [("directions", TensorProto.FLOAT, ["batch", 2])])
    onnx.save(model, out / "model.onnx")


def parity(checkpoint: Path, slot: Slot, out: Path) -> list[dict]:
    """The checkpoint's own answers beside those of ``model.onnx``, for every batch; see :func:`compare`."""
    original = session(checkpoint)

    def want(scaled: np.ndarray) -> dict[str, np.ndarray]:
        return {"directions": original.run(None, {original.get_inputs()[0].name: scaled})[0]}

    return compare("label_classifier", want, [(batch, HEIGHT, WIDTH) for batch in BATCHES], out)


def compare(
    slot: str,
    want: Callable[[np.ndarray], dict[str, np.ndarray]],
    shapes: Sequence[tuple[int, int, int]],
    out: Path,
) -> list[dict]:
    """Holds ``model.onnx`` against its checkpoint and writes ``reference.npz`` for the comparison with the server.

    Args:
        want: from the checkpoint's input, float32 [batch, 3, height, width], to what ``model.onnx`` should give.
        shapes: batch, height and width of each case.

    Returns:
        One row a case and output with ``torch_onnx``: the checkpoint is ONNX already, and stands for torch.

    Raises:
        ParityError: NaN or Inf in either.
    """
    built = session(out / "model.onnx")
    rows, reference = [], {}
    for shape in shapes:
        case = "batch={} height={} width={}".format(*shape)
        random = np.random.default_rng(shape)
        coarse = random.integers(0, 256, (shape[0], *(-(-side // 8) for side in shape[1:]), 3), np.uint8)
        picture = coarse.repeat(8, 1).repeat(8, 2)[:, : shape[1], : shape[2]]
        wanted = want(np.ascontiguousarray((picture[..., ::-1] / np.float32(127.5) - 1).transpose(0, 3, 1, 2)))
        for name, have in zip(wanted, built.run(list(wanted), {"pixels": picture}), strict=True):
            where = f"{slot} {case} {name}"
            rows.append({"case": case, "output": name, "torch_onnx": difference(where, wanted[name], have)})
            reference[f"{case}|{name}"] = wanted[name]
        reference[f"{case}|pixels"] = picture
    np.savez_compressed(out / "reference.npz", **reference)
    return rows

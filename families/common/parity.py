"""Two answers to the same inputs: at which batch sizes they are compared, how far apart they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

BATCHES = (1, 2, 5, 8)


class ParityError(RuntimeError):
    """Two stages of an export give different answers; the message names slot, case, tensor and figures."""


def batches(usual: bool) -> tuple[int, ...]:
    """The batch sizes that inputs of the usual size, or of another one, are compared at.

    Eight rows of the longest inputs take longer than all the rest, and show nothing that two do not.
    """
    return BATCHES if usual else BATCHES[:2]


def session(path: Path, threads: int = 2) -> ort.InferenceSession:
    """A CPU session whose threads do not spin, so that it shares its cores."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def difference(where: str, want: np.ndarray, have: np.ndarray) -> float:
    """The largest absolute difference relative to the larger of one and `want`'s largest magnitude.

    Raises:
        ParityError: NaN or Inf in either, or other shapes.
    """
    if want.shape != have.shape:
        raise ParityError(f"{where}: shape {have.shape}, expected {want.shape}")
    for array in (want, have):
        if not np.isfinite(array).all():
            raise ParityError(f"{where}: {np.count_nonzero(~np.isfinite(array))} NaN or Inf values")
    want, have = want.astype(np.float64), have.astype(np.float64)  # bytes would wrap
    return float(np.abs(want - have).max() / max(1.0, np.abs(want).max()))

"""Trained weights in files: half precision, read back in float32."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file, save_file
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def save(network: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Writes the weights in half precision; bytes stay bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    halved = {n: v.half() if v.is_floating_point() else v for n, v in network.state_dict().items()}
    save_file({name: value.contiguous() for name, value in halved.items()}, path, metadata)
    path.chmod(0o644)  # safetensors writes for the owner only


def restore(network: Network, path: Path) -> Network:
    """`network` with the weights that :func:`save` wrote, in float32."""
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.eval()

"""Trains one small network: AdamW, warm-up and cosine, a checkpoint to go on from, losses to TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Plan:
    """How long and how fast: `batch` rows a step and process, `rate` the full learning rate."""

    steps: int
    batch: int
    rate: float = 1e-3
    warm_up: int = 50
    decay: float = 0.05
    checkpoint_every: int = 50
    seed: int = 7


def _writer(folder: Path | None) -> Any:
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # it is no dependency
        return None
    return SummaryWriter(folder)


def run(
    network: nn.Module,
    losses: Callable[[nn.Module, np.random.Generator, torch.device], dict[str, Tensor]],
    plan: Plan,
    checkpoint: Path,
    report: Callable[[int, str], None],
    logs: Path | None = None,
) -> nn.Module:
    """Minimises the sum of `losses(network, rng, device)`; goes on from `checkpoint` where there is one.

    Args:
        losses: one step's terms; the generator is fixed by seed, step and process.
        report: told of each step: its number and the losses.
        logs: a folder for TensorBoard, used if it is installed.

    Returns:
        The network on the CPU, in evaluation mode. With `accelerate launch` it trains on several devices.
    """
    accelerator = Accelerator()
    optimizer = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=plan.decay)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    wrapped, optimizer = accelerator.prepare(network.train(), optimizer)
    writer = _writer(logs if accelerator.is_main_process else None)
    for step in range(start, plan.steps):
        share = min(1.0, (step + 1) / plan.warm_up) * 0.5 * (1 + math.cos(math.pi * step / plan.steps))
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * share
        torch.manual_seed(plan.seed * 100_003 + step)
        terms = losses(wrapped, np.random.default_rng([plan.seed, step, accelerator.process_index]), accelerator.device)
        optimizer.zero_grad()
        accelerator.backward(sum(terms.values()))
        accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
        if writer:
            for name, value in terms.items():
                writer.add_scalar(name, value.item(), step + 1)
        last = step + 1 == plan.steps
        if not last and (step + 1) % plan.checkpoint_every == 0 and accelerator.is_main_process:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            partial = checkpoint.with_suffix(".partial")
            torch.save(state, partial)
            partial.rename(checkpoint)
        report(step + 1, "  ".join(f"{name} {value.item():.3f}" for name, value in terms.items()))
    checkpoint.unlink(missing_ok=True)
    return accelerator.unwrap_model(wrapped).cpu().eval()


def save(network: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Writes the weights in half precision; bytes stay bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    halved = {n: v.half() if v.is_floating_point() else v for n, v in network.state_dict().items()}
    save_file({name: value.contiguous() for name, value in halved.items()}, path, metadata)
    path.chmod(0o644)  # safetensors writes for the owner only


def restore(network: nn.Module, path: Path) -> nn.Module:
    """`network` with the weights that :func:`save` wrote, in float32."""
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.eval()

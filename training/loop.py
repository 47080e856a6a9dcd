"""The loop that long trainings share: resumes after being killed, on CPU, one GPU or several, losses to TensorBoard.

Launch with `accelerate launch -m training …` for several GPUs; plain `python -m training …` takes what there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from training.cache import cache_folder

CHECKPOINT_EVERY = 100
WARM_UP = 100


class Average:
    """An exponential moving average of a network's weights, short at the beginning."""

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, network: nn.Module, step: int) -> None:
        """Moves towards the network's weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.values[name].lerp_(value.detach(), 1 - decay)
            else:
                self.values[name].copy_(value)


def train(
    name: str,
    networks: dict[str, nn.Module],
    optimizers: dict[str, torch.optim.Optimizer],
    step_losses: Callable[[int, np.random.Generator, torch.device], dict[str, Tensor | float]],
    *,
    steps: int,
    seed: int,
    checkpoint: Path,
    report: Callable[[int, str], None],
) -> dict[str, dict[str, Tensor]]:
    """Runs `step_losses` until `steps`; gives the averaged weights of each network, on CPU.

    Args:
        name: of the run, below ``<cache>/training/tensorboard``.
        networks, optimizers: by name; the learning rate of every optimizer warms up, then falls along half a cosine.
        step_losses: does one step, its optimizers' steps included, and gives what is to be logged; gets the step's
            number, a generator of its own, and the device.
        checkpoint: written every :data:`CHECKPOINT_EVERY` steps, read if it is there, left behind when all is done.
        report: told of each step: its number and the losses.
    """
    accelerator = Accelerator()
    for network in networks.values():
        network.to(accelerator.device)
    averages = {key: Average(network) for key, network in networks.items()}
    base = {key: [group["lr"] for group in optimizer.param_groups] for key, optimizer in optimizers.items()}
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=accelerator.device)
        start = state["step"]
        for key, network in networks.items():
            network.load_state_dict(state["networks"][key])
            averages[key].values = state["averages"][key]
        for key, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][key])
    writer = SummaryWriter(cache_folder() / "training" / "tensorboard" / name, purge_step=start)
    for step in range(start, steps):
        share = min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for key, optimizer in optimizers.items():
            for group, rate in zip(optimizer.param_groups, base[key], strict=True):
                group["lr"] = rate * share
        rng = np.random.default_rng([seed, step, accelerator.process_index])
        terms = {t: _number(value) for t, value in step_losses(step, rng, accelerator.device).items()}
        if not all(math.isfinite(value) for value in terms.values()):
            raise FloatingPointError(f"{name}: a loss is not finite at step {step}: {terms}")
        for key, network in networks.items():
            _share(accelerator, network)
            averages[key].update(network, step)
        report(step + 1, "  ".join(f"{term} {value:.3f}" for term, value in terms.items()))
        if not accelerator.is_main_process:
            continue
        for term, value in terms.items():
            writer.add_scalar(term, value, step)
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            _save(checkpoint, step + 1, networks, optimizers, averages)
    writer.close()
    return {key: {n: v.cpu() for n, v in average.values.items()} for key, average in averages.items()}


def _number(value: Tensor | float) -> float:
    return value.item() if isinstance(value, Tensor) else float(value)


def _share(accelerator: Accelerator, network: nn.Module) -> None:
    """Processes that draw different batches step by themselves and then meet at the mean of their weights."""
    if accelerator.num_processes > 1:
        with torch.no_grad():
            for value in network.parameters():
                value.copy_(accelerator.reduce(value.detach(), reduction="mean"))


def _save(
    path: Path,
    step: int,
    networks: dict[str, nn.Module],
    optimizers: dict[str, torch.optim.Optimizer],
    averages: dict[str, Average],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "step": step,
            "networks": {key: network.state_dict() for key, network in networks.items()},
            "optimizers": {key: optimizer.state_dict() for key, optimizer in optimizers.items()},
            "averages": {key: average.values for key, average in averages.items()},
        },
        partial,
    )
    partial.rename(path)

"""The loop of all trainings: resumes after being killed, on CPU, one GPU or several, losses to TensorBoard.

Launch with `accelerate launch -m training …` for several GPUs; plain `python -m training …` takes what there is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

Network = TypeVar("Network", bound=nn.Module)
Step = Callable[[int, np.random.Generator, torch.device], Mapping[str, Tensor | float]]


@dataclass(frozen=True)
class Plan:
    """How long and how fast: `batch` rows a step and process, `rate` the full learning rate.

    Where it `reseeds`, dropout's draws are those of the step, so that a stopped run goes on as if it had not stopped.
    """

    steps: int
    batch: int
    rate: float = 1e-3
    warm_up: int = 50
    decay: float = 0.05
    checkpoint_every: int = 50
    seed: int = 7
    reseeds: bool = True


def optimizer_of(
    *networks: nn.Module, rate: float = 1e-3, betas: tuple[float, float] = (0.9, 0.99)
) -> torch.optim.AdamW:
    """AdamW over networks that are trained together."""
    parameters = [p for network in networks for p in network.parameters()]
    return torch.optim.AdamW(parameters, rate, betas=betas, weight_decay=1e-4)


def apply(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step, the gradient held to unit length at most."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()


class Average:
    """An exponential moving average of a network's weights, short at the beginning."""

    def __init__(self, network: nn.Module, decay: float) -> None:
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
    networks: dict[str, nn.Module],
    optimizers: dict[str, torch.optim.Optimizer],
    step_losses: Step,
    *,
    steps: int,
    seed: int,
    checkpoint: Path,
    report: Callable[[int, str], None],
    warm_up: int = 100,
    checkpoint_every: int = 100,
    average: float = 0.998,
    deadline: float = math.inf,
    accelerator: Accelerator | None = None,
) -> dict[str, dict[str, Tensor]]:
    """Runs `step_losses` until `steps`; gives the averaged weights of each network, on CPU, where they are averaged.

    Args:
        networks, optimizers: by name; the learning rate of every optimizer warms up, then falls along half a cosine.
        step_losses: does one step, its optimizers' steps included, and gives what is to be logged; gets the step's
            number, a generator of its own, and the device.
        checkpoint: written every `checkpoint_every` steps, read if it is there, left behind when all is done; the
            losses go to a folder of its name in ``tensorboard`` beside it.
        report: told of each step: its number and the losses.
        average: the decay of the weights' moving average; 0 averages nothing.
        deadline: by `time.monotonic`.
        accelerator: what there is, if none is given.

    Raises:
        FloatingPointError: a loss is no number.
        TimeoutError: it is past the deadline; the state is saved.
    """
    accelerator = accelerator or Accelerator()
    for network in networks.values():
        network.to(accelerator.device)
    averages = {key: Average(network, average) for key, network in networks.items()} if average else {}
    base = {key: [group["lr"] for group in optimizer.param_groups] for key, optimizer in optimizers.items()}
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=accelerator.device)
        start = state["step"]
        for key, network in networks.items():
            network.load_state_dict(state["networks"][key])
        for key, kept in averages.items():
            kept.values = state["averages"][key]
        for key, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][key])
    with SummaryWriter(checkpoint.parent / "tensorboard" / checkpoint.stem, purge_step=start) as writer:
        for step in range(start, steps):
            share = min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))
            for key, optimizer in optimizers.items():
                for group, rate in zip(optimizer.param_groups, base[key], strict=True):
                    group["lr"] = rate * share
            rng = np.random.default_rng([seed, step, accelerator.process_index])
            terms = {t: _number(value) for t, value in step_losses(step, rng, accelerator.device).items()}
            if not all(math.isfinite(value) for value in terms.values()):
                raise FloatingPointError(f"{checkpoint.stem}: a loss is not finite at step {step}: {terms}")
            for network in networks.values():
                _share(accelerator, network)
            for key, kept in averages.items():
                kept.update(networks[key], step)
            report(step + 1, "  ".join(f"{term} {value:.3f}" for term, value in terms.items()))
            done, late = step + 1, time.monotonic() > deadline
            if accelerator.is_main_process:
                for term, value in terms.items():
                    writer.add_scalar(term, value, step)
                if late or done % checkpoint_every == 0 or done == steps:
                    _save(checkpoint, done, networks, optimizers, averages)
            if late and done < steps:
                raise TimeoutError(f"{checkpoint.stem}: stopped after {done} of {steps} steps")
    return {key: {name: value.cpu() for name, value in kept.values.items()} for key, kept in averages.items()}


def minimise(
    network: Network,
    losses: Callable[[Network, np.random.Generator, torch.device], dict[str, Tensor]],
    plan: Plan,
    checkpoint: Path,
    report: Callable[[int, str], None],
    deadline: float = math.inf,
    accelerator: Accelerator | None = None,
) -> Network:
    """Trains one network by AdamW on the sum of `losses(network, rng, device)`; see :func:`train` for the rest.

    Returns:
        The network on the CPU, in evaluation mode; the checkpoint is gone then.
    """
    accelerator = accelerator or Accelerator()
    optimizer = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=plan.decay)
    wrapped, optimizer = accelerator.prepare(network.train(), optimizer)

    def step_losses(step: int, rng: np.random.Generator, device: torch.device) -> dict[str, Tensor]:
        if plan.reseeds:
            torch.manual_seed(plan.seed * 100_003 + step)
        terms = losses(wrapped, rng, device)
        optimizer.zero_grad()
        accelerator.backward(sum(terms.values()))
        accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
        return terms

    train(
        {"network": network},
        {"network": optimizer},
        step_losses,
        steps=plan.steps,
        seed=plan.seed,
        checkpoint=checkpoint,
        report=report,
        warm_up=plan.warm_up,
        checkpoint_every=plan.checkpoint_every,
        average=0,
        deadline=deadline,
        accelerator=accelerator,
    )
    checkpoint.unlink(missing_ok=True)
    return network.cpu().eval()


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

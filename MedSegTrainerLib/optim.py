"""Optimizers by their names in the training guide, and the learning rate at every step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from MedSegTrainerLib.config import OptimizerConfig

Groups = list[dict[str, object]]

OPTIMIZERS: dict[str, Callable[[Groups, float, OptimizerConfig], torch.optim.Optimizer]] = {
    "Adam": lambda groups, rate, c: torch.optim.Adam(groups, rate, (c.betas[0], c.betas[1]), c.eps, fused=True),
    "AdamW": lambda groups, rate, c: torch.optim.AdamW(groups, rate, (c.betas[0], c.betas[1]), c.eps, fused=True),
    "SGD": lambda groups, rate, c: torch.optim.SGD(
        groups, rate, c.momentum, nesterov=c.nesterov and c.momentum > 0, fused=True
    ),
}

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "polynomial": lambda done: (1 - done) ** 0.9,
}


def build_optimizer(
    network: nn.Module, name: str, learning_rate: float, weight_decay: float, config: OptimizerConfig
) -> torch.optim.Optimizer:
    """An optimizer over all weights; norms and biases (tensors of one axis) do not decay."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups: Groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return OPTIMIZERS[name](groups, learning_rate, config)


def rate_at(step: int, *, steps: int, warmup_steps: int, peak: float, schedule: str, eta_min: float = 0.0) -> float:
    """Learning rate of step ``step`` (from 0) of ``steps``: linear rise, then the schedule down to ``eta_min``."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    if schedule == "constant":
        return peak
    return eta_min + (peak - eta_min) * SCHEDULES[schedule](done)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate

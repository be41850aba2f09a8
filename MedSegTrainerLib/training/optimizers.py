"""Optimizers by their names in the training guide, and the learning rate at every step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from MedSegTrainerLib.config.settings import OptimizerConfig

Groups = list[dict[str, object]]

OPTIMIZERS: dict[str, Callable[[Groups, float, OptimizerConfig], torch.optim.Optimizer]] = {
    "Adam": lambda groups, rate, c: torch.optim.Adam(groups, rate, (c.betas[0], c.betas[1]), c.eps, fused=True),
    "AdamW": lambda groups, rate, c: torch.optim.AdamW(groups, rate, (c.betas[0], c.betas[1]), c.eps, fused=True),
    "SGD": lambda groups, rate, c: torch.optim.SGD(
        groups, rate, c.momentum, nesterov=c.nesterov and c.momentum > 0, fused=True
    ),
}

PLATEAU_PATIENCE = 10  # training guide, "ReduceLROnPlateau"
# tables and embeddings that are added to something: biases, though of two or more axes
ADDED = ("bias", "position_embedding", "cls_token")


def build_optimizer(
    network: nn.Module, name: str, learning_rate: float, weight_decay: float, config: OptimizerConfig
) -> torch.optim.Optimizer:
    """An optimizer over all weights; norms, biases and position embeddings do not decay."""
    weights: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for path, parameter in network.named_parameters():
        (weights if parameter.ndim > 1 and not _is_added(path) else others).append(parameter)
    groups: Groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return OPTIMIZERS[name](groups, learning_rate, config)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _is_added(path: str) -> bool:
    return any(word in path.rpartition(".")[2] for word in ADDED)

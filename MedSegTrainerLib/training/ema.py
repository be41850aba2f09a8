"""A running average of the weights, which segments better than the last weights of a short training.

Polyak and Juditsky 1992; decay warmed up as (1 + step) / (10 + step), after Tarvainen and Valpola 2017.
"""

from __future__ import annotations

import torch
from torch import nn


class WeightAverage:
    """Follows a network; with ``decay`` None it is the network's own weights."""

    def __init__(self, network: nn.Module, decay: float | None) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Moves the average a step towards the network's weights."""
        self.steps += 1
        decay = 0.0 if self.decay is None else min(self.decay, (1 + self.steps) / (10 + self.steps))
        state = network.state_dict()
        floats = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.weights[n] for n in floats], [state[n] for n in floats], 1 - decay)
        for name in state.keys() - set(floats):
            self.weights[name].copy_(state[name])

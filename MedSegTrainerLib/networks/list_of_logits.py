"""Networks with one result, in the form that training expects of all."""

from __future__ import annotations

import torch
from torch import nn

from MedSegTrainerLib.networks.instance_norm import with_fast_instance_norms


class ListOfLogits(nn.Module):
    """A network with one result as one that gives a list: (B, C, *spatial) to [(B, classes, *spatial)]."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = with_fast_instance_norms(body)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.body(x)]

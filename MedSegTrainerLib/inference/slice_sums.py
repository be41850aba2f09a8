"""How unsure a prediction is of each class in each slice along each axis, added up as its planes come."""

from __future__ import annotations

import math

import numpy as np
import torch


class SliceSums:
    """``along[axis]`` (classes, slices): the entropy of each class against all else in bits, added up over the voxels
    of a slice across that axis (z, y, x) of the canonical array."""

    def __init__(self, classes: int, shape: tuple[int, int, int]) -> None:
        self.along = [np.zeros((classes, length)) for length in shape]

    def add(self, first: int, p: torch.Tensor) -> None:
        """Probabilities (classes, planes, y, x) of the planes from ``first`` on."""
        for index, of_class in enumerate(p):  # class by class: less memory than all at once
            entropy = binary_entropy(of_class).double()
            self.along[0][index, first : first + len(entropy)] += entropy.sum(dim=(1, 2)).cpu().numpy()
            self.along[1][index] += entropy.sum(dim=(0, 2)).cpu().numpy()
            self.along[2][index] += entropy.sum(dim=(0, 1)).cpu().numpy()


def binary_entropy(p: torch.Tensor) -> torch.Tensor:
    """Of being there with probability p or not, in bits: 0 where p is 0 or 1."""
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)) / math.log(2)

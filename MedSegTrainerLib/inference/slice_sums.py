"""How much of each slice along each axis is probably wrong, class by class, added up as the planes of a result come."""

from __future__ import annotations

import numpy as np
import torch

from MedSegTrainerLib.data.samples.arrangement import Arrangement
from MedSegTrainerLib.imaging.partly_labelled import patient_axes

CANONICAL = "LPS"


class SliceSums:
    """``along[axis]`` (classes, slices): voxels of a slice across that axis (z, y, x) of the array that are expected
    to be wrong about a class, if its probabilities are right: the sum of the smaller one of p and 1 - p.

    In place of entropy, which a large background with small probabilities outweighs.
    """

    def __init__(self, classes: int, shape: tuple[int, int, int]) -> None:
        self.along = [np.zeros((classes, length)) for length in shape]

    def add(self, first: int, p: torch.Tensor) -> None:
        """Probabilities (classes, planes, y, x) of the planes from ``first`` on."""
        for index, of_class in enumerate(p):  # class by class: less memory than all at once
            wrong = torch.minimum(of_class, 1 - of_class).double()
            self.along[0][index, first : first + len(wrong)] += wrong.sum(dim=(1, 2)).cpu().numpy()
            self.along[1][index] += wrong.sum(dim=(0, 2)).cpu().numpy()
            self.along[2][index] += wrong.sum(dim=(0, 1)).cpu().numpy()

    def along_patient(self, arrangement: Arrangement) -> dict[str, np.ndarray]:
        """The same of all slices of the image by axis of the patient (z, y, x), from its first slice on in canonical
        direction; where nothing was looked at it is 0."""
        whole, sums = arrangement.whole, {}
        for place, axis in enumerate(patient_axes(whole)):
            of_all = np.zeros((len(self.along[place]), whole.size_zyx[place]))
            of_all[:, arrangement.box[place]] = self.along[place]
            sums[axis] = of_all if whole.orientation()[2 - place] in CANONICAL else of_all[:, ::-1]
        return sums

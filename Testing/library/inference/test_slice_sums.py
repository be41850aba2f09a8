"""What slices come to while the planes of a prediction arrive."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedSegTrainerLib.inference.slice_sums import SliceSums, binary_entropy


def test_the_entropy_of_being_there_or_not() -> None:
    p = torch.tensor([0.0, 0.5, 1.0, 0.11])
    expected = [0, 1, 0, -(0.11 * np.log2(0.11) + 0.89 * np.log2(0.89))]
    assert binary_entropy(p).tolist() == pytest.approx(expected)


def test_sums_along_every_axis_whatever_the_planes_that_come_together() -> None:
    p = torch.rand((2, 7, 4, 5), generator=torch.Generator().manual_seed(0))
    whole = binary_entropy(p).numpy().astype(float)
    for steps in ([7], [1, 3, 3]):
        sums, first = SliceSums(2, (7, 4, 5)), 0
        for count in steps:
            sums.add(first, p[:, first : first + count])
            first += count
        for axis, across in enumerate(((2, 3), (1, 3), (1, 2))):
            np.testing.assert_allclose(sums.along[axis], whole.sum(axis=across), rtol=1e-5)

"""What slices come to while the planes of a prediction arrive."""

from __future__ import annotations

import numpy as np
import torch

from MedSegTrainerLib.inference.slice_sums import SliceSums


def test_voxels_that_are_expected_to_be_wrong() -> None:
    """By hand: one with 0.5, one with 0.1 and one with 0.8 are 0.8 wrong voxels, sure ones none."""
    p = torch.tensor([0.5, 0.1, 0.8, 0.0, 1.0]).reshape(1, 1, 1, 5)
    sums = SliceSums(1, (1, 1, 5))
    sums.add(0, p)
    np.testing.assert_allclose(sums.along[0], [[0.8]], rtol=1e-6)
    np.testing.assert_allclose(sums.along[2], [[0.5, 0.1, 0.2, 0, 0]], rtol=1e-6)


def test_as_many_as_there_are_where_probabilities_are_right() -> None:
    """Truth drawn by the probabilities themselves."""
    generator = np.random.default_rng(1)
    p = generator.uniform(size=(1, 6, 80, 90))
    wrong = (generator.uniform(size=p.shape) < p) != (p > 0.5)
    sums = SliceSums(1, (6, 80, 90))
    sums.add(0, torch.from_numpy(p))
    np.testing.assert_allclose(sums.along[0][0], wrong[0].sum(axis=(1, 2)), rtol=0.1)


def test_sums_along_every_axis_whatever_the_planes_that_come_together() -> None:
    p = torch.rand((2, 7, 4, 5), generator=torch.Generator().manual_seed(0))
    whole = np.minimum(p.numpy(), 1 - p.numpy()).astype(float)
    for steps in ([7], [1, 3, 3]):
        sums, first = SliceSums(2, (7, 4, 5)), 0
        for count in steps:
            sums.add(first, p[:, first : first + count])
            first += count
        for axis, across in enumerate(((2, 3), (1, 3), (1, 2))):
            np.testing.assert_allclose(sums.along[axis], whole.sum(axis=across), rtol=1e-5)

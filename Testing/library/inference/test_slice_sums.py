"""What slices come to while the planes of a prediction arrive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from MedSegTrainerLib.config.plan import Plan, Preparation, Resampling
from MedSegTrainerLib.data.samples.arrangement import arrangement_of
from MedSegTrainerLib.imaging.geometry import Geometry
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


def test_slices_of_the_patient_where_a_plan_has_other_axes_and_sees_a_part(tiny_plan: Plan) -> None:
    """x of the file grows to the Right; of its five slices along z the second and third are looked at, of y 1 to 3."""
    linear = Resampling(order=1, order_z=0)
    plan = replace(tiny_plan, preparation=Preparation(image=linear, logits=linear, transpose=(2, 0, 1)))
    array = np.zeros((5, 4, 3), np.uint8)
    array[1:3, 1:4, :] = 1
    image = Geometry(size=(3, 4, 5), direction=(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)).place(array)
    p = torch.rand((1, 3, 2, 3), generator=torch.Generator().manual_seed(2))  # x, z, y of the box
    sums = SliceSums(1, (3, 2, 3))
    sums.add(0, p)
    wrong = np.minimum(p.numpy(), 1 - p.numpy()).astype(float)[0]
    along = sums.along_patient(arrangement_of([image], plan))
    np.testing.assert_allclose(along["x"][0], wrong.sum(axis=(1, 2))[::-1], rtol=1e-5)
    np.testing.assert_allclose(along["y"][0], [0, *wrong.sum(axis=(0, 1))], rtol=1e-5)
    np.testing.assert_allclose(along["z"][0], [0, *wrong.sum(axis=(0, 2)), 0, 0], rtol=1e-5)

"""Axes in the order of a plan and the box that is looked at: every voxel stays where it is, there and back."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.plan import Plan, Preparation, Resampling
from MedSegTrainerLib.data.samples.arrangement import arranged, arrangement_of
from MedSegTrainerLib.imaging.geometry import Geometry

LINEAR = Resampling(order=1, order_z=0)
TURN = (0.36, 0.48, -0.8, -0.8, 0.6, 0.0, 0.48, 0.64, 0.6)  # columns are orthonormal, and nearest to no axis alone


def plan_with(plan: Plan, **changes: object) -> Plan:
    return replace(plan, preparation=Preparation(image=LINEAR, logits=LINEAR, **changes))  # type: ignore[arg-type]


@pytest.fixture
def image() -> sitk.Image:
    """Of 7 x 6 x 5 voxels (z, y, x), 0 but in a box of 3 x 2 x 4, on an oblique grid."""
    array = np.zeros((7, 6, 5), np.int16)
    array[2:5, 1:3, 1:5] = np.arange(1, 25).reshape(3, 2, 4)
    return Geometry(size=(5, 6, 7), spacing=(0.7, 1.3, 2.9), origin=(-9, 4, 31), direction=TURN).place(array)


ORDERS = list(itertools.permutations(range(3)))


@pytest.mark.parametrize("transpose", ORDERS)
@pytest.mark.parametrize("orientation", [None, "RAS", "PSR"])
def test_every_voxel_stays_at_its_place(
    tiny_plan: Plan, image: sitk.Image, transpose: tuple[int, int, int], orientation: str | None
) -> None:
    plan = plan_with(tiny_plan, transpose=transpose, orientation=orientation)
    arrangement = arrangement_of([image], plan)
    part = arrangement.part(arranged(image, plan))
    assert Geometry.of(part) == arrangement.region
    values = sitk.GetArrayFromImage(part)
    if orientation is None:
        assert np.array_equal(values, sitk.GetArrayFromImage(image)[2:5, 1:3, 1:5].transpose(transpose))
    assert sorted(values[values > 0]) == list(range(1, 25))
    for index in itertools.product(*map(range, part.GetSize())):
        there = image.TransformPhysicalPointToIndex(part.TransformIndexToPhysicalPoint(index))
        assert part[index] == image[there]
    back = arrangement.restored(values)
    assert Geometry.of(back) == Geometry.of(image)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))


def test_any_channel_makes_a_voxel_worth_looking_at(tiny_plan: Plan, image: sitk.Image) -> None:
    other = sitk.Image(image)
    other[0, 5, 6] = -3
    arrangement = arrangement_of([image, other], plan_with(tiny_plan))
    assert (arrangement.start, arrangement.region.size) == ((2, 1, 0), (5, 5, 5))


def test_nothing_is_cut_off_of_an_empty_image_or_where_none_is_to(tiny_plan: Plan, image: sitk.Image) -> None:
    whole = (5, 6, 7)
    assert arrangement_of([image * 0], plan_with(tiny_plan)).region.size == whole
    assert arrangement_of([image], plan_with(tiny_plan, crop_to_nonzero=False)).region.size == whole
    assert sorted(arrangement_of([image], tiny_plan).region.size) == sorted(whole)

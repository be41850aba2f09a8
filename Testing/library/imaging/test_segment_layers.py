"""Masks in layers: as few as overlap needs, whatever the order in which their parts come."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass, default_color
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.seg_nrrd import read_segments, text_fields
from MedSegTrainerLib.imaging.segment_layers import Slab, layered_image

GRID = Geometry(size=(6, 5, 4), spacing=(0.8, 1.1, 2.5), origin=(-3.0, 4.0, 5.0))


def classes(*values: int) -> list[LabelClass]:
    return [LabelClass(value=value, name=f"class {value}", color=default_color(value)) for value in values]


def masks_of(image: sitk.Image) -> dict[int, np.ndarray]:
    array = sitk.GetArrayFromImage(image).reshape(4, 5, 6, -1)
    segments = read_segments(text_fields(image), array.shape[-1])
    return {one.item.value: array[..., one.layer] == one.stored for one in segments}


def test_any_masks_come_back(generator: np.random.Generator) -> None:
    for _ in range(20):
        masks = {value: generator.random((4, 5, 6)) < 0.2 for value in (3, 1, 7, 2)}
        slabs: list[Slab] = [
            (value, (slice(z, z + 1),), mask[z : z + 1]) for value, mask in masks.items() for z in range(4)
        ]
        generator.shuffle(slabs)  # type: ignore[arg-type]
        image = layered_image(GRID, classes(*masks), slabs)
        assert Geometry.of(image) == GRID
        found = masks_of(image)
        assert found.keys() == masks.keys() and all(np.array_equal(found[one], masks[one]) for one in masks)


def test_what_does_not_overlap_lies_in_one_layer() -> None:
    left, right = np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool)
    left[1:3, 2:4, :3], right[1:3, 2:4, 3:] = True, True
    image = layered_image(GRID, classes(1, 300), [(1, (), left), (300, (), right)])
    assert image.GetPixelID() == sitk.sitkUInt16
    assert np.array_equal(sitk.GetArrayFromImage(image), left + 300 * right)


def test_a_class_without_voxels_is_named() -> None:
    assert masks_of(layered_image(GRID, classes(1, 2), [])).keys() == {1, 2}

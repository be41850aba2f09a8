"""Clean-up of classes that overlap: each is cleaned as if the others were not there."""

from __future__ import annotations

from functools import partial

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.class_bits import has_class, to_bits
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.class_by_class import class_array, each_class
from MedSegTrainerLib.inference.postprocess import clean_up
from MedSegTrainerLib.inference.postprocess_search import CleaningStudy, cleaned_up
from MedSegTrainerLib.model.postprocessing import Cleaning

SPACING = (2.5, 1.1, 0.8)
CLASSES = [LabelClass(value=1, name="organ", color=(1, 2, 3)), LabelClass(value=2, name="tumor", color=(3, 2, 1))]


def organ() -> np.ndarray:
    mask = np.zeros((9, 13, 17), bool)
    mask[2:7, 3:10, 4:14] = True
    return mask


def tumor() -> np.ndarray:
    mask = np.zeros((9, 13, 17), bool)
    mask[3:5, 5:8, 6:10] = True
    return mask


def specked(mask: np.ndarray) -> np.ndarray:
    result = mask.copy()
    result[0, 0, 0] = True
    return result


def test_a_speck_of_one_class_in_another_goes() -> None:
    """Of a label map with one class a voxel the speck would be part of the other's hole."""
    inside = tumor()
    inside[5, 8, 12] = True
    clean = partial(clean_up, spacing_zyx=SPACING, largest_component=True)
    assert (each_class(to_bits([organ(), inside]), [1, 2], clean) == to_bits([organ(), tumor()])).all()


def test_a_hole_is_filled_where_another_class_lies_in_it() -> None:
    hollow = organ()
    hollow[4, 6, 8] = False
    clean = partial(clean_up, spacing_zyx=SPACING, fill_holes=True)
    assert (each_class(to_bits([hollow, tumor()]), [1, 2], clean) == to_bits([organ(), tumor()])).all()


def test_the_array_of_a_class() -> None:
    array = class_array(to_bits([organ(), tumor()]), 2)
    assert set(np.unique(array)) == {0, 2} and ((array == 2) == tumor()).all()


def test_what_helps_is_found_and_done_for_each_class() -> None:
    study = CleaningStudy(CLASSES, overlapping=True)
    reference = to_bits([organ(), tumor()])
    for _ in range(4):
        study.add(to_bits([organ(), specked(specked(tumor()))]), reference, SPACING)
    by_name = {item.name: item for item in study.choose()}
    assert not by_name["organ"].does_something
    assert by_name["tumor"].does_something and by_name["tumor"].better == 4
    image = Geometry(size=(17, 13, 9), spacing=SPACING[::-1]).place(to_bits([organ(), specked(tumor())]))
    cleaned = sitk.GetArrayFromImage(cleaned_up(image, list(by_name.values()), overlapping=True))
    assert (has_class(cleaned, 2) == tumor()).all() and (has_class(cleaned, 1) == organ()).all()


def test_nothing_to_do_leaves_the_image() -> None:
    image = Geometry(size=(17, 13, 9)).place(to_bits([organ(), tumor()]))
    assert cleaned_up(image, [Cleaning(value=1, name="organ")], overlapping=True) is image

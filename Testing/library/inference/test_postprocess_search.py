"""Which clean-up helps, told from cases, and doing it to the classes it helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.inference.postprocess_search import CleaningStudy, clean_classes
from MedSegTrainerLib.model.postprocessing import Cleaning, agreed, from_json, to_json

SPACING = (2.0, 1.0, 0.5)  # mm (z, y, x): a voxel has 1 mm3
LIVER, CYST = (LabelClass(value=value, name=name, color=(1, 2, 3)) for value, name in ((2, "liver"), (5, "cyst")))


def reference() -> np.ndarray:
    """A liver of 4 x 6 x 6 voxels and two cysts of 2 x 3 x 3."""
    labels = np.zeros((9, 14, 16), np.uint8)
    labels[1:5, 1:7, 1:7] = LIVER.value
    labels[1:3, 9:12, 2:5] = CYST.value
    labels[6:8, 9:12, 10:13] = CYST.value
    return labels


def study(*predictions: np.ndarray) -> CleaningStudy:
    result = CleaningStudy([LIVER, CYST])
    for prediction in predictions:
        result.add(prediction, reference(), SPACING)
    return result


def with_second_liver(shift: int) -> np.ndarray:
    labels = reference()
    labels[6:8, 1 + shift : 5 + shift, 10:14] = LIVER.value
    return labels


class TestChoosing:
    def test_the_largest_piece_where_there_are_others_and_not_of_the_class_that_has_two(self) -> None:
        liver, cyst = study(*(with_second_liver(shift) for shift in range(3))).choose()
        assert liver.largest_component and not liver.fill_holes and not liver.minimum_size_mm3
        assert (liver.cases, liver.better, liver.worse) == (3, 3, 0)
        assert liver.dice_before == pytest.approx(2 * 144 / (144 + 144 + 32), abs=1e-6)
        assert liver.dice_after == 1.0
        assert not cyst.does_something and cyst.dice_before == cyst.dice_after == 1.0
        assert "liver: only the largest piece kept (Dice 0.900 -> 1.000 on 3 validation cases)" in liver.text()

    def test_pieces_are_whole_where_slices_are_labelled(self) -> None:
        """Every second plane is: a second liver is wrong in these, and each liver is one piece, not one a plane."""
        result = CleaningStudy([LIVER, CYST])
        known = np.zeros(reference().shape, bool)
        known[::2] = True
        for shift in range(3):
            result.add(with_second_liver(shift), np.where(known, reference(), 0), SPACING, known=known)
        liver, cyst = result.choose()
        assert liver.largest_component and not liver.minimum_size_mm3 and liver.dice_after == 1.0
        assert liver.dice_before == pytest.approx(2 * 72 / (72 + 72 + 16), abs=1e-6)
        assert not cyst.does_something and cyst.dice_before == 1.0

    def test_of_a_class_only_the_cases_tell_in_which_it_was_drawn(self) -> None:
        """A second liver where nobody looked for one says nothing; two cases are too few to tell of the cyst."""
        result = CleaningStudy([LIVER, CYST])
        for shift in range(3):
            result.add(with_second_liver(shift), reference(), SPACING, ["liver"] if shift else None)
            result.add(with_second_liver(shift), reference() * 0, SPACING, ["cyst"] if not shift else [])
        liver, cyst = result.choose()
        assert liver.largest_component and liver.cases == 3
        assert cyst == Cleaning(value=5, name="cyst", cases=2)

    def test_specks_of_a_class_with_two_pieces_are_told_by_their_size(self) -> None:
        specked = reference()
        specked[8, 0:6:3, 0:14:2] = CYST.value
        _, cyst = study(specked, specked, specked).choose()
        assert not cyst.largest_component
        assert 1 < cyst.minimum_size_mm3 <= 3.6  # a tenth of the 36 mm3 that a case has
        assert (clean_classes(specked, SPACING, [cyst]) == reference()).all()

    def test_holes(self) -> None:
        hollow = reference()
        hollow[2:4, 3:5, 3:5] = 0
        liver, cyst = study(hollow, hollow, hollow).choose()
        assert liver.fill_holes and not liver.largest_component and not cyst.does_something
        assert (clean_classes(hollow, SPACING, [liver, cyst]) == reference()).all()

    def test_what_helps_one_case_of_many_is_chance(self) -> None:
        assert not study(with_second_liver(0), reference(), reference(), reference()).choose()[0].does_something

    def test_what_harms_as_often_as_it_helps_is_left(self) -> None:
        """In two cases the larger piece is the wrong one."""
        wrong = reference()
        wrong[1:5, 1:5, 1:7] = 0
        wrong[5:9, 0:8, 9:16] = LIVER.value
        liver, _ = study(with_second_liver(0), with_second_liver(1), wrong, wrong).choose()
        assert not liver.largest_component

    def test_with_two_cases_nothing_is_said(self) -> None:
        assert study(with_second_liver(0), with_second_liver(0)).choose() == []


class TestStored:
    def test_there_and_back(self) -> None:
        items = [Cleaning(value=2, name="liver", largest_component=True, cases=3, dice_before=0.5, dice_after=0.75)]
        assert from_json(to_json(items)) == items

    def test_of_a_later_version(self) -> None:
        with pytest.raises(ModelError, match="Update"):
            from_json([{"value": 2, "name": "liver", "magic": True}])


class TestAgreed:
    largest = Cleaning(value=2, name="liver", largest_component=True, minimum_size_mm3=9.0, cases=5, dice_before=0.5)

    def test_one_model_keeps_its_figures_and_what_does_nothing_goes(self) -> None:
        idle = Cleaning(value=5, name="cyst")
        assert agreed([[self.largest, idle]]) == [self.largest]

    def test_several_do_what_all_found(self) -> None:
        other = replace(self.largest, minimum_size_mm3=4.0, fill_holes=True)
        (result,) = agreed([[self.largest], [other]])
        assert (result.largest_component, result.fill_holes, result.minimum_size_mm3) == (True, False, 4.0)
        assert agreed([[self.largest], []]) == []

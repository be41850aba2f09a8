"""Numbers of classes in nnU-Net's label maps."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.export.nnunet_labels import numbering, renumbered


def classes(**values: int) -> list[LabelClass]:
    return [LabelClass(value=value, name=name, color=(255, 0, 0)) for name, value in values.items()]


def test_numbers_have_no_gap() -> None:
    items = classes(kidney=3, cyst=7)
    numbers = numbering(items, {}, overlapping=False)
    assert numbers.labels == {"background": 0, "kidney": 1, "cyst": 2}
    assert (numbers.order, numbers.ignored) == ((), 3)
    found = renumbered(np.array([[0, 3], [7, -1]]), numbers, items, -1, all_drawn=True)
    np.testing.assert_array_equal(found, [[0, 1], [2, 3]])
    assert found.dtype == np.uint8


def test_background_is_unknown_where_not_all_was_looked_for() -> None:
    items = classes(kidney=3, cyst=7)
    numbers = numbering(items, {}, overlapping=False)
    found = renumbered(np.array([0, 3, 7, 9]), numbers, items, 9, all_drawn=False)
    assert found.tolist() == [3, 1, 2, 3]


def test_a_mask_of_255_beside_masks_of_1() -> None:
    items = classes(organ=1)
    numbers = numbering(items, {}, overlapping=False)
    assert renumbered(np.array([0, 255]), numbers, items, None, all_drawn=True).tolist() == [0, 1]


def test_nested_regions_as_in_brats() -> None:
    """Whole tumour (bit 0) holds the core (bit 1), which holds what enhances (bit 2); named here from inside out."""
    items = classes(enhancing=1, core=2, whole=3)
    numbers = numbering(items, {0b100: 50, 0b110: 20, 0b111: 10}, overlapping=True)
    assert numbers.labels == {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    assert numbers.order == (1, 2, 3)
    values = np.array([0, 0b100, 0b110, 0b111, -1])
    assert renumbered(values, numbers, items, -1, all_drawn=True).tolist() == [0, 1, 2, 3, 4]


def test_regions_that_share_a_part() -> None:
    """The results of nnU-Net are the numbers of ``order``, each over those before it: here of the part that is b."""
    items = classes(a=1, b=2, absent=3)
    numbers = numbering(items, {0b01: 40, 0b10: 30, 0b11: 5}, overlapping=True)
    assert numbers.labels == {"background": 0, "a": [1, 4], "b": [2, 4], "absent": 3}
    assert numbers.order == (1, 2, 3)


def test_classes_that_could_overlap_and_do_not() -> None:
    numbers = numbering(classes(a=1, b=2), {0b01: 4, 0b10: 9}, overlapping=True)
    assert numbers.labels == {"background": 0, "b": 2, "a": 1}
    assert numbers.order == ()


def test_many_numbers_need_a_larger_type() -> None:
    items = [LabelClass(value=value, name=f"c{value}", color=(0, 0, 0)) for value in range(1, 301)]
    found = renumbered(np.array([300]), numbering(items, {}, overlapping=False), items, None, all_drawn=True)
    assert (found.tolist(), found.dtype) == ([300], np.uint16)


@pytest.mark.parametrize("name", ["background", "ignore"])
def test_names_with_a_meaning(name: str) -> None:
    with pytest.raises(DataError, match=f"A class is named '{name}'"):
        numbering(classes(**{name: 1}), {}, overlapping=False)

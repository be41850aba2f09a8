import numpy as np
import pytest
import slicer
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_slices import SliceNumbers, drawn_slices, is_sparse
from MedSegTrainerUI.scene.segment_classes import find_classes

from MedSegTrainerLib.errors import DataError

SHAPE = (6, 8, 10)


@pytest.fixture
def volume(make_volume):
    return make_volume("CT", np.zeros(SHAPE, np.int16))


def row_of(volume, segmentation, region="slices", axis=""):
    return CaseRow(name="CT", volumes=(volume,), segmentation=segmentation, region=region, axis=axis)


@pytest.mark.parametrize(("axis", "place", "numbers"), [("z", 0, (1, 4)), ("y", 1, (2, 5)), ("x", 2, (0, 7))])
def test_numbers_are_those_along_the_axis_of_the_volume(volume, make_segmentation, axis, place, numbers):
    drawn = np.zeros(SHAPE)
    inside = np.zeros(SHAPE)
    inside[tuple(slice(1, size - 1) if one != place else slice(None) for one, size in enumerate(SHAPE))] = 1
    index = [slice(None)] * 3
    index[place] = list(numbers)
    drawn[tuple(index)] = inside[tuple(index)]
    row = row_of(volume, make_segmentation("seg", volume, {"liver": drawn}))
    assert is_sparse(row)
    assert drawn_slices(row, find_classes([row], {})) == SliceNumbers(axis=axis, numbers=numbers)


def test_a_case_that_is_drawn_everywhere_is_not_sparse(volume, make_segmentation):
    assert not is_sparse(row_of(volume, make_segmentation("seg", volume, {}), region="everywhere"))


def test_where_nothing_is_drawn_it_is_said(volume, make_segmentation):
    row = row_of(volume, make_segmentation("seg", volume, {"liver": np.zeros(SHAPE)}))
    with pytest.raises(DataError, match="no slice has anything in it"):
        drawn_slices(row, find_classes([row], {}))
    assert not slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode")

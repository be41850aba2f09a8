import math

import numpy as np
import pytest
import slicer
from MedSegTrainerUI.apply.statistics import add_statistics, new_table

SHAPE = (6, 8, 10)


@pytest.fixture
def volume(make_volume):
    return make_volume("CT", np.full(SHAPE, 40, np.int16))


def columns(table):
    content = table.GetTable()
    return [content.GetColumn(index).GetName() for index in range(content.GetNumberOfColumns())]


def texts(table, name):
    column = table.GetTable().GetColumnByName(name)
    return [column.GetValue(row) for row in range(column.GetNumberOfValues())]


def test_a_row_for_each_segment_with_volume_and_mean(volume, make_segmentation, no_new_nodes):
    liver = np.zeros(SHAPE, bool)
    liver[1:5, 1:6, 1:6] = True
    slicer.util.arrayFromVolume(volume)[liver] = 130
    node = make_segmentation("CT segmentation", volume, {"liver": liver, "spleen": np.zeros(SHAPE, bool)})
    node.GetDisplayNode().SetSegmentVisibility(node.GetSegmentation().GetNthSegmentID(0), False)
    table = new_table()
    with no_new_nodes():
        assert add_statistics(table, "CT", node, volume) == 2
    assert texts(table, "Result") == ["CT", "CT"] and texts(table, "Segment") == ["liver", "spleen"]
    voxel = float(np.prod(volume.GetSpacing())) / 1000
    assert slicer.util.arrayFromTableColumn(table, "Volume [cm3] (1)") == pytest.approx([100 * voxel, 0])
    mean = slicer.util.arrayFromTableColumn(table, "Mean")
    assert mean[0] == 130 and math.isnan(mean[1]), "an empty segment has no intensities"


def test_results_below_each_other_keep_their_columns(volume, make_volume, make_segmentation):
    table = new_table()
    full, empty = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    add_statistics(table, "first", make_segmentation("first", volume, {"spleen": empty}), volume)
    assert "Mean" not in columns(table)
    add_statistics(table, "second", make_segmentation("second", volume, {"liver": full}), volume)
    assert texts(table, "Result") == ["first", "second"] and columns(table)[0] == "Result"
    mean = slicer.util.arrayFromTableColumn(table, "Mean")
    assert math.isnan(mean[0]) and mean[1] == 40
    assert table.GetLocked() and len(set(columns(table))) == len(columns(table))

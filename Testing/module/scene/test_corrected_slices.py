from dataclasses import replace

import numpy as np
import pytest
import slicer
from MedSegTrainerUI.scene.case_rows import CaseRow, read_rows, write_rows
from MedSegTrainerUI.scene.corrected_slices import changed_part, compare
from MedSegTrainerUI.scene.export_layers import export_layers
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.labelled_region import labelled_voxels, region_facts
from MedSegTrainerUI.scene.prediction_copy import mark_result
from MedSegTrainerUI.scene.result_origin import Origin, accept, is_result
from MedSegTrainerUI.scene.segment_classes import find_classes
from MedSegTrainerUI.scene.volumes import array_image, volume_geometry, write_image

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError

SHAPE = (9, 13, 17)
CLASSES = [
    LabelClass(value=1, name="liver", color=(221, 130, 101)),
    LabelClass(value=2, name="tumor", color=(144, 238, 144)),
]


@pytest.fixture
def labels():
    array = np.zeros(SHAPE, np.uint8)
    array[1:8, 2:11, 3:14] = 1
    array[3:6, 4:7, 5:9] = 2
    return array


@pytest.fixture
def make_result(make_volume, tmp_path):
    """A result of a model as ``apply`` imports it: from a file that stays."""

    def make(labels, *, compressed=True, segmentation=None, volume=None):
        volume = volume or make_volume("CT", np.zeros(SHAPE, np.int16))
        path = tmp_path / "results" / "CT.seg.nrrd"
        write_image(array_image(labels), volume_geometry(volume).ijk_to_ras, path, compressed=compressed)
        return mark(path, volume, segmentation)

    return make


def mark(path, volume, segmentation=None):
    node = import_segments(path, CLASSES, volume, segmentation, name="result")
    mark_result(node, Origin(model="m", job="apply-m", case="CT", prediction=str(path)), CLASSES)
    return CaseRow(name="CT", volumes=(volume,), segmentation=node, region="corrected")


def segment_id(row, name):
    return row.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)


def draw(row, name, change):
    """What the Segment Editor does to a segment; ``change`` gets its mask (z, y, x) to change."""
    segment, volume = segment_id(row, name), row.volumes[0]
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(row.segmentation, segment, volume).copy()
    change(mask)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, row.segmentation, segment, volume)


def erase_planes(*planes):
    def change(mask):
        mask[list(planes)] = 0

    return change


def facts(row):
    return region_facts(row, find_classes([row], {}))


@pytest.mark.parametrize("compressed", [True, False])
def test_what_nobody_touched_differs_nowhere(make_result, labels, compressed):
    row = make_result(labels, compressed=compressed)
    assert changed_part(row) is None
    with pytest.raises(DataError, match="Nobody has corrected this result"):
        facts(row)
    with pytest.raises(DataError, match="Nobody has corrected this result"):
        labelled_voxels(row, labels > 0)


def test_exactly_the_voxels_that_were_changed_differ_and_their_slices_are_labelled(make_result, labels):
    row = make_result(labels)
    draw(row, "liver", erase_planes(2, 6))
    part = changed_part(row)
    expected = (labels == 1) & np.isin(np.arange(9), [2, 6])[:, None, None]
    found = np.zeros(SHAPE, bool)
    found[part.region] = part.array
    assert (found == expected).all()
    assert (facts(row).axis, facts(row).slices) == ("z", 2)
    known = labelled_voxels(row, labels > 0)
    assert [bool(plane.all()) for plane in known] == [plane in (2, 6) for plane in range(9)]
    assert known.any(axis=(1, 2)).sum() == 2


def test_a_voxel_of_another_segment_is_a_correction(make_result, labels):
    row = make_result(labels)
    draw(row, "tumor", lambda mask: mask.__setitem__((4, slice(8, 10), slice(5, 9)), 1))  # where the liver was
    assert facts(row).slices == 1 and changed_part(row).start[0] == 4


def test_coronal_slices_are_found_and_a_chosen_direction_counts(make_result, labels):
    row = make_result(labels)
    draw(row, "liver", lambda mask: mask.__setitem__((slice(None), [4, 8]), 0))
    assert (facts(row).axis, facts(row).slices) == ("y", 2)
    assert facts(replace(row, axis="z")).slices == 7


def test_a_correction_that_is_taken_back_is_none(make_result, labels):
    row = make_result(labels)
    draw(row, "liver", erase_planes(2))
    assert changed_part(row) is not None
    draw(row, "liver", lambda mask: np.copyto(mask, labels == 1))
    assert changed_part(row) is None


def test_names_and_deleted_segments_are_no_corrections_and_added_ones_are(make_result, labels):
    row = make_result(labels)
    content = row.segmentation.GetSegmentation()
    content.GetSegment(segment_id(row, "liver")).SetName("Leber")
    content.RemoveSegment(segment_id(row, "tumor"))
    assert changed_part(row) is None
    content.AddEmptySegment("", "cyst")
    assert changed_part(row) is None
    draw(row, "cyst", lambda mask: mask.__setitem__((3, slice(4, 7), slice(4, 7)), 1))
    assert facts(row).slices == 1 and changed_part(row).array.sum() == 9


def test_an_emptied_segment_is_a_correction_everywhere_the_model_had_it(make_result, labels):
    row = make_result(labels)
    draw(row, "tumor", lambda mask: mask.fill(0))
    assert changed_part(row).array.sum() == (labels == 2).sum()


def test_what_was_drawn_before_the_result_came_is_not_compared(make_result, make_volume, make_segmentation, labels):
    volume = make_volume("CT", np.zeros(SHAPE, np.int16))
    mine = make_segmentation("mine", volume, {"liver": labels == 2, "bone": np.indices(SHAPE)[0] > 6})
    row = make_result(labels, segmentation=mine, volume=volume)
    assert row.segmentation is mine and changed_part(row) is None
    draw(row, "liver", erase_planes(2))
    assert facts(row).slices == 1


def test_segments_that_overlap_are_compared_layer_by_layer(make_volume, make_segmentation, tmp_path, labels):
    volume = make_volume("CT", np.zeros(SHAPE, np.int16))
    both = make_segmentation("both", volume, {"liver": labels > 0, "tumor": labels == 2})
    drawn = CaseRow(name="CT", volumes=(volume,), segmentation=both)
    path = tmp_path / "CT.seg.nrrd"
    export_layers(both, volume, find_classes([drawn], {}), path)
    row = mark(path, volume)
    assert changed_part(row) is None
    draw(row, "tumor", erase_planes(4))
    assert facts(row).slices == 1 and changed_part(row).array.sum() == (labels[4] == 2).sum()


def test_of_a_copy_that_is_gone_or_another_nothing_is_believed(make_result, labels, tmp_path):
    row = make_result(labels)
    draw(row, "liver", erase_planes(2))
    copy = tmp_path / "results" / "CT.seg.nrrd"
    content = copy.read_bytes()
    copy.unlink()
    with pytest.raises(DataError, match=r"is not there.*I looked at all of it"):
        facts(row)
    copy.write_bytes(content[:-1] + b"?")
    with pytest.raises(DataError, match="another file now"):
        facts(row)
    copy.write_bytes(content)
    assert facts(row).slices == 1


def test_on_other_voxels_nothing_can_be_told(make_result, labels):
    row = make_result(labels)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    slicer.util.updateTransformMatrixFromArray(transform, np.diag([1.3, 1, 1, 1]))
    row.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(DataError, match="lies under another transform"):
        facts(row)


def test_a_segment_that_is_moved_elsewhere_takes_along_that_a_model_drew_it(make_result, make_segmentation, labels):
    row = make_result(labels)
    other = make_segmentation("other", row.volumes[0], {"bone": labels == 0})
    assert not is_result(other)
    other.GetSegmentation().CopySegmentFromSegmentation(row.segmentation.GetSegmentation(), segment_id(row, "tumor"))
    assert is_result(other)
    with pytest.raises(DataError, match="moved here from a result"):
        facts(replace(row, segmentation=other))


def test_a_result_that_is_saved_as_a_file_and_loaded_is_still_one(make_result, labels, tmp_path):
    row = make_result(labels)
    path = tmp_path / "saved.seg.nrrd"
    assert slicer.util.saveNode(row.segmentation, str(path))
    loaded = slicer.util.loadSegmentation(str(path))
    assert loaded is not row.segmentation and is_result(loaded)
    with pytest.raises(DataError, match="moved here from a result"):
        facts(replace(row, segmentation=loaded))


def test_a_row_of_a_result_is_read_by_what_was_done_to_it_whatever_was_written(make_result, labels):
    row = make_result(labels)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    for region in ("everywhere", "slices", "roi", "corrected"):
        write_rows(node, [replace(row, region=region, axis="y")])
        assert [(one.region, one.axis) for one in read_rows(node)] == [("corrected", "y")]
    accept(row.segmentation, True)
    assert read_rows(node)[0].region == "everywhere"
    mark(row.segmentation.GetAttribute("MedSegTrainer.prediction"), row.volumes[0], row.segmentation)
    assert read_rows(node)[0].region == "corrected", "another result came into it"


def test_a_large_result_is_compared_in_short_steps(make_result, labels):
    row = make_result(labels)
    draw(row, "liver", erase_planes(2))
    steps = list(compare(row))
    assert steps == [4 * 13 * 17, 4 * 13 * 17, 13 * 17]
    assert list(compare(row)) == [], "it is known"
    draw(row, "liver", erase_planes(3))
    begun = compare(row)
    next(begun)
    draw(row, "liver", erase_planes(5))
    list(begun)
    assert facts(row).slices == 3

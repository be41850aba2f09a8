from dataclasses import replace

import numpy as np
import pytest
import slicer
from MedSegTrainerUI.scene.case_checks import check_row, check_rows, error_lines
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_mark import mark
from MedSegTrainerUI.scene.segment_classes import find_classes

SHAPE = (6, 8, 10)


def box(low, high):
    mask = np.zeros(SHAPE, bool)
    mask[low:high, low:high, low:high] = True
    return mask


@pytest.fixture
def make_row(make_volume, make_segmentation):
    def make(name, masks, volumes=1):
        nodes = tuple(make_volume(f"{name}_{index}", np.zeros(SHAPE, np.int16)) for index in range(volumes))
        return CaseRow(name=name, volumes=nodes, segmentation=make_segmentation(f"{name}-seg", nodes[0], masks))

    return make


def found(rows, **options):
    return [(one.severity, one.case, one.message) for one in check_rows(rows, find_classes(rows, {}), **options)]


def test_nothing_is_said_about_what_is_right(make_row):
    assert found([make_row("A", {"liver": box(0, 3)}), make_row("B", {"liver": box(2, 5)})]) == []


def test_a_volume_without_segmentation_is_named(make_volume):
    row = CaseRow(name="CT_04", volumes=(make_volume("CT_04", np.zeros(SHAPE, np.int16)),))
    assert found([row]) == [("error", "CT_04", "No segmentation belongs to this volume.")]
    assert error_lines(check_row(row, [])).startswith("CT_04: No segmentation belongs to this volume. Segment it")


def test_a_segmentation_without_segments_or_voxels_is_told(make_row):
    rows = [make_row("A", {}), make_row("B", {"liver": None, "tumor": None}), make_row("C", {"liver": box(0, 3)})]
    assert found(rows)[:2] == [
        ("error", "A", "The segmentation has no segments."),
        ("warning", "B", "All segments are empty: they count as looked for and not there. Is that so?"),
    ]


def test_a_row_with_nothing_of_the_chosen_classes_is_told(make_row):
    rows = [make_row("A", {"liver": box(0, 3)}), make_row("B", {"skin": box(0, 3)})]
    classes = find_classes(rows, {"skin": ""})
    (one,) = check_rows(rows, classes)
    assert (one.severity, one.case, one.message) == ("error", "B", "Nothing of the chosen classes was drawn here.")


@pytest.mark.parametrize("masks", [{"liver": box(0, 3), "tumor": None}, {"liver": box(0, 3)}])
def test_a_class_that_is_absent_or_was_not_drawn_in_a_case_is_no_finding(make_row, masks):
    assert found([make_row("A", {"liver": box(0, 3), "tumor": box(3, 5)}), make_row("B", masks)]) == []


def test_a_class_that_no_case_has_is_an_error(make_row):
    rows = [make_row("A", {"liver": box(0, 3), "tumor": None, "cyst": box(3, 5)}), make_row("B", {"liver": box(0, 3)})]
    mark(rows[0].segmentation.GetSegmentation().GetNthSegment(2))
    assert found(rows) == [
        ("error", "", "'tumor' was looked for and is in no case."), ("error", "", "'cyst' is drawn in no case."),
    ]  # fmt: skip
    assert error_lines(check_rows(rows, find_classes(rows, {}))).startswith(
        "'tumor' was looked for and is in no case. D"
    )


def test_segments_that_are_marked_as_not_drawn_may_overlap_and_be_hidden(make_row):
    row, other = make_row("A", {"liver": box(0, 4), "tumor": box(2, 5)}), make_row("B", {"tumor": box(2, 5)})
    content = row.segmentation.GetSegmentation()
    mark(content.GetNthSegment(1))
    row.segmentation.GetDisplayNode().SetSegmentVisibility(content.GetNthSegmentID(1), False)
    assert found([row, other]) == []
    mark(content.GetNthSegment(0))
    assert found([row, other])[0] == ("error", "A", "Nothing of the chosen classes was drawn here.")


def test_a_case_that_was_drawn_in_slices_needs_one_and_a_direction(make_row):
    cube, empty = make_row("A", {"liver": box(0, 5)}), make_row("B", {"liver": None})
    drawn = [replace(row, region="slices") for row in (cube, empty)]
    (cannot, _case, message), (error, _other, no_slice) = found(drawn)
    assert (cannot, error, no_slice) == ("error", "error", "All segments are empty, so no slice was drawn.")
    assert message.startswith("Which slices were drawn cannot be told from what is there: axial, coronal or sagittal")
    assert found([replace(cube, region="slices", axis="y")]) == []


def test_what_is_wrong_with_a_roi_is_told(make_row, make_roi):
    row = make_row("A", {"liver": box(1, 5)})

    def messages(roi):
        return [(severity, message) for severity, _case, message in found([replace(row, region="roi", roi=roi)])]

    assert messages(make_roi(row.volumes[0], (0, 0, 0), (9, 7, 5))) == []
    assert messages(make_roi(row.volumes[0], (1, 1, 1), (2, 4, 4))) == [
        ("note", "50 % of what is drawn lies outside of the ROI, and is not learned.")
    ]
    assert messages(make_roi(row.volumes[0], (6, 6, 5), (9, 7, 5))) == [
        ("error", "Nothing is drawn inside the ROI box.")
    ]
    assert messages(make_roi(row.volumes[0], (60, 6, 5), (70, 7, 5))) == [
        ("error", "The ROI box lies outside of the volume A_0.")
    ]
    assert messages(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "new")) == [
        ("error", "The ROI new has no size. Place it in the views first.")
    ]
    assert messages(None) == [
        ("error", "The ROI inside of which it was drawn is gone. Choose another with a click in the column 'Drawn'.")
    ]


def test_all_can_be_absent_inside_a_roi(make_row, make_roi):
    row = make_row("A", {"liver": None})
    inside = replace(row, region="roi", roi=make_roi(row.volumes[0], (0, 0, 0), (3, 3, 3)))
    assert [one[0] for one in found([inside, make_row("B", {"liver": box(0, 3)})])] == ["warning"]


def test_segments_of_another_volume_are_noticed(make_row, make_volume):
    row = make_row("A", {"liver": box(0, 3)})
    matrix = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    shift = np.eye(4)
    row.segmentation.SetAndObserveTransformNodeID(matrix.GetID())
    shift[:3, 3] = (500, 0, 0)
    slicer.util.updateTransformMatrixFromArray(matrix, shift)
    assert found([row]) == [("error", "A", "The segments lie outside of the volume.")]
    shift[:3, 3] = (-1.2, 0, 0)
    slicer.util.updateTransformMatrixFromArray(matrix, shift)
    assert found([row]) == [("warning", "A", "A part of the segments lies outside of the volume, and is not learned.")]


def test_what_becomes_of_overlap_is_told(make_row):
    """8 voxels of 2.2 mm3."""
    row = make_row("A", {"liver": box(0, 4), "tumor": box(2, 5)})
    assert found([row]) == [
        ("note", "A", "Segments overlap, and each is learned whole: 'liver' and 'tumor' (0.018 ml)."),
        ("note", "", "Segments overlap in A: a voxel can have several classes, and each is learned by itself."),
    ]
    assert found([row], overlap="order") == [
        ("note", "A", "Segments overlap; the later class wins: 'tumor' over 'liver' (0.018 ml).")
    ]
    (one,) = check_rows([row], find_classes([row], {}), overlap="refuse")
    assert one.severity == "error" and "'liver' and 'tumor' overlap (0.018 ml)" in one.message


def test_overlap_in_several_cases_is_meant(make_row):
    rows = [make_row(name, {"liver": box(0, 4), "tumor": box(2, 5)}) for name in ("A", "B")]
    general = [message for _severity, case, message in found(rows) if not case]
    assert general == ["Segments overlap in 2 cases: a voxel can have several classes, and each is learned by itself."]


def test_a_little_overlap_in_one_case_may_be_a_slip(make_row):
    slipped, nothing = {"liver": box(0, 5), "tumor": box(4, 6)}, {"liver": box(0, 2), "tumor": box(3, 5)}
    slipped["tumor"][5] = True  # so that one voxel of many is shared
    rows = [make_row("A", nothing), make_row("B", slipped)]
    (one,) = [one for one in check_rows(rows, find_classes(rows, {})) if not one.case]
    assert one.severity == "warning" and one.message.startswith("Segments overlap in B alone, by 0.0")
    assert "Erase it there" in one.remedy and "as overlapping ones" in one.remedy
    both = [make_row("C", slipped), rows[1]]
    assert [one.severity for one in check_rows(both, find_classes(both, {})) if not one.case] == ["note"]


def test_a_segment_that_alone_is_hidden_is_told(make_row):
    row = make_row("A", {"liver": box(0, 2), "tumor": box(3, 5)})
    display, content = row.segmentation.GetDisplayNode(), row.segmentation.GetSegmentation()
    display.SetSegmentVisibility(content.GetNthSegmentID(1), False)
    assert found([row]) == [("note", "A", "Hidden in the views, and learned all the same: tumor.")]
    display.SetSegmentVisibility(content.GetNthSegmentID(0), False)
    assert found([row]) == []


def test_a_volume_without_voxels_and_a_bent_transform_are_errors_of_the_row(make_row):
    row = make_row("A", {"liver": box(0, 3)})
    row.volumes[0].SetAndObserveImageData(None)
    assert found([row]) == [("error", "A", "The volume A_0 has no image data. Load its file again, or take it out.")]
    other = make_row("B", {"liver": box(0, 3)})
    grid = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp")
    other.segmentation.SetAndObserveTransformNodeID(grid.GetID())
    ((severity, case, message),) = found([other])
    assert (severity, case) == ("error", "B") and "'warp' bends space" in message
    other.volumes[0].SetAndObserveTransformNodeID(grid.GetID())
    assert found([other]) == []


def test_nodes_that_are_used_twice_are_told(make_row):
    row = make_row("A", {"liver": box(0, 3)})
    twin = CaseRow(name="B", volumes=row.volumes, segmentation=row.segmentation)
    assert [one[:2] for one in found([row, twin])] == [
        ("warning", "A"), ("error", "A"), ("warning", "B"), ("error", "B"),
    ]  # fmt: skip


def test_every_case_needs_as_many_volumes(make_row):
    rows = [make_row(name, {"liver": box(0, 3)}, count) for name, count in (("A", 2), ("B", 2), ("C", 1))]
    assert found(rows) == [("error", "C", "Has 1 volumes, and other cases have 2.")]


def test_what_was_taken_for_one_by_its_name_is_told(make_row):
    rows = [make_row("A", {"Liver": box(0, 3)}), make_row("B", {"liver": box(0, 3)})]
    assert found(rows) == [("note", "", "Spelled differently, and taken for one class: Liver, liver.")]
    rows = [make_row("C", {"Segment_1": box(0, 3)}), make_row("D", {"Segment_1": box(0, 3)})]
    assert [one[:2] for one in found(rows)] == [("warning", "")]
    assert found(rows[:1]) == []


def test_rows_of_files_are_left_to_the_doctor():
    row = CaseRow(name="F", images=("/nowhere.nii.gz",), label="/nowhere-label.nii.gz", segments=("liver",))
    assert found([row]) == []

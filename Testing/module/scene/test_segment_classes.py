import numpy as np
import pytest
import slicer
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.segment_classes import find_classes, same_name, segments_of_classes

TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~"
    "SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^"
)
FULL = np.ones((2, 3, 4), bool)


@pytest.fixture
def make_row(make_volume, make_segmentation):
    def make(name, masks, colors=None):
        volume = make_volume(name, np.zeros((2, 3, 4), np.int16), oblique=False)
        return CaseRow(
            name=name, volumes=(volume,), segmentation=make_segmentation(f"{name}-seg", volume, masks, colors)
        )

    return make


def part(count):
    return np.arange(24).reshape(2, 3, 4) < count


def test_names_are_one_class_whatever_their_capitals_and_spaces(make_row):
    rows = [make_row("A", {"Liver": part(10), "tumor": ~part(20)}), make_row("B", {" liver ": part(5)})]
    liver, tumor = find_classes(rows, {})
    assert (liver.name, liver.segments, liver.cases, liver.value) == ("Liver", ("Liver", "liver"), 2, 1)
    assert liver.ml == pytest.approx(0.015)
    assert (tumor.name, tumor.cases, tumor.value) == ("tumor", 1, 2) and tumor.ml == pytest.approx(0.004)


def test_empty_segments_are_a_class_that_is_in_no_case(make_row):
    assert [(item.name, item.cases, item.ml) for item in find_classes([make_row("A", {"liver": None})], {})] == [
        ("liver", 0, 0.0)
    ]


def test_colour_and_terminology_are_those_of_the_first_segment(make_row):
    first, second = make_row("A", {"liver": FULL}, {"liver": (0.2, 0.4, 1.0)}), make_row("B", {"liver": FULL})
    first.segmentation.GetSegmentation().GetNthSegment(0).SetTag("TerminologyEntry", TERMINOLOGY)
    (liver,) = find_classes([first, second], {})
    assert liver.color == (51, 102, 255) and liver.terminology == TERMINOLOGY


def test_classes_are_renamed_merged_and_left_out(make_row):
    row = make_row("A", {"left": part(4), "right": ~part(20), "skin": part(9), "bone": part(2)})
    kidney, bones = find_classes([row], {"left": "kidney", "RIGHT": "Kidney", "skin": "", "bone": "bones"})
    assert (kidney.name, kidney.segments, kidney.cases) == ("kidney", ("left", "right"), 1)
    assert kidney.ml == pytest.approx(0.008)
    assert (bones.name, bones.segments, bones.value) == ("bones", ("bone",), 2)


def test_segments_are_found_by_their_class(make_row):
    row = make_row("A", {"Liver": FULL, "skin": FULL, "liver  ": FULL})
    classes = find_classes([row], {"skin": ""})
    content = row.segmentation.GetSegmentation()
    assert segments_of_classes(row.segmentation, classes) == {
        content.GetNthSegmentID(0): classes[0],
        content.GetNthSegmentID(2): classes[0],
    }


def test_cases_on_disk_keep_the_values_of_their_label_maps(make_row):
    files = CaseRow(name="F", images=("/a.nii.gz",), label="/l.nii.gz", segments=("spleen", "liver"))
    classes = find_classes([make_row("A", {"tumor": FULL, "Liver": FULL}), files], {})
    assert {item.name: (item.value, item.cases) for item in classes} == {
        "tumor": (3, 1),
        "Liver": (2, 2),
        "spleen": (1, 1),
    }


def test_names_are_compared_without_capitals_and_spaces():
    assert same_name("  Left  Kidney ") == same_name("left kidney") != same_name("leftkidney")


def test_counting_changes_nothing(make_row):
    row = make_row("A", {"liver": FULL})
    before = slicer.mrmlScene.GetNumberOfNodes(), row.segmentation.GetMTime()
    find_classes([row], {})
    assert (slicer.mrmlScene.GetNumberOfNodes(), row.segmentation.GetMTime()) == before

import numpy as np
import pytest
import slicer
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_classes import class_states, drawn_classes, has_voxels, set_looked_for
from MedSegTrainerUI.scene.drawn_mark import is_marked
from MedSegTrainerUI.scene.segment_classes import find_classes

SHAPE = (4, 5, 6)
FULL = np.ones(SHAPE, bool)


@pytest.fixture
def make_row(make_volume, make_segmentation):
    def make(name, **masks):
        volume = make_volume(name, np.zeros(SHAPE, np.int16))
        colors = {segment: (0.8, 0.2, 0.4) for segment in masks}
        return CaseRow(name=name, volumes=(volume,), segmentation=make_segmentation(name, volume, masks, colors))

    return make


@pytest.fixture
def rows(make_row):
    return [make_row("A", liver=FULL, tumor=FULL), make_row("B", liver=FULL, tumor=None), make_row("C", liver=FULL)]


def states(rows, names=None):
    return [list(class_states(row, find_classes(rows, names or {})).values()) for row in rows]


def test_a_segment_that_is_not_there_is_not_drawn_and_an_empty_one_is_absent(rows):
    assert states(rows) == [["drawn", "drawn"], ["drawn", "absent"], ["drawn", "not drawn"]]
    classes = find_classes(rows, {})
    assert [(item.drawn, item.cases) for item in classes] == [(3, 3), (2, 1)]
    assert [[item.name for item in drawn_classes(row, classes)] for row in rows] == [
        ["liver", "tumor"], ["liver", "tumor"], ["liver"],
    ]  # fmt: skip


def test_what_was_not_looked_for_is_kept_and_comes_back(rows):
    classes = find_classes(rows, {})
    ml = classes[1].ml
    for row in rows[:2]:
        set_looked_for(row, classes[1], False)
    assert states(rows) == [["drawn", "not drawn"]] * 3
    assert has_voxels(rows[0], classes[1]) and not has_voxels(rows[1], classes[1])
    assert (find_classes(rows, {})[1].ml, find_classes(rows, {})[1].drawn) == (0, 0)
    for row in rows[:2]:
        set_looked_for(row, classes[1], True)
    assert states(rows)[:2] == [["drawn", "drawn"], ["drawn", "absent"]] and find_classes(rows, {})[1].ml == ml


def test_absent_adds_an_empty_segment_that_looks_like_the_class_and_only_once(rows):
    tumor = find_classes(rows, {"tumor": "lesion"})[1]
    for _again in range(2):
        set_looked_for(rows[2], tumor, True)
    content = rows[2].segmentation.GetSegmentation()
    assert [content.GetNthSegment(index).GetName() for index in range(content.GetNumberOfSegments())] == [
        "liver", "tumor",
    ]  # fmt: skip
    assert content.GetNthSegment(1).GetColor() == pytest.approx((0.8, 0.2, 0.4), abs=1 / 255)
    assert states(rows, {"tumor": "lesion"})[2] == ["drawn", "absent"]
    set_looked_for(rows[2], tumor, False)
    assert states(rows)[2] == ["drawn", "not drawn"] and content.GetNumberOfSegments() == 2


def test_a_class_of_several_segments_is_drawn_where_none_is_marked(make_row):
    rows = [make_row("A", left=FULL, right=FULL), make_row("B", left=FULL)]
    names = {"left": "lung", "right": "lung"}
    (lung,) = find_classes(rows, names)
    set_looked_for(rows[0], find_classes(rows, {})[0], False)
    assert states(rows, names) == [["not drawn"], ["drawn"]]
    assert find_classes(rows, names)[0].drawn == 1
    set_looked_for(rows[0], lung, True)
    assert states(rows, names) == [["drawn"], ["drawn"]]


def test_files_say_it_by_the_names_of_their_classes():
    files = {"images": ("a.nii",), "label": "l.nii", "segments": ("liver", "Tumor"), "values": (1, 4)}
    rows = [CaseRow(name="A", **files), CaseRow(name="B", **files, drawn=("tumor",), ignore_label=2)]
    classes = find_classes(rows, {})
    assert [class_states(row, classes) for row in rows] == [
        {"liver": "drawn", "Tumor": "drawn"}, {"liver": "not drawn", "Tumor": "drawn"},
    ]  # fmt: skip
    assert [(item.drawn, item.cases, item.value) for item in classes] == [(1, 1, 1), (2, 2, 4)]


def test_no_class_gets_the_value_of_voxels_that_nobody_labelled(rows):
    files = CaseRow(name="F", images=("a.nii",), label="l.nii", segments=("spleen",), values=(1,), ignore_label=2)
    assert [(item.name, item.value) for item in find_classes([files, *rows], {})] == [
        ("spleen", 1), ("liver", 3), ("tumor", 4),
    ]  # fmt: skip


def test_the_mark_is_saved_with_the_segmentation(rows, tmp_path):
    set_looked_for(rows[0], find_classes(rows, {})[1], False)
    path = tmp_path / "A.seg.nrrd"
    assert slicer.util.exportNode(rows[0].segmentation, str(path), {})
    again = slicer.util.loadSegmentation(str(path)).GetSegmentation()
    assert [is_marked(again.GetNthSegment(index)) for index in range(2)] == [False, True]
